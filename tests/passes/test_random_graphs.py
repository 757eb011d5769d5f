"""Random graphs, with fragments that passes look for, bent at random: shared and shadowed values, other constants, odd
sizes, outputs in the middle. Optimised, not optimised and onnxruntime must agree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import arenaut
from tests.support.models import assert_close, ort_outputs

# Of the largest magnitude of an output: chains of up to forty float32 ops, each a few units off.
RELATIVE_ERROR = 1e-4


class Sketch:
    """A model being drawn: values by shape, so that operands fit."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def pick(self, shape: tuple[int, ...] | None = None) -> str:
        """A value, of that shape when one is asked for."""
        return self.draw(st.sampled_from([n for n, s in self.shapes.items() if shape in (None, s)]))

    def constant(self, value: float | np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(value, None if isinstance(value, np.ndarray) else np.float32)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def number(self, value: float) -> str:
        """The constant that a pattern wants, mostly."""
        return self.constant(self.draw(st.sampled_from([value, value, value * 1.25])))

    def op(self, op: str, *inputs: str, shape: tuple[int, ...], **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n{len(self.nodes)}", **attributes))
        self.shapes[name] = shape
        return name

    def swap(self, op: str, a: str, b: str) -> str:
        """A commutative op with its operands in either order."""
        pair = (a, b) if self.draw(st.booleans()) else (b, a)
        return self.op(op, *pair, shape=self.shapes.get(a, ()) or self.shapes[b])


def unary(s: Sketch) -> None:
    x = s.pick()
    op = s.draw(st.sampled_from(["Tanh", "Sigmoid", "Relu", "Neg", "Abs", "Identity", "Softplus"]))
    s.op(op, x, shape=s.shapes[x])


def binary(s: Sketch) -> None:
    x = s.pick()
    s.op(s.draw(st.sampled_from(["Add", "Sub", "Mul", "Max"])), x, s.pick(s.shapes[x]), shape=s.shapes[x])


def gelu(s: Sketch) -> None:
    x = s.pick()
    shape = s.shapes[x]
    if s.draw(st.booleans()):
        core = s.op("Erf", s.op("Div", x, s.number(np.sqrt(2)), shape=shape), shape=shape)
    else:
        cube = s.op("Pow", x, s.number(3.0), shape=shape)
        total = s.swap("Add", x, s.swap("Mul", cube, s.number(0.044715)))
        core = s.op("Tanh", s.swap("Mul", total, s.number(np.sqrt(2 / np.pi))), shape=shape)
    one = s.swap("Add", core, s.number(1.0))
    if s.draw(st.booleans()):
        s.swap("Mul", s.swap("Mul", x, s.number(0.5)), one)
    else:
        s.swap("Mul", s.swap("Mul", x, one), s.number(0.5))


def swish(s: Sketch) -> None:
    x = s.pick()
    s.swap("Mul", s.op("Sigmoid", x, shape=s.shapes[x]), s.pick(s.shapes[x]))


def norm(s: Sketch) -> None:
    x = s.pick()
    shape = s.shapes[x]
    axis = s.draw(st.sampled_from([-1, -1, -1, 0]))
    axes = s.constant(np.array([axis], np.int64))
    kept = tuple(1 if i == len(shape) - 1 else n for i, n in enumerate(shape))
    parts: list[str] = []  # of a shape that the axes decide
    if s.draw(st.booleans()):
        parts.append(s.op("ReduceMean", x, axes, shape=kept))
        x = s.op("Sub", x, parts[0], shape=shape)
    square = s.swap("Mul", x, x) if s.draw(st.booleans()) else s.op("Pow", x, s.constant(2.0), shape=shape)
    mean = s.op("ReduceMean", square, axes, shape=kept)
    variance = s.op("Add", mean, s.constant(0.1), shape=kept)
    root = s.op("Sqrt", variance, shape=kept)
    y = s.op("Div", x, root, shape=shape)
    for name in (*parts, mean, variance, root):
        if axis != -1 or s.draw(st.booleans()):
            s.shapes.pop(name)
    if s.draw(st.booleans()):
        y = s.swap("Mul", y, s.constant(np.linspace(-1, 1, shape[-1], dtype=np.float32)))
    if s.draw(st.booleans()):
        s.swap("Add", y, s.constant(np.linspace(1, 2, shape[-1], dtype=np.float32)))


def linear(s: Sketch) -> None:
    """A product, perhaps on another shape, and a bias."""
    x = s.pick()
    shape = s.shapes[x]
    width = shape[-1]
    weight = np.random.default_rng(len(s.nodes)).standard_normal((width, width)).astype(np.float32) / width
    if s.draw(st.booleans()):
        flat = s.op("Reshape", x, s.constant(np.array([-1, width], np.int64)), shape=(int(np.prod(shape[:-1])), width))
        bias = s.constant(np.linspace(-1, 1, width, dtype=np.float32))
        y = s.op("Gemm", flat, s.constant(weight), bias, shape=s.shapes[flat])
        s.op("Reshape", y, s.constant(np.array(shape, np.int64)), shape=shape)
    else:
        y = s.op("MatMul", x, s.constant(weight), shape=shape)
        s.swap("Add", y, s.constant(np.linspace(-1, 1, width, dtype=np.float32)))


def attention(s: Sketch) -> None:
    """One or two heads of a [batch, sequence, width] value."""
    candidates = [n for n, shape in s.shapes.items() if len(shape) == 3 and shape[-1] % 2 == 0]
    if not candidates:
        return
    query, key, value = (s.draw(st.sampled_from(candidates)) for _ in range(3))
    batch, length, width = s.shapes[query]
    split = s.constant(np.array([batch, length, 2, width // 2], np.int64))
    heads, turned = (batch, 2, length, width // 2), (batch, 2, width // 2, length)
    q, k, v = (s.op("Reshape", x, split, shape=(batch, length, 2, width // 2)) for x in (query, key, value))
    q, v = (s.op("Transpose", x, shape=heads, perm=[0, 2, 1, 3]) for x in (q, v))
    k = s.op("Transpose", k, shape=turned, perm=[0, 2, 3, 1])
    square = (batch, 2, length, length)
    scores = s.op("MatMul", q, k, shape=square)
    scores = s.swap("Mul", scores, s.constant(s.draw(st.sampled_from([0.5, -0.25]))))
    mask = s.draw(st.sampled_from(["none", "causal", "shifted", "small"]))
    if mask != "none":
        allowed = np.tri(length, k=int(mask == "shifted"))
        table = np.where(allowed, 0, -3.0 if mask == "small" else np.finfo(np.float32).min)
        scores = s.swap("Add", scores, s.constant(table.astype(np.float32)))
    weights = s.op("Softmax", scores, shape=square, axis=-1)
    y = s.op("MatMul", weights, v, shape=heads)
    y = s.op("Transpose", y, shape=(batch, length, 2, width // 2), perm=[0, 2, 1, 3])
    s.op("Reshape", y, s.constant(np.array([batch, length, width], np.int64)), shape=(batch, length, width))


FRAGMENTS: tuple[Callable[[Sketch], None], ...] = (unary, binary, gelu, swish, norm, linear, attention)


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    s = Sketch(draw)
    size = draw(st.sampled_from([(1, 3, 8), (2, 5, 6), (2, 4, 4), (1, 1, 4), (3, 2, 17), (7, 33)]))
    s.shapes = {"x": size, "z": size}
    for _ in range(draw(st.integers(2, 7))):
        draw(st.sampled_from(FRAGMENTS))(s)
    read = {name for node in s.nodes for name in node.input}
    made = [node.output[0] for node in s.nodes]
    unread = [name for name in made if name not in read]
    extra = draw(st.lists(st.sampled_from(made), max_size=2)) if made else []
    names = list(dict.fromkeys([*unread, *extra])) or [s.op("Identity", "x", shape=size)]
    graph = helper.make_graph(
        s.nodes, "random", [helper.make_tensor_value_info(n, TensorProto.FLOAT, size) for n in ("x", "z")],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names], s.constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(models(), st.integers(0, 9))
def test_optimised_or_not_is_what_onnxruntime_gives(model: onnx.ModelProto, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    feeds = {name: rng.standard_normal(shape).astype(np.float32) for name in ("x", "z")}
    want = ort_outputs(model, feeds)
    for options in ({"verify": "full"}, {"optimize": False}):
        got = arenaut.load_onnx(model, threads=1, **options).run(feeds)  # type: ignore[arg-type]
        for (name, array), expected in zip(got.items(), want, strict=True):
            assert_close(array, expected, rtol=RELATIVE_ERROR, name=f"{name} {options}")
