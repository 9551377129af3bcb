"""A DINOv2 inside an ONNX file: tiny files with the layout of an exported one, computed by ONNX's own reference evaluator."""

import math
import zipfile

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from cdam_bench.backbones.onnx_weights import dinov2_of_onnx
from cdam_bench.backbones.positions import set_input_size
from cdam_bench.errors import UserError
from tests.backbones.onnx_files import exported_dinov2

onnx = pytest.importorskip("onnx")
ARCHITECTURE = "vit_small_patch14_dinov2"
TINY = {"embed_dim": 16, "depth": 2, "num_heads": 2}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.onnx"
    onnx.save(exported_dinov2(width=16, depth=2, heads=2, side=5), path)
    return path


def features(path, images):
    """Of the file's own graph, computed by ONNX's reference evaluator."""
    from onnx.reference import ReferenceEvaluator

    return torch.from_numpy(ReferenceEvaluator(str(path)).run(None, {"images": images.numpy()})[0])


def test_features_are_those_of_the_graph_in_the_file(file):
    images = torch.randn(2, 3, 70, 70, generator=torch.Generator().manual_seed(0))
    vit = dinov2_of_onnx(file, ARCHITECTURE, **TINY).eval()
    assert vit.patch_embed.grid_size == (5, 5)
    with torch.no_grad():
        assert_close(vit.forward_features(images), features(file, images), rtol=1e-5, atol=1e-5)


def test_positions_are_resampled_without_antialiasing_to_exactly_the_new_grid(file):
    """By hand: a bicubic kernel of a = −3/4 as wide as the old pixels, whose sample points are the centres of the new ones."""
    vit = dinov2_of_onnx(file, ARCHITECTURE, **TINY)
    old = vit.pos_embed.detach()[0, 1:].reshape(5, 5, -1)
    set_input_size(vit, (42, 42))
    matrix = torch.zeros(3, 5)
    for new in range(3):
        place = (new + 0.5) * 5 / 3 - 0.5
        for neighbour in range(math.floor(place) - 1, math.floor(place) + 3):
            matrix[new, min(max(neighbour, 0), 4)] += keys_kernel(abs(place - neighbour))
    expected = torch.einsum("ij,kl,jld->ikd", matrix, matrix, old).reshape(9, -1)
    assert_close(vit.pos_embed.detach()[0, 1:], expected, rtol=1e-4, atol=1e-5)


def keys_kernel(x, a=-0.75):
    """Keys 1981, cubic convolution."""
    return (a + 2) * x**3 - (a + 3) * x**2 + 1 if x <= 1 else a * (x**3 - 5 * x**2 + 8 * x - 4)


def test_a_wheel_is_read_as_the_file_inside(file, tmp_path):
    wheel = tmp_path / "some-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some/__init__.py", "")
        archive.write(file, "some/models/tiny.onnx")
    inside, alone = (dinov2_of_onnx(path, ARCHITECTURE, **TINY).state_dict() for path in (wheel, file))
    assert all(torch.equal(inside[name], value) for name, value in alone.items())


@pytest.mark.parametrize(
    ("content", "changed", "message"),
    [
        (b"no protobuf", {}, "cannot be read as ONNX"),
        (None, {"depth": 3}, "does not fit architecture=vit_small_patch14_dinov2: 14 weights differ"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(file, content, changed, message):
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        dinov2_of_onnx(file, ARCHITECTURE, **{**TINY, **changed})
    assert str(error.value).startswith(str(file))


def test_a_file_of_something_else_is_no_dinov2(tmp_path):
    path = tmp_path / "other.onnx"
    values = [onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "weight")]
    graph = onnx.helper.make_graph([], "other", [], [], values)
    onnx.save(onnx.helper.make_model(graph), path)
    with pytest.raises(UserError, match="has no DINOv2"):
        dinov2_of_onnx(path, ARCHITECTURE, **TINY)
