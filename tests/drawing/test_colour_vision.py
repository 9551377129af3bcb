"""Lines and maps can be read by the colour-blind and in grey: measured with simulated vision."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from cdam_bench.configs import config_dir
from cdam_bench.drawing.families import FAMILIES, line_of
from cdam_bench.drawing.maps import SIGNED, UNSIGNED
from cdam_bench.drawing.names import PAPERS
from tests.drawing.colour_vision import MACHADO, VISIONS, distance, seen

PACKAGED = sorted(file.stem for file in (config_dir() / "estimator").glob("*.yaml"))
NEAR = 15.0  # ΔE: lines of nearer colours must differ in dashes or markers
SHARES = np.linspace(0.25, 1, 16)[None]


def test_simulated_vision_keeps_white_and_greys_and_confuses_red_with_green():
    for name, matrix in MACHADO.items():
        assert np.array(matrix).sum(1) == pytest.approx(1, abs=1e-5), name
    assert seen([1, 1, 1], "all cones") == pytest.approx([100, 0, 0], abs=0.05)
    red, green = [0.80, 0.35, 0.30], [0.50, 0.55, 0.25]
    apart = {vision: distance(red, green, vision) for vision in VISIONS}
    assert apart["deuteranopia"] < 0.5 * apart["all cones"]
    assert apart["protanopia"] < 0.6 * apart["all cones"]
    assert (
        distance([1, 0, 0], [0.5, 0.5, 0.5], "grey") < 4
    )  # the luminances of full red and middle grey are 0.213 and 0.214


@pytest.mark.parametrize("vision", VISIONS)
def test_lines_of_near_colours_differ_in_dashes_or_markers(vision):
    lines = {name: line_of(name, PACKAGED) for name in PACKAGED}
    near = 0
    for one, other in combinations(PACKAGED, 2):
        a, b = lines[one], lines[other]
        if distance(to_rgb(a["color"]), to_rgb(b["color"]), vision) < NEAR:
            near += 1
            assert (str(a["linestyle"]), a["marker"]) != (str(b["linestyle"]), b["marker"]), (one, other)
    assert near > 0  # else it would say nothing


def test_lines_of_one_family_differ_in_dashes_whatever_their_colours():
    for family in FAMILIES:
        dashes = [str(line_of(name, family.members)["linestyle"]) for name in family.members]
        assert len(set(dashes)) == len(dashes)


@pytest.mark.parametrize("vision", VISIONS)
def test_stronger_is_darker_on_both_sides_of_zero_in_every_map(vision):
    for palette, signs in ((SIGNED, (1, -1)), (UNSIGNED, (1,))):
        for sign in signs:
            lightness = seen(palette.coloured(sign * np.linspace(0, 1, 33)[None], 1.0), vision)[0, :, 0]
            # the warm end of the signed palette loses some of its red to protanopes, who see it darker still
            assert np.diff(lightness).max() < 1.0, (vision, sign)
            assert lightness[0] - lightness[-1] > 55, (vision, sign)


@pytest.mark.parametrize("vision", MACHADO)
def test_the_colour_blind_tell_evidence_from_counter_evidence(vision):
    assert distance(SIGNED.coloured(SHARES, 1.0), SIGNED.coloured(-SHARES, 1.0), vision).min() > NEAR


def test_in_grey_evidence_and_counter_evidence_look_alike_which_is_why_figures_for_papers_hatch_one():
    assert distance(SIGNED.coloured(SHARES, 1.0), SIGNED.coloured(-SHARES, 1.0), "grey").max() < NEAR


def test_the_page_on_figures_for_papers_says_what_is_measured():
    page = (config_dir().parent / "docs" / "paper_figures.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if " ΔE " in line]
    told = {row[0].removesuffix(" print"): row[1:] for row in rows if len(row) == 4 and row[0]}
    for vision in VISIONS:
        counts = []
        for names in (PACKAGED, PAPERS):
            colours = [to_rgb(line_of(name, PACKAGED)["color"]) for name in names]
            counts.append(sum(distance(a, b, vision) < NEAR for a, b in combinations(colours, 2)))
        weakest = distance(SIGNED.coloured(SHARES, 1.0), SIGNED.coloured(-SHARES, 1.0), vision).min()
        assert told[vision] == [*map(str, counts), f"ΔE {weakest:.0f}"]
    assert f"all {len(PACKAGED) * (len(PACKAGED) - 1) // 2} pairs" in page
