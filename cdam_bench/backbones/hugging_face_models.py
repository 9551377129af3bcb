"""The timm model that computes what a model of `transformers` does, from its config.json alone."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from timm.layers import LayerNorm, SwiGLUPacked
from timm.models.beit import Beit
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from cdam_bench.errors import UserError, require, require_count

Plain = dict[str, Any]

SHARED = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "gelu",
    "image_size": 224,
    "num_channels": 3,
}
VIT = SHARED | {"intermediate_size": 3072, "layer_norm_eps": 1e-12, "patch_size": 16, "qkv_bias": True}
DINOV2 = SHARED | {"mlp_ratio": 4, "layer_norm_eps": 1e-6, "qkv_bias": True, "use_swiglu_ffn": False}
TOWER = SHARED | {"intermediate_size": 3072, "qkv_bias": True}
DEFAULTS: dict[str, Plain] = {  # of what a config.json leaves out
    "vit": VIT,
    "deit": VIT,
    "dinov2": DINOV2 | {"patch_size": 14},
    "dinov2_with_registers": DINOV2 | {"patch_size": 16, "num_register_tokens": 4},
    "beit": VIT
    | {
        "layer_scale_init_value": 0.1,
        "use_mean_pooling": True,
        "use_absolute_position_embeddings": False,
        "use_relative_position_bias": False,
        "use_shared_relative_position_bias": False,
    },
    "clip_vision_model": TOWER | {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "patch_size": 32},
    "siglip_vision_model": TOWER
    | {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "patch_size": 16, "vision_use_head": True},
}
TOWERS = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}  # image and text → the image's part
SUPPORTED = (*DEFAULTS, *TOWERS)
ACTIVATIONS = {  # names in `transformers` → timm's
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def image_config(config: Mapping[str, Any]) -> Plain:
    """What a config.json says about the part that sees images, with what it leaves out.

    Raises:
        UserError: for a kind of model that cannot be explained here.
    """
    kind = config.get("model_type")
    if kind not in SUPPORTED:
        raise UserError(f"model_type={kind} of config.json is not supported: use one of {', '.join(SUPPORTED)}")
    own = config
    if kind in TOWERS:
        kind, own = TOWERS[kind], config.get("vision_config") or {}
    settings = DEFAULTS[kind] | {key: value for key, value in own.items() if value is not None} | {"model_type": kind}
    for key in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
        require_count(f"{key} of config.json", settings[key])
    require(settings["num_channels"] == 3, f"num_channels={settings['num_channels']} of config.json: must be 3")
    settings["image_size"], settings["patch_size"] = (_side(settings, key) for key in ("image_size", "patch_size"))
    return settings


def _side(settings: Plain, key: str) -> int:
    """Side in pixels of a square that is given as one number or as two."""
    value = settings[key]
    sides = set(value) if isinstance(value, list | tuple) else {value}
    require(len(sides) == 1, f"{key}={value} of config.json: images and patches must be square")
    return require_count(f"{key} of config.json", sides.pop())


def create_model(config: Plain, image_size: int, num_classes: int = 0, classifiers: int = 0) -> nn.Module:
    """The timm model for a configuration, with values that are still to be loaded.

    Args:
        config: from `image_config`.
        image_size: side of the images in pixels, divisible by the patch size.
        num_classes: outputs of the model's own head; 0: none.
        classifiers: how many `transformers` has at the end, inside timm's model or not: two of a distilled one.
    Raises:
        UserError: for arithmetic that timm does not have.
    """
    builder = BUILDERS[config["model_type"]]
    shared = {
        "img_size": image_size,
        "patch_size": config["patch_size"],
        "embed_dim": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "norm_layer": partial(LayerNorm, eps=config["layer_norm_eps"]),
        "num_classes": num_classes,
    }
    require(
        config["hidden_size"] % config["num_attention_heads"] == 0,
        f"hidden_size={config['hidden_size']} of config.json is not divisible by its {config['num_attention_heads']} heads",
    )
    return builder(config | {"classifiers": classifiers}, shared)


def _mlp(config: Plain, width: int) -> Plain:
    """An MLP of `width` hidden features and the configured activation; timm takes the width as a ratio and cuts it."""
    activation = config["hidden_act"]
    require(
        activation in ACTIVATIONS,
        f"hidden_act={activation} of config.json is not supported: use one of {', '.join(ACTIVATIONS)}",
    )
    return {"mlp_ratio": (width + 0.5) / config["hidden_size"], "act_layer": ACTIVATIONS[activation]}


def _with_bias(config: Plain) -> Plain:
    return {"qkv_bias": config["qkv_bias"]}


def _vit(config: Plain, shared: Plain) -> nn.Module:
    return VisionTransformer(**shared, **_mlp(config, config["intermediate_size"]), **_with_bias(config))


def _deit(config: Plain, shared: Plain) -> nn.Module:
    """With both heads, or with the one that reads [CLS]: then the distillation token is one that nobody reads."""
    options = shared | _mlp(config, config["intermediate_size"]) | _with_bias(config)
    return (
        VisionTransformerDistilled(**options)
        if config["classifiers"] == 2
        else VisionTransformer(reg_tokens=1, **options)
    )


def _dinov2(config: Plain, shared: Plain) -> nn.Module:
    width = int(config["hidden_size"] * config["mlp_ratio"])
    if config["use_swiglu_ffn"]:
        gated = (int(width * 2 / 3) + 7) // 8 * 8
        ratio = (2 * gated + 0.5) / config["hidden_size"]
        mlp: Plain = {"mlp_layer": SwiGLUPacked, "mlp_ratio": ratio, "act_layer": nn.SiLU}
    else:
        mlp = _mlp(config, width)
    registers = config.get("num_register_tokens", 0)
    return VisionTransformer(
        **shared,
        **mlp,
        **_with_bias(config),
        init_values=1.0,
        reg_tokens=registers,
        no_embed_class=registers > 0,  # registers have no position: [CLS]'s is inside its token
    )


def _beit(config: Plain, shared: Plain) -> nn.Module:
    relative = config["use_relative_position_bias"] or config["use_shared_relative_position_bias"]
    require(
        not relative or shared["img_size"] == config["image_size"],
        f"image_size={shared['img_size']}: this BEiT has relative positions for images of {config['image_size']} pixels alone",
    )
    require(config["hidden_act"] == "gelu", f"hidden_act={config['hidden_act']} of config.json: timm's BEiT has gelu")
    return Beit(
        **shared,
        mlp_ratio=_mlp(config, config["intermediate_size"])["mlp_ratio"],
        global_pool="avg" if config["use_mean_pooling"] else "token",
        init_values=config["layer_scale_init_value"] or None,
        use_abs_pos_emb=config["use_absolute_position_embeddings"],
        use_rel_pos_bias=config["use_relative_position_bias"],
        use_shared_rel_pos_bias=config["use_shared_relative_position_bias"],
    )


def _clip(config: Plain, shared: Plain) -> nn.Module:
    """Pooled by [CLS]; a classifier reads the mean patch token before the final norm."""
    pooled: Plain = {"global_pool": "avg", "final_norm": False} if config["classifiers"] else {}
    return VisionTransformer(**shared, **_mlp(config, config["intermediate_size"]), pre_norm=True, **pooled)


def _siglip(config: Plain, shared: Plain) -> nn.Module:
    """Pooled by attention; a classifier reads the mean patch token after the final norm."""
    require(
        config["classifiers"] or config["vision_use_head"],
        "vision_use_head=false of config.json: nothing is read from the tokens, so nothing can be explained",
    )
    pooled: Plain = {"global_pool": "avg", "fc_norm": False} if config["classifiers"] else {"global_pool": "map"}
    mlp = _mlp(config, config["intermediate_size"])
    return VisionTransformer(**shared, **mlp, class_token=False, **pooled)


BUILDERS: dict[str, Callable[[Plain, Plain], nn.Module]] = {
    "vit": _vit,
    "deit": _deit,
    "dinov2": _dinov2,
    "dinov2_with_registers": _dinov2,
    "beit": _beit,
    "clip_vision_model": _clip,
    "siglip_vision_model": _siglip,
}
