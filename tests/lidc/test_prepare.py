"""From a DICOM folder to crops, on synthetic series of real scans; what cannot be used is skipped with a reason."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("SimpleITK", reason="needs cdam-bench[lidc]")

from cdam_bench.lidc.nodule_set import NoduleSet
from cdam_bench.lidc.prepare import _together
from cdam_bench.lidc.volumes import CENTRE, UnusableScanError, Volume, _check_positions, _image, crop
from tests.lidc import database
from tests.lidc.series import LUNG, TISSUE, scan_of, write_series
from tests.scripts import command

WHOLE, UNEVEN = 698, 267  # scans of one nodule each: 65 slices; 150 slices, two gaps of 0.5 mm among those of 2.5 mm


def prepare(tmp_path, *scans):
    dicom = tmp_path / "dicom"
    settings = [f"dicom_dir={dicom}", f"scans=[{','.join(map(str, scans))}]", "workers=1", f"work_dir={tmp_path}/work"]
    return command("prepare", "lidc", *settings, f"output={tmp_path}/set.npz")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A whole scan with a nodule, beside one that is unevenly spaced: prepared together."""
    folder = tmp_path_factory.mktemp("lidc")
    write_series(folder / "dicom", WHOLE, annotations=(4817, 4818, 4820))
    write_series(folder / "dicom", UNEVEN, side=8)
    assert prepare(folder, WHOLE, UNEVEN) == 0
    return NoduleSet.load(folder / "set.npz")


def extent(annotations, spacing, positions):
    """Side lengths (z, y, x) in mm of the box around what at least half of the annotators outlined, from the database alone."""
    from tests.lidc.series import votes

    heights = sorted({z for annotation in annotations for z, _, _ in database.contours(annotation)})
    inside = np.stack([2 * votes(annotations, z, 512) >= len(annotations) for z in heights])
    places = np.argwhere(inside)
    gap = positions[1] - positions[0]
    return (np.ptp(places, axis=0) + 1) * np.array([gap, spacing, spacing])


def test_crop_and_mask_are_centred_in_hounsfield_units_at_one_millimetre(prepared):
    assert list(prepared.table.annotations) == ["4817 4818 4820"]
    hu, mask = prepared.crops[0], prepared.masks[0]
    assert hu.shape == mask.shape == (32, 32, 32)
    bright = hu > (LUNG + TISSUE) / 2
    for inside in (mask, bright):
        places = np.argwhere(inside)
        middle = (places.min(0) + places.max(0)) / 2
        assert np.abs(middle - CENTRE).max() <= 1
    assert hu[CENTRE, CENTRE, CENTRE] == hu.max() == TISSUE
    assert hu[mask].min() > LUNG  # slices are 5 times as thick as pixels are wide: most voxels are between two
    assert np.median(hu[~bright]) == LUNG
    _, _, _, spacing, positions = scan_of(WHOLE)
    expected = extent((4817, 4818, 4820), spacing, positions)
    found = np.ptp(np.argwhere(mask), axis=0) + 1
    assert np.abs(found - expected).max() <= 1  # in mm, as in voxels
    agreement = (bright & mask).sum() / (bright | mask).sum()
    assert agreement > 0.9


def test_uneven_slices_are_skipped_with_the_reason_and_the_others_are_done(prepared):
    (line,) = prepared.description["skipped"]
    assert line.startswith(f"skipped scan {UNEVEN} (1 nodules of LIDC-IDRI-")
    assert "slice spacing is not uniform: 0.5 to 2.5 mm" in line
    assert len(prepared) == 1


def test_missing_slices_are_counted(tmp_path, capsys):
    write_series(tmp_path / "dicom", WHOLE, side=8, leave_out=(10, 11, 12))
    assert prepare(tmp_path, WHOLE) == 2
    told = capsys.readouterr()
    assert "series is incomplete: 3 of 65 slices are missing" in told.out
    assert "no nodule could be prepared: 1 scans were skipped" in told.err


def test_another_series_of_the_patient_is_left_alone_and_its_own_is_taken(tmp_path, capsys):
    """Its own is incomplete here, which proves that it is the one that was read."""
    write_series(tmp_path / "dicom", WHOLE, side=8, series="1.2.3")
    assert prepare(tmp_path, WHOLE) == 2
    assert "which has 1 other series" in capsys.readouterr().out
    write_series(tmp_path / "dicom", WHOLE, side=8, leave_out=(0,))
    assert prepare(tmp_path, WHOLE) == 2
    assert "1 of 65 slices are missing" in capsys.readouterr().out


