"""What is no model, or a damaged one, is an error that says what to do. Nothing in a file may crash the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from arenaut.frontend import import_model
from arenaut.ir.errors import ArenautError, InvalidModelError
from tests.support.importing import model_of, random, tensor_info


def sample_model() -> onnx.ModelProto:
    """Something of everything: shapes, strings, bodies, functions, Constant nodes, old ops."""
    branch = [
        helper.make_graph([helper.make_node(op, ["h"], [f"{op}_out"])], op, [], [tensor_info(f"{op}_out", [2, 4])])
        for op in ("Abs", "Neg")
    ]
    function = helper.make_function(
        "local", "Scaled", ["a"], ["b"],
        [helper.make_node("Constant", [], ["k"], value_float=2.0), helper.make_node("Mul", ["a", "k"], ["b"])],
        [helper.make_opsetid("", 13)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], name="conv"),
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("Softmax", ["f"], ["s"]),
        helper.make_node("Slice", ["s", "from", "to"], ["part"]),
        helper.make_node("Scaled", ["part"], ["h"], domain="local"),
        helper.make_node("Reshape", ["h", "shape"], ["y"]),
        helper.make_node("Constant", [], ["t"], value=numpy_helper.from_array(random(40, 40))),
        helper.make_node("Cast", ["flag"], ["flag_bool"], to=TensorProto.BOOL),
        helper.make_node("If", ["flag_bool"], ["z"], then_branch=branch[0], else_branch=branch[1]),
    ]
    constants = {"w": random(3, 2, 3, 3), "from": np.array([0, 0]), "to": np.array([2, 4]), "shape": np.array([-1, 2]),
                 "flag": np.array(1.0, np.float32)}  # fmt: skip
    return model_of(nodes, [tensor_info("x", ["n", 2, 5, 5])], ["y", "z", "t"], constants, opset=11,
                     functions=[function], domains={"local": 1})  # fmt: skip


SAMPLE = sample_model().SerializeToString()


def test_the_sample_is_a_good_model() -> None:
    assert [n.op for n in import_model(SAMPLE).graph.nodes][:2] == ["Conv", "Flatten"]


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest of a zip", "torch.onnx.export"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"\x1c\x00\x00\x00TFL3" + b"\0" * 30, "tf2onnx"),
        (b"<!DOCTYPE html><html></html>", "download it again"),
        (b'{"json": 1}', "binary ONNX"),
        (b"\x1f\x8b\x08\x00", "unpack"),
        (b"\xff\xff\xff\xff", "cannot be read as an ONNX model"),
        (b"\x08\x07", "no graph or no version"),
        (b"\x3a\x00", "no graph or no version"),
        (SAMPLE[: len(SAMPLE) // 2], "cut short"),
        (SAMPLE[:-1], "cut short"),
        (SAMPLE[:40], "cut short"),
    ],
    ids=range(13),
)
def test_what_is_no_model(tmp_path: Path, data: bytes, advice: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(InvalidModelError, match=advice):
            import_model(source)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file '.*missing\.onnx'"):
        import_model(tmp_path / "missing.onnx")
    with pytest.raises(InvalidModelError, match="cannot be read as a model"):
        import_model(tmp_path)


@pytest.mark.parametrize("source", [None, 3, ["m.onnx"], onnx.GraphProto()])
def test_things_that_are_no_source(source: Any) -> None:
    with pytest.raises(TypeError, match="path, bytes, a file or an"):
        import_model(source)


def imports_or_refuses(data: bytes) -> None:
    """The whole promise: a graph, or one of our errors."""
    try:
        import_model(data)
    except ArenautError as error:
        assert str(error)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    imports_or_refuses(data)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_bytes(data: st.DataObject) -> None:
    """Bytes changed, taken out or put in, anywhere but in the large weights (which are only numbers)."""
    mutable = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(mutable) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "put", "copy"]))
        if kind == "set":
            mutable[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del mutable[place : place + data.draw(st.integers(1, 20))]
        elif kind == "put":
            mutable[place:place] = data.draw(st.binary(min_size=1, max_size=8))
        else:
            other = data.draw(st.integers(0, len(mutable) - 1))
            mutable[place : place + 8] = mutable[other : other + 8]
    imports_or_refuses(bytes(mutable))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_messages(data: st.DataObject) -> None:
    """Fields changed where protobuf stays valid: other names, numbers, types, dims, versions."""
    model = onnx.ModelProto()
    model.ParseFromString(SAMPLE)
    for _ in range(data.draw(st.integers(1, 3))):
        _mutate(model, data)
    imports_or_refuses(model.SerializeToString())


def _mutate(message: Any, data: st.DataObject) -> None:
    """Walks to a random field of a random message inside, and changes, removes or repeats it."""
    while True:
        fields = [f for f, _ in message.ListFields() if f.name != "raw_data"]
        if not fields:
            return
        field = data.draw(st.sampled_from(fields))
        value = getattr(message, field.name)
        is_message = field.message_type is not None
        repeated = field.is_repeated
        if is_message and data.draw(st.integers(0, 5)):
            message = data.draw(st.sampled_from(list(value))) if repeated else value
            continue
        if repeated and (is_message or data.draw(st.booleans())):
            index = data.draw(st.integers(0, len(value) - 1))
            if data.draw(st.booleans()):
                del value[index]
            elif is_message:
                value.add().CopyFrom(value[index])
            else:
                value.append(value[index])
        elif repeated:
            value[data.draw(st.integers(0, len(value) - 1))] = _other(field, data)
        elif is_message or data.draw(st.booleans()):
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _other(field, data))
        return


def _other(field: Any, data: st.DataObject) -> Any:
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        names = [
            "",
            "x",
            "w",
            "y",
            "h",
            "f",
            "Add",
            "Loop",
            "Scan",
            "local",
            "Scaled",
            "ai.onnx.ml",
            "axis",
            "\x00",
            "é",
        ]
        text = data.draw(st.sampled_from(names))
        return text if field.type == field.TYPE_STRING else text.encode()
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return data.draw(st.sampled_from([0.0, -1.0, float("nan"), 1e30]))
    if field.enum_type is not None:
        return data.draw(st.sampled_from([v.number for v in field.enum_type.values]))
    return data.draw(st.sampled_from([0, 1, 2, -1, 7, 13, 30, 2**31 - 1]))


@pytest.mark.parametrize("levels", [30, 60])
def test_deep_nesting_is_read_or_refused(levels: int) -> None:
    """protobuf reads about 33 graphs inside each other. The bytes are nested by hand: it does not write more either."""

    def field(number: int, payload: bytes) -> bytes:
        size, out = len(payload), bytearray([number << 3 | 2])
        while size > 0x7F:
            out.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes([*out, size]) + payload

    leaf = helper.make_graph([helper.make_node("Abs", ["x"], ["o0"])], "g0", [], [tensor_info("o0")])
    graph = leaf.SerializeToString()
    for level in range(1, levels):
        node = helper.make_node("If", ["c"], [f"o{level}"]).SerializeToString()
        for name in ("then_branch", "else_branch") if level == 1 else ("then_branch",):
            attribute = helper.make_attribute(name, leaf)
            attribute.ClearField("g")
            node += field(5, attribute.SerializeToString() + field(6, graph))
        if level > 1:
            node += field(5, helper.make_attribute("else_branch", leaf).SerializeToString())
        shell = helper.make_graph([], f"g{level}", [], [tensor_info(f"o{level}")])
        graph = field(1, node) + shell.SerializeToString()
    infos = [tensor_info("x", [3]), tensor_info("c", [], TensorProto.BOOL)]
    outer = model_of([], infos, [])
    inputs = b"".join(field(11, info.SerializeToString()) for info in infos)
    outer.ClearField("graph")
    data = outer.SerializeToString() + field(7, graph + inputs)
    if levels < 33:
        assert [n.op for n in import_model(data).graph.nodes] == ["If"]
    else:
        with pytest.raises(InvalidModelError, match="cut short, damaged"):
            import_model(data)
