"""Token ablation: how far the output falls when one patch is taken out, the causal reference for token scores."""

from abc import abstractmethod

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.blur import gaussian_blur
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.errors import require_count, require_number
from cdam_bench.estimators.base import TokenEstimator
from cdam_bench.estimators.masking import masked_outputs


class _OneAtATime(TokenEstimator):
    """S_i = f_c(image) − f_c(image without patch i), one image at a time."""

    signed, class_aware = True, True

    @abstractmethod
    def scores_of_one(self, backbone: Backbone, image: Tensor, targets: Tensor) -> Tensor:
        """Scores (K, N) of an image (3, H, W) for targets (K,)."""

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        backbone.check_images(images)
        return torch.stack([self.scores_of_one(backbone, *one) for one in zip(images, targets, strict=True)])


class TokenAblation(_OneAtATime):
    """S_i = f_c(image) − f_c(image without token i); signed, class-aware.

    Token i is masked in the attention of every block. Attention is the only place where tokens meet and nothing reads what token
    i itself becomes, so this is the same as leaving it out of the sequence after the position embeddings, which is what is done.

    Args:
        internal_batch_size: token sequences in one forward pass; halved when memory runs out.

    Cost: N forward passes for N patches; all targets share them. Source: occlusion of Zeiler & Fergus 2014, on tokens as in
    Covert et al. 2023, "Learning to Estimate Shapley Values with Vision Transformers" (tokens held out by masked attention).
    """

    def __init__(self, internal_batch_size: int = 64) -> None:
        self.micro_batch = MicroBatch(require_count("internal_batch_size", internal_batch_size))

    def scores_of_one(self, backbone: Backbone, image: Tensor, targets: Tensor) -> Tensor:
        tokens = backbone.embed(image[None])  # (1, P + N, D)
        length, first = tokens.shape[1], backbone.num_prefix_tokens
        places = torch.arange(length - 1, device=tokens.device)
        taken_out = torch.arange(first, length, device=tokens.device)[:, None]

        def outputs_without(part: slice) -> Tensor:
            kept = places + (places >= taken_out[part])  # (n, P + N − 1): every place but one
            return _outputs_of_tokens(backbone, tokens[0, kept])[:, targets]

        without = self.micro_batch.in_parts(len(taken_out), outputs_without)
        return (_outputs_of_tokens(backbone, tokens)[:, targets] - without).T


class PatchAblation(_OneAtATime):
    """S_i = f_c(image) − f_c(image with patch i blurred), the other reading of token ablation; signed, class-aware.

    The patch's pixels are replaced by those of a Gaussian-blurred copy of the image, as the benchmarks perturb.

    Args:
        blur: standard deviation of the blur, as a share of the image's shorter side; 0.0625 is the benchmarks' 14 pixels of 224.
        internal_batch_size: copies in one forward pass; halved when memory runs out.

    Cost: N forward passes for N patches; all targets share them. Source: Zeiler & Fergus 2014, "Visualizing and Understanding
    Convolutional Networks", with a blur in place of grey.
    """

    def __init__(self, blur: float = 0.0625, internal_batch_size: int = 64) -> None:
        self.blur = require_number("blur", blur, 0, 1)
        self.micro_batch = MicroBatch(require_count("internal_batch_size", internal_batch_size))

    def scores_of_one(self, backbone: Backbone, image: Tensor, targets: Tensor) -> Tensor:
        height, width = backbone.grid(image)
        numbers = torch.arange(height * width, device=image.device).reshape(height, width)
        numbers = backbone.on_pixels(numbers, image.shape[-2:])  # of every pixel's patch, (H, W)
        patches = torch.arange(height * width, device=image.device)[:, None, None]

        def masks(part: slice) -> Tensor:
            return (numbers != patches[part]).to(image.dtype)

        background = gaussian_blur(image[None], self.blur * min(image.shape[-2:]))[0]
        asked = masked_outputs(backbone, image, background, len(patches), masks, targets, self.micro_batch)
        return (backbone(image[None])[:, targets] - torch.cat([outputs for _, outputs in asked])).T


def _outputs_of_tokens(backbone: Backbone, tokens: Tensor) -> Tensor:
    """Embedded tokens (B, T, D), of any number of patches → outputs of the head (B, C)."""
    cls_tokens = [tokens[:, :1]]
    for block in backbone.vit.blocks[:-1]:
        tokens = block(tokens)
        cls_tokens.append(tokens[:, :1].clone())  # a view would keep all tokens alive
    return backbone.head(backbone.last_block.features(tokens, backbone.cls_stream(cls_tokens)))
