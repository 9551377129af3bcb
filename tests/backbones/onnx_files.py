"""ONNX files of a random DINOv2 with the names and the layout that torch's export of `transformers`' Dinov2Model has."""

from typing import Any

import numpy as np

PATCH = 14


class Exported:
    """A graph that grows node by node; values are drawn at random."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.values: list[Any] = []
        self.random = np.random.default_rng(0)

    def value(self, name: str, *shape: int, mean: float = 0.0, std: float = 0.3) -> str:
        """A random initializer of that name; returns the name."""
        from onnx import numpy_helper

        drawn = mean + std * self.random.normal(size=shape)
        self.values.append(numpy_helper.from_array(drawn.astype(np.float32), name))
        return name

    def constant(self, name: str, values: Any) -> str:
        """A node that gives an array; returns the name of its output."""
        from onnx import numpy_helper

        return self.node("Constant", name, value=numpy_helper.from_array(np.array(values)))

    def whole(self, name: str, *numbers: int) -> str:
        """A constant of whole numbers."""
        return self.constant(name, np.array(numbers, np.int64))

    def node(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """A node; returns the name of its output."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [f"{name}_output_0"], name, **attributes))
        return f"{name}_output_0"

    def linear(self, module: str, x: str, outputs: int, inputs: int) -> str:
        """x @ matrix + bias: the matrix transposed and numbered, the bias named, as the export has them."""
        matrix = self.value(f"onnx::MatMul_{1000 + len(self.nodes)}", inputs, outputs)
        at = "/" + module.replace("layer.", "layer#").replace(".", "/").replace("#", ".")
        return self.node(
            "Add", f"{at}/Add", self.value(f"{module}.bias", outputs), self.node("MatMul", f"{at}/MatMul", x, matrix)
        )

    def norm(self, module: str, x: str, width: int) -> str:
        scale, shift = self.value(f"{module}.weight", width, mean=1), self.value(f"{module}.bias", width)
        return self.node("LayerNormalization", f"/{module}/Norm", x, scale, shift, axis=-1, epsilon=1e-6)


def exported_dinov2(width: int, depth: int, heads: int, side: int) -> Any:
    """An ONNX model from images (B, 3, 14·side, 14·side) to tokens after the final norm (B, 1 + side², width)."""
    from onnx import TensorProto, helper

    graph = Exported()
    x = _embedded(graph, width, side)
    for index in range(depth):
        x = _block(graph, f"backbone.encoder.layer.{index}", x, width, heads)
    x = graph.norm("backbone.layernorm", x, width)
    graph.value("decoder.final_conv.weight", 1, width, 1, 1)  # which is of no interest
    length = side * PATCH
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["B", 3, length, length])
    tokens = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["B", 1 + side**2, width])
    made = helper.make_graph(graph.nodes, "main_graph", [images], [tokens], graph.values)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _embedded(graph: Exported, width: int, side: int) -> str:
    at, names = "/backbone/embeddings", "backbone.embeddings"
    kernel = graph.value(f"{names}.patch_embeddings.projection.weight", width, 3, PATCH, PATCH, std=0.05)
    bias = graph.value(f"{names}.patch_embeddings.projection.bias", width)
    x = graph.node("Conv", f"{at}/patch_embeddings/projection/Conv", "images", kernel, bias, strides=[PATCH, PATCH])
    x = graph.node("Reshape", f"{at}/Reshape", x, graph.whole("flat", 0, width, side**2))
    x = graph.node("Transpose", f"{at}/Transpose", x, perm=[0, 2, 1])
    token = graph.value(f"{names}.cls_token", 1, 1, width)
    batch = graph.node("Shape", f"{at}/Shape", "images", start=0, end=1)
    shape = graph.node("Concat", f"{at}/Concat", batch, graph.whole("ones", 1, 1), axis=0)
    x = graph.node("Concat", f"{at}/Concat_1", graph.node("Expand", f"{at}/Expand", token, shape), x, axis=1)
    patches = graph.value("onnx::Reshape_1962", 1, side**2, width)
    patches = graph.node("Reshape", f"{at}/Reshape_1", patches, graph.whole("same", 1, side**2, width))
    positions = graph.node("Concat", f"{at}/Concat_6", graph.value("onnx::Concat_1957", 1, 1, width), patches, axis=1)
    return graph.node("Add", f"{at}/Add", x, positions)


def _block(graph: Exported, module: str, x: str, width: int, heads: int) -> str:
    y = graph.norm(f"{module}.norm1", x, width)
    y = _attention(graph, f"{module}.attention", y, width, heads)
    y = graph.node("Mul", f"/{module}/scale1", y, graph.value(f"{module}.layer_scale1.lambda1", width))
    x = graph.node("Add", f"/{module}/Add", x, y)
    y = graph.linear(f"{module}.mlp.fc1", graph.norm(f"{module}.norm2", x, width), 4 * width, width)
    y = graph.linear(f"{module}.mlp.fc2", graph.node("Gelu", f"/{module}/Gelu", y), width, 4 * width)
    y = graph.node("Mul", f"/{module}/scale2", y, graph.value(f"{module}.layer_scale2.lambda1", width))
    return graph.node("Add", f"/{module}/Add_1", x, y)


def _attention(graph: Exported, module: str, x: str, width: int, heads: int) -> str:
    parts = {}
    for name in ("key", "value", "query"):  # the order of the export
        whole = graph.linear(f"{module}.attention.{name}", x, width, width)
        shape = graph.whole(f"{module}.{name}.shape", 0, 0, heads, width // heads)
        split = graph.node("Reshape", f"/{module}/{name}/Reshape", whole, shape)
        order = [0, 2, 3, 1] if name == "key" else [0, 2, 1, 3]
        parts[name] = graph.node("Transpose", f"/{module}/{name}/Transpose", split, perm=order)
    scaled = graph.node(
        "Mul", f"/{module}/Mul", parts["query"], graph.constant(f"{module}.scale", np.float32((heads / width) ** 0.5))
    )
    weights = graph.node(
        "Softmax", f"/{module}/Softmax", graph.node("MatMul", f"/{module}/MatMul", scaled, parts["key"])
    )
    mixed = graph.node("MatMul", f"/{module}/MatMul_1", weights, parts["value"])
    mixed = graph.node("Transpose", f"/{module}/Transpose", mixed, perm=[0, 2, 1, 3])
    mixed = graph.node("Reshape", f"/{module}/Reshape", mixed, graph.whole(f"{module}.joined", 0, 0, width))
    return graph.linear(f"{module}.output.dense", mixed, width, width)
