"""Random graphs, with fragments that passes look for, bent at random: shared and shadowed values, other constants,
odd sizes, outputs in the middle. Optimised and not, they give what float64 does, within the error float32 allows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import arenaut
from tests.support.models import ort_outputs, parse
from tests.support.running_error import Known, excess, known_outputs


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


def feeds_of(model: onnx.ModelProto, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    return {value.name: rng.standard_normal(shape).astype(np.float32) for value in model.graph.input}


def reference_outputs(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What onnx's reference gives in float64 (its Erf is rounded to float32)."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for value in wide.graph.input:
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in wide.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float64), tensor.name))
    with np.errstate(all="ignore"):
        return list(ReferenceEvaluator(wide).run(None, {n: x.astype(np.float64) for n, x in feeds.items()}))


def assert_within_bounds(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, Known]:
    known = known_outputs(model, feeds)
    for (name, bound), array in zip(known.items(), reference_outputs(model, feeds), strict=True):
        assert excess(array, bound) <= 1, f"{name}: the bound is not about this model"
    for options in ({"verify": "full"}, {"optimize": False}):
        got = arenaut.load_onnx(model, threads=1, **options).run(feeds)  # type: ignore[arg-type]
        assert set(got) == set(known)
        for name, bound in known.items():
            assert got[name].shape == bound.value.shape and excess(got[name], bound) <= 1, f"{name} {options}"
    return known


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(models(), st.integers(0, 9))
def test_optimised_or_not_is_what_float64_gives(model: onnx.ModelProto, seed: int) -> None:
    assert_within_bounds(model, feeds_of(model, seed))


GELU = """g (float[1, 1, 4] x) => (float[1, 1, 4] y)
{ d = Div (x, c) e = Erf (d) o = Add (e, one) h = Mul (x, half) y = Mul (h, o) }"""


def gelu_of(x: list[float]) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    model = parse(GELU.replace("x)", "x, float c, float one, float half)", 1))
    kept = model.graph.input[0]
    del model.graph.input[:]
    model.graph.input.append(kept)
    numbers = {"c": np.sqrt(2), "one": 1, "half": 0.5}
    model.graph.initializer.extend(numpy_helper.from_array(np.float32(v), n) for n, v in numbers.items())
    return model, {"x": np.array(x, np.float32).reshape(1, 1, 4)}


def test_what_cancels_has_the_error_of_its_terms() -> None:
    """1 + erf of large negative arguments: evaluated as written, the whole output is rounding error of the 1."""
    model, feeds = gelu_of([-5.4, -5.3, -5.5, -5.6])
    (known,) = assert_within_bounds(model, feeds).values()
    as_written = ort_outputs(model, feeds, plain=True)[0]
    fused = arenaut.load_onnx(model).run(feeds)["y"]
    largest = np.abs(known.value).max()
    assert np.abs(as_written - known.value).max() > 0.1 * largest  # relative to the output, it is wrong
    assert np.abs(fused - known.value).max() < 1e-5 * largest


def test_a_wrong_term_is_noticed_where_nothing_cancels() -> None:
    model, feeds = gelu_of([-1.0, 0.5, 1.0, 2.0])
    (known,) = known_outputs(model, feeds).values()
    right = arenaut.load_onnx(model).run(feeds)["y"]
    assert excess(right, known) <= 1 < excess(right * np.float32(1 + 1e-5), known)
