"""measure network: what packaged networks are chosen by."""

import csv

from tests.scripts import command


def test_packaged_network_reads_scenes_and_depends_on_the_right_digit(tmp_path, capsys):
    output = tmp_path / "network.csv"
    assert command("measure", "network", f"output={output}", "dataset.num_images=40", "batch_size=20") == 0
    with output.open(newline="") as file:
        rows = {row["measure"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"all_in_top", "right_object"}
    assert all(row["n"] == "40" and float(row["mean"]) > 0.5 for row in rows.values())
    assert "of 40 images" in capsys.readouterr().out


def test_scenes_of_one_object_are_refused_in_one_line(tmp_path, capsys):
    assert command("measure", "network", f"output={tmp_path}/n.csv", "dataset=digits", "dataset.num_images=2") == 2
    assert "needs scenes of several annotated objects with boxes" in capsys.readouterr().err
