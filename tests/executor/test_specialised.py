"""Models whose ranks depend on sizes: a native program for each outcome, the general one where that is not possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.executor.specialised import SpecialisedExecutor
from arenaut.lowering.program import StepKind
from tests.support.models import assert_matches_ort, parse, squeezed_where_one

# What torch exports for x.squeeze(1): the rank of y hangs on the size of dim 1.
SQUEEZE = squeezed_where_one("y = Relu (z)")


def feed(n: int, m: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(n).standard_normal((n, m, 3)).astype(np.float32)}


def executor_of(model: arenaut.Model) -> SpecialisedExecutor:
    assert isinstance(model._executor, SpecialisedExecutor)
    return model._executor


def hosted(model: arenaut.Model) -> bool:
    """Whether the program of the last run calls Python, or has control flow."""
    return any(step.kind is not StepKind.KERNEL for step in model._executor.built.lowered.steps)


def test_one_native_program_serves_all_sizes_of_one_outcome() -> None:
    proto = parse(SQUEEZE)
    model = arenaut.load_onnx(proto)
    assert hosted(model)
    for n, m in ((2, 1), (5, 1), (4, 6), (1, 2), (7, 1), (0, 3)):
        assert_matches_ort(proto, model.run(feed(n, m)), feed(n, m), rtol=0)
        assert not hosted(model)
    assert len(executor_of(model)._variants) == 2
    assert model.plan.arena_bytes >= 0 and model.profile(feed(4, 6))


def test_changing_the_given_model_afterwards_changes_nothing() -> None:
    proto = parse(SQUEEZE)
    model = arenaut.load_onnx(proto)
    proto.graph.node[-1].op_type = "Neg"
    assert (model.run(feed(3, 1))["y"] >= 0).all()


def test_a_file_that_was_replaced_leaves_the_general_program(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(parse(SQUEEZE), path)
    model = arenaut.load_onnx(path)
    onnx.save(parse(SQUEEZE.replace("Relu", "Neg")), path)
    assert (model.run(feed(3, 1))["y"] >= 0).all() and hosted(model)
    path.unlink()
    assert (model.run(feed(3, 4))["y"] >= 0).all() and hosted(model)


def test_programs_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    model = arenaut.load_onnx(parse(SQUEEZE))
    executor = executor_of(model)
    for n in range(3):
        model.run(feed(n, 1))
    assert len(executor._variants) == 1 and len(executor._by_shapes) == 3
    monkeypatch.setattr("arenaut.executor.specialised.MOST_VARIANTS", 1)
    assert_matches_ort(parse(SQUEEZE), model.run(feed(2, 2)), feed(2, 2), rtol=0)
    assert hosted(model)


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
    assert len(executor_of(model)._variants) == 2
    assert all(e is not executor_of(model)._general for _, e in executor_of(model)._variants)
