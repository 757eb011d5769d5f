"""What float32 may make of a model: its values in float64, and a bound of the error of each by running error analysis.

Every op adds its own rounding, relative to the terms that it sums or to its result, to what the errors of its operands
become of it (Wilkinson; Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., chapter 3). A difference of
two nearly equal values thus has the error of the values, however small it is itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]
UNIT = float(np.finfo(np.float32).eps)
SMALLEST = float(np.finfo(np.float32).tiny)
ROUNDINGS = 4
"""Units of an elementwise result: what the records allow a function of one argument."""
SUM = 8
"""The factor of products and sums: c * eps * sqrt(K) * sum |a| |b|."""


@dataclass(frozen=True)
class Known:
    """A value and how far a float32 evaluation may be from it, element by element; infinite where a sign decides."""

    value: Array
    error: Array

    @property
    def size(self) -> Array:
        """The largest magnitude that it may have."""
        return np.abs(self.value) + self.error


def known_outputs(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Known]:
    """The graph's outputs by name. Raises KeyError for an op that has no rule here."""
    given = {**feeds, **{t.name: numpy_helper.to_array(t) for t in model.graph.initializer}}
    values = {n: Known(np.asarray(a, np.float64 if a.dtype.kind == "f" else a.dtype), np.zeros(a.shape))
              for n, a in given.items()}  # fmt: skip
    with np.errstate(all="ignore"):
        for node in model.graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            made = RULES[node.op_type]([values[name] for name in node.input], attributes)
            values[node.output[0]] = Known(made.value, np.where(np.isnan(made.error), np.inf, made.error))
    return {out.name: values[out.name] for out in model.graph.output}


Rule = Callable[[Sequence[Known], Mapping[str, Any]], Known]


def _rounded(value: Array, error: Array, roundings: float = ROUNDINGS) -> Known:
    return Known(value, error + roundings * UNIT * np.abs(value) + SMALLEST)


def _function(f: Callable[[Array], Array], slope: float) -> Rule:
    """Of one argument. slope: the largest of |f'|."""
    return lambda x, attributes: _rounded(f(x[0].value), x[0].error * slope)


def _moved(f: Callable[[Array, Sequence[Known], Mapping[str, Any]], Array]) -> Rule:
    return lambda x, a: Known(f(x[0].value, x, a), f(x[0].error, x, a))


def _steady(f: Callable[..., Array]) -> Rule:
    """Slopes of at most one, no rounding: Max, Abs, ..."""
    return lambda x, a: Known(f(*(k.value for k in x)), np.max(np.broadcast_arrays(*(k.error for k in x)), axis=0))


def _add(sign: int) -> Rule:
    return lambda x, a: _rounded(x[0].value + sign * x[1].value, x[0].error + x[1].error, 1)


def _mul(x: Sequence[Known], attributes: Mapping[str, Any]) -> Known:
    a, b = x
    return _rounded(a.value * b.value, np.abs(a.value) * b.error + np.abs(b.value) * a.error + a.error * b.error)


def _div(x: Sequence[Known], attributes: Mapping[str, Any]) -> Known:
    a, b = x
    least = np.abs(b.value) - b.error
    quotient = a.value / b.value
    error = np.where(least > 0, (a.error + np.abs(quotient) * b.error) / least, np.inf)
    return _rounded(quotient, np.where(b.error + a.error == 0, 0.0, error))


def _pow(x: Sequence[Known], attributes: Mapping[str, Any]) -> Known:
    base, exponent = x[0], x[1].value
    slope = np.abs(exponent) * base.size ** (exponent - 1)
    sign_decides = (exponent % 1 != 0) & (np.abs(base.value) <= base.error)
    return _rounded(base.value**exponent, np.where(sign_decides, np.inf, slope * base.error), 2 * ROUNDINGS)


def _sqrt(x: Sequence[Known], attributes: Mapping[str, Any]) -> Known:
    return _rounded(np.sqrt(x[0].value), x[0].error / (2 * np.sqrt(x[0].value - x[0].error)))


def _mean(x: Sequence[Known], attributes: Mapping[str, Any]) -> Known:
    axes = tuple(x[1].value.tolist())
    count = np.prod([x[0].value.shape[a] for a in axes])
    size = np.abs(x[0].value).mean(axes, keepdims=True)
    error = x[0].error.mean(axes, keepdims=True) + SUM * UNIT * np.sqrt(count) * size
    return _rounded(x[0].value.mean(axes, keepdims=True), error)


def _matmul(x: Sequence[Known], attributes: Mapping[str, Any]) -> Known:
    a, b = x[0], x[1]
    terms = np.abs(a.value) @ np.abs(b.value)
    spread = np.abs(a.value) @ b.error + a.error @ (np.abs(b.value) + b.error)
    return _rounded(a.value @ b.value, spread + SUM * UNIT * np.sqrt(a.value.shape[-1]) * terms, 1)


def _gemm(x: Sequence[Known], attributes: Mapping[str, Any]) -> Known:
    return _add(1)([_matmul(x[:2], attributes), x[2]], attributes)


def _softmax(x: Sequence[Known], attributes: Mapping[str, Any]) -> Known:
    """By the least and largest that each share can be: all other scores as high, or as low, as they may be."""
    value, error = x[0].value, x[0].error
    top = value.max(-1, keepdims=True)
    low, mid, high = (np.exp(np.clip(value + s * error - top, -1e4, 700)) for s in (-1, 0, 1))
    share = mid / mid.sum(-1, keepdims=True)
    others_low, others_high = (e.sum(-1, keepdims=True) - e for e in (low, high))
    most, least = high / (high + others_low), low / (low + others_high)
    size = np.where(np.isfinite(value), np.abs(value - top), 0)
    own = ROUNDINGS + np.minimum(size, 104)  # the argument of exp is rounded before
    return Known(share, np.maximum(most - share, share - least) + own * UNIT * share + SMALLEST)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


_erf = np.vectorize(math.erf, otypes=[np.float64])

RULES: Mapping[str, Rule] = {
    "Identity": _steady(lambda x: x), "Neg": _steady(np.negative), "Abs": _steady(np.abs), "Max": _steady(np.maximum),
    "Relu": _steady(lambda x: np.maximum(x, 0)),
    "Reshape": _moved(lambda v, x, a: v.reshape(x[1].value)),
    "Transpose": _moved(lambda v, x, a: v.transpose(a["perm"])),
    "Tanh": _function(np.tanh, 1.0),
    "Sigmoid": _function(_sigmoid, 0.25),
    "Softplus": _function(lambda x: np.logaddexp(0, x), 1.0),
    "Erf": _function(_erf, 2 / math.sqrt(math.pi)),
    "Add": _add(1), "Sub": _add(-1), "Mul": _mul, "Div": _div, "Pow": _pow, "Sqrt": _sqrt, "ReduceMean": _mean,
    "MatMul": _matmul, "Gemm": _gemm, "Softmax": _softmax,
}  # fmt: skip


def excess(got: Array, known: Known) -> float:
    """The largest error in units of its bound; what is not a number, or infinite, has to be so in both."""
    decided = np.isfinite(known.error)
    finite = decided & np.isfinite(known.value)
    apart = decided & ~np.isfinite(known.value)
    np.testing.assert_array_equal(got[apart], known.value[apart].astype(got.dtype))
    with np.errstate(invalid="ignore"):
        off = np.abs(got.astype(np.float64) - known.value)[finite]
    return float(np.max(np.where(off == 0, 0.0, off / np.maximum(known.error[finite], SMALLEST)), initial=0.0))
