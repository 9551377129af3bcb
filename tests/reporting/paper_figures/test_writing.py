"""Figures for papers are files: PDF whose text stays text, the same bytes every time, and LaTeX with their captions."""

import re
import zlib

import pytest

from cdam_bench.reporting.paper_figures.writing import write_paper_figures
from tests.reporting.paper_figures.explaining import PAGE, comparisons_of, drawing

WANTED = ("1", "S1", "S2")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    comparisons_of(store, dataset="50%_of", curves=("fidelity_pixel",))
    return store


def write(store, wanted=WANTED):
    return write_paper_figures(comparisons_of(store, (), dataset="50%_of"), store / "figures", wanted, drawing())


@pytest.fixture(scope="module")
def files(store):
    return {path.name: path.read_bytes() for path in write(store)[0]}


def shown(pdf):
    """The page's drawing commands."""
    streams = [zlib.decompress(part) for part in re.findall(rb"stream\r?\n(x.*?)\r?\nendstream", pdf, re.DOTALL)]
    return b"\n".join(stream for stream in streams if b" Tf" in stream)


def test_files_are_named_after_the_papers_figures_and_are_the_same_bytes_every_time(store, files):
    assert sorted(files) == ["figure_1.pdf", "figure_S1.pdf", "figure_S2.pdf", "figures.tex"]
    assert {path.name: path.read_bytes() for path in write(store)[0]} == files


@pytest.mark.parametrize("name", ["figure_1.pdf", "figure_S1.pdf", "figure_S2.pdf"])
def test_letters_are_of_embedded_truetype_fonts_and_nothing_says_when_it_was_made(files, name):
    pdf = files[name]
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert re.search(rb"T[jJ]\b", shown(pdf))
    assert not re.search(rb"/(CreationDate|ModDate|Producer|Creator)", pdf)


def test_curves_are_lines_and_no_picture(files):
    assert b"/Subtype /Image" not in files["figure_S2.pdf"]
    assert b"/Subtype /Image" in files["figure_1.pdf"]


def test_a_page_has_the_width_that_was_asked_for(files):
    (width,) = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+)", files["figure_S2.pdf"])
    assert float(width) == pytest.approx(PAGE / 2.54 * 72, abs=0.01)


def test_latex_puts_every_figure_in_with_a_caption_and_a_label_that_latex_takes(files):
    text = files["figures.tex"].decode()
    assert re.findall(r"\\includegraphics\{(.*?)\}", text) == ["figure_S2.pdf", "figure_S1.pdf", "figure_1.pdf"]
    assert text.count(r"\caption{") == text.count(r"\label{fig:") == 3
    assert text.count(r"\begin{figure*}") == text.count(r"\end{figure*}") == 2
    assert text.count("{") == text.count("}")
    assert r"50\%\_of" in text
    assert re.findall(r"\\label\{(.*?)\}", text)[0] == "fig:50-_of_digits_vit_S2"
    assert "Mean over 6 images; bands: 95 \\% bootstrap interval over images." in text


@pytest.mark.usefixtures("files")  # written before
def test_figures_that_no_longer_hold_are_removed(store):
    names = {path.name for path in write(store, ["S2"])[0]}
    assert names == {"figure_S2.pdf", "figures.tex"}
    (folder,) = (path.parent for path in store.rglob("figure_S2.pdf"))
    assert {path.name for path in folder.glob("figure*")} == names


def test_what_a_folder_is_not_fit_for_is_said_in_a_line(store):
    assert write(store, ["S2", "4"])[1] == [
        "figure 4 (maps of concepts): left out, it needs cells of a concept head (backbone/head=concept)"
    ]
