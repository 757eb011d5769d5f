"""Real exported graphs without their weights, for tests that need no network.

A skeleton is an ONNX file of tests/data/skeletons whose large floating-point tensors hold no data: a line in their
doc_string says how to draw them, from the mean and deviation of the real tensor and a seed. Names, shapes, dtypes and
everything small (biases of a few elements, shapes, axes) are the real model's, and so is the magnitude of what each
matrix product and convolution yields. A skeleton has the name of its zoo entry: `make_feeds` of bench/zoo.py feeds it.

    model = load_skeleton("gpt2-2l")            onnx.ModelProto, the same bytes each time
    python -m tests.support.skeletons NAME...           make skeletons again from zoo models (fetches and exports them)
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from bench.light import centre_filters, run_node, variation

FOLDER: Final = Path(__file__).parents[1] / "data" / "skeletons"
MIN_ELEMENTS: Final = 128
"""Tensors below this size keep their values."""
MARK: Final = "drawn: "
MAX_FACTOR: Final = 64.0
PRODUCTS: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def names() -> list[str]:
    """The skeletons there are."""
    return sorted(path.stem for path in FOLDER.glob("*.onnx"))


def load_skeleton(name: str) -> onnx.ModelProto:
    """Load a skeleton and draw its weights. Raises FileNotFoundError for a name that `names()` lacks."""
    model = onnx.load(FOLDER / f"{name}.onnx")
    for tensor in tensors(model.graph):
        if tensor.doc_string.startswith(MARK):
            tensor.raw_data = draw(tensor).tobytes()
            tensor.doc_string = ""
    return model


def draw(tensor: onnx.TensorProto) -> np.ndarray:
    """The values that a stripped tensor stands for: float32, the same for the same tensor."""
    kind, center, spread = tensor.doc_string.removeprefix(MARK).split()
    values = np.random.default_rng(zlib.crc32(tensor.name.encode())).random(tuple(tensor.dims), dtype=np.float32)
    DRAWS[kind](values, float(center), float(spread))
    return values


def draw_linear(values: np.ndarray, center: float, spread: float) -> None:
    """Turn uniform [0, 1) into uniform with the given mean and standard deviation, in place."""
    values -= np.float32(0.5)
    values *= np.float32(math.sqrt(12) * spread)
    values += np.float32(center)


def draw_positive(values: np.ndarray, center: float, spread: float) -> None:
    """The same for the logarithm: positive values (variances, scales)."""
    draw_linear(values, center, spread)
    np.exp(values, out=values)


def draw_filters(values: np.ndarray, center: float, spread: float) -> None:
    """The same for convolution weights [out, in, *kernel], whose filters are then centred on zero."""
    draw_linear(values, center, spread)
    centre_filters(values)


DRAWS: Final[Mapping[str, Callable[[np.ndarray, float, float], None]]] = {
    "filters": draw_filters,
    "linear": draw_linear,
    "positive": draw_positive,
}


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """The initialisers and the constants in attributes of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == onnx.AttributeProto.GRAPH:
                yield from tensors(attribute.g)


def strip(model: onnx.ModelProto) -> None:
    """Take the data out of the model's large float32 tensors, and the exporter's notes out of everything, in place."""
    for index, tensor in enumerate(tensors(model.graph)):
        tensor.name = tensor.name or f"constant_{index}"  # the seed comes from the name
        tensor.doc_string = ""
        if tensor.data_type != onnx.TensorProto.FLOAT or math.prod(tensor.dims) < MIN_ELEMENTS:
            continue
        tensor.doc_string = MARK + describe(numpy_helper.to_array(tensor))
        for field in ("raw_data", "float_data", "external_data", "data_location"):
            tensor.ClearField(field)
    clear_notes(model)


def describe(values: np.ndarray) -> str:
    """How to draw values like these: kind, mean, deviation. Raises ValueError for values that are not finite."""
    if not np.isfinite(values).all():
        raise ValueError("a tensor that is not finite (a mask?) cannot be drawn at random")
    kind = "positive" if values.min() > 0 else "filters" if values.ndim > 2 and values.shape[1] > 1 else "linear"
    values = np.log(values, dtype=np.float64) if kind == "positive" else values.astype(np.float64)
    return f"{kind} {values.mean():.4g} {values.std():.4g}"


def clear_notes(model: onnx.ModelProto) -> None:
    """Drop doc_strings and metadata, which hold the exporter's stack traces."""
    model.doc_string = model.graph.doc_string = ""
    del model.metadata_props[:], model.graph.metadata_props[:]
    graph = model.graph
    for item in (*graph.node, *graph.value_info, *graph.input, *graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    for tensor in tensors(graph):
        del tensor.metadata_props[:]


def settle(skeleton: onnx.ModelProto, real: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> None:
    """Scale drawn weights, in graph order, until each product's output varies as much as the real model's.

    Without this, folded batch norms and heavy-tailed filters let activations grow or fade by orders of magnitude.
    """
    targets = deviations(real, feeds)
    stored = {tensor.name: tensor for tensor in skeleton.graph.initializer}
    origin = {node.output[0]: node.input[0] for node in skeleton.graph.node if node.op_type == "Identity"}
    values = {name: draw(t) if t.doc_string else numpy_helper.to_array(t) for name, t in stored.items()} | dict(feeds)
    for node in skeleton.graph.node:
        results = run_node(skeleton, node, values)
        weight = stored.get(origin.get(node.input[1], node.input[1])) if node.op_type in PRODUCTS else None
        deviation = variation(node, results[0]) if weight is not None else 0.0
        if weight is not None and weight.doc_string and deviation > 0:
            factor = min(targets[node.output[0]] / deviation, MAX_FACTOR)
            kind, center, spread = weight.doc_string.removeprefix(MARK).split()
            if kind != "positive":
                weight.doc_string = f"{MARK}{kind} {float(center) * factor:.4g} {float(spread) * factor:.4g}"
                values[weight.name] = values[node.input[1]] = draw(weight)
                results = run_node(skeleton, node, values)
        values |= zip(filter(None, node.output), results, strict=True)


def deviations(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The variation of what each product of a model yields, by output name."""
    import onnxruntime

    outputs = [node.output[0] for node in model.graph.node if node.op_type in PRODUCTS]
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    session = onnxruntime.InferenceSession(exposed.SerializeToString(), providers=["CPUExecutionProvider"])
    arrays = dict(zip(outputs, session.run(None, feeds), strict=True))
    return {n.output[0]: variation(n, arrays[n.output[0]]) for n in model.graph.node if n.output[0] in arrays}


def make(name: str) -> Path:
    """Write the skeleton of a zoo entry, fetching or exporting the model."""
    from bench.zoo import load, load_manifest, make_feeds

    entry = load_manifest()[name]
    real = load(entry)
    skeleton = onnx.ModelProto()
    skeleton.CopyFrom(real)
    strip(skeleton)
    settle(skeleton, real, make_feeds(entry, entry.bindings[0], seed=0))
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.onnx"
    onnx.save(skeleton, path)
    return path


if __name__ == "__main__":
    for requested in sys.argv[1:]:
        print(make(requested))
