"""Models whose ranks depend on sizes: a native program for each outcome, the general one where that is not possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.errors import InputError
from arenaut.executor.common import Executor
from arenaut.executor.fragments import OpenFragment
from arenaut.executor.host import ProgramHost
from arenaut.executor.specialised import SpecialisedExecutor
from arenaut.lowering.program import StepKind
from tests.support.models import assert_matches_ort, parse, squeezed_where_one

# What torch exports for x.squeeze(1): the rank of y hangs on the size of dim 1.
SQUEEZE = squeezed_where_one("y = Relu (z)")


def feed(n: int, m: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(n).standard_normal((n, m, 3)).astype(np.float32)}


def prepared(model: arenaut.Model) -> list[Executor]:
    """The executors of whole programs that were made ahead of time."""
    assert isinstance(model._executor, SpecialisedExecutor)
    return model._executor.prepared


def fragments(model: arenaut.Model) -> list[OpenFragment]:
    """Those of the general program that ran so far."""
    assert isinstance(model._executor, SpecialisedExecutor)
    host = model._executor.general.built.host
    assert isinstance(host, ProgramHost)
    return [r for r in host.fragments.values() if isinstance(r, OpenFragment)]


def outcomes(model: arenaut.Model) -> list[int]:
    """How many programs each fragment has."""
    return [len(fragment.outcomes.made) for fragment in fragments(model)]


def native(model: arenaut.Model) -> bool:
    """Whether neither the program of the last run nor a fragment of it calls Python or has control flow."""
    built = [model._executor.built, *(b for fragment in fragments(model) for b in fragment.made)]
    kinds = [step.kind for b in built for step in b.lowered.steps]
    return all(kind in (StepKind.KERNEL, StepKind.OPEN, StepKind.FETCH, StepKind.SYMBOLS) for kind in kinds)


def test_one_native_program_serves_all_sizes_of_one_outcome() -> None:
    proto = parse(SQUEEZE)
    model = arenaut.load_onnx(proto)
    for n, m in ((2, 1), (5, 1), (4, 6), (1, 2), (7, 1), (0, 3)):
        assert_matches_ort(proto, model.run(feed(n, m)), feed(n, m), rtol=0)
        assert native(model)
    assert outcomes(model) == [2] and not prepared(model)
    assert model.plan.arena_bytes >= 0 and model.profile(feed(4, 6))


def test_changing_the_given_model_afterwards_changes_nothing() -> None:
    proto = parse(SQUEEZE)
    model = arenaut.load_onnx(proto)
    proto.graph.node[-1].op_type = "Neg"
    assert (model.run(feed(3, 1))["y"] >= 0).all()


def test_a_file_that_was_replaced_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(parse(SQUEEZE), path)
    model = arenaut.load_onnx(path)
    path.unlink()
    onnx.save(parse(SQUEEZE.replace("Relu", "Neg")), path)
    for m in (1, 4):
        assert (model.run(feed(3, m))["y"] >= 0).all() and native(model)


def test_programs_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    model = arenaut.load_onnx(parse(SQUEEZE))
    for n in range(3):
        model.run(feed(n, 1))
    assert outcomes(model) == [1] and native(model)
    monkeypatch.setattr("arenaut.executor.outcomes.MOST_OUTCOMES", 1)
    for n in (2, 3):
        assert_matches_ort(parse(SQUEEZE), model.run(feed(n, 2)), feed(n, 2), rtol=0)
    assert outcomes(model) == [1] and len(fragments(model)[0].made) == 2 and not native(model)
    assert_matches_ort(parse(SQUEEZE), model.run(feed(2, 1)), feed(2, 1), rtol=0)


def test_models_without_such_choices_have_one_program() -> None:
    same_rank = SQUEEZE.replace("Squeeze (x, axis)", "Neg (x)")
    assert not isinstance(arenaut.load_onnx(parse(same_rank))._executor, SpecialisedExecutor)


def test_a_branch_that_no_longer_fits_keeps_its_choices() -> None:
    """For m = 4 the first branch is not well typed once its choice is made, and is not taken either."""
    text = SQUEEZE.replace("(float[n, m, 3] x)", "(bool c, float[n, m, 3] x)")
    head, inner = text.split("{\n    shape", 1)
    inner = inner.replace("y = Relu (z)\n}", "t = Transpose <perm = [1, 0]> (z)\n}").strip()
    proto = parse(f"""{head.strip()} {{
        y = If (c) <
            then_branch = taken () => (float t) {{ shape{inner} ,
            else_branch = other () => (float o) {{ o = Neg (x) }}
        >
    }}""")
    model = arenaut.load_onnx(proto)
    for c, m in ((True, 1), (False, 4), (False, 1)):
        feeds = {"c": np.array(c), **feed(5, m)}
        x = feeds["x"]
        np.testing.assert_array_equal(model.run(feeds)["y"], x[:, 0].T if c else -x)
    bodies = model._executor.built.bodies
    inner = [b for body in bodies for b in (body, *body.host.opened())]
    assert len(bodies) == 2 and all(step.kind is not StepKind.HOST for b in inner for step in b.lowered.steps)


# -- ranks that inputs decide --------------------------------------------------------------------------------------

X = np.random.default_rng(0).standard_normal(2 * 3 * 8 * 8).astype(np.float32)


@pytest.mark.parametrize(
    "rest",
    [
        "y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (z)",
        "y = Softmax <axis = 1> (z)",
        "y = Conv (z, w)",
        'y = Resize <mode = "linear"> (z, , s)',
        "a = Relu (z)\n b = Transpose (a)\n y = Concat <axis = 0> (b, b)",
    ],
)
def test_a_reshape_to_a_fed_shape_is_native_after_the_first_run(rest: str) -> None:
    proto = parse(f"agraph (float[n] x, int64[k] t) => (float[] y) {{ z = Reshape (x, t)\n {rest} }}")
    w = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 1, 2, 1.5], np.float32), "s"))
    model = arenaut.load_onnx(proto)
    for shape in ((2, 3, 8, 8), (1, 3, 8, 16), (-1, 3, 4, 4)):
        feeds = {"x": X, "t": np.array(shape)}
        assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-5)
        assert native(model)
    assert outcomes(model) == [1]


def test_each_rank_of_an_input_has_a_program() -> None:
    proto = parse("agraph (float[] x) => (float[] y) { a = ReduceMax (x)  b = Sub (x, a)  y = Softmax (b) }")
    model = arenaut.load_onnx(proto)
    for shape in ((384,), (2, 192), (6, 8, 8), (4, 96), (3, 128)):
        feeds = {"x": X.reshape(shape)}
        assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-5)
        assert native(model)
    assert outcomes(model) == [3]


def test_squeeze_without_axes_drops_what_is_one() -> None:
    proto = parse("agraph (float[a, b, c] x) => (float[] y) { z = Squeeze (x)  y = Relu (z) }")
    model = arenaut.load_onnx(proto)
    for shape in ((1, 384, 1), (2, 1, 192), (1, 1, 384), (6, 8, 8), (1, 192, 2)):
        feeds = {"x": X.reshape(shape)}
        assert_matches_ort(proto, model.run(feeds), feeds, rtol=0)
        assert native(model)


def test_fed_axes_are_known_by_their_values() -> None:
    proto = parse("agraph (float[a, b, c] x, int64[k] t) => (float[] y) "
                  "{ z = ReduceSum <keepdims = 0> (x, t)  y = Softmax (z) }")  # fmt: skip
    model = arenaut.load_onnx(proto)
    for axes in ((0,), (1,), (2, 0), (-1,), (0,), (1,)):
        feeds = {"x": X.reshape(6, 8, 8), "t": np.array(axes)}
        assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-5)
        assert native(model)
    for axis in range(-3, 3):  # more than there are programs for
        for other in (axis, 0):
            feeds = {"x": X.reshape(6, 8, 8), "t": np.array([axis, other] if axis % 3 else [axis])}
            assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-5)


def test_prepared_outcomes_are_built_before_the_first_run() -> None:
    model = arenaut.load_onnx(parse(SQUEEZE))
    model.run(feed(2, 1))
    assert outcomes(model) == [1] and not prepared(model)
    model.prepare(n=3, m=1)
    for _ in range(2):
        assert (model.run(feed(7, 1))["y"] >= 0).all()
        assert [e.built for e in prepared(model)] == [model._executor.built]
        assert [step.kind for step in model._executor.built.lowered.steps] == [StepKind.KERNEL]
    assert_matches_ort(parse(SQUEEZE), model.run(feed(7, 2)), feed(7, 2), rtol=0)
    assert len(prepared(model)) == 1 and outcomes(model) == [2]
    loaded = arenaut.load_onnx(parse(SQUEEZE), shapes={"n": 3, "m": 1})
    assert len(prepared(loaded)) == 1
    anything = arenaut.load_onnx(parse("agraph (float[] x) => (float[] y) { y = Softmax (x) }"))
    anything.prepare({"x": (4, 96)})
    anything.run({"x": X.reshape(4, 96)})
    assert len(prepared(anything)) == 1 and native(anything) and not outcomes(anything)
    exact = model.memory(n=5, m=1)
    assert exact.certainty == "exact" and exact.output_bytes == 5 * 3 * 4
    with pytest.raises(InputError, match="'k' is unknown"):
        model.prepare(k=3)
    with pytest.raises(InputError, match="rank 3"):
        model.prepare({"x": (1, 2)})


def test_a_new_outcome_packs_no_weight_again() -> None:
    proto = parse(squeezed_where_one("y = MatMul (z, w)").replace("float y", "float[] y"))
    w = np.random.default_rng(0).standard_normal((3, 512), np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    model = arenaut.load_onnx(proto)
    weights = model._built.weights.native
    model.run(feed(4, 1))
    packed = weights.packed_bytes()
    model.run(feed(4, 5))
    assert native(model) and outcomes(model) == [2]
    assert packed > 0 and weights.packed_bytes() == packed
