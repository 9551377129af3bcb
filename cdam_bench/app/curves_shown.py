"""Blurring as HTML: a slider, a chart of curves for every target, and the pictures as far blurred as the slider says."""

import json
from html import escape
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from cdam_bench.app.answers import Answer
from cdam_bench.app.blurring import Blurring
from cdam_bench.app.shown import data_address
from cdam_bench.drawing.families import line_of
from cdam_bench.drawing.names import display_name
from cdam_bench.explaining.targets import VALUES, Target

WIDTH, HEIGHT = 420, 250  # of a chart, in its own units: about CSS pixels on a phone
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 40  # around its axes
TICKS = 5
STROKE = 2.0
FIRST = 0.2  # share that is blurred at first


def curves_shown(answered: Answer, blurring: Blurring) -> str:
    """The slider, and below it for every target the chart and a picture per method."""
    found = answered.explanation
    sections = "".join(_of_target(target, blurring, list(found.maps)) for target in found.targets)
    return (
        f'<div class="cdam-blur" data-steps="{blurring.steps}">'
        f"<h3>As the most important {'patches' if blurring.unit == 'patch' else 'pixels'} are blurred</h3>"
        '<p class="cdam-hint">A good map finds what the network uses: the curve of its class falls early.</p>'
        f'<label class="cdam-slider">blurred <input type="range" class="cdam-share" min="0" max="{blurring.steps}" step="1" '
        f'value="{round(FIRST * blurring.steps)}" aria-label="share of the picture that is blurred"> <output></output></label>'
        f'<img class="cdam-sharp" hidden alt="" src="{data_address(found.pixels)}">'
        f'<img class="cdam-blurred" hidden alt="" src="{data_address(blurring.pixels)}">{sections}</div>'
    )


def _of_target(target: Target, blurring: Blurring, methods: list[str]) -> str:
    rows = [row for row, (_, name) in enumerate(blurring.names) if name == target.name]
    curves, at = blurring.curves[rows], blurring.blurred_at[rows]
    height, width = at.shape[1:]
    styles = [line_of(method, methods) for method in methods]
    figures = "".join(
        f'<figure><canvas width="{width}" height="{height}" role="img" aria-label="{escape(display_name(method))}" '
        f'data-at="{data_address(steps)}" data-values="{json.dumps([round(float(value), 3) for value in curve])}"></canvas>'
        f"<figcaption>{_swatch(style)} {escape(display_name(method))} <output></output></figcaption></figure>"
        for method, style, curve, steps in zip(methods, styles, curves, at, strict=True)
    )
    value = f"{VALUES[target.kind]} of {escape(target.name)}"
    return (
        f'<section><h3>{value}</h3><div class="cdam-curves"><div class="cdam-chart">{chart(curves, styles, value)}</div>'
        f'<div class="cdam-grid">{figures}</div></div></section>'
    )


def chart(curves: np.ndarray, styles: list[dict[str, Any]], value: str) -> str:
    """Curves (R, steps + 1) over the blurred share, as SVG; `value`, escaped, is what its y axis shows."""
    steps = curves.shape[1] - 1
    ticks = MaxNLocator(TICKS).tick_values(float(curves.min()), float(curves.max()))
    low, high = float(ticks[0]), float(ticks[-1])
    xs = LEFT + (WIDTH - LEFT - RIGHT) * np.arange(steps + 1) / steps

    def y_of(values: Any) -> Any:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - np.asarray(values)) / (high - low)

    parts = []
    for tick in ticks:
        y = float(y_of(tick))
        parts.append(f'<line class="cdam-rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for share in (0, 25, 50, 75, 100):
        x = LEFT + (WIDTH - LEFT - RIGHT) * share / 100
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{share}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">% of the picture blurred</text>')
    for curve, style in zip(curves, styles, strict=True):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, y_of(curve), strict=True))
        parts.append(f'<polyline points="{points}" {_stroke(style)}/>')
    parts.append(f'<line class="cdam-marker" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{value} as the picture is blurred" '
        f'data-left="{LEFT}" data-right="{WIDTH - RIGHT}">{"".join(parts)}</svg>'
    )


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−") if abs(value) > 1e-9 else "0"


def _stroke(style: dict[str, Any]) -> str:
    """matplotlib's colour and dashes as SVG's."""
    dashes = style["linestyle"]
    pattern = "" if isinstance(dashes, str) else " ".join(f"{STROKE * length:.1f}" for length in dashes[1])
    return f'fill="none" stroke="{style["color"]}" stroke-width="{STROKE}" stroke-dasharray="{pattern or "none"}"'


def _swatch(style: dict[str, Any]) -> str:
    """A piece of the line, for the legend."""
    line = f'<line x1="0" x2="26" y1="4" y2="4" {_stroke(style)}/>'
    return f'<svg class="cdam-swatch" viewBox="0 0 26 8" aria-hidden="true">{line}</svg>'
