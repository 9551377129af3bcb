"""The best mean of every score, and which other methods paired tests tell from it."""

from dataclasses import dataclass

import numpy as np

from cdam_bench.reporting.significance import SIGNIFICANCE, Family, family_of


@dataclass(frozen=True)
class Best:
    """The method with the best mean of one score.

    Args:
        method: its place.
        p_values: (methods,) of paired tests of it against each method, Holm-corrected over the family; 1 of itself.
    """

    method: int
    p_values: np.ndarray

    @property
    def tied(self) -> np.ndarray:
        """(methods,): which of them the tests do not tell from it; itself is one."""
        return self.p_values > SIGNIFICANCE

    @property
    def is_supported(self) -> bool:
        """Whether it beats every other one."""
        return int(self.tied.sum()) == 1


def best_means(values: np.ndarray, signs: list[int]) -> tuple[dict[int, Best], Family]:
    """The methods with the best means, tested against every other one.

    All tests, of every score's best mean against every other method, are one family: what it takes to be told apart is the same in
    every score.

    Args:
        values: (images, methods, scores); a score that is unknown for a method has no best.
        signs: of every score: 1 where high is good, −1 where low is, 0 where neither is and none is best.
    Returns:
        Score → its best mean; scores that cannot be tested are left out. And the family of tests.
    """
    methods = values.shape[1]
    tested: dict[int, int] = {}
    gaps = [np.empty((len(values), 0))]
    for j in range(values.shape[2]):
        own = values[..., j] * signs[j]
        if signs[j] and methods > 1 and np.isfinite(own).any(0).all():
            tested[j] = int(np.nanmean(own, axis=0).argmax())
            gaps.append(own[:, [tested[j]]] - np.delete(own, tested[j], axis=1))
    family = family_of(np.concatenate(gaps, axis=1))
    corrected = family.corrected.reshape(len(tested), max(methods - 1, 1))
    return {j: Best(i, np.insert(own, i, 1)) for (j, i), own in zip(tested.items(), corrected, strict=True)}, family
