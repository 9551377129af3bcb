"""Commands that read a results folder: tables, figures, report, status, merge."""

import json
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from cdam_bench.errors import UserError, require, require_number, require_text, require_whole


def make_tables(config: DictConfig) -> None:
    """Tables of a results folder as Markdown, CSV and LaTeX."""
    from cdam_bench.lidc.tables import write_finetuning
    from cdam_bench.reporting.comparisons import read_comparisons
    from cdam_bench.reporting.outputs import write_outputs
    from cdam_bench.reporting.paired import write_paired
    from cdam_bench.reporting.paper_check import write_paper_check
    from cdam_bench.reporting.tables import write_tables

    results_dir, output_dir = Path(config.results_dir), Path(config.output_dir)
    fine_tuned_alone = config.only is None and (results_dir / "lidc").is_dir() and not (results_dir / "cells").is_dir()
    comparisons = [] if fine_tuned_alone else read_comparisons(results_dir, _only(config))
    *written, together = write_tables(comparisons, output_dir)
    paired = write_paired(comparisons, output_dir)
    others = write_finetuning(results_dir, output_dir) + write_outputs(comparisons, output_dir)
    others += write_paper_check(comparisons, output_dir)
    print(together.read_text(encoding="utf-8"))
    print(*(path.read_text(encoding="utf-8") for path in others if path.suffix == ".md"), sep="\n")
    print(*written, *paired, *others, together, sep="\n")


def make_figures(config: DictConfig) -> None:
    """Curves, scores and maps of a results folder as PNG and PDF; exit status 2 where something could not be drawn."""
    from cdam_bench.reporting.cost import read_speeds
    from cdam_bench.reporting.figures import write_figures

    require_whole("num_images", config.num_images)
    comparisons, speeds = _compared(config), read_speeds(Path(config.results_dir))
    output_dir, images = Path(config.output_dir), config.num_images
    written, problems = write_figures(comparisons, output_dir, images, config.paths, config.runtime, speeds)
    print(*written, sep="\n")
    complain(problems)


def make_report(config: DictConfig) -> None:
    """One page with everything that a results folder has to show; what it could not show stands in it, and is printed."""
    from cdam_bench.reporting.cost import read_speeds
    from cdam_bench.reporting.page.data import Gallery
    from cdam_bench.reporting.report import write_report

    images, seconds = (
        require_whole("gallery", config.gallery),
        require_number("gallery_seconds", config.gallery_seconds),
    )
    comparisons, speeds = _compared(config), read_speeds(Path(config.results_dir))
    gallery = Gallery(images, seconds, config.paths, config.runtime)
    page, problems = write_report(comparisons, Path(config.output_dir), speeds, gallery)
    print(page)
    for problem in problems:
        print(f"note: {problem}", file=sys.stderr)


def _compared(config: DictConfig) -> list[Any]:
    """What is asked for of the comparisons that a results folder allows."""
    from cdam_bench.reporting.chosen import with_estimators
    from cdam_bench.reporting.comparisons import read_comparisons

    return with_estimators(read_comparisons(Path(config.results_dir), _only(config)), _estimators(config))


def _only(config: DictConfig) -> str | None:
    """The one dataset that is asked for."""
    return None if config.only is None else require_text("only", config.only)


def _estimators(config: DictConfig) -> list[str] | None:
    """The methods that are asked for; None: all."""
    if config.estimators is None:
        return None
    given = config.estimators if isinstance(config.estimators, ListConfig) else [config.estimators]
    require(len(given) > 0, "estimators=[]: name at least one, or leave it at null for all")
    return [require_text("estimators", name) for name in given]


def complain(problems: list[str]) -> None:
    """Say what could not be made, after everything else was."""
    if problems:
        *first, last = problems
        for problem in first:
            print(f"error: {problem}", file=sys.stderr)
        raise UserError(last)


def status(config: DictConfig) -> None:
    """How far the cells of a results folder are, as text or JSON."""
    from cdam_bench.store.status import read_status, status_table

    cells = read_status(Path(config.results_dir))
    print(json.dumps([cell.as_dict() for cell in cells], indent=1) if config.json else status_table(cells))


def merge_results(config: DictConfig) -> None:
    """Finish the cells whose chunks are all there; with sources, first take in chunks of other results folders."""
    from cdam_bench.store.merging import merge

    require(isinstance(config.sources, ListConfig), f"sources={config.sources}: give a list, such as [/mnt/a/results]")
    sources = [Path(require_text("sources", source)) for source in config.sources]
    for line in merge(Path(config.results_dir), sources):
        print(line)
