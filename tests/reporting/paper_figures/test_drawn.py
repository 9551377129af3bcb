"""A results folder gives the figures that its cells allow, as wide as a column or a page."""

import pytest

from cdam_bench.drawing.names import PAPERS
from cdam_bench.errors import UserError
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.paper_figures.catalogue import KINDS, NUMBERS, left_out, wanted_numbers
from cdam_bench.reporting.paper_figures.drawn import HIGHEST, figures_of
from tests.drawing.overlaps import all_texts
from tests.reporting.paper_figures.explaining import COLUMN, PAGE, comparisons_of, drawing, explain

MINE = ("fidelity_pixel", "box_r")
OF_KIND = {
    "two classes": ({}, {"1", "3", "S1", "S2", "S3", "S5", "S6"}),
    "one class": ({"names": ("cat",)}, {"3", "S1", "S4", "S7"}),
    "concepts": ({"outputs": "concepts", "backbone": "digits_vit_concept"}, {"4", "S2", "S3", "S5", "S6"}),
    "quantities": ({"outputs": "quantities"}, {"7"}),
    "a label": ({"outputs": "labels", "names": ("malignant",)}, {"S11", "S4", "S7"}),
    "SWAG": ({"backbone": "swag_vitb16", "curves": ()}, {"1", "S1", "S14"}),
}


def made(comparisons, wanted=NUMBERS, **changes):
    return list(figures_of(comparisons, wanted, drawing(**changes)))


@pytest.mark.parametrize("kind", OF_KIND)
def test_the_outputs_of_the_cells_decide_which_figures_there_are(tmp_path, kind):
    details, expected = OF_KIND[kind]
    figures = made(comparisons_of(tmp_path, **{"curves": MINE, **details}))
    assert {figure.number for figure in figures} == expected
    lines = left_out(NUMBERS, figures)
    assert [line.split(" (")[0] for line in lines] == [f"figure {n}" for n in NUMBERS if n not in expected]
    for figure in figures:
        cm = figure.figure.get_figwidth() * 2.54
        assert cm == pytest.approx(PAGE if figure.is_wide else COLUMN)
        assert figure.caption.endswith(".")
        assert "digits, backbone " in figure.caption


def test_classes_and_concepts_of_the_same_images_stand_together(tmp_path):
    comparisons_of(tmp_path, curves=())
    comparisons = comparisons_of(
        tmp_path, curves=(), outputs="concepts", backbone="digits_vit_concept", names=("stripes", "tails")
    )
    (figure,) = made(comparisons, ["5"])
    headings = [text for text in all_texts(figure.figure) if text.startswith(("class", "concept"))]
    logit, similarity = "logit 1.0", "similarity 1.0"
    of_classes, of_concepts = [f"class {name} {logit}" for name in ("cat", "dog")], ["concept stripes", "concept tails"]
    assert headings == 2 * [*of_classes, *(f"{name} {similarity}" for name in of_concepts)]
    assert figure.comparison.backbone == "digits_vit"
    assert made(comparisons[:1], ["5"]) == []


def test_only_figures_that_are_wanted_are_drawn_and_only_the_maps_they_need_are_made(tmp_path):
    asked = []

    def watched(comparison, num_images):
        asked.append(([cell.key.estimator for cell in comparison.cells], num_images))
        return explain(comparison, num_images)

    comparisons = comparisons_of(tmp_path, curves=MINE)
    assert {figure.number for figure in made(comparisons, ["S2"], explain=watched)} == {"S2"}
    assert asked == []
    assert {figure.number for figure in made(comparisons, ["1"], explain=watched)} == {"1"}
    assert asked == [(["cdam", "attention_map"], 2)]
    made(comparisons, ["1", "3", "S1"], explain=watched)
    assert asked[1:] == [(["cdam", "attention_map"], 4), (["cdam", "attention_map", "gradcam"], 2)]


def test_a_figure_of_all_methods_has_as_many_pictures_as_have_room_on_a_page(tmp_path):
    comparisons = comparisons_of(tmp_path, PAPERS, curves=())
    (figure,) = made(comparisons, ["3"], num_images=2)
    assert figure.figure.get_figheight() * 2.54 <= HIGHEST
    assert figure.source == "images image-0"
    (few,) = made(comparisons_of(tmp_path / "few", curves=()), ["3"], num_images=2)
    assert few.source == "images image-0, image-1"


def test_chosen_pictures_are_those_of_the_maps_and_the_scatter_keeps_its_own(tmp_path):
    figures = made(comparisons_of(tmp_path, curves=()), images=["image-4"])
    assert {figure.number: figure.source for figure in figures} == {
        "1": "images image-4",
        "3": "images image-4",
        "S1": "images image-0, image-1, image-2, image-3",
    }


def test_maps_that_cannot_be_made_are_told_once_and_the_curves_are_there(tmp_path):
    def fails(*_):
        raise UserError("no weights here")

    mine = drawing(explain=fails)
    figures = figures_of(comparisons_of(tmp_path, curves=MINE), NUMBERS, mine)
    assert {figure.number for figure in figures} == {"S2", "S3", "S5", "S6"}
    assert mine.problems == ["no maps of digits · digits_vit: no weights here"]


def test_curves_of_another_ranking_have_files_of_their_own(tmp_path):
    comparisons = comparisons_of(tmp_path, curves=("fidelity_pixel", "fidelity_patch"))
    names = [figure.file.name for figure in made(comparisons, ["S2"])]
    assert names == ["figure_S2.pdf", "figure_S2_fidelity_patch.pdf"]


def test_unfinished_cells_are_in_no_curve_and_the_caption_says_so(tmp_path):
    comparisons_of(tmp_path, ("cdam",), curves=MINE)
    comparisons_of(tmp_path, ("gradcam",), curves=MINE, done=4)
    (figure, *_) = made(read_comparisons(tmp_path), ["S2"])
    assert "Not finished, and not shown: GradCAM (4 of 6 images)" in figure.caption


def test_numbers_are_taken_as_people_write_them_and_unknown_ones_are_told():
    assert wanted_numbers([3, "s2", "S14"]) == ("3", "S2", "S14")
    assert wanted_numbers(None) == tuple(kind.number for kind in KINDS)
    with pytest.raises(UserError, match=r"figures=S99 is unknown: .*available: 1, 3"):
        wanted_numbers(["S99"])
    with pytest.raises(UserError, match=r"figures=\[\]"):
        wanted_numbers([])
