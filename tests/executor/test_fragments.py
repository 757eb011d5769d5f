"""Parts of a model whose ranks only a run knows: made into programs when they are met, the rest of it at load."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.errors import ExecutionError, MemoryLimitError, ShapeError
from arenaut.executor.host import ProgramHost
from arenaut.lowering.build import Built
from arenaut.lowering.lower import Lowerer
from arenaut.lowering.program import StepKind
from tests.support.models import assert_matches_ort, parse

CHAIN = 60


def chain(at: int) -> onnx.ModelProto:
    """CHAIN times product, sum and Tanh; before layer `at` a Reshape to a fed shape of any rank."""
    lines, last = [], "x"
    for i in range(CHAIN):
        if i == at:
            lines.append(f"z = Reshape ({last}, t)")
            last = "z"
        lines.append(f"m{i} = MatMul ({last}, w)\n a{i} = Add (m{i}, b)\n r{i} = Tanh (a{i})")
        last = f"r{i}"
    proto = parse(
        "agraph (float[n, 16] x, int64[k] t) => (float[] y) {" + "\n".join(lines) + f"\n y = Relu ({last}) }}"
    )
    rng = np.random.default_rng(0)
    for name, shape in (("w", (16, 16)), ("b", (16,))):
        array = (rng.standard_normal(shape) / 4).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def fed(rows: int, *shape: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(rows).standard_normal((rows, 16)).astype(np.float32), "t": np.array(shape)}


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The ops of nodes that passed through lowering, in order."""
    seen: list[str] = []
    real = Lowerer._lower_node

    def spy(self: Lowerer, node: Any) -> None:
        seen.append(node.op)
        real(self, node)

    monkeypatch.setattr(Lowerer, "_lower_node", spy)
    yield seen


def programs(built: Built) -> Iterator[Built]:
    """A program, its bodies, and those of fragments, theirs included."""
    yield built
    for inner in (*built.bodies, *built.host.opened()):
        yield from programs(inner)


def hosted(model: arenaut.Model) -> list[str]:
    """The ops that run in Python."""
    steps = [s for b in programs(model._executor.built) for s in b.lowered.steps]
    return [s.node.op for s in steps if s.kind is StepKind.HOST]


def fragments(model: arenaut.Model) -> int:
    return sum(len(b.host.fragments) for b in programs(model._executor.built) if isinstance(b.host, ProgramHost))


@pytest.mark.parametrize("at", [0, 30, CHAIN - 1])
def test_a_first_run_lowers_only_what_follows_the_open_rank(at: int, lowered: list[str]) -> None:
    proto = chain(at)
    model = arenaut.load_onnx(proto)
    at_load = len(lowered)
    feeds = fed(8, 2, 4, 16)
    assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-5)
    first = len(lowered) - at_load
    # A layer is two nodes, since Add and Tanh are one with the product or with each other.
    assert first <= 2 * (CHAIN - at) + 2 and at_load <= 2 * at + 2
    for feeds in (fed(8, 2, 4, 16), fed(12, 3, 4, 16), fed(12, -1, 2, 16)):
        assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-5)
    assert len(lowered) == at_load + first  # other sizes of this rank cost nothing
    feeds = fed(8, 2, 2, 2, 16)
    assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-5)
    assert len(lowered) <= at_load + 2 * first and not hosted(model)


def test_what_follows_a_fragment_with_a_known_rank_is_lowered_at_load(lowered: list[str]) -> None:
    proto = parse("""agraph (float[n, 16] x, int64[k] t) => (float[n, 16] y) {
        a = Neg (x)  z = Reshape (a, t)  b = Softmax (z)
        s = Constant <value_ints = [-1, 16]> ()  c = Reshape (b, s)  y = Exp (c) }""")
    model = arenaut.load_onnx(proto)
    at_load = list(lowered)
    for shape in ((8, 16), (2, 4, 16), (4, 2, 16), (2, 2, 2, 16)):
        assert_matches_ort(proto, model.run(fed(8, *shape)), fed(8, *shape), rtol=1e-5)
    assert "Neg" in at_load and "Exp" in at_load
    assert not {"Neg", "Exp"} & set(lowered[len(at_load) :]) and not hosted(model)


# -- ranks that data decides ---------------------------------------------------------------------------------------

