"""Helpers of the record tests: nodes from samples, shapes with symbols, strided places as numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.ir import dims
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.infer import infer_node
from arenaut.ir.ops import all_records
from arenaut.ir.place import Place
from arenaut.ir.record import OpRecord, Sample
from arenaut.ir.types import TensorType


def sampled() -> list[OpRecord]:
    """Records that carry samples, sorted by name."""
    return sorted((r for r in all_records().values() if r.samples is not None), key=lambda r: r.key)


def samples_of(record: OpRecord) -> list[Sample]:
    assert record.samples is not None
    return list(record.samples())


# Float inputs that models give as constants because shapes depend on them, by their name in onnx's schema.
SHAPING_FLOATS = frozenset({"scales", "roi"})


def shaping(record: OpRecord, index: int, array: np.ndarray) -> bool:
    """Whether a model would give input `index` as a constant."""
    if array.dtype.kind != "f" or array.ndim != 1:
        return shows_data(array)
    import onnx

    formals = onnx.defs.get_schema(record.op, record.domain).inputs if record.domain != "arenaut" else []
    return index < len(formals) and formals[index].name in SHAPING_FLOATS


def shows_data(array: np.ndarray) -> bool:
    """Whether a model would give this input as a constant that shapes depend on."""
    return array.ndim == 0 or (array.ndim == 1 and array.dtype in (np.int64, np.int32, np.bool_))


def node_of(record: OpRecord, sample: Sample, *, symbolic: bool = False, constant: bool = True) -> tuple[Node, Any]:
    """A node with inferred types for a sample, and the values of its symbols.

    symbolic: every dim other than 1 becomes a symbol, one per size (so that equal dims are proven equal).
    constant: small integer vectors are constants (input 0 only where nothing is symbolic); else their elements become
    data symbols.
    """
    graph, env = Graph(), {}
    inputs: list[Value | None] = []
    for index, array in enumerate(sample.inputs):
        if array is None:
            inputs.append(None)
        elif constant and shaping(record, index, array) and not (symbolic and index == 0):
            inputs.append(graph.add_constant(array))
        else:
            small = shows_data(array)
            env.update(
                {f"x{index}[{i}]": int(e) for i, e in enumerate(array.flat) if small and array.dtype.kind in "ib"}
            )
            shape = _symbols(array.shape, env, symbolic and not small)
            inputs.append(graph.add_input(f"x{index}", TensorType(dtype_of(array), shape)))
    node = graph.add(record.op, inputs, dict(sample.attributes), domain=record.domain, outputs=sample.outputs)
    infer_node(node)
    return node, env


def _symbols(shape: Sequence[int], env: dict[str, int], symbolic: bool) -> tuple[dims.Dim, ...]:
    if not symbolic:
        return tuple(shape)
    env.update({f"n{d}": d for d in shape if d != 1})
    return tuple(d if d == 1 else dims.symbol(f"n{d}") for d in shape)


def shape_in(value: Value, env: Mapping[str, int]) -> tuple[int, ...]:
    """The inferred dims with symbols replaced; raises KeyError for a symbol that only running decides."""
    return tuple(dims.evaluate(d, env) for d in value.shape)


def materialise(place: Place, array: np.ndarray, env: Mapping[str, int]) -> np.ndarray:
    """What `place`, a view of dense `array`, holds; every index is checked to lie in the array."""
    shape = tuple(dims.evaluate(d, env) for d in place.dims)
    strides = [dims.evaluate(s, env) for s in place.strides]
    flat = array.reshape(-1)
    if place.dtype.numpy != array.dtype:  # the same bytes as another type
        flat = flat.view(place.dtype.numpy)
    out = np.empty(shape, flat.dtype)
    start = dims.evaluate(place.offset, env)
    for index in np.ndindex(*shape):
        position = start + sum(i * s for i, s in zip(index, strides, strict=True))
        assert 0 <= position < flat.size
        out[index] = flat[position]
    return out


def dense(value: Value) -> Place:
    from arenaut.ir.place import dense_strides

    return Place(0, value.dtype, value.shape, dense_strides(value.shape))


def assert_same(actual: Any, expected: Any, *, ulp: float = 0, tiny: float = 0, what: str = "") -> None:
    """Equal dtype, shape and elements (NaN equals NaN); floats within ulp units in the last place of
    expected, or tiny."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"{what}: {actual.dtype} is not {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: {actual.shape} is not {expected.shape}"
    if actual.dtype == object or not dtype_of(actual).is_float:
        assert np.array_equal(actual, expected), what
        return
    wide_a, wide_e = actual.astype(np.float64), expected.astype(np.float64)
    with np.errstate(all="ignore"):
        close = np.abs(wide_a - wide_e) <= np.maximum(ulp * unit(expected), tiny)
    same = (wide_a == wide_e) | (np.isnan(wide_a) & np.isnan(wide_e)) | close
    assert same.all(), f"{what}: {actual[~same][:5]} is not {expected[~same][:5]}"


def unit(array: np.ndarray) -> np.ndarray:
    """One unit in the last place of each element, in its own type."""
    import ml_dtypes

    info = ml_dtypes.finfo(array.dtype)
    wide = np.abs(array.astype(np.float64))
    with np.errstate(all="ignore"):
        exponent = np.floor(np.log2(np.maximum(wide, float(info.tiny))))
    return np.asarray(2.0**exponent * float(info.eps))


def assert_tolerable(
    record: OpRecord,
    node: Node,
    sample: Sample,
    actual: Any,
    want: Any,
    *,
    least_ulp: float = 8,
    flushed: bool = False,
) -> None:
    """As assert_same, within what the record declares, or least_ulp where that is wider.

    flushed: numbers below the smallest normal one of the type that is computed in may have been taken for zero.
    """
    want = np.asarray(want)
    tolerance, bound = record.tolerance, 0.0
    if flushed and dtype_of(want).is_float:
        bound = float(np.finfo(np.float64 if want.dtype == np.float64 else np.float32).tiny)
    if tolerance.kind == "product" and dtype_of(want).is_float:
        bound += product_bound(record, node, sample, want)
    ulp = max(least_ulp, tolerance.amount) if tolerance.kind == "ulp" else least_ulp
    assert_same(actual, want, ulp=ulp, tiny=bound, what=str(sample))


def product_bound(record: OpRecord, node: Node, sample: Sample, result: np.ndarray) -> float:
    """The error that a record of kind "product" allows: amount * eps * sqrt(K) times the largest magnitude that a sum
    of products of the inputs' elements can pass through; K is half of an element's flops."""
    assert record.evaluate is not None
    magnitudes = [x if x is None or not dtype_of(x).is_float else np.abs(x) for x in sample.inputs]
    operands = [x.astype(np.float64) for x in magnitudes if x is not None and x.dtype != object]
    with np.errstate(all="ignore"):
        results = [np.asarray(y) for y in record.evaluate(node, magnitudes) if y is not None]
    sums = [np.abs(y.astype(np.float64)) for y in results if y.dtype != object]
    largest = max(float(np.max(x[np.isfinite(x)], initial=0)) for x in [*operands, *sums])
    if record.op == "Det":  # its terms alternate: those of the magnitudes do not bound them
        largest = max(largest, *map(most_of_determinants, operands))
    flops = 0 if record.flops is None else dims.evaluate(record.flops(node), {})
    terms = max(1.0, flops / 2 / max(1, result.size))
    return float(record.tolerance.amount * unit(np.ones((), result.dtype)).item() * terms**0.5 * largest)


def most_of_determinants(matrices: np.ndarray) -> float:
    """What determinants [..., n, n] are at most, by Hadamard's bound, times n: elimination is as exact as that, however
    small the determinant itself is."""
    rows = np.sqrt((matrices.astype(np.float64) ** 2).sum(-1))
    return float(matrices.shape[-1] * np.max(np.prod(rows, axis=-1), initial=0))


__all__ = [
    "DType",
    "assert_same",
    "assert_tolerable",
    "dense",
    "materialise",
    "most_of_determinants",
    "node_of",
    "sampled",
    "samples_of",
    "shape_in",
    "unit",
]
