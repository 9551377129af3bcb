"""An answer as HTML: the most probable classes, and the maps on the picture. All that comes from outside is escaped."""

import base64
from html import escape

import numpy as np

from cdam_bench.app.answers import Answer
from cdam_bench.app.questions import OWN
from cdam_bench.app.visits import Visit
from cdam_bench.drawing.maps import Bar, scales
from cdam_bench.drawing.names import display_name
from cdam_bench.explaining.figure import png_of

WAITING = '<p class="cdam-hint">…</p>'


def data_address(pixels: np.ndarray) -> str:
    """Pixels (H, W, 3) or (H, W), floats in [0, 1] or 8-bit, as the address of a PNG that needs no request."""
    levels = pixels if pixels.dtype == np.uint8 else (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)
    return "data:image/png;base64," + base64.b64encode(png_of(levels)).decode()


def told(line: str, kind: str = "error") -> str:
    """One line for the visitor: an "error", or a "note"."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="cdam-told cdam-{kind}" role="{role}">{escape(line)}</p>' if line else ""


def notes_of(answered: Answer) -> str:
    """What was done to the picture, and which methods could not explain it, a line each."""
    return "".join(told(line, "note") for line in (*answered.explanation.notes, *answered.failures))


def picture_shown(answered: Answer) -> str:
    """The picture as the backbone sees it, and the most probable classes with bars."""
    found = answered.explanation
    height, width = found.pixels.shape[:2]
    rows = "".join(
        f'<tr><th scope="row">{escape(one.name)}</th><td><meter min="0" max="1" value="{one.probability or 0:.4f}"></meter></td>'
        f"<td>{100 * (one.probability or 0):.1f} %</td></tr>"
        for one in found.predictions
    )
    if not rows:  # concepts, labels, quantities: they do not compete
        rows = "".join(
            f'<tr><th scope="row">{escape(one.name)}</th><td></td><td>{one.output:.3g}</td></tr>'
            for one in found.targets
        )
    return (
        f'<div class="cdam-picture"><img src="{data_address(found.pixels)}" alt="{escape(found.name)}">'
        f"<table><caption>{escape(found.backbone)} sees {height} × {width} pixels:</caption><tbody>{rows}</tbody></table></div>"
    )


def maps_shown(answered: Answer) -> str:
    """A row per target: the maps of all methods, laid on the picture as strongly as a slider says."""
    found, overlay = answered.explanation, answered.question.overlay
    grey = data_address(np.repeat(found.pixels.mean(-1, keepdims=True), 3, -1))
    drawn = found.heat_maps()
    sections = []
    for target in found.targets:
        figures = "".join(
            f'<figure><div class="cdam-stack"><img src="{grey}" alt=""><img class="cdam-map" '
            f'src="{data_address(drawn[method][target.name])}" alt="{escape(display_name(method))}, {escape(target.name)}">'
            f"</div><figcaption>{escape(display_name(method))}</figcaption></figure>"
            for method in found.maps
        )
        sections.append(f'<section><h3>{escape(target.heading)}</h3><div class="cdam-grid">{figures}</div></section>')
    bars = "".join(_bar(bar) for bar in scales({name: found.signed.get(name, True) for name in found.maps}))
    slider = (
        f'<label class="cdam-slider">picture <input type="range" class="cdam-overlay" min="0" max="1" step="0.02" '
        f'value="{overlay:g}" aria-label="how strongly the maps lie on the picture"> map</label>'
    )
    query = escape(answered.question.query(with_overlay=False))
    return (
        f'<div class="cdam-maps" data-query="{query}" style="--overlay: {overlay:g}">{slider}{"".join(sections)}'
        f'<div class="cdam-bars">{bars}</div></div>'
    )


def _bar(bar: Bar) -> str:
    """A scale with its ticks."""
    ticks = "".join(
        f'<span style="left: {100 * place:.1f}%" class="cdam-tick-{("first", "middle", "last")[round(2 * place)]}">'
        f"{escape(text).replace(chr(10), '<br>')}</span>"
        for place, text in bar.ticks
    )
    heading = f"<p>{escape(bar.heading)}</p>" if bar.heading else ""
    return f'<div class="cdam-bar">{heading}<img src="{data_address(bar.pixels)}" alt=""><div>{ticks}</div></div>'


def links_shown(visit: Visit) -> str:
    """What can be downloaded, and the address that restores this page."""
    assert visit.answered is not None
    files = "".join(
        f'<a class="cdam-button" href="download/{visit.token}.{extension}" download>{words}</a>'
        for extension, words in (("png", "Figure (PNG)"), ("pdf", "Figure (PDF)"), ("npz", "Arrays (npz)"))
    )
    note = "The link restores the settings and this packaged picture."
    if visit.answered.question.picture == OWN:
        note = "The link restores the settings; your picture is not in it."
    if visit.examples:
        note += " The pictures of concepts are not in it."
    return (
        f'<div class="cdam-links"><div>{files}</div><label>Link <input class="cdam-link" readonly></label>'
        f'<button type="button" class="cdam-button cdam-copy">Copy</button><p class="cdam-hint">{note}</p></div>'
    )
