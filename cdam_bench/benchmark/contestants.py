"""Who is timed: methods, plain forward passes and textbook versions, on random images; and what they may cost."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor, nn

from cdam_bench import estimators
from cdam_bench.backbones import Backbone, load_backbone
from cdam_bench.configs import build_backbone, build_estimator, choices, compose
from cdam_bench.errors import unknown_name

Work = Callable[[], Any]
PAPERS_ESTIMATORS = (
    *("CDAM", "SmoothCDAM", "IntegratedCDAM", "RelevancePropagation", "PartialLRP", "AttentionMap"),
    *("SmoothGrad", "IntegratedGradients", "GradCAM", "InputXGradient"),
)
LIMITS = {  # of the cheap methods, times a plain forward pass, on a CPU; None: no limit was set
    "attention_map": 1.0,
    "cdam": 1.0,
    "gradcam": 1.0,
    "partial_lrp": 1.0,
    "integrated_cdam": 1.2,
    "smooth_cdam": 1.6,
    "relevance_propagation": 3.5,
    "grad_eclip": 1.0,
    "legrad": 5.0,
    "legrad_mean": 5.0,
    "agcam": 5.0,
    "attn_lrp": 4.0,
    "cp_lrp": 4.0,
    "libragrad": 4.0,
    "deep_cdam": 4.0,
    "attention_rollout": None,
    "transformer_attribution": 7.0,  # gradient and relevance: two ways back
}


def contestants(methods: str | ListConfig) -> tuple[list[str], list[str]]:
    """Which methods are timed: the cheap ones, in every round, and the slow ones, which cost many passes and are timed once.

    Args:
        methods: "cheap", "all", or a list of names.
    Raises:
        UserError: for a name that is none.
    """
    known = choices("estimator")
    if methods == "cheap":
        return list(LIMITS), []
    names = known if methods == "all" else [methods] if isinstance(methods, str) else list(methods)
    for name in names:
        if name not in known:
            raise unknown_name("methods", str(name), ["cheap", "all", *known])
    return [name for name in names if name in LIMITS], [name for name in names if name not in LIMITS]


def textbook_works(config: DictConfig, backbone: Backbone, images: Tensor, targets: Tensor) -> dict[str, Work]:
    """The same maps as anyone would write them: hooks, and autograd over the whole model."""
    model = deepcopy(backbone.vit).requires_grad_()
    last: Any = model.blocks[-1]
    level = estimators.SmoothCDAM().noise_level

    def cdam(noise_level: float = 0.0) -> Tensor:
        kept = []

        def hook(_module: nn.Module, _inputs: Any, tokens: Tensor) -> Tensor:
            if noise_level:
                tokens = tokens + noise_level * (tokens.max() - tokens.min()) * torch.randn_like(tokens)
            tokens.retain_grad()
            kept.append(tokens)
            return tokens

        handle = last.norm1.register_forward_hook(hook)
        model(images).gather(1, targets[:, :1]).sum().backward()
        handle.remove()
        return (kept[0] * kept[0].grad).sum(-1)

    return {"cdam": cdam, "smooth_cdam": lambda: [cdam(level) for _ in range(config.num_samples)]}


def estimator_of(name: str, config: DictConfig) -> estimators.Estimator:
    """The estimator of conf/estimator/<name>.yaml; those that sample or integrate with `num_samples` of them."""
    overrides = {"smooth_cdam": ["num_samples"], "integrated_cdam": ["num_steps"]}.get(name, [])
    settings = [f"estimator={name}", *(f"estimator.{key}={config.num_samples}" for key in overrides)]
    return build_estimator(compose(settings))


def network(config: DictConfig, device: torch.device) -> Backbone:
    """The architecture with random weights, or the configured backbone with its own."""
    if config.backbone is None:
        return load_backbone(
            config.architecture, image_size=config.image_size, device=device, precision=config.precision
        )
    if config.backbone not in choices("backbone"):
        raise unknown_name("backbone", str(config.backbone), choices("backbone"))
    settings = (f"backbone={config.backbone}", f"runtime.device={device.type}", f"runtime.precision={config.precision}")
    return build_backbone(compose(settings))


def random_inputs(count: int, backbone: Backbone) -> tuple[Tensor, Tensor]:
    """Random images and two targets for each."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, *backbone.image_size, generator=generator).to(backbone.device)
    return images, torch.tensor([[1, 2]]).expand(count, -1).contiguous().to(backbone.device)


def explains(method: estimators.Estimator, backbone: Backbone, images: Tensor, targets: Tensor) -> Work:
    """Scores of patches, or of pixels where a method has no others."""
    explain = method.token_scores if isinstance(method, estimators.TokenEstimator) else method.attribute
    return lambda: explain(backbone, images, targets)


def forward(vit: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return vit(images)