BY_DATA = """agraph (float[n, 3, 8, 8] x) => (float[] y) {
    zero = Constant <value_float = 0.0> ()
    sum = ReduceSum <keepdims = 0> (x)
    c = Greater (sum, zero)
    a = If (c) <
        then_branch = deep () => (float[] p) { p = Identity (x) },
        else_branch = flat () => (float[] q) { s = Constant <value_ints = [-1, 192]> () q = Reshape (x, s) }>
    b = Relu (a)
    y = Softmax (b)
}"""


def test_an_if_on_data_chooses_between_programs() -> None:
    proto = parse(BY_DATA)
    model = arenaut.load_onnx(proto)
    for sign in (1, -1, 1, -1):
        feeds = {"x": sign * np.abs(np.random.default_rng(0).standard_normal((2, 3, 8, 8))).astype(np.float32)}
        assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-5)
    assert not hosted(model)
    made = [len(r.made) for r in model._executor.built.host.fragments.values()]  # type: ignore[attr-defined]
    assert made == [2]


def test_pools_and_convolutions_after_a_rank_that_data_decides_are_native() -> None:
    proto = parse(BY_DATA.replace("y = Softmax (b)", "p = MaxPool <kernel_shape = [2, 2]> (b)\n y = Conv (p, w)")
                  .replace("[-1, 192]", "[-1, 3, 4, 16]"))  # fmt: skip
    w = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    model = arenaut.load_onnx(proto)
    for sign in (1, -1):
        feeds = {"x": sign * np.abs(np.random.default_rng(0).standard_normal((2, 3, 8, 8))).astype(np.float32)}
        assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-4)
    assert not hosted(model)


def test_a_carried_value_whose_rank_grows_is_native_in_each_trip() -> None:
    proto = parse("""agraph (float[n] x, int64 trips) => (float[] y) {
        c = Constant <value_ints = [0]> ()
        z = Loop (trips, , x) <body = grow (int64 i, bool go, float[] s) => (bool on, float[] t) {
            on = Identity (go)  r = Relu (s)  t = Unsqueeze (r, c) }>
        y = Softmax <axis = -1> (z) }""")
    model = arenaut.load_onnx(proto)
    for trips in (3, 0, 1, 3):
        feeds = {"x": np.random.default_rng(0).standard_normal(6).astype(np.float32), "trips": np.array(trips)}
        assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-5)
    assert not hosted(model)


def test_what_a_sequence_holds_gets_a_program_for_its_rank() -> None:
    proto = parse("""agraph (float[n, 4] x, float[n, 4, 4] z, int64 i) => (float[] y) {
        s = SequenceConstruct (x, z)  a = SequenceAt (s, i)  b = Tanh (a)  y = Softmax (b) }""")
    model = arenaut.load_onnx(proto)
    rng = np.random.default_rng(0)
    for i in (0, 1, 0, -1):
        feeds = {
            "x": rng.standard_normal((3, 4)).astype(np.float32),
            "z": rng.standard_normal((3, 4, 4)).astype(np.float32),
            "i": np.array(i),
        }
        assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-5)
    assert set(hosted(model)) == {"SequenceConstruct", "SequenceAt"} and fragments(model) == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8", "bool", "double"])
def test_types_pass_through_fragments(dtype: str) -> None:
    model = arenaut.load_onnx(parse(f"agraph ({dtype}[n] x, int64[k] t) => ({dtype}[] y) "
                                    "{ z = Reshape (x, t)  y = Transpose (z) }"))  # fmt: skip
    x = np.arange(-4, 4).astype(model.inputs[0].dtype)
    y = model.run({"x": x, "t": np.array([2, 4])})["y"]
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x.reshape(2, 4).T)


# -- what else a run asks of them ----------------------------------------------------------------------------------


def test_errors_name_the_node_inside() -> None:
    proto = parse(
        "agraph (float[n] x, int64[k] t, int64[m] i) => (float[] y) { z = Reshape (x, t)  y = Gather (z, i) }"
    )
    model = arenaut.load_onnx(proto)
    feeds = {"x": np.zeros(8, np.float32), "t": np.array([2, 4]), "i": np.array([0, 5])}
    with pytest.raises(ExecutionError, match=r"Gather.*index is out of range"):
        model.run(feeds)
    with pytest.raises(ShapeError):
        model.run({**feeds, "t": np.array([3, 5])})
    np.testing.assert_array_equal(model.run({**feeds, "i": np.array([1])})["y"], np.zeros((1, 4), np.float32))


