"""LeGrad: what every block's attention would have to be for its tokens to read more like the target."""

from copy import copy
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.last_block import LastBlock
from cdam_bench.errors import require, require_count
from cdam_bench.estimators.base import TokenEstimator


class LeGrad(TokenEstimator):
    """Σ over blocks l of mean over heads and queries of relu(∂s^l/∂A^l); not negative, class-aware.

    s^l is the target's output, by the final norm and the head, of [CLS] as it leaves block l: the reading for a head that reads
    [CLS]. Then only the [CLS] row of ∂s^l/∂A^l is not zero, and it has a closed form. `LeGradMean` reads the mean token.

    Args:
        layers: how many of the last blocks are summed; None: all of them.
    Raises:
        UserError: on use, for more layers than the ViT has blocks, or a head that reads more than one block.

    Cost: about 1.3 forward passes. Source: Bousselham et al. 2024, "LeGrad: An Explainability Method for Vision Transformers via
    Feature Formation Sensitivity" (without the last scaling of a map to [0, 1], which changes no ranks).
    """

    signed, class_aware = False, True

    def __init__(self, layers: int | None = None) -> None:
        self.layers = None if layers is None else require_count("layers", layers)

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        first = _first_layer(backbone, self.layers)
        total = torch.zeros(())
        for index, x in enumerate(backbone.block_inputs(images)):
            if index >= first:
                last = LastBlock(_ending_with(backbone.vit, index), backbone.head)
                seen = last.attend(last.normalised(x))
                gradients = last.output_gradients(seen.outputs, x[:, :1], targets)
                relevance = last.attention_gradients(seen, gradients).relu().mean(2)  # (B, K, P + N)
                total = total.to(relevance) + relevance / x.shape[1]
        return total[..., backbone.num_prefix_tokens :]


class LeGradMean(LeGrad):
    """LeGrad with s^l read from the mean of all tokens that leave block l, by the final norm and the head.

    This is the authors' reading for models pooled by an average, and what ports of their code do for every model. Attention is
    recomputed nowhere: ∂s^l/∂A^l = ⟨∂s^l/∂(output of query i), v_j⟩ is formed head by head and freed at once.

    Args:
        layers: how many of the last blocks are summed; None: all of them.
    Raises:
        UserError: as LeGrad.

    Cost: about 2 forward passes, and 1.3 more for every further target. Source: as LeGrad.
    """

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        first = _first_layer(backbone, self.layers)
        total = torch.zeros(())
        x = backbone.embed(images)
        for index, block in enumerate(backbone.vit.blocks):
            if index < first:
                x = block(x)
            else:
                x, relevance = _formed(backbone, block, x, targets)
                total = total.to(relevance) + relevance
        return total[..., backbone.num_prefix_tokens :]


def _first_layer(backbone: Backbone, layers: int | None) -> int:
    """Index of the first block that counts, after a look at whether LeGrad can be had at all."""
    depth, read = len(backbone.vit.blocks), backbone.last_block.blocks_read
    require(
        read == 1, f"LeGrad reads one block at a time through the head, but this head reads {read}: use another head"
    )
    require(layers is None or layers <= depth, f"layers={layers}: the ViT has {depth} blocks")
    return 0 if layers is None else depth - layers


def _ending_with(vit: VisionTransformer, index: int) -> VisionTransformer:
    """The same ViT (shared, not copied) whose last block is the one at `index`."""
    shorter = copy(vit)
    shorter._modules = {**vit._modules, "blocks": vit.blocks[: index + 1]}
    return shorter


def _formed(backbone: Backbone, block: Any, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """One block forwards, x (B, T, D) → what leaves it (B, T, D), and its share (B, K, T) of the map of (B, K) targets."""
    attn, vit = block.attn, backbone.vit
    batch, length, _ = x.shape
    qkv = attn.qkv(block.norm1(x)).reshape(batch, length, 3, attn.num_heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, T, d)
    with torch.enable_grad():
        outputs = F.scaled_dot_product_attention(q, k, v).requires_grad_()
        middle = x + block.ls1(attn.proj(attn.norm(outputs.transpose(1, 2).flatten(2))))
        after = middle + block.ls2(block.mlp(block.norm2(middle)))
        read = backbone.head(vit.fc_norm(vit.norm(after.mean(1)))).gather(1, targets).sum(0).unbind()  # K numbers
    shares = []
    for target, output in enumerate(read):
        (gradient,) = torch.autograd.grad(output, outputs, retain_graph=target < len(read) - 1)  # (B, H, T, d)
        heads = [(gradient[:, h] @ v[:, h].mT).relu_().mean(1) for h in range(attn.num_heads)]  # over queries
        shares.append(torch.stack(heads).mean(0))
    return after.detach(), torch.stack(shares, 1)
