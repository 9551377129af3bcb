"""Families of tests: all differences that answer one question are corrected together, over all scores and methods."""

from dataclasses import dataclass

import numpy as np

from cdam_bench.statistics import holm, num_flips, paired_p_values, smallest_p_value

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Family:
    """The paired tests of one question.

    Args:
        p_values: raw, one per test.
        corrected: the same, Holm-corrected over all of them.
        flips: number of sign vectors where not all are tried.
        images: of the test with most of them.
    """

    p_values: np.ndarray
    corrected: np.ndarray
    flips: int
    images: int

    @property
    def tests(self) -> int:
        return self.p_values.size

    @property
    def significant(self) -> np.ndarray:
        """Which differences are not zero, at 5 % for all of them together."""
        return self.corrected <= SIGNIFICANCE

    @property
    def words(self) -> str:
        """How it was tested."""
        tests = "one test" if self.tests == 1 else f"all {self.tests} tests of this question together"
        exact = 2**self.images <= self.flips
        signs = "all sign flips" if exact else f"{self.flips} random sign flips"
        return f"5 %, {signs}, Holm-corrected over {tests}"

    @property
    def warning(self) -> str:
        """A sentence where so few images cannot give a significant difference among so many tests; else nothing."""
        smallest = smallest_p_value(self.images, self.flips) * self.tests
        if not self.tests or smallest <= SIGNIFICANCE:
            return ""
        return f"{self.images} images are too few for any of {self.tests} tests to be significant after the correction"


def family_of(differences: np.ndarray) -> Family:
    """Test every column and correct all of them together.

    Args:
        differences: (images, tests), on the same images; NaN pairs are left out.
    """
    flips = num_flips(differences.shape[1])
    p_values = paired_p_values(differences, flips)
    images = int(np.isfinite(differences).sum(0).max(initial=0))
    return Family(p_values, holm(p_values), flips, images)
