"""Last stages by automatic differentiation, for everything but heads that read [CLS] alone: one block, or the head, backwards.

The model runs up to T once, without a graph. From T on it is run with one, and every target is one backward pass of that short
piece. Modules are run by hooks, so one model must not be run by several threads at a time.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cdam_bench.backbones.heads import blocks_read, reads_mean, reads_pair
from cdam_bench.backbones.last_stage import LastStage, LastTokens
from cdam_bench.backbones.vit_blocks import tokens_and_cls
from cdam_bench.errors import require


class AutogradStage(LastStage):
    """A stage whose products come from backward passes; they are complete for prefix tokens."""

    head: nn.Module

    def gradients(self, at: LastTokens, targets: Tensor) -> Iterator[Tensor]:
        """∂f/∂T (B, L, D), one target of `targets` (B, K) after the other."""
        with torch.enable_grad():
            leaf = at.tokens.detach().requires_grad_()
            chosen = self.head(self.features(replace(at, tokens=leaf))).gather(1, targets).sum(0).unbind()
        for k, output in enumerate(chosen):
            yield torch.autograd.grad(output, leaf, retain_graph=k < len(chosen) - 1)[0]

    def products(self, at: LastTokens, targets: Tensor, values: Tensor | None = None) -> Tensor:
        values = at.tokens if values is None else values
        return torch.stack([(values * gradient).sum(-1) for gradient in self.gradients(at, targets)], 1)

    def mean_gradient(self, at: LastTokens, targets: Tensor) -> Tensor:
        first = self.num_prefix_tokens
        return torch.stack([gradient[:, first:].mean(1) for gradient in self.gradients(at, targets)], 1)

    def path_products(
        self, at: LastTokens, targets: Tensor, alphas: Tensor, weights: Tensor, every_token: bool = False
    ) -> Tensor:
        path = at.moved_to(alphas[:, None, None] * at.tokens)
        per_step = self.products(path, targets.expand(len(alphas), -1), at.tokens.expand_as(path.tokens))
        return torch.einsum("n,nkt->kt", weights, per_step)


class BlockStage(AutogradStage):
    """T is the output of the first norm of the last block.

    Args:
        model: timm's.
        head: reads what `_pooled` gives.
        block: the last one of the model.
        norm: the name of its first norm.
    """

    def __init__(self, model: Any, head: nn.Module, block: Any, norm: str) -> None:
        self.model, self.head, self.block, self.norm = model, head, block, getattr(block, norm)
        self.num_prefix_tokens = 0
        self.feature_shape = (model.head_hidden_size,)

    def read(self, images: Tensor) -> LastTokens:
        (residual, *further), named = _call_of(self.block, lambda: self.model.forward_features(images))
        arguments = further, named
        tokens = self.norm(residual).flatten(1, -2)
        return LastTokens(tokens, (residual,), self._grid(residual, further), arguments)

    def features(self, at: LastTokens) -> Tensor:
        return self._pooled(self._through_block(at), at)

    def _through_block(self, at: LastTokens) -> Tensor:
        """The block's output, as it comes."""
        residual = at.around[0]
        further, named = at.arguments
        with _giving(self.norm, at.tokens.reshape(residual.shape)):
            return self.block(residual, *further, **named)

    @abstractmethod
    def _grid(self, residual: Tensor, further: list[Any]) -> tuple[int, int]:
        """Rows and columns, from the block's input and its further arguments."""

    @abstractmethod
    def _pooled(self, output: Tensor, at: LastTokens) -> Tensor:
        """What the head reads, from the block's output."""


class TokenStage(BlockStage):
    """A transformer of one sequence: timm's Eva and Beit, pooled as timm has them."""

    def __init__(self, model: Any, head: nn.Module, block: Any, norm: str) -> None:
        super().__init__(model, head, block, norm)
        self.num_prefix_tokens = model.num_prefix_tokens
        _require_plain(model, head)

    def _grid(self, residual: Tensor, further: list[Any]) -> tuple[int, int]:
        return self.model.patch_embed.grid_size

    def _pooled(self, output: Tensor, at: LastTokens) -> Tensor:
        return self.model.forward_head(self.model.norm(output), pre_logits=True)


