"""Same answer however it is run."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from cdam_bench.backbones import load_backbone
from cdam_bench.benchmark.job import Job
from cdam_bench.benchmark.shared import SharedResults
from cdam_bench.benchmark.targets import choose_targets
from cdam_bench.datasets import DigitScenes, Preprocessing, collate
from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM, AttentionMap, SmoothCDAM, TokenEstimator
from cdam_bench.metrics import BoxSensitivity, Compactness, Fidelity
from cdam_bench.store.cells import CellKey
from cdam_bench.store.chunks import IMAGE, SCORE
from tests.runs import SMALL, cdam_bench, files_below

KEY = CellKey("digits_multi", "digits_vit", "any")
IDENTITY = {"metric": {"fidelity": {}, "box": {}, "compactness": {}}} | dict.fromkeys(
    ("cdam_bench", "dataset", "backbone", "seed", "precision"), 0
)


def scores_of(path):
    return pd.read_csv(path / "scores.csv").set_index("image")


def cell(results, estimator, dataset="digits_multi"):
    return results / "cells" / dataset / "digits_vit" / estimator


@pytest.fixture(scope="module")
def backbone():
    model_args = {"patch_size": 8, "embed_dim": 96, "depth": 5, "num_heads": 4}
    return load_backbone("vit_tiny_patch16_224", "digits_vit.safetensors", None, 10, 64, model_args=model_args)


@pytest.fixture(scope="module")
def scenes():
    return DigitScenes(2, Preprocessing(64, mean=[0.5] * 3, std=[0.25] * 3), num_images=32)


class Backwards:
    """A dataset read from its end."""

    def __init__(self, dataset):
        self.dataset, self.class_names = dataset, dataset.class_names

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[len(self) - 1 - index]


def measured(folder, backbone, dataset, estimator, batch_size, chunk):
    metrics = {
        "fidelity": Fidelity(4, 4.0, "both"),
        "box": BoxSensitivity([20, 50], 8, 4.0),
        "compactness": Compactness(),
    }
    job = Job(KEY, backbone, dataset, estimator, metrics, 0, "logit", "classes", batch_size)
    shared = SharedResults(folder, KEY, IDENTITY)
    parts = [job.measure(start, start + chunk, shared) for start in range(0, len(dataset), chunk)]
    names = [name for name in parts[0] if name.startswith(SCORE)]
    images = np.concatenate([part[IMAGE] for part in parts])
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in names}, index=images)


@pytest.mark.parametrize("estimator", [CDAM(), SmoothCDAM(num_samples=8)], ids=["cdam", "smooth_cdam"])
def test_scores_do_not_depend_on_batch_size_chunk_size_or_reading_order(estimator, tmp_path, backbone, scenes):
    together = measured(tmp_path / "a", backbone, scenes, estimator, 32, 32)
    alone = measured(tmp_path / "b", backbone, scenes, estimator, 1, 1)
    backwards = measured(tmp_path / "c", backbone, Backwards(scenes), estimator, 32, 8)
    scale = together.abs().max()
    for other in (alone, backwards.loc[together.index]):
        assert ((together - other).abs() <= 1e-5 * scale).all().all()


def test_shards_together_give_the_cell_of_an_undivided_run(tmp_path):
    assert cdam_bench(tmp_path / "whole") == 0
    for shard in (2, 0, 1):
        assert not (cell(tmp_path / "parts", "smooth_cdam") / "scores.csv").exists()
        assert cdam_bench(tmp_path / "parts", "shards=3", f"shard={shard}") == 0
    whole, parts = (cell(tmp_path / name, "smooth_cdam") for name in ("whole", "parts"))
    assert (whole / "scores.csv").read_bytes() == (parts / "scores.csv").read_bytes()


def test_a_damaged_chunk_is_redone_and_nothing_else(tmp_path):
    assert cdam_bench(tmp_path, "shards=2", "shard=0") == 0
    first, second = sorted((cell(tmp_path, "smooth_cdam") / "chunks").iterdir())
    good, untouched = first.read_bytes(), second.stat().st_mtime_ns
    first.write_bytes(good[:-100])
    assert cdam_bench(tmp_path) == 0
    assert second.stat().st_mtime_ns == untouched
    assert cdam_bench(tmp_path / "fresh") == 0
    assert (cell(tmp_path, "smooth_cdam") / "scores.csv").read_bytes() == (
        cell(tmp_path / "fresh", "smooth_cdam") / "scores.csv"
    ).read_bytes()


def test_a_finished_cell_is_left_alone(tmp_path, capsys):
    assert cdam_bench(tmp_path, "estimator=cdam") == 0
    before = files_below(tmp_path)
    capsys.readouterr()
    assert cdam_bench(tmp_path, "estimator=cdam", "runtime.batch_size=7", "chunk_size=3") == 0
    assert "done before" in capsys.readouterr().out
    assert files_below(tmp_path) == before


def test_attention_has_exactly_no_class_discrimination(tmp_path):
    assert cdam_bench(tmp_path, "estimator=attention_map", "metric.fidelity.unit=both") == 0
    scores = scores_of(cell(tmp_path, "attention_map"))
    for column in ("delta_A_LIF-MIF", "delta_A_LIF-MIF_patch", "delta_A_box", "other_delta_A_box"):
        assert (scores[column] == 0).all(), column


def test_box_responses_are_computed_once_for_all_estimators(tmp_path, monkeypatch):
    calls = []
    original = BoxSensitivity.prepare
    monkeypatch.setattr(BoxSensitivity, "prepare", lambda self, subject: calls.append(1) or original(self, subject))
    assert cdam_bench(tmp_path, "-m", "estimator=cdam,attention_map,gradcam") == 0
    assert len(calls) == 3  # chunks of one cell


def test_a_metric_can_be_left_out(tmp_path):
    assert cdam_bench(tmp_path, "estimator=cdam", "metric.fidelity=null", "metric.compactness=null") == 0
    columns = scores_of(cell(tmp_path, "cdam")).columns
    assert "A_box" in columns
    assert "A_MIF" not in columns
    assert "compactness" not in columns


def test_one_object_scenes_explain_the_predicted_class(tmp_path, backbone):
    assert cdam_bench(tmp_path, "estimator=cdam", "dataset=digits") == 0
    scores = scores_of(cell(tmp_path, "cdam", "digits"))
    dataset = DigitScenes(1, Preprocessing(64, mean=[0.5] * 3, std=[0.25] * 3), num_images=6)
    predicted = backbone.logits(torch.stack([dataset[i].image for i in range(6)])).argmax(1)
    assert scores["target"].tolist() == predicted.tolist()
    assert "other" not in scores.columns


def test_of_two_annotated_classes_the_one_with_the_higher_logit_comes_first_with_its_box(scenes):
    batch = collate([scenes[0], scenes[1]])
    logits = torch.zeros(2, 10)
    logits[0, batch.targets[0, 1]] = 1.0
    logits[1, batch.targets[1, 0]] = 1.0
    targets, boxes = choose_targets(batch, logits, "logit")
    assert targets.tolist() == [batch.targets[0].flip(0).tolist(), batch.targets[1].tolist()]
    assert torch.equal(boxes[0], batch.boxes[0].flip(0))
    assert torch.equal(boxes[1], batch.boxes[1])
    assert torch.equal(choose_targets(batch, logits, "annotated")[0], batch.targets)


class Broken(TokenEstimator):
    def scores(self, backbone, images, targets, seeds):
        scores = torch.ones(*targets.shape, 64)
        scores[1] = torch.nan
        return scores


def test_a_map_with_nan_is_an_error_naming_image_and_estimator(tmp_path, backbone, scenes):
    with pytest.raises(UserError, match=r"test-2-0-00001 by estimator any"):
        measured(tmp_path, backbone, scenes, Broken(), 4, 4)


def test_out_of_memory_while_explaining_halves_the_batch(tmp_path, backbone, scenes):
    class Hungry(AttentionMap):
        def scores(self, backbone, images, targets, seeds):
            if len(images) > 3:
                raise torch.OutOfMemoryError
            return super().scores(backbone, images, targets, seeds)

    hungry = measured(tmp_path / "a", backbone, scenes, Hungry(), 16, 16)
    modest = measured(tmp_path / "b", backbone, scenes, AttentionMap(), 16, 16)
    # A_box of up to 50: a correlation near 0 is what is left of sums that cancel
    assert np.allclose(hungry, modest, rtol=1e-5, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("wait", [0.5, 2.0])
def test_a_sweep_killed_with_sigkill_resumes_to_the_same_files(tmp_path, wait):
    """Killed in its first or second cell, `wait` seconds after the first chunk is there."""
    sweep = [sys.executable, "-m", "cdam_bench", "-m", "estimator=smooth_cdam,integrated_gradients", *SMALL]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    same_threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums round alike
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*sweep, f"results_dir={killed}"], env=same_threads, **quiet)
    while not list(killed.glob("cells/*/*/*/chunks/*.npz")):
        assert process.poll() is None, "ended before its first chunk"
        time.sleep(0.02)
    time.sleep(wait)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert cdam_bench(killed, "-m", "estimator=smooth_cdam,integrated_gradients") == 0
    assert cdam_bench(whole, "-m", "estimator=smooth_cdam,integrated_gradients") == 0
    for estimator in ("smooth_cdam", "integrated_gradients"):
        for file in ("scores.csv", "curves.npz"):
            assert (cell(killed, estimator) / file).read_bytes() == (cell(whole, estimator) / file).read_bytes()
