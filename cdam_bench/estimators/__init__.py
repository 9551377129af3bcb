"""Estimators: ten ways to say which pixels matter for an output."""

from cdam_bench.estimators.attention import AttentionMap
from cdam_bench.estimators.base import Estimator, PixelEstimator, TokenEstimator
from cdam_bench.estimators.cdam import CDAM, IntegratedCDAM, SmoothCDAM
from cdam_bench.estimators.conservative import CPLRP, AttnLRP, LibraGrad
from cdam_bench.estimators.deep_cdam import DeepCDAM
from cdam_bench.estimators.gradcam import GradCAM
from cdam_bench.estimators.gradients import InputXGradient, IntegratedGradients, SmoothGrad
from cdam_bench.estimators.relevance import PartialLRP, RelevancePropagation
from cdam_bench.estimators.transformer_attribution import TransformerAttribution

__all__ = [
    "CDAM",
    "CPLRP",
    "AttentionMap",
    "AttnLRP",
    "DeepCDAM",
    "Estimator",
    "GradCAM",
    "InputXGradient",
    "IntegratedCDAM",
    "IntegratedGradients",
    "LibraGrad",
    "PartialLRP",
    "PixelEstimator",
    "RelevancePropagation",
    "SmoothCDAM",
    "SmoothGrad",
    "TokenEstimator",
    "TransformerAttribution",
]
