"""Scores of single images: for sorting the gallery and for scatters of any two scores."""

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.page.plain import Plain, numbers
from cdam_bench.reporting.page.runs import target_columns
from cdam_bench.store.columns import Column

OTHER = "other_"  # before a score of the second target


def shown_images(comparison: Comparison, columns: list[Column], first: list[str], values: int) -> list[str]:
    """The images whose scores the page has, in the order of the results: all, or as many as there is room for.

    Args:
        comparison: from `read_comparisons`.
        columns: scores per image and method.
        first: names of images that are there in any case.
        values: how many numbers there is room for.
    """
    most = max(values // max(1, len(comparison.cells) * len(columns)), len(first))
    wanted = set(list(dict.fromkeys([*first, *comparison.images]))[:most])
    return [name for name in comparison.images if name in wanted]


def image_values(
    comparison: Comparison, columns: list[Column], names: list[str], thumbnails: dict[str, str], of_other: list[str]
) -> Plain:
    """Targets, small pictures and scores of these images.

    Args:
        comparison: from `read_comparisons`.
        columns: the scores.
        names: of the images.
        thumbnails: name of an image → a small picture of it.
        of_other: scores that are also there for the second target.
    """
    places = [comparison.images.index(name) for name in names] if len(names) < len(comparison.images) else slice(None)
    wanted = [column.name for column in columns] + [f"{OTHER}{name}" for name in of_other]
    scores = {}
    for cell in comparison.cells:
        own = [name for name in wanted if name in cell.scores]
        values = comparison.values(cell, own)[places]
        scores[cell.key.estimator] = {name: numbers(values[:, j]) for j, name in enumerate(own)}
    all_of_them = len(names) == len(comparison.images)
    return {
        "names": names,
        "targets": _targets(comparison, names),
        "thumbnails": [thumbnails.get(name) for name in names],
        "scores": scores,
        "note": "" if all_of_them else f"{len(names)} of {len(comparison.images)} images are shown one by one",
    }


def _targets(comparison: Comparison, names: list[str]) -> list[list[str]]:
    """Of every image the names of its targets; the same in all cells."""
    columns = target_columns(comparison)
    known: dict[str, list[str]] = {}
    for cell in comparison.cells:
        rows = zip(cell.scores["image"], *(cell.scores[column] for column in columns), strict=True)
        known |= {image: list(map(str, targets)) for image, *targets in rows if image not in known}
    return [known[name] for name in names]
