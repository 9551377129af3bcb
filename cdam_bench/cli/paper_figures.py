"""The command that draws the paper's figures from a results folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from cdam_bench.cli.results import complain
from cdam_bench.errors import nearest_names, require, require_count, require_number, require_text

NARROWEST, WIDEST = 4.0, 60.0  # cm that a figure may be wide


def make_paper_figures(config: DictConfig) -> None:
    """The paper's figures as PDF; exit status 2 where one that was asked for could not be drawn."""
    from cdam_bench.reporting.comparisons import read_comparisons
    from cdam_bench.reporting.paper_figures.catalogue import wanted_numbers
    from cdam_bench.reporting.paper_figures.drawn import Drawing
    from cdam_bench.reporting.paper_figures.writing import write_paper_figures
    from cdam_bench.reporting.recompute import explain_again

    wanted = wanted_numbers(_list(config.figures))
    column, page = (require_number(name, config[name], NARROWEST, WIDEST) for name in ("column_cm", "page_cm"))
    in_maps, in_scatter = (require_count(name, config[name]) for name in ("num_images", "scatter_images"))
    only = None if config.only is None else require_text("only", config.only)
    comparisons = _with_methods(read_comparisons(Path(config.results_dir), only), _list(config.estimators))
    chosen = [require_text("images", one) for one in _list(config.images) or []]
    if chosen:
        _require_images(comparisons, chosen)
    explain = partial(explain_again, paths=config.paths, runtime=config.runtime)
    drawing = Drawing(explain, column, page, in_maps, in_scatter, chosen)
    written, missing = write_paper_figures(comparisons, Path(config.output_dir), wanted, drawing)
    print(*written, sep="\n")
    asked = config.figures is not None
    for line in missing if not asked else []:
        print(line)
    complain([*drawing.problems, *(missing if asked else [])])


def _with_methods(comparisons: list[Any], given: list[Any] | None) -> list[Any]:
    """The methods that are drawn: the paper's where nothing is said and it has some there; all of them by estimators=all."""
    from cdam_bench.drawing.names import PAPERS
    from cdam_bench.reporting.chosen import with_estimators

    if given is not None:
        require(len(given) > 0, "estimators=[]: name at least one, or all; null: the paper's")
        names = [require_text("estimators", name) for name in given]
        return comparisons if names == ["all"] else with_estimators(comparisons, names)
    found = []
    for comparison in comparisons:
        papers = [cell.key.estimator for cell in comparison.cells if cell.key.estimator in PAPERS]
        found += with_estimators([comparison], papers or None)
    return found


def _require_images(comparisons: Sequence[Any], names: list[str]) -> None:
    """Raise UserError for a picture that no cell has measured."""
    known = {name for comparison in comparisons for name in comparison.images}
    for name in names:
        near = " or ".join(nearest_names(name, known))
        hint = f"did you mean {near}?" if near else "names of images stand in the first column of scores.csv"
        require(name in known, f"images={name}: no cell has measured it: {hint}")


def _list(value: Any) -> list[Any] | None:
    """A setting that is a list, or one thing alone."""
    if value is None:
        return None
    return list(value) if isinstance(value, ListConfig) else [value]
