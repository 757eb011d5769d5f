"""Operands of types that the standard does not allow are refused at import, by the schema of every op."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import arenaut
from arenaut.errors import ArenautError, ModelError
from arenaut.ir import DType
from arenaut.ir.schemas import newest_opset, signature, versions
from arenaut.ir.types import MapType, OptionalType, SequenceType, TensorType, onnx_text

LOOP = """agraph ({trip} m, {going} c, float[2] x) => (float[2] y) {{
    y = Loop (m, c, x) <body = b (int64 i, bool k, float[2] s) => ({again} k2, float[2] t) {{
        {next} t = Add (s, x)
    }}>
}}"""
IF = """agraph ({condition} c, float[2] x) => (float[2] y) {{
    y = If (c) <then_branch = a () => (float[2] p) {{ p = Identity (x) }},
        else_branch = b () => (float[2] q) {{ q = Neg (x) }}>
}}"""


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 4]>\n{text}')


def loop(trip: str = "int64", going: str = "bool", again: str = "bool", makes: str = "k2 = Identity (k)") -> str:
    return LOOP.format(trip=trip, going=going, again=again, next=makes)


@pytest.mark.parametrize("dtype", ["bool", "int32", "uint8", "float", "uint64", "double"])
def test_a_trip_count_is_an_int64(dtype: str) -> None:
    with pytest.raises(ModelError, match=rf"input 0 \('M'\), 'm', is tensor\({dtype}\), expected tensor\(int64\)"):
        arenaut.load_onnx(parsed(loop(dtype)))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float"])
def test_conditions_are_bools(dtype: str) -> None:
    for text, name in ((IF.format(condition=dtype), "If"), (loop(going=dtype), "Loop")):
        with pytest.raises(ModelError, match=rf"{name}.*'c', is tensor\({dtype}\), expected tensor\(bool\)"):
            arenaut.load_onnx(parsed(text))
    cast = f"k2 = Cast <to = {int(TensorProto.DataType.Value(dtype.upper()))}> (k)"
    with pytest.raises(ModelError, match="condition that the body gives"):
        arenaut.load_onnx(parsed(loop(again=dtype, makes=cast)))


@pytest.mark.parametrize("shape", ["[0]", "[2]", "[1, 3]"])
def test_what_steers_a_loop_is_one_element(shape: str) -> None:
    for text in (loop(f"int64{shape}"), loop(going=f"bool{shape}"), IF.format(condition=f"bool{shape}")):
        with pytest.raises(ModelError, match="expected one element"):
            arenaut.load_onnx(parsed(text))


@pytest.mark.parametrize("size", [0, 2])
def test_what_steers_a_loop_is_one_element_where_only_running_tells(size: int) -> None:
    x = np.ones(2, np.float32)
    feeds = {"m": np.ones(size, np.int64), "c": np.array(True), "x": x}
    with pytest.raises(ArenautError, match="one element"):
        arenaut.load_onnx(parsed(loop("int64[n]"))).run(feeds)
    with pytest.raises(ArenautError, match="one element"):
        arenaut.load_onnx(parsed(IF.format(condition="bool[n]"))).run({"c": np.ones(size, bool), "x": x})


def test_a_loop_that_is_well_typed_runs() -> None:
    for trip in ("int64", "int64[1]", "int64[n]"):
        m = np.array(3) if trip == "int64" else np.array([3])
        feeds = {"m": m, "c": np.array(True), "x": np.ones(2, np.float32)}
        np.testing.assert_array_equal(arenaut.load_onnx(parsed(loop(trip))).run(feeds)["y"], [4, 4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "(float[2] x, double[2] z) => (float[2] y) { y = Add (x, z) }",
            r"'z', is tensor\(double\), expected tensor\(float\), the type of 'A'",
        ),
        (
            "(float[2] x, float[1] i) => (float[1] y) { y = Gather (x, i) }",
            r"input 1 \('indices'\), 'i', is tensor\(float\)",
        ),
        ("(string[2] x) => (string[2] y) { y = Relu (x) }", r"is tensor\(string\), expected tensor\(bfloat16\) or"),
        (
            "(float[2] x, int32[1] s) => (float[] y) { y = Reshape (x, s) }",
            r"'s', is tensor\(int32\), expected tensor\(int64\)",
        ),
        (
            "(string[2] x) => (float[2] y) { y = ai.onnx.ml.Normalizer (x) }",
            r"Normalizer.*is tensor\(string\), expected tensor\(double\)",
        ),
        ("(float[2] x) => (float[2] y) { s = SequenceConstruct (x) y = Relu (s) }", r"'s', is seq\(tensor\(float\)\)"),
    ],
)  # fmt: skip
def test_the_error_names_node_operand_and_types(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        arenaut.load_onnx(parsed(f"agraph {text}"))


def test_the_schema_in_force_decides() -> None:
    """Add of int8 came with opset 14."""
    text = '<ir_version: 10, opset_import: ["" : {}]>\nagraph (int8[2] x) => (int8[2] y) {{ y = Add (x, x) }}'
    with pytest.raises(ModelError, match="opset 13"):
        arenaut.load_onnx(onnx.parser.parse_model(text.format(13)))
    arenaut.load_onnx(onnx.parser.parse_model(text.format(14)))


DOMAINS = ("", "ai.onnx.ml")
ODD = TensorType(DType.COMPLEX64, (2,))


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_op_checks_every_operand(domain: str) -> None:
    """An operand of a type that is not among the schema's is refused, at each place, before anything else is asked."""
    checked = 0
    for schema in onnx.defs.get_all_schemas():
        if schema.domain != domain or not schema.inputs or any(a.required for a in schema.attributes.values()):
            continue
        rule = signature(domain, schema.name, newest_opset(domain))
        assert rule is not None and len(versions(domain, schema.name)) > 0
        for place in range(min(len(schema.inputs), rule.inputs[1])):
            names = [f"x{i}" for i in range(max(place + 1, rule.inputs[0]))]
            types = [_first_of(rule.input_parameter(i)) for i in range(len(names))]
            odd = next((t for t in ODDITIES if onnx_text(t) not in rule.input_parameter(place).types), None)
            if odd is None or any(t is None for t in types):
                continue
            types[place] = odd
            with pytest.raises(ModelError, match=f"input {place} .*'x{place}', is "):
                arenaut.load_onnx(_one_node(schema, names, types))
            checked += 1
    assert checked > (200 if domain == "" else 2)


