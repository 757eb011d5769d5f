"""Small models in ONNX's text form, and comparison with onnxruntime by the tolerance rule of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx


def parse(body: str, *, opset: int = 21, ir_version: int = 10) -> onnx.ModelProto:
    """A model from `signature { nodes }` in ONNX's text form. `float[] x` is a value of unknown rank, which onnx's
    checker does not accept for inputs and outputs: a model with one is not checked."""
    text = f'<ir_version: {ir_version}, opset_import: ["" : {opset}]>\n{body}'
    model = onnx.parser.parse_model(text)
    if "[]" not in body:
        onnx.checker.check_model(model)
    return model


def squeezed_where_one(rest: str) -> str:
    """A model whose x [n, m, 3] loses m where that is 1, as exporters write it, as z. rest: from z to y."""
    return f"""
agraph (float[n, m, 3] x) => (float y)
<int64 one = {{1}}, int64[1] axis = {{1}}>
{{
    shape = Shape (x)
    size = Gather <axis = 0> (shape, one)
    is_one = Equal (size, one)
    z = If (is_one) <
        then_branch = then_graph () => (float a) {{ a = Squeeze (x, axis) }},
        else_branch = else_graph () => (float b) {{ b = Identity (x) }}
    >
    {rest}
}}
"""


def ort_outputs(model: onnx.ModelProto | str, feeds: Mapping[str, Any], *, plain: bool = False) -> list[Any]:
    """onnxruntime's results. plain: without its optimisations."""
    import onnxruntime as ort  # here: its threads take memory, of which benches that import this file keep account

    data = model if isinstance(model, str) else model.SerializeToString()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if plain:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))


def assert_close(got: Any, want: Any, *, rtol: float, name: str = "") -> None:
    """Same type and shape, NaN and Inf in the same places, and |got - want| <= rtol * max|want| elsewhere.

    Two float32 implementations differ by their rounding, so rtol is a bound on the whole chain of ops, stated by the
    test; integers, booleans and strings must be equal.
    """
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{name}: shape {got.shape}, expected {want.shape}"
    if want.dtype.kind in "OUS":
        assert [str(x) for x in got.ravel()] == [str(x) for x in want.ravel()], name
        return
    assert got.dtype == want.dtype, f"{name}: dtype {got.dtype}, expected {want.dtype}"
    if want.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, want, err_msg=name)
        return
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite], err_msg=name)
    scale = float(np.max(np.abs(want[finite]), initial=0.0))
    error = float(np.max(np.abs(got[finite].astype(np.float64) - want[finite]), initial=0.0))
    assert error <= rtol * scale + np.finfo(np.float32).tiny, f"{name}: error {error:g} at scale {scale:g}"


def assert_matches_ort(
    model: onnx.ModelProto | str, outputs: Mapping[str, Any], feeds: Mapping[str, Any], *, rtol: float
) -> None:
    want: Sequence[Any] = ort_outputs(model, feeds)
    assert len(want) == len(outputs)
    for (name, got), expected in zip(outputs.items(), want, strict=True):
        assert_close(got, expected, rtol=rtol, name=name)