def test_memory_of_a_fragment_counts() -> None:
    text = "agraph (float[n] x, int64[k] t) => (float[] y) { z = Reshape (x, t)  s = Softmax (z)  y = ReduceMax (s) }"
    model = arenaut.load_onnx(parse(text), max_memory=1 << 16)
    model.run({"x": np.zeros(1024, np.float32), "t": np.array([2, 512])})
    with pytest.raises(MemoryLimitError, match="max_memory"):
        model.run({"x": np.zeros(1 << 16, np.float32), "t": np.array([2, 1 << 15])})


def test_runs_of_several_threads_share_the_programs_of_a_fragment() -> None:
    from concurrent.futures import ThreadPoolExecutor

    model = arenaut.load_onnx(chain(30))
    feeds = [fed(8, *shape) for shape in ((8, 16), (2, 4, 16), (2, 2, 2, 16)) for _ in range(4)]
    want = [arenaut.load_onnx(chain(30)).run(f)["y"] for f in feeds]
    with ThreadPoolExecutor(4) as pool:
        for got, expected in zip(pool.map(lambda f: model.run(f)["y"], feeds), want, strict=True):
            np.testing.assert_array_equal(got, expected)
    assert fragments(model) == 1
    assert model.plan.arena_bytes > 0 and model.profile(feeds[0]).total_microseconds > 0


@pytest.mark.parametrize("length", [5, 1])
def test_results_of_a_fragment_whose_size_another_one_decides(length: int) -> None:
    """`at` is as long as the number `most` says, both made by the fragment that the open rank of x starts."""
    proto = parse("""
        agraph (float[] x, float[n] v) => (float[p, q] y)
        <int64[1] axis = {1}, int64[1] first = {0}, int64 zero = {0}, int64 one = {1}, int64 two = {2}>
        { s = Shape <start = 1, end = 2> (x)
          length = Squeeze (s, first)
          less = Sub (length, two)
          most = Max (less, zero)
          at = Range (zero, most, one)
          r = Relu (x)
          g = Gather <axis = 1> (r, at)
          column = Unsqueeze (at, axis)
          c = Cast <to = 1> (column)
          m = Mul (c, v)
          t = ReduceSum <keepdims = 1> (g)
          y = Add (m, t) }""")
    x, v = np.arange(2 * length, dtype=np.float32).reshape(2, length), np.array([1, 2], np.float32)
    got = arenaut.load_onnx(proto).run({"x": x, "v": v})["y"]
    count = max(length - 2, 0)
    np.testing.assert_allclose(got, np.arange(count)[:, None] * v + x[:, :count].sum())


SCATTERED = """agraph (float[n, 4] x, int64[k] t, int64[m, 1] at, float[p] u) => (float[n, 4] y, int64[] count) {
    v = Reshape (u, t)
    s = ScatterND (x, at, v)
    r = Relu (s)
    y = Neg (r)
    shape = Shape (y)
    count = ReduceMax <keepdims = 0> (shape)
}"""


def test_what_is_scattered_does_not_open_a_rank() -> None:
    """The result has the type of the data, whatever is known of what is written."""
    proto = parse(SCATTERED)
    model = arenaut.load_onnx(proto)
    relu = next(n for n in model.graph.nodes if n.op in ("Relu", "Fused"))
    assert relu.operand(0).has_shape and relu.operand(0).rank == 2
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    feeds = {"x": x, "t": np.array([2, 4]), "at": np.array([[3], [1]]), "u": -np.ones(8, np.float32)}
    assert_matches_ort(proto, model.run(feeds), feeds, rtol=0)


def test_open_ranks_do_not_import_onnx() -> None:
    code = (
        "import sys, arenaut\n"
        f"model = arenaut.load_onnx({chain(3).SerializeToString()!r})\n"
        "assert 'onnx' not in sys.modules and 'google.protobuf' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_what_loads_leave_behind_is_collected_before_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    from arenaut import collector

    class Knot:
        def __init__(self) -> None:
            self.own = self

    monkeypatch.setattr(collector, "_made", 0)
    with collector.held_back():
        left = weakref.ref(Knot())
        assert left() is not None
    collector.holds(collector.MOST_OBJECTS * collector.BYTES_OF_AN_OBJECT)
    assert left() is not None and gc.get_freeze_count() == 0
    with collector.held_back():
        assert left() is None


def test_no_collection_begins_while_a_program_is_made() -> None:
    from arenaut.collector import held_back

    assert gc.isenabled()
    with held_back():
        with held_back():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with held_back():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
