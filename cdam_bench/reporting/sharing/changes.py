"""Changes: what differs between two runs beyond noise, cell by cell and score by score."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from cdam_bench.errors import require
from cdam_bench.reporting.intervals import difference_intervals
from cdam_bench.reporting.sharing.pairing import Pair, paired
from cdam_bench.reporting.significance import Family, family_of
from cdam_bench.reporting.version_0_1 import upgraded
from cdam_bench.statistics import Interval
from cdam_bench.store.cells import CellKey
from cdam_bench.store.columns import SHARE_OF_IMAGES, Column
from cdam_bench.store.results import CellResult

ROUNDING = 1e-5  # relative: as far as the same computation differs between machines, batch sizes and threads in fp32
IDENTICAL, ROUNDED, DIFFERENT, SIGNIFICANT = KINDS = (
    "identical to the last digit",
    "within rounding",
    "different, not significant",
    "significant",
)
BACKBONE = ""  # stands for the estimator where the outputs of a backbone are compared


@dataclass(frozen=True)
class Change:
    """One score of one cell in both runs.

    Args:
        key: the cell; without an estimator: outputs of the backbone.
        column: the score.
        kind: one of KINDS.
        old, new: means over the images that have it in both.
        difference: mean of new − old with its interval; None where nothing was tested.
        p_value: of the paired test, Holm-corrected over all tests of the comparison; None where nothing was tested.
    """

    key: CellKey
    column: Column
    kind: str
    old: float
    new: float
    difference: Interval | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Changes:
    """All that differs between two runs.

    Args:
        pairs: the cells that both have.
        found: every score of those that can be compared.
        family: the tests.
        old_alone, new_alone: cells of one run alone.
    """

    pairs: list[Pair]
    found: list[Change]
    family: Family
    old_alone: list[CellKey]
    new_alone: list[CellKey]

    @property
    def any_significant(self) -> bool:
        return any(change.kind == SIGNIFICANT for change in self.found)


@dataclass(frozen=True)
class _Test:
    """What is to be tested: a score on the images (2, images) of both runs."""

    key: CellKey
    column: Column
    values: np.ndarray


def changes(old: Iterable[CellResult], new: Iterable[CellResult]) -> Changes:
    """Compare two runs.

    Tested is what differs beyond rounding; which that is depends on the size of the differences and not on their signs, so that
    the sign-flip tests and their correction hold.

    Args:
        old, new: from `cells_of`.
    Raises:
        UserError: if no cell is in both.
    """
    before, after = (
        {cell.key: replace(cell, description=upgraded(cell.description)) for cell in own} for own in (old, new)
    )
    both = [key for key in before if key in after]
    require(bool(both), f"nothing to compare: no cell is in both; one has {_some(before)}, the other {_some(after)}")
    pairs = [paired(before[key], after[key]) for key in both]
    scores = [_Test(pair.key, column, pair.values[..., j]) for pair in pairs for j, column in enumerate(pair.columns)]
    found, family = _classified([*_outputs(pairs), *scores])
    return Changes(
        pairs, found, family, [key for key in before if key not in after], [key for key in after if key not in before]
    )


def _some(cells: Iterable[CellKey]) -> str:
    first, *others = map(str, cells)
    return f"{first} and {len(others)} others" if others else first


def _outputs(pairs: list[Pair]) -> list[_Test]:
    """The targets' outputs, once for every backbone: they are the same for all its estimators."""
    most: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        place = pair.key.dataset, pair.key.backbone
        if not pair.reason and (place not in most or most[place].images < pair.images):
            most[place] = pair
    return [
        _Test(replace(pair.key, estimator=BACKBONE), Column(name), pair.logits[..., k])
        for pair in most.values()
        for k, name in enumerate(pair.logit_names)
    ]


def _classified(tests: list[_Test]) -> tuple[list[Change], Family]:
    """Every score with what became of it, and the tests of those that differ beyond rounding."""
    kinds = [_unlike(test.values) for test in tests]
    differing = [test for test, kind in zip(tests, kinds, strict=True) if kind == DIFFERENT]
    tested = [one for test in differing for one in (test, *_definedness(test))]
    most = max((test.values.shape[1] for test in tested), default=0)
    differences = np.full((most, len(tested)), np.nan)
    for j, test in enumerate(tested):
        differences[: test.values.shape[1], j] = test.values[1] - test.values[0]
    family = family_of(differences)
    found = [_change(test, kind) for test, kind in zip(tests, kinds, strict=True) if kind != DIFFERENT]
    for test, p_value, significant in zip(tested, family.corrected, family.significant, strict=True):
        ((difference,),) = difference_intervals([test.column], test.values[1][:, None, None], test.values[0][:, None])
        change = _change(test, SIGNIFICANT if significant else DIFFERENT)
        found.append(replace(change, difference=difference, p_value=float(p_value)))
    return found, family


def _unlike(values: np.ndarray) -> str:
    """How far two runs (2, images) of a score are from each other; DIFFERENT where that has to be tested."""
    old, new = values
    if np.array_equal(old, new, equal_nan=True):
        return IDENTICAL
    if not np.array_equal(np.isfinite(old), np.isfinite(new)):
        return DIFFERENT
    typical = np.sqrt(np.nanmean(values**2))  # of a difference of large numbers, a value near 0 is not known better
    scale = np.maximum(np.abs(values).max(0), typical)
    return ROUNDED if bool((np.nan_to_num(np.abs(new - old)) <= ROUNDING * np.nan_to_num(scale)).all()) else DIFFERENT


def _definedness(test: _Test) -> list[_Test]:
    """Whether a score is defined at all, where that differs: as a score of its own, on how many images it is."""
    defined = np.isfinite(test.values)
    if np.array_equal(*defined):
        return []
    name = f"{test.column.name} is defined"
    return [
        _Test(
            test.key, Column(name, label=f"{test.column.text} is defined", unit=SHARE_OF_IMAGES), defined.astype(float)
        )
    ]


def _change(test: _Test, kind: str) -> Change:
    """The means of the images that have both."""
    known = np.isfinite(test.values).all(0)
    old, new = test.values[:, known].mean(1) if known.any() else (np.nan, np.nan)
    return Change(test.key, test.column, kind, float(old), float(new))
