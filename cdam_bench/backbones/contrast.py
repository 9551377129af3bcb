"""Contrast: what speaks for a class more than for the classes most like it, as outputs of a head that can be explained."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cdam_bench.backbones.backbone import Backbone
from cdam_bench.errors import require, require_count, require_number

KINDS = ("blocks_read", "reads_mean", "reads_pair")  # what heads say about the features that they read


class ContrastHead(nn.Module):
    """f_j = y_c − γ · mean over d of y_d for J classes c, each with its rivals d; y are the outputs of another head.

    Args:
        head: shared, not copied.
        classes: c (J,) long.
        rivals: d (J, n) long.
        gamma: γ.
    """

    def __init__(self, head: nn.Module, classes: Tensor, rivals: Tensor, gamma: float) -> None:
        super().__init__()
        self.head, self.gamma = head, gamma
        self.classes: Tensor
        self.rivals: Tensor
        self.register_buffer("classes", classes)
        self.register_buffer("rivals", rivals)
        for kind in KINDS:
            if hasattr(head, kind):
                setattr(self, kind, getattr(head, kind))

    def forward(self, features: Tensor) -> Tensor:
        """Features as the other head reads them → (B, J)."""
        outputs = self.head(features)
        return outputs[:, self.classes] - self.gamma * outputs[:, self.rivals].mean(-1)


@dataclass(frozen=True)
class Contrast:
    """The target f = y_c − γ · mean of y_d over the classes d whose logits are nearest to that of c.

    The classes d are chosen for each image from the logits of the image as it is, and stay whatever a method does to it. With
    γ = 0 the target is y_c.

    Args:
        gamma: γ.
        num_classes: how many classes d.
    Raises:
        UserError: on use, if the head has not so many others.
    Source: Zhang et al. 2025, "Finer-CAM: Spotting the Difference Reveals Finer Details for Visual Explanation" (y_c − γ·y_d,
    with γ = 0.6 and three classes). Of several classes d the plain mean is taken here.
    """

    gamma: float = 0.6
    num_classes: int = 3

    def __post_init__(self) -> None:
        require_number("gamma", self.gamma, 0, 100)
        require_count("num_classes", self.num_classes)

    @property
    def words(self) -> str:
        """What is explained, for notes: "the target's output − 0.6 · mean of the 3 nearest other outputs"."""
        rivals = (
            "the nearest other output"
            if self.num_classes == 1
            else f"mean of the {self.num_classes} nearest other outputs"
        )
        return f"the target's output − {self.gamma:g} · {rivals}"

    def check(self, outputs: int) -> None:
        """Raise UserError if a head of so many outputs has not enough of them."""
        others = outputs - 1
        require(
            self.num_classes <= others,
            f"num_classes={self.num_classes}: the head has {others} outputs beside the target, use at most {others}",
        )

    def rivals(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The classes d, nearest first, ties in order of their numbers: (B, C) and (B, K) → (B, K, n)."""
        self.check(logits.shape[1])
        distances = (logits[:, None] - logits.gather(1, targets)[..., None]).abs()  # (B, K, C)
        distances = distances.scatter(2, targets[..., None], torch.inf)
        return distances.argsort(dim=-1, stable=True)[..., : self.num_classes]

    def applied(self, backbone: Backbone, logits: Tensor, targets: Tensor) -> tuple[Backbone, Tensor]:
        """What an estimator explains in place of the backbone's own outputs.

        Args:
            backbone: with the head that `logits` are from.
            logits: (B, C) of the images as they are.
            targets: (B,) or (B, K) long, on the logits' device.
        Returns:
            The same ViT with a head of one output per image and target, and the numbers of these, in the shape of `targets`. They
            are right for these images alone, in this order.
        """
        many = targets.reshape(len(targets), -1)
        head = ContrastHead(backbone.head, many.flatten(), self.rivals(logits, many).flatten(0, 1), self.gamma)
        return backbone.with_head(head), torch.arange(many.numel()).reshape(targets.shape)
