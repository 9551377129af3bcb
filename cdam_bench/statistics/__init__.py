"""Means over images with their intervals, differences on the same images with their tests, and agreement of two scores."""

from cdam_bench.statistics.agreement import FEWEST_METHODS, agreement_of_means, agreement_per_image, rank_correlations
from cdam_bench.statistics.intervals import RESAMPLES, Interval, mean_intervals, standardised_intervals
from cdam_bench.statistics.paired_tests import holm, num_flips, paired_p_values, smallest_p_value
from cdam_bench.statistics.proportions import tango_intervals, wilson_intervals

__all__ = [
    "FEWEST_METHODS",
    "RESAMPLES",
    "Interval",
    "agreement_of_means",
    "agreement_per_image",
    "holm",
    "mean_intervals",
    "num_flips",
    "paired_p_values",
    "rank_correlations",
    "smallest_p_value",
    "standardised_intervals",
    "tango_intervals",
    "wilson_intervals",
]
