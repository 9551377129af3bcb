"""Concepts: mean latents from pictures, kept in files, and as targets of the benchmark."""

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from torchvision.transforms.functional import to_pil_image

from cdam_bench.datasets.concepts import (
    Concepts,
    ConceptSource,
    class_index,
    class_pictures,
    digest_of,
    warn_about_examples,
)
from cdam_bench.datasets.digits import render_scenes
from cdam_bench.datasets.imagenet_classes import real_labels
from cdam_bench.errors import UserError
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.recompute import explain_again
from tests.conftest import random_images
from tests.runs import cdam_bench


def save_pictures(folder, count, seed=0):
    """Pictures of single digits."""
    folder.mkdir(parents=True)
    pictures, _, _ = render_scenes([(seed, i) for i in range(count)], 1, "train")
    for i, picture in enumerate(pictures):
        to_pil_image(picture).save(folder / f"{i}.png")
    return folder


def test_a_concept_is_the_mean_latent_of_its_images(backbone):
    first, second = random_images(3, seed=1), random_images(2, seed=2)
    concepts = Concepts.of_images(backbone, {"first": first, "second": second})
    for vector, images in zip(concepts.vectors, (first, second), strict=True):
        one_by_one = [
            backbone.vit.forward_head(backbone.vit.forward_features(i[None]), pre_logits=True) for i in images
        ]
        torch.testing.assert_close(vector[None], torch.stack(one_by_one).mean(0), rtol=1e-4, atol=1e-5)


def test_saved_concepts_give_the_same_head(backbone, images, tmp_path):
    concepts = Concepts.of_images(backbone, {"a": random_images(2, seed=1), "b": random_images(2, seed=2)})
    read = Concepts.load(concepts.save(tmp_path / "ab.safetensors"), backbone)
    assert read.names == ("a", "b")
    assert read.examples == concepts.examples
    latents = backbone.features(images)
    assert torch.equal(read.head("cosine")(latents), concepts.head("cosine")(latents))


def test_concepts_of_another_backbone_are_refused(backbone, any_backbone, tmp_path):
    file = Concepts.of_images(backbone, {"a": random_images(2)}).save(tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="another backbone"):
        Concepts.load(file, any_backbone)


def test_a_damaged_file_of_concepts_is_named(backbone, tmp_path):
    file = Concepts.of_images(backbone, {"a": random_images(2)}).save(tmp_path / "a.safetensors")
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"a\.safetensors cannot be read"):
        Concepts.load(file, backbone)


def test_one_picture_is_too_few(tmp_path):
    with pytest.raises(UserError, match=r"concept few has 1 picture: .* at least 2"):
        _ = ConceptSource(str(save_pictures(tmp_path / "few", 1))).pictures


def test_an_unreadable_picture_is_named(tmp_path):
    folder = save_pictures(tmp_path / "stripes", 2)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(UserError, match=r"1 of 3 images cannot be read: .*broken\.jpg"):
        _ = ConceptSource(str(folder)).pictures


def test_nothing_to_make_a_concept_from_is_said():
    with pytest.raises(UserError, match="no concept is given"):
        ConceptSource()


@pytest.mark.parametrize("name", ["hammer", "Hammer", 587, "587", "n03481172"])
def test_imagenet_classes_are_found_by_name_index_and_wordnet_id(name):
    assert class_index(name) == 587


def test_an_unknown_imagenet_class_gets_the_nearest_names():
    with pytest.raises(UserError, match=r"did you mean .*hammer"):
        class_index("hamer")


def test_pictures_of_an_imagenet_class_that_show_it_alone_come_first(tmp_path):
    val = tmp_path / "val"
    val.mkdir()
    wanted = []
    for number, labels in enumerate(real_labels(), 1):
        if 587 in labels:
            file = val / f"ILSVRC2012_val_{number:08d}.JPEG"
            file.touch()
            wanted += [file.name] if labels == [587] else []
    found = [file.path.name for file in class_pictures("hammer", 30, tmp_path)]
    assert found[: len(wanted)] == wanted
    assert len(set(found)) == 30


def test_an_example_that_is_also_explained_is_warned_about(backbone, capsys):
    images = random_images(3, seed=1)
    head = Concepts.of_images(backbone, {"a": images[:2]}).head()
    assert warn_about_examples(head, ["one", "two"], images[1:]) == ["one"]
    assert "warning: one" in capsys.readouterr().err
    assert digest_of(images[0]) != digest_of(images[1])


def concept_run(results, source, *overrides):
    head = ("backbone/head=concept", f"backbone.head.source={source}", "estimator=cdam")
    status = cdam_bench(results, *head, "metric.box_sensitivity=null", *overrides)
    file = results / "cells/digits_multi/digits_vit_concept/cdam/scores.csv"
    return status, pd.read_csv(file) if file.exists() else None


def test_the_benchmark_takes_concepts_as_targets(tmp_path):
    folders = [save_pictures(tmp_path / name, 3, seed) for seed, name in enumerate(("stripes", "tails"))]
    status, scores = concept_run(tmp_path / "results", f"[{folders[0]},{folders[1]}]")
    assert status == 0
    assert all(set(pair) == {"stripes", "tails"} for pair in zip(scores["target"], scores["other"], strict=True))
    assert scores["A_LIF-MIF"].notna().all()


def test_the_maps_of_a_concept_cell_can_be_drawn_again(tmp_path):
    folders = [save_pictures(tmp_path / name, 3, seed) for seed, name in enumerate(("stripes", "tails"))]
    assert concept_run(tmp_path / "results", f"[{folders[0]},{folders[1]}]")[0] == 0
    (comparison,) = read_comparisons(tmp_path / "results")
    paths = OmegaConf.create({"data_dir": str(tmp_path), "weights_dir": str(tmp_path)})
    runtime = OmegaConf.create({"device": "cpu", "batch_size": 8, "precision": "fp32"})
    (explained,), problems = explain_again(comparison, 1, paths, runtime)
    assert problems == []
    assert set(explained.targets) == {"stripes", "tails"}
    assert np.isfinite(explained.maps["cdam"]).all()


def test_other_examples_make_another_cell(tmp_path, capsys):
    folder = save_pictures(tmp_path / "stripes", 3)
    assert concept_run(tmp_path / "results", folder)[0] == 0
    (folder / "2.png").unlink()
    capsys.readouterr()
    assert concept_run(tmp_path / "results", folder)[0] == 2
    assert "backbone.head.sha256" in capsys.readouterr().err


def test_concepts_named_as_the_classes_are_annotated_as_they_are(tmp_path):
    folders = [save_pictures(tmp_path / str(digit), 2, seed=digit) for digit in reversed(range(10))]
    status, scores = concept_run(
        tmp_path / "results", "[" + ",".join(map(str, folders)) + "]", "target_order=annotated"
    )
    assert status == 0
    assert (
        cdam_bench(tmp_path / "classes", "estimator=cdam", "metric.box_sensitivity=null", "target_order=annotated") == 0
    )
    by_class = pd.read_csv(tmp_path / "classes/cells/digits_multi/digits_vit/cdam/scores.csv")
    assert scores[["target", "other"]].equals(by_class[["target", "other"]])
    assert scores["right_box"].notna().all()
