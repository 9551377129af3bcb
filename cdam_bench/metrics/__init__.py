"""Metrics: from maps to curves and scores of every image."""

from cdam_bench.metrics.base import Measurement, Metric, Subject, direction
from cdam_bench.metrics.box_sensitivity import BoxSensitivity, box_responses, box_sensitivity, draw_boxes
from cdam_bench.metrics.compactness import Compactness, compactness
from cdam_bench.metrics.fidelity import Fidelity
from cdam_bench.metrics.localisation import Localisation
from cdam_bench.metrics.mask_localisation import MaskLocalisation
from cdam_bench.metrics.perturbation import area, perturbation_curves
from cdam_bench.metrics.road import Road, road
from cdam_bench.metrics.saco import SaCo, saco
from cdam_bench.metrics.single_deletion import SingleDeletion, single_deletion
from cdam_bench.store.columns import Column, Curve

__all__ = [
    "BoxSensitivity",
    "Column",
    "Compactness",
    "Curve",
    "Fidelity",
    "Localisation",
    "MaskLocalisation",
    "Measurement",
    "Metric",
    "Road",
    "SaCo",
    "SingleDeletion",
    "Subject",
    "area",
    "box_responses",
    "box_sensitivity",
    "compactness",
    "direction",
    "draw_boxes",
    "perturbation_curves",
    "road",
    "saco",
    "single_deletion",
]
