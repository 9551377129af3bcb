"""Tensors of `transformers` → timm's names and shapes, in the layout of its files and in that of its model objects."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cdam_bench.backbones.checkpoints import renamed

Tensors = dict[str, Tensor]

PREFIXES = ("vit.", "deit.", "dinov2.", "dinov2_with_registers.", "beit.", "vision_model.")
UNREAD = re.compile(  # of training and of text; what `transformers` computes at the end and no head reads
    r"(text_model\.|text_projection\.|logit_scale$|logit_bias$|.*position_ids$|.*relative_position_index$"
    r"|embeddings\.mask_token$|pooler\.dense\.)"
)
NAMES = (  # pattern in transformers, replacement in timm; in this order
    (r"^embeddings\.(?:cls_token|class_embedding)$", "cls_token"),
    (r"^embeddings\.distillation_token$", "dist_token"),
    (r"^embeddings\.register_tokens$", "reg_token"),
    (r"^embeddings\.position_embeddings?(?:\.weight)?$", "pos_embed"),
    (r"^embeddings\.patch_embeddings?\.(?:projection\.)?", "patch_embed.proj."),
    (r"^(?:encoder\.)?layers?\.(\d+)\.", r"blocks.\1."),
    (r"\.(?:layernorm_before|layer_norm1)\.", ".norm1."),
    (r"\.(?:layernorm_after|layer_norm2)\.", ".norm2."),
    (r"^(blocks\.\d+)\.(?:attention\.)*relative_position_bias\.", r"\1.attn."),
    (r"\.(?:attention\.attention|attention|self_attn)\.(q|k|v)(?:uery|ey|alue|_proj)\.", r".attn.\1."),
    (r"\.(?:attention\.output\.dense|attention\.o_proj|self_attn\.out_proj)\.", ".attn.proj."),
    (r"\.(?:intermediate\.dense|mlp\.weights_in)\.", ".mlp.fc1."),
    (r"\.(?:output\.dense|mlp\.weights_out|mlp\.down_proj)\.", ".mlp.fc2."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\.lambda_([12])$", r".gamma_\1"),
    (r"^(?:encoder\.)?relative_position_bias\.", "rel_pos_bias."),
    (r"^pre_layrnorm\.", "norm_pre."),
    (r"^(?:layernorm|post_layernorm)\.", "norm."),
    (r"^pooler\.layernorm\.", "fc_norm."),
    (r"^head\.probe$", "attn_pool.latent"),
    (r"^head\.attention\.out_proj\.", "attn_pool.proj."),
    (r"^head\.layernorm\.", "attn_pool.norm."),
    (r"^head\.mlp\.", "attn_pool.mlp."),
    (r"^(?:classifier|cls_classifier)\.", "head."),
    (r"^distillation_classifier\.", "head_dist."),
    (r"^visual_projection\.", "projection."),
)


def to_timm(weights: Mapping[str, Tensor], model_type: str) -> Tensors:
    """Tensors by the names of `transformers` → by timm's; those of text and of training are left out.

    The image tower's projection is called `projection.weight`, for timm has none. Names that are not known stay as they are.

    Args:
        weights: of a whole model.
        model_type: of the part that sees images.
    """
    found = {}
    for key, value in weights.items():
        prefix = next((one for one in PREFIXES if key.startswith(one)), "")
        key = key.removeprefix(prefix)
        if not UNREAD.match(key):
            found[renamed(key, NAMES)] = value
    for join in (_joined_attention, _joined_gates, _split_pooling, _shaped):
        found = join(found)
    return LAST_STEPS.get(model_type, _unchanged)(found)


def _joined_attention(weights: Tensors) -> Tensors:
    """Query, key and value one below the other: weights (3·D, D). BEiT's, whose keys have no bias, keeps its biases apart."""
    joined = dict(weights)
    for key in weights:
        if not (match := re.fullmatch(r"(.*\.attn)\.q\.(weight|bias)", key)):
            continue
        names = [f"{match[1]}.{part}.{match[2]}" for part in "qkv"]
        if all(name in joined for name in names):
            joined[f"{match[1]}.qkv.{match[2]}"] = torch.cat([joined.pop(name) for name in names])
        elif match[2] == "bias" and names[1] not in joined and names[2] in joined:
            for name, part in zip(names, "qkv", strict=True):
                if name in joined:
                    joined[f"{match[1]}.{part}_bias"] = joined.pop(name)
    return joined


def _joined_gates(weights: Tensors) -> Tensors:
    """SwiGLU's gate above what it gates, as its files have it."""
    joined = dict(weights)
    for key in weights:
        above = key.replace(".mlp.up_proj.", ".mlp.gate_proj.")
        if ".mlp.up_proj." in key and above in joined:
            joined[key.replace(".mlp.up_proj.", ".mlp.fc1.")] = torch.cat([joined.pop(above), joined.pop(key)])
    return joined


def _split_pooling(weights: Tensors) -> Tensors:
    """SigLIP's attention pooling has query, key and value in one; timm's has the query apart."""
    split = dict(weights)
    for part in ("weight", "bias"):
        if (whole := split.pop(f"head.attention.in_proj_{part}", None)) is not None:
            size = len(whole) // 3
            split[f"attn_pool.q.{part}"], split[f"attn_pool.kv.{part}"] = whole[:size], whole[size:]
    return split


def _shaped(weights: Tensors) -> Tensors:
    """Tokens and positions have a batch axis."""
    shaped = dict(weights)
    for key, ndim in (("cls_token", 3), ("pos_embed", 3)):
        if key in shaped:
            while shaped[key].ndim < ndim:
                shaped[key] = shaped[key][None]
    return shaped


def _unchanged(weights: Tensors) -> Tensors:
    return weights


def _deit(weights: Tensors) -> Tensors:
    """Without a head of its own, the distillation token is a register."""
    if "dist_token" not in weights or "head_dist.weight" in weights:
        return weights
    return {"reg_token" if key == "dist_token" else key: value for key, value in weights.items()}


def _with_registers(weights: Tensors) -> Tensors:
    """The position of [CLS] goes into its token: timm's positions are those of patches alone."""
    weights = dict(weights)
    if "pos_embed" in weights and "cls_token" in weights:
        weights["cls_token"] = weights["cls_token"] + weights["pos_embed"][:, :1]
        weights["pos_embed"] = weights["pos_embed"][:, 1:]
    return weights


def _with_classifier(norm: bool) -> Any:
    """Towers with a classifier do not use what pools the tokens for text; CLIP's not even the final norm."""
    unread = ("attn_pool.",) if norm else ("norm.",)

    def step(weights: Tensors) -> Tensors:
        if "head.weight" not in weights:
            return weights
        return {key: value for key, value in weights.items() if not key.startswith(unread)}

    return step


LAST_STEPS = {
    "deit": _deit,
    "dinov2_with_registers": _with_registers,
    "clip_vision_model": _with_classifier(norm=False),
    "siglip_vision_model": _with_classifier(norm=True),
}
