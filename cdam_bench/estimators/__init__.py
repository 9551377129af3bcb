"""Estimators: ways to say which pixels matter for an output."""

from cdam_bench.estimators.ablation import PatchAblation, TokenAblation
from cdam_bench.estimators.agcam import AGCAM
from cdam_bench.estimators.attention import AttentionMap
from cdam_bench.estimators.base import Estimator, PixelEstimator, TokenEstimator
from cdam_bench.estimators.cdam import CDAM, IntegratedCDAM, SmoothCDAM
from cdam_bench.estimators.conservative import CPLRP, AttnLRP, LibraGrad
from cdam_bench.estimators.deep_cdam import DeepCDAM
from cdam_bench.estimators.deep_cdam_paths import IntegratedDeepCDAM, SmoothDeepCDAM
from cdam_bench.estimators.grad_eclip import GradECLIP
from cdam_bench.estimators.gradcam import GradCAM
from cdam_bench.estimators.gradients import InputXGradient, IntegratedGradients, SmoothGrad
from cdam_bench.estimators.kernel_shap import KernelSHAP
from cdam_bench.estimators.legrad import LeGrad, LeGradMean
from cdam_bench.estimators.occlusion import Occlusion
from cdam_bench.estimators.random_map import RandomMap
from cdam_bench.estimators.relevance import PartialLRP, RelevancePropagation
from cdam_bench.estimators.rise import RISE
from cdam_bench.estimators.rollout import AttentionRollout
from cdam_bench.estimators.transformer_attribution import TransformerAttribution

__all__ = [
    "AGCAM",
    "CDAM",
    "CPLRP",
    "RISE",
    "AttentionMap",
    "AttentionRollout",
    "AttnLRP",
    "DeepCDAM",
    "Estimator",
    "GradCAM",
    "GradECLIP",
    "InputXGradient",
    "IntegratedCDAM",
    "IntegratedDeepCDAM",
    "IntegratedGradients",
    "KernelSHAP",
    "LeGrad",
    "LeGradMean",
    "LibraGrad",
    "Occlusion",
    "PartialLRP",
    "PatchAblation",
    "PixelEstimator",
    "RandomMap",
    "RelevancePropagation",
    "SmoothCDAM",
    "SmoothDeepCDAM",
    "SmoothGrad",
    "TokenAblation",
    "TokenEstimator",
    "TransformerAttribution",
]
