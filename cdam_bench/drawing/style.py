"""How every figure looks, and a figure as the bytes of a file: the same bytes every time."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

WIDTH = 7.2  # inches: a page's text width
DPI = 150
PRINT_DPI = 600  # of the pictures inside a PDF for a paper
STYLE: dict[str, Any] = {
    "font.size": 10,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "pdf.fonttype": 42,
}
# by extension; without dates and versions: the same scores give the same bytes
METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@contextmanager
def styled() -> Iterator[None]:
    """Inside, figures get this style, whatever the user's own matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = mpl.rcParams  # its keys are a list of literals, too long to repeat in the type of STYLE
        settings.update(STYLE)
        yield


def rendered(figure: Figure, extension: str, dpi: int = DPI) -> bytes:
    """A figure as the bytes of a file.

    Args:
        figure: made inside `styled()`.
        extension: "png" or "pdf".
        dpi: pixels per inch; of a PDF only its pictures have them.
    """
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format=extension, dpi=dpi, metadata=METADATA[extension])
    return buffer.getvalue()
