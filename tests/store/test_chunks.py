"""Chunks know whether they are whole and what they belong to; files are written wholly or not at all."""

import numpy as np
import pytest

from cdam_bench.store.chunks import IMAGE, SCORE, SECONDS, ChunkFolder, chunk_ranges
from cdam_bench.store.files import differences, write_atomically


def chunk(*images):
    return {IMAGE: np.array(images), SCORE + "A_MIF": np.arange(len(images)) * 1.5, SECONDS: np.array([1.0])}


@pytest.fixture
def folder(tmp_path):
    chunks = ChunkFolder(tmp_path, "identity")
    chunks.write(0, 2, chunk("a", "b"))
    return chunks


def test_a_chunk_is_read_as_it_was_written(folder):
    stored = folder.read(0, 2)
    assert stored.keys() == chunk("a", "b").keys()
    assert all(np.array_equal(stored[name], values) for name, values in chunk("a", "b").items())


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_truncated_chunk_counts_as_missing(folder, keep):
    file = folder.file(0, 2)
    file.write_bytes(file.read_bytes()[:keep])
    assert folder.read(0, 2) is None


def test_a_chunk_with_any_flipped_byte_of_data_counts_as_missing(folder):
    file = folder.file(0, 2)
    original = file.read_bytes()
    start = original.index(np.arange(2) * 1.5)
    for position in range(start, start + 16):
        file.write_bytes(original[:position] + bytes([original[position] ^ 1]) + original[position + 1 :])
        assert folder.read(0, 2) is None


def test_a_chunk_whose_data_was_replaced_consistently_counts_as_missing(folder):
    with np.load(folder.file(0, 2)) as stored:
        arrays = dict(stored)
    arrays[SCORE + "A_MIF"] = arrays[SCORE + "A_MIF"] + 1
    np.savez(folder.file(0, 2), **arrays)
    assert folder.read(0, 2) is None


def test_a_chunk_of_another_configuration_counts_as_missing(folder):
    assert ChunkFolder(folder.path, "another").read(0, 2) is None


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    target = tmp_path / "file"
    write_atomically(target, b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_shards_take_every_image_exactly_once(shards):
    spans = [span for shard in range(shards) for span in chunk_ranges(23, 4, shards, shard)]
    assert sorted(i for start, stop in spans for i in range(start, stop)) == list(range(23))


def test_differences_name_added_removed_and_changed_settings():
    old, new = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 5}, "e": 4}
    assert differences(old, new) == "a.c: 2 → 5, d: 3 → unset, e: unset → 4"
