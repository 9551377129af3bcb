"""Every estimator has a line of its own."""

from cdam_bench.drawing.names import KNOWN, line_of


def test_estimators_can_be_told_apart_by_colour_or_dashes_and_ones_own_are_not_all_black():
    own = [f"mine_{i}" for i in range(12)]
    several = [*KNOWN, *own]
    lines = {name: line_of(name, several) for name in several}
    assert len({(line["color"], str(line["linestyle"])) for line in lines.values()}) == len(several)
    first, second, third = (lines[name] for name in sorted(own)[:3])
    assert len({first["color"], second["color"], third["color"]}) == 3
    assert len({str(line["linestyle"]) for line in (first, second, third)}) == 3
    assert not {lines[name]["color"] for name in own} & {style.colour for style in KNOWN.values()}
