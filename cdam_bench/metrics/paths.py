"""Paths: by which of the two ways through the last block a perturbation reaches a head that reads [CLS].

The last block sees a picture twice: as the tokens its attention reads, whose pooled values are added to [CLS], and as the [CLS]
residual stream itself, into which the blocks before have written. With o the attention's output for the [CLS] query and s the
stream, the head's output is f(o, s). For a picture x and its perturbed copy x̃:

    all:    f(õ, s̃)    the network's output
    tokens: f(õ, s)    only what the last attention reads is replaced; this is all that methods of the last block look at
    cls:    f(o, s̃)    only the stream is
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.errors import UserError, require

PATHS = ("all", "tokens", "cls")
Reader = Callable[
    [Tensor, Tensor], Tensor
]  # images (M, 3, H, W), index of each one's own picture (M,) → outputs (M, …, C)


def paths_of(path: str | Sequence[str]) -> tuple[str, ...]:
    """A metric's argument `path`, one or several names, as a tuple; or UserError."""
    names = (path,) if isinstance(path, str) else path
    several = isinstance(names, Sequence) and len(names) > 0 and all(isinstance(name, str) for name in names)
    known = several and len({*names}) == len(names) and {*names} <= {*PATHS}
    require(known, f"path={path} is unknown: use one or several of {', '.join(PATHS)}")
    return tuple(names)


class PathReader:
    """Outputs along several paths from one forward pass of each perturbed image.

    Args:
        backbone: whose head reads [CLS] behind the last block.
        images: (B, 3, H, W), the clean images; what the last block makes of them is kept.
        paths: any of "all", "tokens" and "cls".
        batch_size: images in one forward pass.
    Raises:
        UserError: for a head that reads anything else.
    """

    def __init__(
        self, backbone: Backbone, images: Tensor, paths: Sequence[str], batch_size: int | MicroBatch = 64
    ) -> None:
        require_cls_head(backbone)
        self.backbone, self.paths = backbone, tuple(paths)
        size = batch_size if isinstance(batch_size, MicroBatch) else MicroBatch(batch_size)
        with torch.inference_mode():
            parts = list(size.each(len(images), lambda part: self._halves(images[part])))
        self.attended, self.stream = (torch.cat(kept) for kept in zip(*parts, strict=True))  # (B, H, d), (B, S, D)

    def __call__(self, images: Tensor, index: Tensor) -> Tensor:
        """Outputs (M, paths, C), float32, of perturbed images (M, 3, H, W) of the pictures (M,)."""
        attended, stream = self._halves(images)
        pairs = {
            "all": (attended, stream),
            "tokens": (attended, self.stream[index]),
            "cls": (self.attended[index], stream),
        }
        with self.backbone._autocast():
            return torch.stack([self.outputs(*pairs[path]) for path in self.paths], 1)

    def outputs(self, attended: Tensor, stream: Tensor) -> Tensor:
        """f(o, s): (B, H, d), (B, S, D) → (B, C)."""
        return self.backbone.head(self.backbone.last_block.readout(attended, stream)).float()

    def _halves(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """o and s of images: what the last attention's heads give for the [CLS] query, and [CLS] as it entered the last blocks."""
        last = self.backbone.last_block
        with self.backbone._autocast():
            residual, stream = self.backbone.tokens_and_cls(images)
            return last.attend(last.normalised(residual)).outputs, stream


def require_cls_head(backbone: Backbone) -> None:
    """Raise UserError unless the head reads [CLS] behind the last block's attention."""
    try:
        _ = backbone.last_block
    except UserError as error:
        raise UserError(
            "path: the ways through the last block end in [CLS], and this head reads something else: use path=all"
        ) from error
