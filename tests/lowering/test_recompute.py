"""Elementwise results that are computed again before late readers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.frontend import import_model
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.pipeline import LoweringOptions, drop_unread_steps, offer_sharing
from arenaut.lowering.problem import Facts
from arenaut.lowering.program import Lowered
from arenaut.lowering.recompute import recompute
from arenaut.native.target import current_target

TARGET = current_target(1)
ROWS = 256
WEIGHTS = {"w": (128, 128), "wide": (128, 2048), "narrow": (2048, 128), "thin": (128, 8)}
# What is wide raises the peak; the activation r waits for that.
WAITS = """r = Tanh (x)  h = MatMul (r, w)  u = MatMul (h, wide)  v = Softmax (u)  d = MatMul (v, narrow)
 e = Softmax (d)  t = Add (e, r)  y = MatMul (t, thin)"""
NOT = {
    "its operand is not needed as late": WAITS.replace("r = Tanh (x)", "q = MatMul (x, w)  r = Tanh (q)"),
    "it is an output": WAITS.replace("r = ", "z = ").replace("(r,", "(z,").replace(", r)", ", z)"),
    "it is no elementwise step": WAITS.replace("Tanh (x)", "Softmax (x)"),
    "nothing is made between its readers": WAITS.replace("Add (e, r)", "Add (e, h)").replace("(h,", "(g,").replace(
        "u =", "g = Add (h, r)  u ="
    ),
}  # fmt: skip


def model_of(body: str) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    outputs = "float[n,8] y" + (", float[n,128] z" if "z =" in body else "")
    text = f"agraph (float[n,128] x) => ({outputs}) {{ {body} }}"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array((rng.standard_normal(dims) / 8).astype(np.float32), name)
        for name, dims in WEIGHTS.items()
    )
    return model


def programs(body: str) -> tuple[Lowered, Lowered]:
    """Before and after."""
    lowered = lower_graph(import_model(model_of(body)).graph, TARGET)
    lowered = offer_sharing(drop_unread_steps(lowered, TARGET, LoweringOptions()), TARGET, LoweringOptions())
    return lowered, recompute(lowered, {"n": ROWS}, Facts())


def run(body: str, **options: Any) -> tuple[arenaut.Model, np.ndarray]:
    model = arenaut.load_onnx(model_of(body), threads=1, shapes={"n": ROWS}, **options)
    x = np.random.default_rng(1).standard_normal((ROWS, 128)).astype(np.float32)
    return model, np.asarray(model.run({"x": x})["y"])


def test_what_waits_while_the_peak_passes_is_computed_again() -> None:
    before, after = programs(WAITS)
    assert len(after.steps) == len(before.steps) + 1
    assert [step.node.op for step in after.steps].count("Tanh") == 2
    (plain, want), (again, got) = run(WAITS, without=["slices"]), run(WAITS)
    assert plain.plan.arena_bytes - again.plan.arena_bytes >= ROWS * 128 * 4 // 2
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("backends", [["native"], ["reference", "native"]])
def test_steps_that_python_drives_find_the_repeated_result(backends: Any) -> None:
    got = run(WAITS, executor="interpreted", backends=backends)[1]
    np.testing.assert_allclose(got, run(WAITS)[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("why", NOT)
def test_not_these(why: str) -> None:
    before, after = programs(NOT[why])
    assert after is before
