"""Shape, data and view rules on random problems: symbols replaced by sizes must give what the evaluators give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arenaut.ir import DType, Graph, GraphBuilder, TensorType, Value, dims, symbol
from arenaut.ir.dims import Dim
from arenaut.ir.errors import ShapeError
from arenaut.ir.evaluate import evaluate_graph, evaluate_node
from arenaut.ir.graph import Node
from arenaut.ir.infer import infer_node
from arenaut.ir.ops import record_of
from arenaut.ir.place import Place
from arenaut.ir.types import ANY_DIM, SequenceType, same_shape, same_type
from tests.support.records import assert_same, dense, materialise, shape_in

SIZES = st.integers(0, 5)
SHAPES = st.lists(SIZES, min_size=0, max_size=4)


class Problem:
    """A graph under construction with the size of every symbol and the array of every input."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.env: dict[str, int] = {}
        self.arrays: list[np.ndarray] = []

    def dim(self, size: int, symbolic: bool) -> Dim:
        if not symbolic:
            return size
        name = f"d{len(self.env)}"
        self.env[name] = size
        return symbol(name)

    def input(self, array: np.ndarray, symbolic: Sequence[bool] | None = None, known: bool = False) -> Value:
        """An input; symbolic says which dims are symbols. known: integers are a constant."""
        if known:
            return self.graph.add_constant(array)
        flags = symbolic if symbolic is not None else [False] * array.ndim
        shape = tuple(self.dim(d, s) for d, s in zip(array.shape, flags, strict=True))
        dtype = DType.INT64 if array.dtype == np.int64 else DType.FLOAT
        value = self.graph.add_input(f"x{len(self.arrays)}", TensorType(dtype, shape))
        self.arrays.append(array)
        if dtype is DType.INT64:
            self.env.update({f"{value.name}[{i}]": int(e) for i, e in enumerate(array.flat)})
        return value

    def node(self, op: str, *inputs: Value | None, outputs: int = 1, **attributes: Any) -> Node:
        made = self.graph.add(op, inputs, attributes, outputs=outputs)
        infer_node(made)
        return made

    def check(self, made: Node) -> list[np.ndarray]:
        """Runs the node; every inferred shape must be the result's."""
        self.graph.outputs = [v for v in made.outputs if v is not None]
        results = evaluate_graph(self.graph, self.arrays)
        for value, result in zip(self.graph.outputs, results, strict=True):
            assert shape_in(value, self.env) == result.shape, f"{value}"
        return results


def floats(shape: Sequence[int]) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


def flags(draw: st.DrawFn, count: int) -> list[bool]:
    return draw(st.lists(st.booleans(), min_size=count, max_size=count))


