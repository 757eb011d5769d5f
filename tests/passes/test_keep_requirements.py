"""What stored ops ask of sizes outlives the rewrites that take the ops away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import arenaut
from arenaut.errors import ShapeError
from arenaut.frontend import import_model
from arenaut.passes.context import PassContext
from arenaut.passes.keep_requirements import keep_requirements
from tests.support.models import parse
from tests.support.rewriting import TARGET

X = np.arange(6, dtype=np.float32)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


# Model, feeds that run, feeds that do not, what the error says, and the op that the optimised graph has no more.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str, str]] = {
    "a Reshape before a Reshape": (
        "g (float[6] x, int64[2] s) => (float[6] y) <int64[1] f = {6}> "
        "{ z = Reshape (x, s)\n r = Reshape (z, f)\n y = Neg (r) }",
        {"x": X, "s": ints(2, 3)}, {"x": X, "s": ints(4, 2)}, r"'z' \(Reshape\).*got 4, 2", "Reshape",
    ),
    "an Expand that nobody reads": (
        "g (float[a] x, int64[1] s) => (float[] y) { z = Expand (x, s)\n y = Neg (x) }",
        {"x": X, "s": ints(6)}, {"x": X, "s": ints(4)}, r"'z' \(Expand\).*got 4", "Expand",
    ),
    "a quotient of sizes that nobody reads": (
        "g (float[a] x, float[b] w) => (float[] y) { s = Shape (x)\n t = Shape (w)\n q = Div (s, t)\n y = Neg (x) }",
        {"x": X, "w": X[:2]}, {"x": X, "w": X[:0]}, r"'q' \(Div\).*divisor.*got 0", "Div",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("optimize", [True, False])
def test_an_invalid_value_is_refused_by_the_name_of_the_stored_op(name: str, optimize: bool) -> None:
    text, good, bad, message, op = CASES[name]
    model = arenaut.load_onnx(parse(text), optimize=optimize)
    assert not optimize or op not in {n.op for n in model.graph.nodes}
    np.testing.assert_array_equal(model.run(good)["y"], arenaut.load_onnx(parse(text), optimize=False).run(good)["y"])
    with pytest.raises(ShapeError, match=message):
        model.run(bad)
    model.run(good)


def test_a_quotient_of_sizes_that_shapes_a_result() -> None:
    text = (
        "g (float[a] x, float[b] w, float[1] v) => (float[] y) "
        "{ s = Shape (x)\n t = Shape (w)\n q = Div (s, t)\n y = Expand (v, q) }"
    )
    for optimize in (True, False):
        model = arenaut.load_onnx(parse(text), optimize=optimize)
        assert model.run(x=X, w=X[:2], v=X[1:2])["y"].tolist() == [1, 1, 1]
        with pytest.raises(ShapeError, match=r"'q' \(Div\).*divisor.*got 0"):
            model.run(x=X, w=X[:0], v=X[1:2])


def test_only_what_asks_of_inputs_is_noted_and_once() -> None:
    """The number of what NonZero finds is no size of an input: the Reshape of it stays, and checks for itself."""
    graph = import_model(parse(
        "g (float[a] x, int64[2] s) => (float[] y, float[] w, int64[] v) <int64[2] c = {2, -1}> "
        "{ y = Reshape (x, s)\n w = Reshape (x, s)\n n = NonZero (x)\n v = Reshape (n, c) }"
    )).graph  # fmt: skip
    assert keep_requirements(graph, PassContext(TARGET))
    assert {node for node, _ in graph.asks} == {"node 'y' (Reshape)"}
    count = len(graph.asks)
    assert not keep_requirements(graph, PassContext(TARGET)) and len(graph.asks) == count
    assert graph.copy().asks == graph.asks
