"""Configs: the one way from settings to objects, for runs, scripts, training, explaining and Python users.

Settings come from `conf/` (composed by Hydra) or from a finished cell; every object that a configuration names is built here.
"""

from cdam_bench.configs import resolvers
from cdam_bench.configs.building import (
    ABOUT,
    backbone_arguments,
    build_backbone,
    build_dataset,
    build_estimator,
    build_metrics,
    build_preprocessing,
    build_vit,
    head_source,
)
from cdam_bench.configs.composing import (
    MOVED,
    PACKAGE,
    RUN,
    Plain,
    check_keys,
    choices,
    compose,
    config_dir,
    instantiate,
    moved,
    plain,
)

resolvers.register()

__all__ = [
    "ABOUT",
    "MOVED",
    "PACKAGE",
    "RUN",
    "Plain",
    "backbone_arguments",
    "build_backbone",
    "build_dataset",
    "build_estimator",
    "build_metrics",
    "build_preprocessing",
    "build_vit",
    "check_keys",
    "choices",
    "compose",
    "config_dir",
    "head_source",
    "instantiate",
    "moved",
    "plain",
]
