"""A few neighbouring nodes of a real model as a small model of their own: damaged, it is how exporters write."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import onnx

from tests.support.skeletons import FOLDER, MARK, draw, names

PIECES = 24  # of each model
MOST_NODES = 14
MOST_WEIGHTS = 1 << 14  # elements of a tensor that stays a constant; larger ones become inputs


def pieces() -> list[tuple[str, int]]:
    """Skeletons, and numbers of their pieces."""
    return [(name, number) for name in names() for number in range(PIECES)]


def piece(name: str, number: int) -> bytes:
    """The serialized model of one piece, the same each time."""
    model = _inferred(name)
    rng = random.Random(f"{name}/{number}")
    first = rng.randrange(len(model.graph.node))
    nodes = model.graph.node[first : first + rng.randint(1, MOST_NODES)]
    tensors = {t.name: t for t in model.graph.initializer}
    types = {v.name: v for v in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    made = {o for n in nodes for o in n.output if o}
    read = {i for n in nodes for i in _reads(n)}
    kept = [_weights(tensors[n]) for n in sorted(read - made) if n in tensors and _elements(tensors[n]) <= MOST_WEIGHTS]
    held = {t.name for t in kept}
    inputs = [types.get(n) or _typed(n, tensors) for n in sorted(read - made - held)]
    outputs = [types.get(o) or onnx.ValueInfoProto(name=o) for o in sorted(made - read) or sorted(made)]
    graph = onnx.helper.make_graph(nodes, "piece", inputs, outputs, kept)
    return bytes(
        onnx.helper.make_model(
            graph, opset_imports=model.opset_import, ir_version=model.ir_version, functions=model.functions
        ).SerializeToString()
    )


@cache
def _inferred(name: str) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(onnx.load(FOLDER / f"{name}.onnx"))


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads, its bodies included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            inside = {v.name for v in (*body.input, *body.initializer)} | {o for n in body.node for o in n.output}
            yield from ({i for n in body.node for i in _reads(n)} | {o.name for o in body.output}) - inside


def _elements(tensor: onnx.TensorProto) -> int:
    found = 1
    for dim in tensor.dims:
        found *= dim
    return found


def _weights(tensor: onnx.TensorProto) -> onnx.TensorProto:
    if not tensor.doc_string.startswith(MARK):
        return tensor
    drawn = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    drawn.raw_data = draw(tensor).tobytes()
    return drawn


def _typed(name: str, tensors: dict[str, onnx.TensorProto]) -> onnx.ValueInfoProto:
    if name not in tensors:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    return onnx.helper.make_tensor_value_info(name, tensors[name].data_type, list(tensors[name].dims))
