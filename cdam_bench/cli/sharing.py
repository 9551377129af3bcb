"""Commands that share scores: export, rank, compare; none of them loads torch."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from cdam_bench.errors import require, require_text
from cdam_bench.store.files import write_atomically


def export_scores(config: DictConfig) -> None:
    """All per-image scores of a results folder in one Parquet or CSV file."""
    from cdam_bench.reporting.comparisons import read_comparisons
    from cdam_bench.reporting.sharing.exported import write_export

    comparisons = read_comparisons(Path(config.results_dir), _only(config))
    written = write_export(comparisons, Path(require_text("output", config.output)))
    cells = [cell for comparison in comparisons for cell in comparison.cells]
    partial = [cell for cell in cells if not cell.is_complete]
    rows = sum(len(cell.scores) for cell in cells)
    print(f"{rows} rows of {len(cells)} cells{f', {len(partial)} of them not finished' if partial else ''}")
    print(*written, sep="\n")


def rank_methods(config: DictConfig) -> None:
    """Methods ranked score by score, from an exported file or a results folder."""
    from cdam_bench.reporting.outputs import write_outputs
    from cdam_bench.reporting.paired import write_paired
    from cdam_bench.reporting.paper_check import write_paper_check
    from cdam_bench.reporting.ranking import shown_rankings, write_rankings
    from cdam_bench.reporting.sharing.sources import comparisons_of
    from cdam_bench.reporting.tables import write_tables

    source = Path(require_text("scores", config.scores))
    by = None if config.by is None else require_text("by", config.by)
    comparisons = comparisons_of(source, "scores", _only(config))
    print(shown_rankings(comparisons, by))
    if config.output_dir is not None:
        output_dir = Path(require_text("output_dir", config.output_dir))
        for write in (write_rankings, write_paired, write_outputs, write_paper_check, write_tables):
            print(*write(comparisons, output_dir), sep="\n")


def _only(config: DictConfig) -> str | None:
    """The one dataset that is asked for."""
    return None if config.only is None else require_text("only", config.only)


def compare_runs(config: DictConfig) -> None:
    """What changed between two runs; exit status 1 if anything did beyond noise."""
    from cdam_bench.reporting.sharing.changes import changes
    from cdam_bench.reporting.sharing.changes_page import changes_csv, changes_page
    from cdam_bench.reporting.sharing.sources import cells_of

    old, new = (require_text(key, config[key]) for key in ("a", "b"))
    found = changes(cells_of(Path(old), "a"), cells_of(Path(new), "b"))
    print(changes_page(found, old, new))
    if config.output is not None:
        output = Path(require_text("output", config.output))
        write_atomically(output, changes_csv(found).encode())
        print(output)
    require(bool(found.found), "nothing could be compared: the lines above say why, cell by cell")
    if found.any_significant:
        sys.stdout.flush()
        sys.exit(1)
