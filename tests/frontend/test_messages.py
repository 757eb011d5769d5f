"""The native reader gives what protobuf's own parser gives, and refuses what that refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from arenaut.frontend.messages import CHOICES, FIELDS, AttributeType, Message, message_class, read_model, to_protobuf

LIGHT = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data" / "light").glob("*.onnx"))
DESCRIPTORS = {
    "TensorType": onnx.TypeProto.Tensor, "ElementType": onnx.TypeProto.Sequence, "MapType": onnx.TypeProto.Map,
    "OpaqueType": onnx.TypeProto.Opaque, "Dimension": onnx.TensorShapeProto.Dimension,
    "Segment": onnx.TensorProto.Segment,
}  # fmt: skip
KINDS = {2: "float", 3: "int", 5: "int", 9: "text", 12: "bytes", 14: "int"}
NUMBERS = {1: "doubles", 2: "floats", 3: "ints", 4: "uints", 5: "ints"}


def same(ours: Any, theirs: Any, data: bytes) -> bool:
    """Whether every field that FIELDS names has one value in both."""
    for name, kind in FIELDS[type(ours).__name__].values():
        mine, other = getattr(ours, name), getattr(theirs, name)
        single = kind.rstrip("*") in FIELDS
        if kind.endswith("*"):
            assert len(mine) == len(other), name
            assert all(same(a, b, data) if single else a == b for a, b in zip(mine, other, strict=True)), name
        elif single:
            assert ours.HasField(name) == theirs.HasField(name), name
            assert not theirs.HasField(name) or same(mine, other, data), name
        elif kind == "span":
            assert data[mine[0] : mine[0] + mine[1]] == other, name
        elif kind in NUMBERS.values():
            assert np.array_equal(np.asarray(mine), np.asarray(other), equal_nan=kind in ("floats", "doubles")), name
        else:
            assert mine == other or mine != mine, name
    return True


def check(data: bytes) -> None:
    assert same(read_model(data), onnx.ModelProto.FromString(data), data)


def test_the_table_is_that_of_onnx() -> None:
    for name, fields in FIELDS.items():
        descriptor = (DESCRIPTORS.get(name) or getattr(onnx, name)).DESCRIPTOR
        theirs = {f.number: f for f in descriptor.fields}
        for number, (attribute, kind) in fields.items():
            f = theirs[number]
            assert f.name == attribute
            if f.message_type is not None:
                child = kind.rstrip("*")
                assert child in FIELDS and kind.endswith("*") == f.is_repeated, (name, attribute)
                own = {(n, a) for n, (a, _) in FIELDS[child].items()}
                assert own <= {(g.number, g.name) for g in f.message_type.fields}, (name, attribute)
            elif f.is_repeated:
                assert kind == (KINDS[f.type] + "*" if f.type in (9, 12) else NUMBERS[f.type]), (name, attribute)
            else:
                assert kind == ("span" if attribute == "raw_data" else KINDS[f.type]), (name, attribute)
        groups = {g for o in descriptor.oneofs for g in (f.name for f in o.fields)}
        assert set(CHOICES.get(name, ())) == groups & {a for a, _ in fields.values()}


def test_attribute_types_are_those_of_onnx() -> None:
    assert {t.name: t.value for t in AttributeType} == dict(onnx.AttributeProto.AttributeType.items())


@pytest.mark.parametrize("path", LIGHT, ids=lambda p: p.stem)
def test_real_models(path: Path) -> None:
    check(path.read_bytes())


def everything() -> onnx.ModelProto:
    body = helper.make_graph([helper.make_node("Abs", ["h"], ["o"])], "then", [], [])
    node = helper.make_node(
        "If", ["c", ""], ["y"], "named", "docs", "a.domain", one=1, whole=[-1, 2**62, -(2**63)], real=0.5,
        reals=[1.5, float("nan"), -0.0], text="t\u00e4xt", texts=["a", ""], then_branch=body, graphs=[body, body],
        tensor=numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3)),
        many=[numpy_helper.from_array(np.zeros(0, np.int8))],
        sparse=helper.make_sparse_tensor(
            numpy_helper.from_array(np.ones(1, np.float32)), numpy_helper.from_array(np.zeros(1, np.int64)), [4]
        ),
        kind=helper.make_tensor_type_proto(1, ["n", 3, None]),
    )  # fmt: skip
    typed = [
        helper.make_tensor("f", 1, [3], [1.0, -2.5, float("inf")]), helper.make_tensor("i", 6, [2], [-1, 2**31 - 1]),
        helper.make_tensor("d", 11, [2], [1e300, -0.0]), helper.make_tensor("u", 13, [2], [0, 2**64 - 1]),
        helper.make_tensor("s", 8, [2], [b"x", b"\xff"]), helper.make_tensor("l", 7, [1], [-(2**63)]),
    ]  # fmt: skip
    infos = [
        helper.make_tensor_value_info("x", 1, ["n", 2]), helper.make_tensor_sequence_value_info("q", 7, None),
        helper.make_value_info("m", helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, []))),
        helper.make_value_info("o", helper.make_optional_type_proto(helper.make_tensor_type_proto(1, [1]))),
        helper.make_value_info("z", onnx.TypeProto()),
    ]  # fmt: skip
    function = helper.make_function("local", "F", ["a"], ["b"], [node], [helper.make_opsetid("", 18)], ["k"])
    graph = helper.make_graph([node], "g\u00e9", infos, [], typed)
    model = helper.make_model(
        graph, functions=[function], producer_name="p", opset_imports=[helper.make_opsetid("", 18)]
    )
    helper.set_model_props(model, {"key": "value"})
    return model


def test_every_kind_of_field() -> None:
    check(everything().SerializeToString())


def test_unknown_fields_are_passed_over() -> None:
    data = everything().SerializeToString()
    unknown = b"\xf8\x3f\x05" + b"\xfa\x3f\x02ab" + b"\xf9\x3f" + b"\0" * 8 + b"\xfd\x3f" + b"\0" * 4
    check(data + unknown)
    check(b"\x3d\0\0\0\0" + data)  # graph with the wire type of a number


def test_messages_that_stand_twice_are_merged() -> None:
    first, second = everything(), everything()
    second.graph.ClearField("name")
    second.producer_name = "again"
    check(first.SerializeToString() + second.SerializeToString())


def test_names_that_are_no_text_stay_bytes() -> None:
    """The importer then names them: see check_text."""
    assert read_model(b"\x12\x02\xff\xfe").producer_name == b"\xff\xfe"


def test_what_is_left_out_is_its_default() -> None:
    empty = read_model(b"")
    assert not empty.HasField("graph") and empty.graph.node == () and empty.ir_version == 0
    assert empty.graph is not empty.graph and isinstance(empty, message_class("ModelProto"))


@pytest.mark.parametrize("data", [b"\x08", b"\x3a\x05abc", b"\x00\x01", b"\x0b", b"\x80" * 10 + b"\x01"], ids=range(5))
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        onnx.ModelProto.FromString(data)
    with pytest.raises(ValueError, match="not protobuf"):
        read_model(data)


def test_only_bytes_are_read() -> None:
    with pytest.raises(ValueError, match="contiguous bytes"):
        read_model(np.zeros(3, np.int32))  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutants_are_read_alike_or_refused(data: st.DataObject) -> None:
    mutable = bytearray(everything().SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(mutable) - 1))
        if data.draw(st.booleans()):
            mutable[place] = data.draw(st.integers(0, 255))
        else:
            del mutable[place : place + data.draw(st.integers(1, 20))]
    try:
        read = read_model(bytes(mutable))
    except ValueError:
        return
    assert isinstance(read, Message)


def test_ours_become_protobuf_again() -> None:
    data = everything().SerializeToString()
    node = read_model(data).graph.node[0]
    again = to_protobuf(node, onnx.NodeProto(), lambda span: data[span[0] : span[0] + span[1]])
    theirs = everything().graph.node[0]
    theirs.ClearField("doc_string")
    for attribute in theirs.attribute:
        attribute.g.ClearField("doc_string")
        if not attribute.HasField("g") or attribute.type != onnx.AttributeProto.GRAPH:
            attribute.ClearField("g")
    assert again.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)


def test_numbers_become_one_array() -> None:
    tensor = helper.make_tensor("w", 7, [0], [])
    model = onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor]))
    model.graph.initializer[0].int64_data.extend(np.arange(100_000))
    found = read_model(model.SerializeToString()).graph.initializer[0].int64_data
    assert isinstance(found, np.ndarray) and found.dtype == np.int64 and np.array_equal(found, np.arange(100_000))
