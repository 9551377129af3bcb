"""Tables of GitHub's Markdown."""

from collections.abc import Iterable


def markdown_rows(lines: Iterable[Iterable[str]]) -> str:
    """Rows of a table, the rule under the heading among them: a line each."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(note: str, heading: list[str], rows: list[list[str]]) -> str:
    """A note and a table of text."""
    return f"{note}\n\n{markdown_rows([heading, ['---'] * len(heading), *rows])}\n"
