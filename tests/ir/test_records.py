"""Every record against its own samples: evaluator, shape rule, data rule and view rule must tell one story."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arenaut.ir import dims
from arenaut.ir.dims import Expr
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.graph import Node
from arenaut.ir.record import OpRecord
from tests.support.oracle import expected
from tests.support.records import (
    assert_same,
    assert_tolerable,
    dense,
    materialise,
    node_of,
    sampled,
    samples_of,
    shape_in,
)

RECORDS = pytest.mark.parametrize("record", sampled(), ids=lambda r: r.op)


def outputs_of(record: OpRecord, sample: Any) -> tuple[Any, list[Any]]:
    node, _ = node_of(record, sample)
    assert record.evaluate is not None
    return node, list(record.evaluate(node, list(sample.inputs)))


@RECORDS
def test_evaluator_agrees_with_independent_oracles(record: OpRecord) -> None:
    """Evaluators keep to 8 ULP, or to the record's tolerance where that is wider."""
    for sample in samples_of(record):
        node, outputs = outputs_of(record, sample)
        oracle = expected(node, list(sample.inputs), inexact=record.tolerance.kind != "exact")
        for actual, want in zip(outputs, oracle, strict=True):
            assert_tolerable(record, node, sample, actual, want)


@RECORDS
def test_inferred_types_are_those_of_the_results(record: OpRecord) -> None:
    for sample in samples_of(record):
        node, outputs = outputs_of(record, sample)
        for value, result in zip(node.outputs, outputs, strict=True):
            assert value.dtype == dtype_of(np.asarray(result))
            assert shape_in(value, fresh_symbols(node, outputs)) == np.shape(result), f"{sample}"


@RECORDS
@pytest.mark.parametrize("constant", [True, False])
def test_symbolic_shapes_evaluate_to_the_real_ones(record: OpRecord, constant: bool) -> None:
    for sample in samples_of(record):
        _, outputs = outputs_of(record, sample)
        node, env = node_of(record, sample, symbolic=True, constant=constant)
        for value, result in zip(node.outputs, outputs, strict=True):
            assert value.dtype == dtype_of(np.asarray(result))
            if value.has_shape:
                known = {**env, **fresh_symbols(node, outputs)}
                assert shape_in(value, known) == np.shape(result), f"{sample}: {value.type}"


def fresh_symbols(node: Node, outputs: list[Any]) -> dict[str, int]:
    """Dims that only running decides, by the names that inference gives them."""
    return {
        f"{value.name}.{axis}": d
        for value, result in zip(node.outputs, outputs, strict=True)
        if value is not None
        for axis, d in enumerate(np.shape(result))
    }


@RECORDS
def test_views_hold_what_the_evaluator_gives(record: OpRecord) -> None:
    if record.view is None:
        pytest.skip("no view rule")
    seen = 0
    for sample in samples_of(record):
        for symbolic in (False, True):
            node, env = node_of(record, sample, symbolic=symbolic)
            x = sample.inputs[0]
            if not node.output.has_shape:
                continue
            views = record.view(node, dense(node.operand(0)))
            if views is None:
                continue
            _, outputs = outputs_of(record, sample)
            for view, value, result in zip(views, node.outputs, outputs, strict=True):
                assert view.dims == value.shape
                assert_same(materialise(view, np.asarray(x), env), result, what=f"{sample}")
                seen += 1
    assert seen


@RECORDS
def test_data_rule_is_the_evaluator_on_dims(record: OpRecord) -> None:
    """Integer inputs given as symbols: the symbolic elements, evaluated, are the elements of the result."""
    if record.data is None:
        pytest.skip("no data rule")
    for sample in samples_of(record):
        if any(x is None or x.dtype not in (np.int64, np.int32, np.bool_) for x in sample.inputs):
            continue
        node, _ = node_of(record, sample)
        if not all(v is None or v.dtype.is_integer or v.dtype is DType.BOOL for v in node.outputs):
            continue
        env: dict[str, int] = {}
        for index, (value, array) in enumerate(zip(node.inputs, sample.inputs, strict=True)):
            assert value is not None and array is not None
            if value.constant is None:
                value.data = symbols_for(array, f"e{index}", env)
        from arenaut.ir.infer import Inference, UnknownError

        try:
            results = record.data(Inference(node))
        except UnknownError:
            continue
        assert record.evaluate is not None
        for symbolic, actual in zip(results, record.evaluate(node, list(sample.inputs)), strict=True):
            if symbolic is not None:
                values = [dims.evaluate(d, env) if isinstance(d, Expr) else int(d) for d in symbolic.flat]
                assert values == [int(v) for v in np.asarray(actual).flat], f"{sample}"


def symbols_for(array: np.ndarray, stem: str, env: dict[str, int]) -> np.ndarray:
    out = np.empty(array.shape, object)
    for i, index in enumerate(np.ndindex(*array.shape)):
        out[index] = dims.symbol(f"{stem}_{i}", signed=bool(array[index] < 0))
        env[f"{stem}_{i}"] = int(array[index])
    return out
