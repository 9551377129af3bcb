"""Nodules as images, by hand; folds are the same everywhere; nothing of the test nodules reaches training."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch

from cdam_bench.datasets import Preprocessing, collate
from cdam_bench.errors import UserError
from cdam_bench.lidc.dataset import LidcNodules, cut, to_images, training_statistics
from cdam_bench.lidc.nodule_set import BIOMARKERS, NoduleSet
from cdam_bench.lidc.splits import PARTS, split_nodules
from cdam_bench.lidc.targets import Targets

COUNT = 60
TESTED_FIRST = [9, 12, 13, 17, 26, 30, 33, 39, 42, 47, 48, 50]
DIGEST = "07c30e18a919e6b9"
EVERY_FOLD = [("paper", fold) for fold in (0, 1, 2, 3, 4, "single")] + [("patient", fold) for fold in range(5)]


def table_of(count=COUNT):
    """Nodules of which three in a row belong to two patients; labels by a rule."""
    numbers = np.arange(count)
    names = [f"P{2 * n // 3:03d}-a{n:04d}" for n in numbers]
    table = pd.DataFrame(
        {"nodule": names, "patient": [name[:4] for name in names], "label": (numbers * 7 % 5 < 2).astype(int)}
    )
    return table.assign(**{name: (numbers * (k + 3)) % 11 / 2.0 for k, name in enumerate(BIOMARKERS)})


def random_set(seed=0):
    rng = np.random.default_rng(seed)
    crops = rng.integers(-1000, 400, (COUNT, 32, 32, 32)).astype(np.int16)
    masks = np.zeros(crops.shape, bool)
    masks[:, 8:24, 8:24, 8:24] = True
    return NoduleSet(table_of(), crops, masks)


@pytest.fixture(scope="module")
def nodule_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("set") / "nodules.npz"
    random_set().save(path)
    return path


@pytest.mark.parametrize(("split", "fold"), EVERY_FOLD)
def test_every_nodule_is_in_one_part(split, fold):
    parts = split_nodules(table_of(), split, fold)
    assert tuple(parts) == PARTS
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(COUNT))


@pytest.mark.parametrize("split", ["paper", "patient"])
def test_each_nodule_is_tested_once(split):
    tested = np.concatenate([split_nodules(table_of(), split, fold)["test"] for fold in range(5)])
    np.testing.assert_array_equal(np.sort(tested), np.arange(COUNT))


def test_patients_are_never_on_both_sides_unless_the_split_is_the_papers():
    table = table_of()
    shared = {
        split: [
            len(set(table.patient[a]) & set(table.patient[b]))
            for fold in range(5)
            for parts in [split_nodules(table, split, fold)]
            for a, b in (
                (parts["train"], parts["test"]),
                (parts["train"], parts["validation"]),
                (parts["validation"], parts["test"]),
            )
        ]
        for split in ("paper", "patient")
    }
    assert set(shared["patient"]) == {0}
    assert max(shared["paper"]) > 0


def test_classes_have_equal_shares():
    table = table_of(300)
    for split in ("paper", "patient"):
        shares = [table.label[split_nodules(table, split, fold)["test"]].mean() for fold in range(5)]
        assert np.abs(np.array(shares) - table.label.mean()).max() < 0.05


def test_the_single_split_has_the_papers_sizes():
    parts = split_nodules(table_of(400), "paper", "single")
    assert [len(parts[part]) for part in PARTS] == [289, 51, 60]  # 0.7225, 0.1275, 0.15


def test_folds_are_the_same_on_every_machine_and_in_any_order():
    """The digest is of all folds of both splits; it was written down once."""
    table = table_of(200)
    shuffled = table.sample(frac=1, random_state=1).reset_index(drop=True)
    digest = hashlib.sha256()
    for split, fold in EVERY_FOLD:
        parts = split_nodules(table, split, fold)
        for part, rows in parts.items():
            again = split_nodules(shuffled, split, fold)[part]
            assert set(table.nodule[rows]) == set(shuffled.nodule[again])
            digest.update(f"{split} {fold} {part} {' '.join(table.nodule[rows])}".encode())
    assert split_nodules(table_of(), "paper", 0)["test"].tolist() == TESTED_FIRST
    assert digest.hexdigest()[:16] == DIGEST


@pytest.mark.parametrize(("split", "fold"), [("paper", 1), ("patient", 1), ("paper", "single")])
def test_statistics_of_training_do_not_depend_on_validation_and_test_nodules(split, fold):
    nodules = random_set()
    parts = split_nodules(nodules.table, split, fold)
    others = np.concatenate([parts["validation"], parts["test"]])
    crops, table = nodules.crops.copy(), nodules.table.copy()
    crops[others] = -1000
    table.loc[others, list(BIOMARKERS)] = 99.0
    changed = NoduleSet(table, crops, nodules.masks)
    assert training_statistics(crops[parts["train"]]) == training_statistics(nodules.crops[parts["train"]])
    before, after = (Targets.of(one, "biomarkers", parts["train"]) for one in (nodules, changed))
    assert (before.mean, before.std) == (after.mean, after.std)
    torch.testing.assert_close(before.values[parts["train"]], after.values[parts["train"]], rtol=0, atol=0)


def test_the_dataset_normalises_by_the_training_nodules_alone(nodule_file, tmp_path):
    nodules = NoduleSet.load(nodule_file)
    test = split_nodules(nodules.table, "paper", 2)["test"]
    crops = nodules.crops.copy()
    crops[test[1:]] = 400  # all test nodules but the first
    NoduleSet(nodules.table, crops, nodules.masks).save(tmp_path / "changed.npz")
    one, other = (
        LidcNodules(path, Preprocessing(32), "malignancy", fold=2) for path in (nodule_file, tmp_path / "changed.npz")
    )
    assert (one.mean, one.std) == (other.mean, other.std)
    torch.testing.assert_close(one[0].image, other[0].image, rtol=0, atol=0)
    train = split_nodules(nodules.table, "paper", 2)["train"]
    grey = (nodules.crops[train] + 1000.0) / 1400
    assert one.mean[0] == pytest.approx(grey.mean())
    assert one.std[0] == pytest.approx(grey.std())


def test_views_cut_across_z_y_and_x():
    z, y, x = np.indices((32, 32, 32))
    cube = 10_000 * z + 100 * y + x
    assert cut(cube, "axial")[3, 5] == 160_305
    assert cut(cube, "coronal")[3, 5] == 31_605
    assert cut(cube, "sagittal", 14)[3, 5] == 30_514


def test_hounsfield_units_become_normalised_grey():
    slices = torch.tensor([-1000.0, -300.0, 400.0])[:, None, None].expand(3, 32, 32)
    images = to_images(slices, 64, mean=0.25, std=0.5)
    assert images.shape == (3, 3, 64, 64)
    for image, grey in zip(images, (0.0, 0.5, 1.0), strict=True):
        torch.testing.assert_close(image, torch.full((3, 64, 64), (grey - 0.25) / 0.5))


def test_a_sample_has_all_outputs_as_targets_and_the_mask_of_its_slice(nodule_file):
    dataset = LidcNodules(nodule_file, Preprocessing(64), "biomarkers", views=("axial", "sagittal"), num_images=4)
    assert len(dataset) == 8
    assert dataset.class_names == BIOMARKERS
    sample = dataset[1]
    assert sample.image_id.endswith("/sagittal")
    assert sample.targets == tuple(range(8))
    assert sample.mask.shape == (64, 64)
    assert sample.mask[16:48, 16:48].all()
    assert sample.mask.sum() == 32 * 32
    row = int(np.flatnonzero(dataset.nodules.table.nodule == sample.image_id.partition("/")[0])[0])
    expected = to_images(
        torch.from_numpy(dataset.nodules.crops[row][:, :, 16])[None], 64, dataset.mean[0], dataset.std[0]
    )
    torch.testing.assert_close(sample.image, expected[0])
    assert collate([dataset[0], dataset[1]]).masks.shape == (2, 64, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "cancer"}, "^task=cancer is unknown: use one of malignancy, biomarkers"),
        ({"split": "honest"}, "split=honest is unknown: use one of paper, patient"),
        ({"fold": 5}, "fold=5: use 0 … 4, or single"),
        ({"fold": "single", "split": "patient"}, "fold=single is the paper's"),
        ({"part": "all"}, "^part=all is unknown"),
        ({"views": ["oblique"]}, "^views=oblique is unknown"),
        ({"num_images": 1000}, "^num_images=1000: the test part has 12 nodules"),
    ],
)
def test_settings_that_cannot_be_are_refused(nodule_file, settings, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        LidcNodules(nodule_file, Preprocessing(32), **{"task": "malignancy"} | settings)


def test_files_that_cannot_be_used_are_named(tmp_path):
    NoduleSet(table_of()).save(tmp_path / "bare.npz")
    (tmp_path / "text.npz").write_text("no nodules")
    for name, message in (
        ("bare", "have no crops: prepare them with dicom_dir"),
        ("text", "cannot be read"),
        ("gone", "make them with `cdam-bench prepare lidc`"),
    ):
        with pytest.raises(UserError, match=message):
            LidcNodules(tmp_path / f"{name}.npz", Preprocessing(32), "malignancy")


def test_a_set_that_was_saved_is_the_same(nodule_file):
    again, nodules = NoduleSet.load(nodule_file), random_set()
    pd.testing.assert_frame_equal(again.table, nodules.table, check_dtype=False)
    np.testing.assert_array_equal(again.crops, nodules.crops)
    np.testing.assert_array_equal(again.masks, nodules.masks)
