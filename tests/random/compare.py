"""How far a result may be from what an oracle gives: exact where the records say so, else what they declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper

from arenaut.frontend import import_model
from arenaut.ir import dims
from arenaut.ir.ops import find_record
from arenaut.ir.record import EXACT, Tolerance
from tests.support.records import most_of_determinants

# Units in the last place that results of inexact ops may differ by, where their records allow fewer.
LEAST_ULP = 8


@dataclass(frozen=True)
class Allowance:
    """ulp: units in the last place of the result. product: times the epsilon of its type and the largest magnitude."""

    exact: bool = True
    ulp: float = 0
    product: float = 0
    rounds: bool = False  # an integer result comes from a float that was rounded
    single: bool = False  # float64 may have been computed in float32


# What a difference that comes from rounding alone stays within, were all of it computed in float32 at the most.
ROUNDING = Allowance(False, 64, 64, rounds=True, single=True)
# Ops whose formulas subtract: their rounding counts at the scale of the operands. Evaluated by numpy, without a record.
_SUMS_INSIDE = frozenset(
    {"HardSwish", "HardSigmoid", "Det", "SVMClassifier", "SVMRegressor", "DeformConv", "CropAndResize", "MoE"}
)


def allowance(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> Allowance:
    """By the records of what the model is read as, at the sizes of the feeds."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for info in fixed.graph.input:
        shape = info.type.tensor_type.shape
        del shape.dim[:]
        shape.SetInParent()
        for n in feeds[info.name].shape:
            shape.dim.add().dim_value = int(n)
    try:
        graph = import_model(fixed).graph
    except Exception:
        return Allowance(False, LEAST_ULP, LEAST_ULP)
    ulp, product, inexact, rounds = 0.0, 0.0, False, False
    for node in [*graph.nodes, *(_Folded(n) for n in model.graph.node)]:
        record = find_record(node.domain, node.op)
        tolerance = EXACT if record is None else record.tolerance
        rounds |= node.op in ("Round", "Cast", "QuantizeLinear", "Resize", "Upsample")
        if node.op in _SUMS_INSIDE:
            tolerance = Tolerance("product", LEAST_ULP)
        if node.op == "Det":
            tolerance = Tolerance("product", LEAST_ULP * max(1.0, _most_of_determinants(feeds) / magnitude_of(feeds)))
        inexact |= tolerance.kind != "exact"
        if tolerance.kind == "ulp":
            ulp += tolerance.amount
        elif tolerance.kind == "product":
            product += tolerance.amount * _terms(node, record) ** 0.5
    if not inexact:
        return Allowance(True, 0, 0, rounds and len(graph.nodes) > 1)
    return Allowance(False, max(ulp, LEAST_ULP), product, rounds)


def magnitude_of(feeds: Mapping[str, Any]) -> float:
    return max(1e-30, magnitude(feeds.values()))


def _most_of_determinants(feeds: Mapping[str, Any]) -> float:
    fed = (x for x in feeds.values() if isinstance(x, np.ndarray) and is_float(x) and x.ndim >= 2)
    return max(map(most_of_determinants, fed), default=0.0)


def for_onnxruntime(allowed: Allowance) -> Allowance:
    """onnxruntime computes in the type itself, by approximations of its own: its error comes on top."""
    if allowed.exact:
        return allowed
    return Allowance(False, 4 * allowed.ulp, 4 * allowed.product + LEAST_ULP, allowed.rounds)


class _Folded:
    """A node as it stands in the model, which reading it may have folded away."""

    def __init__(self, proto: onnx.NodeProto) -> None:
        self.op, self.domain = proto.op_type, proto.domain


def _terms(node: Any, record: Any) -> float:
    if record is None or record.flops is None or isinstance(node, _Folded):
        return 1.0
    try:
        flops = dims.evaluate(record.flops(node), {})
        size = dims.evaluate(dims.product(node.output.shape), {})
    except Exception:
        return 64.0
    return max(1.0, float(flops) / 2 / max(1.0, float(size)))


def magnitude(values: Any) -> float:
    """The largest finite magnitude of floats."""
    largest = 0.0
    for x in values:
        if isinstance(x, np.ndarray) and is_float(x) and x.size:
            wide = np.abs(x.astype(np.float64))
            largest = max(largest, float(np.max(wide[np.isfinite(wide)], initial=0)))
    return largest


