"""Seeded random weights for the light nets of onnx.backend.test, whose stored weights are all 0.02.

Those nets make most weights by ConstantOfShape and store a few small ones; `rerandomise` turns every constant that
feeds a convolution, a matrix product, a batch norm or a per-channel scale into an initialiser of random values. Weights
are uniform with variance 4^e / fan_in; the exponents e, one per Conv and Gemm in graph order, stand in
light_exponents.json and keep every pre-activation's variation near 1. They were found by walking the nets once, node by
node:

    python -m bench.light calibrate

Powers of two make the result independent of the rounding of the engine that measured.
"""

from __future__ import annotations

import json
import math
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import onnx

EXPONENTS: Final = Path(__file__).with_name("light_exponents.json")

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def uniform(low: float, high: float) -> Draw:
    def draw(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return low + (high - low) * random.random(shape, dtype=np.float32)

    return draw


def unit_weight(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Variance 1 / fan_in; shape [out, in / group, *kernel] or [out, in]. Zero-sum filters, unless depthwise."""
    if shape[:2] == (1, 1):  # stored with leading ones, which a Reshape drops
        return unit_weight(random, shape[1:])[None]
    bound = math.sqrt(3 / math.prod(shape[1:]))
    weight = uniform(-bound, bound)(random, shape)
    if shape[1] > 1:
        centre_filters(weight)
    return weight


def centre_filters(weight: np.ndarray) -> None:
    """Make each filter of a weight [out, in, *kernel] sum to zero, in place.

    Such a filter passes no common offset on: through depth, what the input makes vary does not drown in offsets.
    """
    weight -= weight.mean(axis=tuple(range(1, weight.ndim)), keepdims=True)


def variation(node: onnx.NodeProto, output: np.ndarray) -> float:
    """Deviation of a product's output within its channels, or over all of it where a channel has a single value."""
    axes = tuple(range(2, output.ndim)) if "Conv" in node.op_type else tuple(range(output.ndim - 1))
    single = math.prod(output.shape[axis] for axis in axes) == 1
    return float(output.std() if single else (output - output.mean(axis=axes, keepdims=True)).std())


ROLES: Final[Mapping[tuple[str, int], Draw]] = {
    ("Conv", 1): unit_weight,
    ("Conv", 2): uniform(-0.3, 0.3),
    ("Gemm", 1): unit_weight,
    ("Gemm", 2): uniform(-0.3, 0.3),
    ("BatchNormalization", 1): uniform(0.5, 1.5),
    ("BatchNormalization", 2): uniform(-0.3, 0.3),
    ("BatchNormalization", 3): uniform(-0.3, 0.3),
    ("BatchNormalization", 4): uniform(0.5, 2.0),
    ("Mul", 0): uniform(0.5, 1.5),
    ("Mul", 1): uniform(0.5, 1.5),
    ("Add", 0): uniform(-0.3, 0.3),
    ("Add", 1): uniform(-0.3, 0.3),
}
"""(op, position of the input) -> how a constant in that place is drawn. Gemm weights are [out, in] (transB) here."""


def constant_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Floating-point constants of the graph, stored or made by ConstantOfShape: name -> shape."""
    from onnx import TensorProto, numpy_helper

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    shapes = {name: tuple(t.dims) for name, t in stored.items() if t.data_type == TensorProto.FLOAT}
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape" and node.input[0] in stored:
            shapes[node.output[0]] = tuple(numpy_helper.to_array(stored[node.input[0]]).tolist())
    return shapes


def reshaped(model: onnx.ModelProto) -> dict[str, str]:
    """What a Reshape or an Unsqueeze yields -> what it takes."""
    return {node.output[0]: node.input[0] for node in model.graph.node if node.op_type in ("Unsqueeze", "Reshape")}


def drawn_constants(model: onnx.ModelProto) -> Iterator[tuple[str, Draw, bool]]:
    """Yield (constant, how it is drawn, whether it is the weight of a Conv or Gemm) in the order of first use."""
    shapes, origin = constant_shapes(model), reshaped(model)
    seen: set[str] = set()
    for node in model.graph.node:
        for position, used in enumerate(node.input):
            name = origin.get(used, used)
            draw = ROLES.get((node.op_type, position))
            if draw is not None and name in shapes and name not in seen:
                seen.add(name)
                yield name, draw, draw is unit_weight


def random_constants(model: onnx.ModelProto, exponents: list[int]) -> dict[str, np.ndarray]:
    """The new value of each constant that has a role. Raises ValueError where the exponents are of another graph."""
    shapes = constant_shapes(model)
    remaining = list(exponents)
    values = {}
    for name, draw, is_weight in drawn_constants(model):
        value = draw(np.random.default_rng(zlib.crc32(name.encode())), shapes[name])
        if is_weight:
            if not remaining:
                raise ValueError(f"{model.graph.name}: more weights than the {len(exponents)} exponents")
            value *= np.float32(2.0 ** remaining.pop(0))
        values[name] = value
    if remaining:
        raise ValueError(f"{model.graph.name}: {len(remaining)} of {len(exponents)} exponents belong to no weight")
    return values


def rerandomise(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return the light net `name` (its file's stem) with random weights in place of the constant ones."""
    return with_constants(model, random_constants(model, json.loads(EXPONENTS.read_text())[name]))


def with_constants(model: onnx.ModelProto, values: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A copy of the model in which `values` are initialisers, and inputs too, as IR version 3 asks of initialisers."""
    import onnx
    from onnx import helper, numpy_helper

    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    nodes = [node for node in graph.node if not (node.op_type == "ConstantOfShape" and node.output[0] in values)]
    used = {name for node in nodes for name in node.input}
    stored = [t for t in graph.initializer if t.name in used and t.name not in values]
    names = {tensor.name for tensor in graph.initializer} | values.keys()
    inputs = [value for value in graph.input if value.name not in names or value.name in used - values.keys()]
    for container, items in ((graph.node, nodes), (graph.initializer, stored), (graph.input, inputs)):
        kept = list(items)
        del container[:]
        container.extend(kept)
    for name, value in values.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
        graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value.shape))
    return result


def calibrate(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> list[int]:
    """Find the exponents that bring the variation of each Conv's and Gemm's output nearest to 1, in graph order."""
    from onnx import numpy_helper

    origin = reshaped(model)
    weights = [name for name, _, is_weight in drawn_constants(model) if is_weight]
    exponents = dict.fromkeys(weights, 0)
    values: dict[str, Any] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    values |= random_constants(model, [0] * len(weights)) | dict(feeds)
    for node in model.graph.node:
        if node.output[0] in values:
            continue
        results = run_node(model, node, values)
        used = node.input[1] if len(node.input) > 1 else ""
        weight = origin.get(used, used)
        if weight in exponents and node.op_type in ("Conv", "Gemm"):
            exponents[weight] = -round(math.log2(variation(node, results[0])))
            values[used] = values[used] * np.float32(2.0 ** exponents[weight])
            results = run_node(model, node, values)
        values |= zip(filter(None, node.output), results, strict=True)
    return [exponents[name] for name in weights]


def run_node(model: onnx.ModelProto, node: onnx.NodeProto, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Run one node of the model in onnxruntime on `values`; returns its named outputs in order."""
    import onnx
    import onnxruntime
    from onnx import helper

    feeds = {name: values[name] for name in node.input if name}
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "node", inputs, outputs)
    single = helper.make_model(graph, opset_imports=model.opset_import, ir_version=max(model.ir_version, 8))
    session = onnxruntime.InferenceSession(single.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def main() -> None:
    import onnx
    from rich.progress import track

    from bench.zoo import Installed, installed_path, load_manifest, make_feeds

    table = {}
    for entry in track([entry for entry in load_manifest().values() if getattr(entry.source, "rerandomised", False)]):
        assert isinstance(entry.source, Installed)
        path = installed_path(entry.source)
        table[path.stem] = calibrate(onnx.load(path), make_feeds(entry, entry.bindings[0], seed=0))
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
    EXPONENTS.write_text(f"{{\n{rows}\n}}\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["calibrate"]:
        raise SystemExit(__doc__)
    main()