ODDITIES = (ODD, TensorType(DType.BOOL, (2,)), SequenceType(TensorType(DType.FLOAT, (2,))))
PLAIN = (*(TensorType(d, (2,)) for d in DType), SequenceType(TensorType(DType.FLOAT, (2,))))


def _first_of(parameter: object) -> object:
    return next((t for t in PLAIN if onnx_text(t) in parameter.types), None)


def _one_node(schema: onnx.defs.OpSchema, names: list[str], types: list[object]) -> onnx.ModelProto:
    infos = []
    for name, t in zip(names, types, strict=True):
        if isinstance(t, SequenceType):
            infos.append(helper.make_tensor_sequence_value_info(name, int(t.element.dtype), list(t.element.shape)))
        else:
            infos.append(helper.make_tensor_value_info(name, int(t.dtype), list(t.shape)))
    outputs = [f"y{i}" for i in range(max(1, schema.min_output))]
    node = helper.make_node(schema.name, names, outputs, domain=schema.domain)
    results = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
    graph = helper.make_graph([node], "g", infos, results)
    imports = [helper.make_opsetid("", newest_opset(""))]
    if schema.domain:
        imports.append(helper.make_opsetid(schema.domain, newest_opset(schema.domain)))
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def test_types_as_onnx_writes_them() -> None:
    tensor = TensorType(DType.FLOAT8E4M3FN, None)
    assert onnx_text(tensor) == "tensor(float8e4m3fn)"
    assert onnx_text(OptionalType(SequenceType(tensor))) == "optional(seq(tensor(float8e4m3fn)))"
    assert onnx_text(MapType(DType.STRING, TensorType(DType.INT64, ()))) == "map(string,tensor(int64))"
