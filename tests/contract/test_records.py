"""Records and kernel rows must know each other: every name a rule uses exists on the native side and in onnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from arenaut import _native
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.graph import Node, Value
from arenaut.ir.ops import all_records
from arenaut.ir.place import Place, dense_strides
from arenaut.ir.record import NoRowError, OpRecord, Reg
from arenaut.ir.schemas import onnx_schema
from arenaut.native.target import current_target
from tests.support.records import node_of, sampled, samples_of

RECORDS = pytest.mark.parametrize("record", sampled(), ids=lambda r: r.op)


class Calls:
    """A lowering that only notes which families are called, with which parameters."""

    target = current_target()

    def __init__(self) -> None:
        self.seen: list[tuple[str, Mapping[str, Any]]] = []

    def read(self, value: Value) -> Place:
        return Place(id(value), value.dtype, value.shape, dense_strides(value.shape))

    def stored(self, value: Value) -> Place:
        return self.read(value)

    write = read

    def stored_as(self, source: Place, target: Place) -> Place:
        return source

    def alias(self, value: Value, place: Place) -> None: ...

    def temp(self, dtype: DType, dims: Sequence[Any]) -> Place:
        return Place(0, dtype, tuple(dims), dense_strides(dims))

    def constant(self, array: np.ndarray) -> Place:
        return self.temp(dtype_of(array), array.shape)

    def is_constant(self, place: Place) -> bool:
        return True

    def reshape(self, place: Place, dims: Sequence[Any]) -> Place:
        return place.reshape(dims) or self.temp(place.dtype, dims)

    def call(self, family: str, inputs: Any, outputs: Any, params: Mapping[str, Any] | None = None) -> None:
        self.seen.append((family, params or {}))

    def copy(self, source: Place, target: Place) -> None:
        assert len(source.dims) == len(target.dims)

    def fill(self, target: Place, value: np.ndarray) -> None:
        assert value.dtype == target.dtype.numpy and value.size == 1

    def set_symbol(self, dim: Any, source: Place) -> None:
        assert source.dtype is DType.INT64


class Stems:
    """A tile builder that only notes which functions are used, on registers of what type."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def op(self, stem: str, *operands: Reg) -> Reg:
        typed = [o for o in operands if o.dtype is not DType.BOOL] or list(operands)
        name = f"{stem}_{typed[0].dtype.short}"
        self.seen.append(name)
        return _Reg(FUNCTIONS.get(name, typed[0].dtype))

    def imm(self, value: float, dtype: DType) -> Reg:
        return _Reg(dtype)

    def cast(self, reg: Reg, dtype: DType) -> Reg:
        self.seen.append(f"cast_{reg.dtype.short}_{dtype.short}")
        return _Reg(dtype)


class _Reg:
    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype


FUNCTIONS = {f[0]: DType(f[1]) for f in _native.tile_functions()}


def families() -> set[str]:
    return {row["family"] for row in _native.rows()}


@RECORDS
def test_families_and_parameters_exist(record: OpRecord) -> None:
    if record.lower is None:
        pytest.skip("no lowering rule")
    for sample in samples_of(record):
        node, _ = node_of(record, sample)
        calls = Calls()
        try:
            record.lower(calls, node)  # type: ignore[arg-type]
        except NoRowError:
            continue
        for family, params in calls.seen:
            if family == record.family and family not in families():
                pytest.skip(f"no machine has rows of {family}")
            assert family in families()
            known = {field[0] for field in _native.params(family)[1]} if params else set()
            assert set(params) <= known


@RECORDS
def test_tile_functions_exist(record: OpRecord) -> None:
    if record.tile is None:
        pytest.skip("not elementwise")
    missing = set()
    for sample in samples_of(record):
        node, _ = node_of(record, sample)
        operands = [None if v is None else register_of(v.dtype) for v in node.inputs]
        if all(v is None or v.dtype.compute is not None for v in [*node.inputs, *node.outputs]):
            stems = Stems()
            if not record.is_elementwise(node):
                continue
            results = record.tile(stems, node, operands)
            missing |= {s for s in stems.seen if s not in FUNCTIONS}
            assert [r.dtype for r in results] == [v.dtype.compute for v in node.outputs]
    assert not missing


def register_of(dtype: DType) -> Reg:
    assert dtype.compute is not None or dtype is DType.STRING
    return _Reg(dtype.compute or DType.BOOL)


def schema_of(record: OpRecord) -> Any:
    return onnx_schema(record.domain, record.op)


STANDARD = ("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training")
ONNX_RECORDS = [r for r in all_records().values() if r.domain in STANDARD]


@pytest.mark.parametrize("record", ONNX_RECORDS, ids=lambda r: r.op)
def test_ops_are_those_of_the_newest_opset(record: OpRecord) -> None:
    schema = schema_of(record)
    assert not schema.deprecated


@RECORDS
def test_samples_are_what_the_standard_allows(record: OpRecord) -> None:
    if record.domain not in STANDARD:
        pytest.skip("not a standard op")
    schema = schema_of(record)
    allowed = {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}
    for sample in samples_of(record):
        assert set(sample.attributes) <= set(schema.attributes)
        assert schema.min_input <= len(sample.inputs) <= schema.max_input
        for index, array in enumerate(sample.inputs):
            if array is not None:
                formal = schema.inputs[min(index, len(schema.inputs) - 1)]
                name = f"tensor({type_name(dtype_of(array))})"
                assert name in allowed.get(formal.type_str, {formal.type_str}), f"input {index} of {record.op}: {name}"


def type_name(dtype: DType) -> str:
    return dtype.name.lower()


@pytest.mark.parametrize("make", [Calls, Stems])
def test_recorders_note_what_they_are_asked(make: Callable[[], Any]) -> None:
    """The checks above would pass on recorders that see nothing."""
    record = all_records()["", "ReduceSum" if make is Calls else "Add"]
    node: Node = node_of(record, samples_of(record)[0])[0]
    recorder = make()
    rule = record.lower if make is Calls else record.tile
    assert rule is not None
    args = (recorder, node) if make is Calls else (recorder, node, [_Reg(DType.FLOAT)] * 2)
    rule(*args)
    assert recorder.seen
