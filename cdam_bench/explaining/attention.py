"""CDAM against attention, token by token: the paper's Fig. S1, and head by head why the two are proportional.

Per head h and patch token i, ∂f/∂v_i = A_i·g_h and ∂f/∂k_i = A_i·(…)·q₀/√d: both carry the attention A_i as a factor, so that
the head's part of CDAM is A_i times a number that says what the token holds. Derivation: docs/closed_form.md.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.drawing.style import styled

if TYPE_CHECKING:
    from cdam_bench.explaining.picture import Prepared
    from cdam_bench.explaining.targets import Target

DOT = {"s": 9, "alpha": 0.55, "linewidths": 0}


@dataclass(frozen=True)
class HeadShares:
    """What every head of the last block adds to CDAM, for one image and target; N patch tokens.

    Args:
        attention: A_i of the [CLS] query (H, N).
        shares: the head's part of CDAM (H, N); the sum over heads is CDAM.
        value_gradients: ‖∂f/∂v_i‖ (H, N), by autograd through the last block, not by the closed form.
    """

    attention: np.ndarray
    shares: np.ndarray
    value_gradients: np.ndarray


def head_shares(backbone: Backbone, image: Tensor, target: int) -> HeadShares:
    """Attention and CDAM of every head, for one image (3, H, W) and one output of the head."""
    last, first = backbone.last_block, backbone.num_prefix_tokens
    with torch.no_grad():
        residual, cls_stream = backbone.tokens_and_cls(image[None])
        tokens = last.normalised(residual)
        seen = last.attend(tokens)
        gradients = last.output_gradients(seen.outputs, cls_stream, torch.tensor([[target]], device=residual.device))
        directions = last.value_directions(gradients)[0, 0]  # (H, D)
        projected = directions @ tokens[0].T  # (H, P + N)
        attention = seen.attention[0]
        mean = (attention * projected).sum(-1, keepdim=True)
        shares = attention * (projected - mean) * seen.scores[0] + attention * projected
        values = (torch.einsum("td,hed->hte", tokens[0], last.w_v) + last.b_v[:, None]).requires_grad_()
    with torch.enable_grad():
        outputs = (attention[:, None] @ values)[None, :, 0]
        logit = backbone.head(last.readout(outputs, cls_stream))[0, target]
        (by_autograd,) = torch.autograd.grad(logit, values)
    parts = (attention, shares, by_autograd.norm(dim=-1))
    return HeadShares(*(part[:, first:].float().cpu().numpy() for part in parts))


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r; NaN where one of them is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / scale) if scale > 0 else float("nan")


def scatter_figure(prepared: "Prepared", targets: "list[Target]") -> Figure:
    """CDAM of every patch token against its attention (mean over heads), a panel per target: the paper's Fig. S1."""
    with styled():
        figure = Figure(figsize=(3.4 * len(targets), 3.3), layout="constrained")
        panels = figure.subplots(1, len(targets), squeeze=False)[0]
        for axes, target in zip(panels, targets, strict=True):
            found = head_shares(prepared.backbone, prepared.image, target.index)
            attention, cdam = found.attention.mean(0), found.shares.sum(0)
            axes.axhline(0, color="#888888", linewidth=0.8)
            axes.scatter(attention, cdam, c="#332288", **DOT)
            axes.set_title(f"{target.name}: r = {_signed(correlation(attention, cdam))}", fontsize=12)
            axes.set_xlabel("attention, mean over heads")
            _plain_ends(axes)
        panels[0].set_ylabel("CDAM")
        figure.suptitle(f"{prepared.name}\nbackbone: {prepared.backbone_name}", fontsize=11)
    return figure


def heads_figure(prepared: "Prepared", target: "Target") -> Figure:
    """Each head's part of CDAM against its attention, and the length of ∂f/∂v_i, which lies on a line through zero."""
    found = head_shares(prepared.backbone, prepared.image, target.index)
    heads = len(found.attention)
    columns = 2 if heads <= 4 else 3
    rows = -(-heads // columns)
    with styled():
        figure = Figure(figsize=(2.35 * columns, 2.25 * rows + 1.0), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).flat
        for h, axes in enumerate(panels):
            if h >= heads:
                axes.set_visible(False)
                continue
            attention, shares, lengths = found.attention[h], found.shares[h], found.value_gradients[h]
            unit = np.abs(shares).max() / max(lengths.max(), 1e-30)  # both on one axis
            axes.axhline(0, color="#888888", linewidth=0.8)
            axes.scatter(attention, shares, c="#332288", label="part of CDAM", **DOT)
            axes.scatter(
                attention, lengths * unit, c="#CC3311", marker="x", s=10, linewidths=0.7, label="‖∂f/∂v‖, rescaled"
            )
            axes.set_title(f"head {h + 1}: r = {_signed(correlation(attention, shares))}", fontsize=11)
            _plain_ends(axes)
        title = f"{prepared.name}, target: {target.name}\nbackbone: {prepared.backbone_name}"
        figure.supxlabel("attention of the token", fontsize=11)
        figure.supylabel("CDAM of the head", fontsize=11)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, title=title)
    return figure


def _plain_ends(axes: Axes) -> None:
    """Few ticks, none overlapping."""
    axes.locator_params(nbins=3)
    axes.tick_params(labelsize=9.5)


def _signed(value: float) -> str:
    if np.isnan(value):
        return "undefined"
    return f"{value:.2f}".replace("-", "−")
