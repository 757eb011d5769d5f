"""Casts of casts, over every pair of types."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from arenaut.ir.dtypes import DType
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.merge_casts import lossless, merge_casts
from tests.support.models import parse
from tests.support.rewriting import Rewritten, rewrite

TYPES = (DType.BOOL, DType.INT8, DType.UINT8, DType.INT16, DType.UINT16, DType.INT32, DType.UINT32, DType.INT64,
         DType.UINT64, DType.FLOAT16, DType.FLOAT, DType.DOUBLE)  # fmt: skip


def extremes(dtype: DType) -> np.ndarray:
    kind = dtype.numpy
    if kind.kind == "b":
        return np.array([False, True])
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return np.array([info.min, info.min + 1, 0, 1, info.max - 1, info.max], kind)
    limits = np.finfo(kind)
    numbers = [limits.min, limits.max, limits.smallest_subnormal, limits.tiny, 1 + limits.eps, 0.0, -0.0, np.inf]
    return np.array(numbers, kind)


@pytest.mark.parametrize(("source", "target"), list(itertools.product(TYPES, TYPES)))
def test_lossless_is_what_comes_back(source: DType, target: DType) -> None:
    given = extremes(source)
    with np.errstate(all="ignore"):
        back = given.astype(target.numpy).astype(source.numpy)
    widened = np.array_equal(back, given) and not (source.is_float and not target.is_float)
    if lossless(source, target):
        assert widened


def run(middle: DType, last: DType, source: str, values: np.ndarray) -> Rewritten:
    name = "float" if last is DType.FLOAT else last.numpy.name
    casts = f"c = Cast <to = {int(middle)}> (x) d = Cast <to = {int(last)}> (c)"
    text = f"t ({source}[n] x) => ({name}[n] y) {{ {casts} y = Neg(d) }}"
    return rewrite(parse(text), merge_casts, eliminate_dead_code, feeds={"x": values})


def test_there_and_back_is_nothing() -> None:
    assert run(DType.DOUBLE, DType.FLOAT, "float", np.array([1.5, -2.25, 3e38], np.float32)).ops == ["Neg"]


def test_a_wider_step_between_is_left_out() -> None:
    result = run(DType.INT64, DType.FLOAT, "int32", np.array([1, -7, 1 << 30], np.int32))
    assert result.ops == ["Cast", "Neg"] and result.graph.nodes[0].operand(0).name == "x"


def test_a_narrower_step_between_stays() -> None:
    result = run(DType.INT32, DType.FLOAT, "float", np.array([1.5, -2.75], np.float32))
    assert result.ops == ["Cast", "Cast", "Neg"]
    assert result.reasons("cast_of_cast") == ["i32 does not hold every f32"]
