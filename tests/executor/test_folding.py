"""Folding and running are one function: evaluators give what kernels give, for the numbers at the edges of types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

import arenaut
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.evaluate import evaluate_node
from arenaut.ir.ops import all_records, find_record
from arenaut.ir.record import EXACT, OpRecord, Sample
from tests.executor.test_records import PYTHON, run_natively
from tests.support.models import assert_close, ort_outputs, parse
from tests.support.records import sampled, samples_of, shaping, unit

Array = np.ndarray[Any, Any]
SUB_BYTE = (DType.INT4, DType.UINT4, DType.INT2, DType.UINT2)
# Tables, boxes and scales that the standard bounds: what they mean for infinities, nothing says.
BOUNDED = frozenset({"MaxRoiPool", "QLinearConv", "QLinearMatMul"})


def edges(dtype: DType, denormals: bool = True) -> Array:
    """Zeros, infinities, NaN, the smallest and largest numbers, ties of rounding, and the limits of other types."""
    if dtype is DType.BOOL:
        return np.array([False, True])
    if dtype.is_integer:
        low, high = _limits(dtype)
        numbers = {low, low + 1, high, high - 1, 0, 1, 2, 3, 7, 100, -1, -2, -3}
        inside = sorted(n for n in numbers if low <= n <= high)
        return np.array(inside, np.int8 if dtype in SUB_BYTE else dtype.numpy).astype(dtype.numpy)
    info = ml_dtypes.finfo(dtype.numpy)
    largest, tiny, eps = (float(x) for x in (info.max, info.tiny, info.eps))
    numbers = [
        0.0, np.inf, np.nan, tiny, largest, largest / 2, 1, 0.5, 1.5, 2.5, 2, 3, 7, 1 + eps, 1 - eps / 2, np.pi, 0.1,
        1e-3, 88.5, 100, 127.5, 255.5, 2.0**31, 2.0**32, 2.0**63, 2.0**64, 1e10, 131008.0,
    ]  # fmt: skip
    if denormals:
        smallest = float(info.smallest_subnormal)
        numbers += [smallest, tiny - smallest]
    with np.errstate(all="ignore"):
        return np.array([*numbers, *(-n for n in numbers)]).astype(dtype.numpy)


def _limits(dtype: DType) -> tuple[int, int]:
    info = ml_dtypes.iinfo(dtype.numpy) if dtype in SUB_BYTE else np.iinfo(dtype.numpy)
    return int(info.min), int(info.max)


def bits(x: Array) -> Array:
    """Every NaN is one."""
    raw = np.ascontiguousarray(x).reshape(x.shape).view(f"u{x.dtype.itemsize}")
    return np.where(np.isnan(x.astype(np.float64)), np.iinfo(raw.dtype).max, raw) if dtype_of(x).is_float else raw


def distinct(record: OpRecord) -> Iterator[Sample]:
    """One sample for each combination of types and attributes."""
    seen = set()
    for sample in samples_of(record):
        types = tuple(None if x is None else x.dtype for x in sample.inputs)
        key = types, str(sorted(sample.attributes.items()))
        if object not in types and key not in seen:
            seen.add(key)
            yield sample


def all_pairs(sample: Sample) -> Sample:
    """The edges of one operand, or all pairs of those of two; some of three and more."""
    found = [edges(dtype_of(x)) for x in sample.inputs]
    if len(found) == 1:
        return Sample((found[0],), sample.attributes, sample.outputs)
    if len(found) == 2:
        a, b = found
        return Sample((np.repeat(a, len(b)), np.tile(b, len(a))), sample.attributes, sample.outputs)
    rng = np.random.default_rng(0)
    return Sample(tuple(e[rng.integers(0, len(e), 500)] for e in found), sample.attributes, sample.outputs)


def check(record: OpRecord, sample: Sample, *, open_choice: bool = False) -> None:
    """Bit for bit where the op is exact; else within its tolerance, and infinite or no number in the same places.
    open_choice: either of two equal numbers may be chosen, as -0 and 0."""
    node, ran, steps = run_natively(record, sample, False)
    if PYTHON in steps:
        return
    folded = [x for x in evaluate_node(node, list(sample.inputs)) if x is not None]
    for kernel, evaluated in zip(ran, map(np.asarray, folded), strict=True):
        assert kernel.dtype == evaluated.dtype and kernel.shape == evaluated.shape
        same = bits(kernel) == bits(evaluated)
        if record.tolerance.kind == "ulp" and dtype_of(kernel).is_float:
            same |= _near(kernel, evaluated, record.tolerance.amount)
        if open_choice:
            same |= kernel == evaluated
        wrong = np.flatnonzero(~same)[:3]
        operands = [[x.flat[i] for x in sample.inputs if x is not None and x.size == same.size] for i in wrong]
        assert same.all(), f"{operands}: {kernel.flat[wrong]} run, {evaluated.flat[wrong]} folded"


def _near(a: Array, b: Array, ulps: float) -> Array:
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    smallest = float(np.finfo(np.float64 if a.dtype == np.float64 else np.float32).tiny)
    with np.errstate(all="ignore"):
        return np.abs(wide_a - wide_b) <= np.maximum(ulps * unit(b), smallest)


@pytest.mark.parametrize("record", [r for r in sampled() if r.tile is not None and r.domain == ""], ids=lambda r: r.op)
def test_elementwise_ops_fold_to_what_runs(record: OpRecord) -> None:
    for sample in distinct(record):
        if any(x is None for x in sample.inputs):
            continue
        if record.op == "Clip":  # whose limits are numbers
            check(record, Sample((edges(dtype_of(sample.inputs[0])), *sample.inputs[1:])))
        else:
            check(record, _defined(record, all_pairs(sample)))


def _defined(record: OpRecord, sample: Sample) -> Sample:
    """Without pairs whose divisor is the integer 0, which both refuse (tests/executor/test_division.py)."""
    by = None if record.divisor is None else sample.inputs[record.divisor]
    if by is None or not dtype_of(by).is_integer:
        return sample
    return Sample(tuple(None if x is None else x[by != 0] for x in sample.inputs), sample.attributes, sample.outputs)


CHOOSING = [r for r in sampled() if r.tile is None and r.domain == "" and r.has_native_form and r.tolerance == EXACT]


@pytest.mark.parametrize("record", [r for r in CHOOSING if r.op not in BOUNDED], ids=lambda r: r.op)
def test_ops_that_choose_elements_fold_to_what_runs(record: OpRecord) -> None:
    """Denormal numbers aside, which equal zero, so that which of them is chosen is open."""
    for seed, sample in enumerate(distinct(record)):
        rng, inputs = np.random.default_rng(seed), []
        for i, x in enumerate(sample.inputs):
            if x is not None and dtype_of(x).is_float and x.size > 1 and not shaping(record, i, x):
                found = edges(dtype_of(x), denormals=False)
                x = found[rng.integers(0, len(found), x.shape)]
            inputs.append(x)
        check(record, Sample(tuple(inputs), sample.attributes, sample.outputs), open_choice=True)


CASTABLE = [d for d in DType if d is not DType.STRING and d.compute is not None]


@pytest.mark.parametrize("source", CASTABLE, ids=lambda d: d.short)
def test_casts_fold_to_what_runs(source: DType) -> None:
    record = find_record("", "Cast")
    assert record is not None
    for target in CASTABLE:
        for saturate in (0, 1) if "FLOAT8" in target.name else (1,):
            if target is not DType.FLOAT8E8M0 and source is not DType.FLOAT8E8M0:
                check(record, Sample((edges(source),), {"to": int(target), "saturate": saturate}))


@pytest.mark.parametrize("target", ["int64", "uint64", "int32", "int16", "uint16", "int8", "uint8"])
@pytest.mark.parametrize("source", ["float", "double", "float16"])
def test_casts_of_what_does_not_fit_are_those_of_onnxruntime(source: str, target: str) -> None:
    """NaN, infinities and large numbers: the standard leaves them open. uint32 holds more of them here, by way of
    int64."""
    kind = int(onnx.TensorProto.DataType.Value(target.upper()))
    model = parse(f"agraph ({source}[n] x) => ({target}[n] y) {{ y = Cast <to = {kind}> (x) }}")
    x = edges(DType[source.upper()], denormals=False)
    np.testing.assert_array_equal(arenaut.load_onnx(model).run({"x": x})["y"], ort_outputs(model, {"x": x})[0])


@pytest.mark.parametrize("exponent", [0.5, -0.5, 2, 3, -1])
def test_a_power_with_a_constant_exponent_is_that_power(exponent: float) -> None:
    """A root of minus infinity or of -0 is none of the power."""
    text = f"agraph (float[n] x) => (float[n] y) <float e = {{{exponent}}}> {{ y = Pow (x, e) }}"
    feeds = {"x": np.array([-np.inf, np.inf, -0.0, 0.0, np.nan, -1, 4, 2.25, -2], np.float32)}
    got = arenaut.load_onnx(parse(text)).run(feeds)["y"]
    (want,) = ort_outputs(parse(text), feeds)
    assert_close(got, want, rtol=1e-6)
    zero = want == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))


@pytest.mark.parametrize("nodes", ["s = Mul (x, x)", "s = Abs (x)", "q = Exp (x) s = Add (q, e)"])
def test_a_root_of_what_has_no_sign_is_a_square_root(nodes: str) -> None:
    text = f"agraph (float[n] x) => (float[n] y) <float e = {{0.5}}> {{ {nodes} y = Pow (s, e) }}"
    model = arenaut.load_onnx(parse(text))
    feeds = {"x": np.array([-np.inf, -0.0, 3, -2], np.float32)}
    assert any(event.rewrite == "expand" and event.fired for event in model.rewrites)
    assert_close(model.run(feeds)["y"], ort_outputs(parse(text), feeds)[0], rtol=1e-6)


def test_the_sign_of_what_counts_as_zero_is_zero() -> None:
    model = arenaut.load_onnx(parse("agraph (float[n] x) => (float[n] y) { y = Sign (x) }"))
    y = model.run({"x": np.array([1e-40, -1e-40, -0.0, 0.0, np.nan, np.inf, -3], np.float32)})["y"]
    np.testing.assert_array_equal(y, np.array([0, 0, 0, 0, np.nan, 1, -1], np.float32))
    assert not np.signbit(y[:4]).any()


@pytest.mark.parametrize("limits", ["", "min = 0.0", "max = 1.0"])
def test_clip_without_limits_clipped_to_the_largest_floats_before_opset_11(limits: str) -> None:
    attributes = f"<{limits}>" if limits else ""
    model = parse(f"agraph (float[n] x) => (float[n] y) {{ y = Clip {attributes} (x) }}", opset=6, ir_version=4)
    feeds = {"x": np.array([np.inf, -np.inf, 0.5, np.nan], np.float32)}
    np.testing.assert_array_equal(arenaut.load_onnx(model).run(feeds)["y"], ort_outputs(model, feeds)[0])


@pytest.mark.parametrize("op", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("size", [1, 2, 4, 5, 16, 33, 65, 101])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows_of_integers_reach_one(op: str, size: int, periodic: int) -> None:
    attributes = f"<output_datatype = 6, periodic = {periodic}>"
    model = parse(f"agraph (int64 n) => (int32[m] y) {{ y = {op} {attributes} (n) }}", opset=17)
    feeds = {"n": np.array(size)}
    np.testing.assert_array_equal(arenaut.load_onnx(model).run(feeds)["y"], ort_outputs(model, feeds)[0])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("scales", ["", "[5]"])
def test_no_number_is_quantised_to_the_lowest(dtype: str, scales: str) -> None:
    inputs = f"float[5] x, float{scales} s, {dtype}{scales} z"
    text = f"agraph ({inputs}) => ({dtype}[5] y) {{ y = QuantizeLinear <axis = 0> (x, s, z) }}"
    shape = (5,) if scales else ()
    feeds = {
        "x": np.array([np.nan, np.inf, -np.inf, 2.5, 0.5], np.float32), "s": np.ones(shape, np.float32),
        "z": np.full(shape, 3, dtype),
    }  # fmt: skip
    np.testing.assert_array_equal(arenaut.load_onnx(parse(text)).run(feeds)["y"], ort_outputs(parse(text), feeds)[0])


def test_every_record_with_samples_is_held_to_its_kernel() -> None:
    """By one of the two tests above, or it sums: then its tolerance decides."""
    here = {r.op for r in sampled() if r.tile is not None} | {r.op for r in CHOOSING}
    sums = {r.op for r in all_records().values() if r.tolerance != EXACT}
    apart = {r.op for r in sampled() if not r.has_native_form or r.domain}
    assert {r.op for r in sampled()} <= here | sums | apart