class VitStage(TokenStage):
    """timm's VisionTransformer, whatever its head reads: a mean, an attention pool, pairs of tokens, or all of them."""

    def __init__(self, model: Any, head: nn.Module, block: Any, norm: str) -> None:
        BlockStage.__init__(self, model, head, block, norm)
        self.num_prefix_tokens = model.num_prefix_tokens
        width, number = model.embed_dim, blocks_read(head)
        self.of_cls = number > 1 or reads_mean(head)  # [CLS] of some blocks, perhaps beside the mean patch token
        if self.of_cls:
            require(
                model.global_pool == "token" and model.has_class_token,
                f"the head reads [CLS] of {number} blocks, but {type(model).__name__} is pooled by {model.global_pool!r}",
            )
            self.feature_shape = ((number + reads_mean(head)) * width,)
        elif reads_pair(head):
            self.feature_shape = (2 * width,)
        elif not model.global_pool:
            self.feature_shape = (self.num_prefix_tokens + model.patch_embed.num_patches, width)

    def read(self, images: Tensor) -> LastTokens:
        residual, cls_stream = tokens_and_cls(self.model, images, blocks_read(self.head))
        around = (residual, cls_stream) if self.of_cls else (residual,)
        return LastTokens(self.norm(residual), around, self._grid(residual, []), ([], {}))

    def _pooled(self, output: Tensor, at: LastTokens) -> Tensor:
        model, number = self.model, blocks_read(self.head)
        tokens = model.norm(output)
        if self.of_cls:
            cls_tokens = tokens[:, :1]
            if number > 1:
                cls_tokens = torch.cat([model.norm(at.around[1][:, 1 - number :]), cls_tokens], 1)
            parts = [model.fc_norm(cls_tokens).flatten(1)]
            if reads_mean(self.head):
                parts.append(tokens[:, self.num_prefix_tokens :].mean(1))
            return torch.cat(parts, 1)
        if reads_pair(self.head):
            return tokens[:, :2].flatten(1)
        return model.forward_head(tokens, pre_logits=True) if model.global_pool else tokens


class SwinStage(BlockStage):
    """timm's SwinTransformer: (B, h, w, D) in the blocks."""

    def __init__(self, model: Any, head: nn.Module, block: Any, norm: str) -> None:
        super().__init__(model, head, block, norm)
        _require_plain(model, head)

    def _grid(self, residual: Tensor, further: list[Any]) -> tuple[int, int]:
        return residual.shape[1], residual.shape[2]

    def _pooled(self, output: Tensor, at: LastTokens) -> Tensor:
        return self.model.forward_head(self.model.norm(output), pre_logits=True)


class PvtStage(BlockStage):
    """timm's PyramidVisionTransformerV2: (B, h·w, D) in the blocks, which are told h and w."""

    def __init__(self, model: Any, head: nn.Module, block: Any, norm: str) -> None:
        super().__init__(model, head, block, norm)
        _require_plain(model, head)

    def _grid(self, residual: Tensor, further: list[Any]) -> tuple[int, int]:
        height, width = further[0]
        return height, width

    def _pooled(self, output: Tensor, at: LastTokens) -> Tensor:
        output = self.model.stages[-1].norm(output)
        channels_first = output.unflatten(1, at.grid).permute(0, 3, 1, 2)
        return self.model.forward_head(channels_first, pre_logits=True)


class MapStage(AutogradStage):
    """T is the last stage's output, for models of which it is a map of features: convolutional ones, and Swin V2.

    Args:
        model: timm's; `output_fmt` says "NHWC" where channels come last.
        head: reads the pooled map.
    """

    def __init__(self, model: Any, head: nn.Module) -> None:
        self.model, self.head = model, head
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        self.num_prefix_tokens = 0
        self.feature_shape = (getattr(model, "head_hidden_size", None) or model.num_features,)
        _require_plain(model, head)

    def read(self, images: Tensor) -> LastTokens:
        output = self.model.forward_features(images)
        require(
            output.ndim == 4,
            f"{type(self.model).__name__} does not end in a map of features: {OTHER_FAMILIES}",
        )
        output = output if self.channels_last else output.permute(0, 2, 3, 1)  # (B, h, w, D)
        return LastTokens(output.flatten(1, 2), (), (output.shape[1], output.shape[2]))

    def features(self, at: LastTokens) -> Tensor:
        output = at.tokens.unflatten(1, at.grid)
        output = output if self.channels_last else output.permute(0, 3, 1, 2)
        return self.model.forward_head(output, pre_logits=True)


OTHER_FAMILIES = "use a ViT, Eva, Beit, Swin or PVT of timm, or a convolutional model"


def _require_plain(model: Any, head: nn.Module) -> None:
    """Raise UserError for heads that read what only a VisionTransformer of timm gives."""
    special = blocks_read(head) > 1 or reads_mean(head) or reads_pair(head)
    require(not special, f"the head reads tokens of a ViT, but the model is a {type(model).__name__}")


class _ReachedError(Exception):
    """Ends a forward pass at a module; carries its arguments."""


def _call_of(module: nn.Module, run: Callable[[], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with which `run` first calls `module`; it runs no further."""

    def stop(_module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        raise _ReachedError(arguments, named)

    handle = module.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        run()
    except _ReachedError as reached:
        arguments, named = reached.args
        return arguments, named
    finally:
        handle.remove()
    raise RuntimeError("the model did not run its last block")


@contextmanager
def _giving(module: nn.Module, output: Tensor) -> Iterator[None]:
    """The module gives `output`, whatever goes in."""
    handle = module.register_forward_hook(lambda *_: output)
    try:
        yield
    finally:
        handle.remove()
