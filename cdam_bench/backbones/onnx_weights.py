"""Weights inside an ONNX file, by the names of the model that it was exported from: DINOv2's by those of `transformers`.

An export keeps the names of most weights. The matrices of linear layers it gives transposed and by numbers, and so what it computed
beforehand, the position embeddings. Which layer a matrix is of stands in the name of the node that multiplies by it.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from cdam_bench.backbones.hugging_face_weights import to_timm
from cdam_bench.backbones.loading import create_vit
from cdam_bench.backbones.positions import Resampling, set_resampling
from cdam_bench.errors import UserError, require

EXTRA = "pip install 'cdam-bench[onnx]'"
NUMBERED = "onnx::"  # what names begin with that the export made up
TRUNK = "backbone."  # of the module that is read; what follows it (a decoder) is left out
EMBEDDINGS = "/backbone/embeddings/"  # its nodes that add the positions

Tensors = dict[str, Tensor]


def dinov2_of_onnx(path: str | Path, architecture: str, **model_args: Any) -> VisionTransformer:
    """The DINOv2 of an ONNX file as a ViT of timm without a head, for images of the size that its positions are for.

    Its positions are resampled to other sizes as `transformers`, which it was exported from, does: bicubic, not antialiased.

    Args:
        path: .onnx file, or the wheel (.whl) or zip archive that has one.
        architecture: timm's name of it.
        model_args: further arguments of the model's class.
    Raises:
        UserError: if the file cannot be read or is of another model, or the package `onnx` is missing.
    """
    weights = to_timm(named_weights(read_graph(path)), "dinov2")
    require(
        "pos_embed" in weights and "patch_embed.proj.weight" in weights, f"{path} has no DINOv2 under the name {TRUNK}"
    )
    side = round((weights["pos_embed"].shape[1] - 1) ** 0.5)
    image_size = side * weights["patch_embed.proj.weight"].shape[-1]
    vit = create_vit(architecture, 0, image_size, model_args)
    wanted, found = ({name: tuple(value.shape) for name, value in one.items()} for one in (vit.state_dict(), weights))
    differ = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    require(
        not differ, f"{path} does not fit architecture={architecture}: {len(differ)} weights differ, as {differ[:4]}"
    )
    vit.load_state_dict(weights)
    set_resampling(vit, Resampling(antialias=False))
    return vit


def read_graph(path: str | Path) -> Any:
    """The graph of an .onnx file, or of the only one in a wheel or zip archive.

    Raises:
        UserError: if it cannot be read, or the package `onnx` is missing.
    """
    path = Path(path)
    require(path.is_file(), f"{path} not found: give the path of an .onnx file, or of a wheel that has one")
    try:
        import onnx
    except ImportError as error:
        raise UserError(f"{path}: ONNX files are read with the package onnx: {EXTRA}") from error
    try:
        return onnx.load_model_from_string(_content(path)).graph
    except UserError:
        raise
    except Exception as error:  # zipfile's, or protobuf's own for what is no ONNX
        raise UserError(f"{path} cannot be read as ONNX ({type(error).__name__}): download or copy it again") from error


def _content(path: Path) -> bytes:
    """Bytes of the .onnx file, or of the one in an archive."""
    if path.suffix == ".onnx":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".onnx")]
        require(len(names) == 1, f"{path} has {len(names)} .onnx files: give the path of the one that is meant")
        return archive.read(names[0])


def named_weights(graph: Any) -> Tensors:
    """Weights of the trunk by the names they had, matrices as (out, in), with `embeddings.position_embeddings`.

    Args:
        graph: of an ONNX file.
    """
    from onnx import numpy_helper

    values = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    found = {name: value for name, value in values.items() if not name.startswith(NUMBERED)}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            layer = node.name.strip("/").rpartition("/")[0].replace("/", ".")
            found[f"{layer}.weight"] = values[node.input[1]].mT.contiguous()
    found = {name.removeprefix(TRUNK): value for name, value in found.items() if name.startswith(TRUNK)}
    positions = sorted(_numbered_inputs(graph, values), key=len)
    if len(positions) == 2:  # of [CLS] and of the patches, which alone are resampled
        found["embeddings.position_embeddings"] = torch.cat(positions)[None]
    return found


def _numbered_inputs(graph: Any, values: Tensors) -> Iterator[Tensor]:
    """What the export computed beforehand for the embeddings: tokens (N, D) each."""
    for node in graph.node:
        if node.name.startswith(EMBEDDINGS):
            for name in node.input:
                if name.startswith(NUMBERED) and name in values and values[name].ndim == 3:
                    yield values[name][0]