def constants(model: onnx.ModelProto) -> list[Any]:
    return [numpy_helper.to_array(t) for t in model.graph.initializer]


def is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" or (array.dtype.kind == "V" and "float" in array.dtype.name)


def difference(got: Any, want: Any, allowed: Allowance, scale: float, *, wide: bool) -> str:
    """Empty where got is what it should be. wide: want may have a wider float type."""
    if isinstance(want, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            return f"type: {_short(got)} is not {_short(want)}"
        parts = (difference(g, w, allowed, scale, wide=wide) for g, w in zip(got, want, strict=True))
        return next((p for p in parts if p), "")
    if want is None or isinstance(want, dict):
        return _plain_difference(got, want)
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return f"type: shape {got.shape} is not {want.shape}"
    if got.dtype != want.dtype and not (wide and is_float(got) and want.dtype in (np.float32, np.float64)):
        return f"type: {got.dtype} is not {want.dtype}"
    return _elements(got, want, allowed, scale)


def _plain_difference(got: Any, want: Any) -> str:
    if isinstance(want, dict) and isinstance(got, dict) and want.keys() == got.keys():
        gaps = [abs(float(got[k]) - float(want[k])) for k in want]
        return "" if all(g <= 1e-5 for g in gaps) else f"wrong: {got} is not {want}"
    return "" if got is None and want is None else f"type: {_short(got)} is not {_short(want)}"


def _elements(got: np.ndarray, want: np.ndarray, allowed: Allowance, scale: float) -> str:
    if got.dtype.kind == "c":
        parts = [(got.real, want.real), (got.imag, want.imag)]
        return next((t for g, w in parts if (t := _elements(g, w, allowed, scale))), "")
    if got.dtype == object or not is_float(got):
        same = got == want
        if not allowed.exact and allowed.rounds and got.dtype.kind in "iu":
            same = np.abs(got.astype(np.float64) - want.astype(np.float64)) <= 1 + _float32_room(want, allowed)
    else:
        with np.errstate(all="ignore"):
            same = _close(got, want.astype(got.dtype), want.astype(np.float64), allowed, scale)
    same = np.asarray(same)
    if same.all():
        return ""
    at = tuple(int(i) for i in np.argwhere(~same)[0]) if same.ndim else ()
    count = int(np.sum(~same))
    more = ""
    if got.dtype.kind in "iu" and np.abs(got.astype(np.float64) - want.astype(np.float64)).max() <= 1:
        more = ", by one"
    return f"wrong: at {at} {got[at]!s} is not {want[at]!s} ({count} of {same.size} differ{more})"


def _float32_room(want: np.ndarray, allowed: Allowance) -> float:
    """How far integers may be that were computed in float32."""
    if not allowed.single or not want.size:
        return 0.0
    return allowed.product * float(np.finfo(np.float32).eps) * float(np.abs(want.astype(np.float64)).max())


def _close(got: np.ndarray, rounded: np.ndarray, want: np.ndarray, allowed: Allowance, scale: float) -> np.ndarray:
    wide, near = got.astype(np.float64), rounded.astype(np.float64)
    same = (wide == near) | (np.isnan(wide) & np.isnan(want))
    if allowed.exact:
        return np.asarray(same)
    info = ml_dtypes.finfo(got.dtype)
    eps = float(np.finfo(np.float32).eps) if allowed.single and got.dtype == np.float64 else float(info.eps)
    unit = 2.0 ** np.floor(np.log2(np.maximum(np.abs(near), float(info.tiny)))) * eps
    computed = np.finfo(np.float32 if got.dtype != np.float64 else np.float64)
    limit = allowed.ulp * unit + float(computed.tiny)
    limit += allowed.product * eps * scale
    largest = float(info.max)
    beyond = np.isinf(wide) & (np.abs(want) > largest * (1 - 0.01)) & (np.sign(wide) == np.sign(want))
    return np.asarray(same | (np.abs(wide - want) <= limit) | beyond)


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    return f"{type(value).__name__} {value!s}"[:80]