def test_patient_without_a_folder_and_damaged_file_are_named(tmp_path, capsys):
    (tmp_path / "dicom" / "LIDC-IDRI-0000").mkdir(parents=True)
    assert prepare(tmp_path, WHOLE) == 2
    assert "no folder LIDC-IDRI-0957 in" in capsys.readouterr().out
    (tmp_path / "dicom" / "LIDC-IDRI-0957").mkdir()
    (tmp_path / "dicom" / "LIDC-IDRI-0957" / "1.dcm").write_bytes(b"no DICOM")
    assert prepare(tmp_path, WHOLE) == 2
    assert "1.dcm cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["dicom_dir=nowhere"], "dicom_dir=nowhere not found: give the folder that holds LIDC-IDRI-0001"),
        ([], "dicom_dir is not set"),
        (["dicom_dir=."], "has no folder LIDC-IDRI-0001 or the like"),
        (
            ["annotations_only=true", "scans=[4711]"],
            "scans=[4711] are unknown: the database numbers its scans 1 to 1018",
        ),
        (["annotations_only=true", "workers=0"], "workers=0: must be a positive whole number"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, settings, message):
    assert command("prepare", "lidc", f"output={tmp_path}/set.npz", *settings) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert message in told[-1]
    assert not (tmp_path / "set.npz").exists()


def test_beyond_the_edge_there_is_air_and_its_share_is_told():
    """A nodule in the corner of a volume of 0.5 × 0.8 × 2 mm voxels."""
    spacing = np.array([2.0, 0.8, 0.5])
    hu = np.full((30, 60, 80), 100, dtype=np.int16)
    cube = crop(Volume(_image(hu, spacing), spacing), np.ones((3, 5, 7), bool), np.array([0, 0, 0]))
    # the centre of the mask is at voxel (1, 2, 3), that is (2, 1.6, 1.5) mm: 16 mm below it reach 14 mm and more outside
    assert cube.hu[16, 16, 16] == 100
    assert cube.hu[0].max() == cube.hu[:, 0].max() == cube.hu[:, :, 0].max() == -1000
    inside = [(np.arange(32) + c - 16 >= -0.5 * s).sum() for c, s in zip((2, 1.6, 1.5), spacing, strict=True)]
    assert cube.padded == pytest.approx(1 - np.prod(inside) / 32**3)
    assert (cube.hu == 100).mean() == pytest.approx(np.prod(inside) / 32**3)


def test_a_padded_crop_and_an_empty_mask_are_named_in_the_file():
    table = pd.DataFrame({"nodule": ["P2-a2", "P1-a1"], "patient": ["P2", "P1"], "label": [0, 1]})
    cubes = {
        "hu": np.zeros((2, 32, 32, 32), np.int16),
        "mask": np.zeros((2, 32, 32, 32), bool),
        "padded": np.array([0.0, 0.25]),
    }
    cubes["hu"][1], cubes["mask"][1, 16] = 7, True
    nodules = _together({5: table}, {5: cubes}, [])
    assert nodules.description["notes"] == [
        "P1-a1: 25 % of its crop lie beyond the volume and are filled with air",
        "P2-a2: no voxel of its crop is in the consensus",
    ]
    assert nodules.table.nodule.tolist() == ["P1-a1", "P2-a2"]  # crops and masks are sorted with the table
    assert nodules.crops[0, 0, 0, 0] == 7
    assert nodules.masks[0, 16].all()


def test_resampling_is_linear_between_voxels():
    spacing = np.array([2.0, 1.0, 1.0])
    ramp = np.broadcast_to(10 * np.arange(40)[:, None, None], (40, 60, 60)).astype(np.int16)  # 5 HU per mm
    cube = crop(Volume(_image(ramp, spacing), spacing), np.ones((1, 1, 1), bool), np.array([20, 30, 30]))
    np.testing.assert_array_equal(cube.hu[:, 5, 7], np.clip(200 + 5 * (np.arange(32) - 16), -1000, 400))
    assert cube.mask.sum() >= 1
    assert cube.mask[16, 16, 16]


def test_slices_that_the_annotations_do_not_know_are_refused():
    expected = np.arange(0.0, 30.0, 3.0)
    _check_positions(expected + 0.01, expected)  # within the tolerance of 1 % of 3 mm
    with pytest.raises(UnusableScanError, match="1 slices are unknown to the annotations"):
        _check_positions(np.append(expected, 31.5), expected)