@given(st.data())
def test_broadcasting(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    problem, operands = Problem(), []
    for _ in range(data.draw(st.integers(2, 3))):
        own = [1 if data.draw(st.integers(0, 2)) == 0 else d for d in shape]
        own = own[data.draw(st.integers(0, len(own))) :]
        operands.append(problem.input(floats(own), flags(data.draw, len(own))))
    problem.check(problem.node("Sum", *operands))


@given(st.data())
def test_reshape(data: st.DataObject) -> None:
    shape = data.draw(SHAPES.filter(lambda s: 0 not in s))
    parts = [p for d in shape for p in ([d] if d % 2 or not data.draw(st.booleans()) else [d // 2, 2])]
    target = data.draw(st.permutations(parts))
    if target and data.draw(st.booleans()):
        target[data.draw(st.integers(0, len(target) - 1))] = -1
    for i in range(min(len(target), len(shape))):
        if target[i] == shape[i] and data.draw(st.booleans()):
            target[i] = 0
    problem = Problem()
    x = problem.input(floats(shape), flags(data.draw, len(shape)))
    known = data.draw(st.booleans())
    made = problem.node("Reshape", x, problem.input(np.array(target, np.int64), known=known))
    (result,) = problem.check(made)
    assert result.ravel().tolist() == list(range(result.size))


def sliced(size: int, start: int, end: int, step: int) -> list[int]:
    """The indices that ONNX's Slice picks, from the text of the standard."""
    start, end = (b + size if b < 0 else b for b in (start, end))
    if step > 0:
        return list(range(min(max(start, 0), size), min(max(end, 0), size), step))
    return list(range(min(max(start, 0), size - 1), min(max(end, -1), size - 1), step)) if size else []


BOUNDS = st.one_of(st.integers(-7, 7), st.sampled_from([(1 << 63) - 1, -(1 << 63), (1 << 31) - 1, -(1 << 31)]))


@given(st.data())
def test_slice(data: st.DataObject) -> None:
    shape = data.draw(SHAPES.filter(bool))
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    starts, ends = ([data.draw(BOUNDS) for _ in axes] for _ in range(2))
    steps = [data.draw(st.sampled_from([1, 1, 2, 3, -1, -2])) for _ in axes]
    problem, known = Problem(), data.draw(st.booleans())
    x = problem.input(floats(shape), flags(data.draw, len(shape)))
    bounds = [problem.input(np.array(b, np.int64), known=known) for b in (starts, ends)]
    signed = [a - len(shape) if data.draw(st.booleans()) else a for a in axes]
    rest = [problem.input(np.array(v, np.int64), known=True) for v in (signed, steps)]
    (result,) = problem.check(problem.node("Slice", x, *bounds, *rest))
    want = floats(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        want = want.take(sliced(shape[axis], start, end, step), axis)
    np.testing.assert_array_equal(result, want)


@given(st.data())
def test_expand_tile_pad(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    problem, known = Problem(), data.draw(st.booleans())
    x = problem.input(floats(shape), flags(data.draw, len(shape)))
    grown = [data.draw(SIZES) if d == 1 else data.draw(st.sampled_from([1, d])) for d in shape]
    lead = data.draw(st.lists(SIZES, max_size=1))
    problem.check(problem.node("Expand", x, problem.input(np.array(lead + grown, np.int64), known=known)))
    repeats = [data.draw(st.integers(0, 3)) for _ in shape]
    problem.check(problem.node("Tile", x, problem.input(np.array(repeats, np.int64), known=known)))
    pads = [data.draw(st.integers(-2, 3)) for _ in shape * 2]
    assume(all(d + b + a >= 0 for d, b, a in zip(shape, pads, pads[len(shape) :], strict=False)))
    assume(all(b >= -d and a >= -d for d, b, a in zip(shape, pads, pads[len(shape) :], strict=False)))
    problem.check(problem.node("Pad", x, problem.input(np.array(pads, np.int64), known=known)))


@given(st.data())
def test_split_then_concat_is_the_identity(data: st.DataObject) -> None:
    shape = data.draw(SHAPES.filter(bool))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    problem = Problem()
    x = problem.input(floats(shape), flags(data.draw, len(shape)))
    count = data.draw(st.integers(1, 3))
    if data.draw(st.booleans()):
        cuts = sorted(data.draw(st.integers(0, shape[axis])) for _ in range(count - 1))
        sizes = np.diff([0, *cuts, shape[axis]]).astype(np.int64)
        made = problem.node("Split", x, problem.input(sizes, known=data.draw(st.booleans())), outputs=count, axis=axis)
    else:
        assume(shape[axis] >= (count - 1) * -(-shape[axis] // count))
        made = problem.node("Split", x, outputs=count, axis=axis, num_outputs=count)
    problem.check(made)
    (whole,) = problem.check(problem.node("Concat", *made.outputs, axis=axis))
    np.testing.assert_array_equal(whole, floats(shape))


VIEWS = ("Transpose", "Slice", "Reshape", "Unsqueeze", "Squeeze", "Expand", "Gather", "Split", "Flatten")


def view_step(data: st.DataObject, problem: Problem, value: Value, shape: tuple[int, ...]) -> Node | None:
    """A random view op on a value of that shape."""
    op = data.draw(st.sampled_from(VIEWS))
    rank = len(shape)

    def ints(*values: int) -> Value:
        return problem.graph.add_constant(np.array(values, np.int64))

    if op == "Transpose":
        return problem.node(op, value, perm=tuple(data.draw(st.permutations(range(rank)))))
    if op == "Reshape":
        merged = data.draw(st.integers(0, max(rank - 2, 0)))
        target = [*shape[:merged], int(np.prod(shape[merged : merged + 2], dtype=int)), *shape[merged + 2 :]]
        return problem.node(op, value, ints(*target)) if rank and 0 not in shape else None
    if op == "Unsqueeze":
        return problem.node(op, value, ints(data.draw(st.integers(0, rank)))) if rank < 6 else None
    if op == "Squeeze":
        ones = [i for i, d in enumerate(shape) if d == 1]
        return problem.node(op, value, ints(data.draw(st.sampled_from(ones)))) if ones else None
    if op == "Expand":
        return problem.node(op, value, ints(*(3 if d == 1 else d for d in shape)))
    if op == "Flatten":
        return problem.node(op, value, axis=data.draw(st.integers(0, rank)))
    if not rank:
        return None
    axis = data.draw(st.integers(0, rank - 1))
    if op == "Gather":
        if not shape[axis]:
            return None
        index = data.draw(st.integers(-shape[axis], shape[axis] - 1))
        return problem.node(op, value, problem.graph.add_constant(np.array(index)), axis=axis)
    if op == "Split":
        return problem.node(op, value, ints(1, shape[axis] - 1), outputs=2, axis=axis) if shape[axis] else None
    bounds = [data.draw(st.integers(-6, 6)) for _ in range(2)]
    step = data.draw(st.sampled_from([1, 2, -1, -2]))
    return problem.node(op, value, ints(bounds[0]), ints(bounds[1]), ints(axis), ints(step))


@given(st.data())
def test_chains_of_views_address_the_right_elements(data: st.DataObject) -> None:
    """Views of views of one dense buffer, with symbolic dims, checked element by element."""
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    problem = Problem()
    array = floats(shape)
    value = problem.input(array, flags(data.draw, len(shape)))
    place: Place = dense(value)
    result = array
    for _ in range(data.draw(st.integers(1, 5))):
        made = view_step(data, problem, value, result.shape)
        if made is None:
            continue
        rule = record_of(made).view
        assert rule is not None
        inputs = [result if v is value else None if v is None else v.constant for v in made.inputs]
        views = rule(made, place)
        if views is None:  # no strides express it: a copy would start a new buffer
            break
        results = evaluate_node(made, inputs)
        pick = data.draw(st.integers(0, len(results) - 1))
        value, place, result = made.outputs[pick], views[pick], np.asarray(results[pick])
        assert_same(materialise(place, array, problem.env), result, what=str(made))


def test_shape_arithmetic_of_exported_attention_stays_known() -> None:
    """Shape -> Gather -> Unsqueeze -> Concat -> Reshape, as exporters write a head split."""
    graph = Graph()
    b, s = symbol("b"), symbol("s")
    x = graph.add_input("x", TensorType(DType.FLOAT, (b, s, 96)))
    build = GraphBuilder(graph)

    def const(*values: int) -> Value:
        return build.constant(np.array(values, np.int64))

    shape = build.op("Shape", x)
    sizes = [build.op("Gather", shape, build.constant(np.array(i)), axis=0) for i in (0, 1)]
    rows = [build.op("Unsqueeze", n, const(0)) for n in sizes]
    target = build.op("Concat", *rows, const(3), const(-1), axis=0)
    heads = build.op("Transpose", build.op("Reshape", x, target), perm=(0, 2, 1, 3))
    assert heads.shape == (b, 3, s, 32)
    back = build.op(
        "Reshape", build.op("Transpose", heads, perm=(0, 2, 1, 3)), build.op("Concat", const(0, 0), const(96), axis=0)
    )
    assert back.shape == (b, s, 96)
    half = build.op("Div", build.op("Gather", shape, build.constant(np.array(2)), axis=0), build.constant(np.array(2)))
    part = build.op("Slice", x, const(0), build.op("Unsqueeze", half, const(0)), const(2))
    assert part.shape == (b, s, 48)
    product = build.op("ReduceProd", build.op("Slice", shape, const(0), const(2)), keepdims=1)
    assert build.op("Reshape", x, build.op("Concat", product, const(96), axis=0)).shape == (b * s, 96)


def test_masks_and_positions_stay_known() -> None:
    """Expand(x, Where(Equal(shape, -1), ones, shape)); Range over a size; ConstantOfShape of a shape."""
    graph = Graph()
    s = symbol("s")
    x = graph.add_input("x", TensorType(DType.FLOAT, (1, s)))
    build = GraphBuilder(graph)
    shape = build.op("Shape", x)
    minus = build.op(
        "Mul", build.op("ConstantOfShape", build.op("Shape", shape), value=np.array([1])), build.constant(np.array(-1))
    )
    target = build.op(
        "Where",
        build.op("Equal", shape, minus),
        build.op("ConstantOfShape", build.constant(np.array([2])), value=np.array([1])),
        shape,
    )
    assert build.op("Expand", x, target).shape == (1, s)
    length = build.op("Squeeze", build.op("Slice", shape, *(build.constant(np.array([v])) for v in (1, 2))))
    positions = build.op("Range", build.constant(np.array(0)), length, build.constant(np.array(1)))
    assert positions.shape == (s,)
    shifted = build.op(
        "Range",
        build.constant(np.array(3)),
        build.op("Add", length, build.constant(np.array(3))),
        build.constant(np.array(1)),
    )
    assert shifted.shape == (s,)


def test_sizes_read_from_data_become_symbols() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(DType.FLOAT, (symbol("n"),)))
    target = graph.add_input("target", TensorType(DType.INT64, (2,)))
    y = GraphBuilder(graph).op("Reshape", x, target)
    env = {"n": 12, "target[0]": 4, "target[1]": -1}
    assert [dims.evaluate(d, env) for d in y.shape] == [4, 3]
    env = {"n": 12, "target[0]": 0, "target[1]": 1}
    assert [dims.evaluate(d, env) for d in y.shape] == [12, 1]


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "message"),
    [
        ("Add", [(2, 3), (2, 4)], {}, "do not broadcast"),
        ("Concat", [(2, 3), (3, 3)], {"axis": 1}, "dim 0 differs"),
        ("Concat", [(2, 3), (3,)], {"axis": 0}, "ranks differ"),
        ("Transpose", [(2, 3)], {"perm": (0, 0)}, "no permutation"),
        ("Flatten", [(2, 3)], {"axis": 3}, "out of range"),
        ("Split", [(5,)], {"axis": 1, "num_outputs": 1}, "out of range"),
        ("DepthToSpace", [(1, 6, 2, 2)], {"blocksize": 2}, "multiples of 4"),
        ("GatherElements", [(2, 3), (2,)], {}, "rank"),
        ("PRelu", [(2, 3), (4, 2, 3)], {}, "more dims"),
        ("Trilu", [(3,)], {}, "rank 2"),
    ],
)
def test_contradictions_name_node_and_shapes(
    op: str, shapes: list[Any], attributes: dict[str, Any], message: str
) -> None:
    graph = Graph()
    inputs = [graph.add_input(f"x{i}", TensorType(DType.FLOAT, s)) for i, s in enumerate(shapes)]
    made = graph.add(op, inputs, attributes, name="here")
    with pytest.raises(ShapeError, match=f"node 'here'.*{message}.*x0: f32"):
        infer_node(made)


def test_mixed_types_are_refused() -> None:
    graph = Graph()
    inputs = [graph.add_input(f"x{i}", TensorType(t, (2,))) for i, t in enumerate((DType.FLOAT, DType.INT64))]
    with pytest.raises(ShapeError, match="one element type"):
        infer_node(graph.add("Mul", inputs))


def test_whether_types_are_the_same_has_three_answers() -> None:
    n, m = symbol("n"), symbol("m")
    f, i = DType.FLOAT, DType.INT64
    for a, b, answer in [
        ((n, 3), (n, 3), True), ((n, 3), (n, 4), False), ((n,), (n + 1,), False), ((n,), (m,), None),
        ((n,), (n, 1), False), ((n, 3), (m, 4), False), (None, None, None), (None, (n,), None), ((2,), None, None),
        ((ANY_DIM,), (ANY_DIM,), None),
    ]:  # fmt: skip
        assert same_shape(a, b) is answer
        assert same_type(TensorType(f, a), TensorType(f, b)) is answer
        assert same_type(SequenceType(TensorType(f, a)), SequenceType(TensorType(f, b))) is answer
        assert same_type(TensorType(f, a), TensorType(i, b)) is False
    assert same_type(None, None) is None
    assert same_type(TensorType(f, None), SequenceType(TensorType(f, None))) is False
