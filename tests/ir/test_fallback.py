"""Records made from onnx: every op has one, its types are ours, its results onnx's."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from arenaut.ir import DType, Graph, MapType, OptionalType, SequenceType, TensorType, symbol
from arenaut.ir.errors import ShapeError
from arenaut.ir.evaluate import evaluate_node
from arenaut.ir.graph import Node, Value
from arenaut.ir.infer import infer_node
from arenaut.ir.ops import all_records, find_record
from arenaut.ir.ops.support.fallback import reference_record
from arenaut.ir.types import NO_ELEMENT, Type

FLOAT = TensorType(DType.FLOAT, (symbol("n"), 3))
DOMAINS = ("", "ai.onnx.ml", "ai.onnx.preview.training")


def newest() -> list[Any]:
    schemas: dict[tuple[str, str], Any] = {}
    for s in onnx.defs.get_all_schemas_with_history():
        if s.domain in DOMAINS:
            key = (s.domain, s.name)
            schemas[key] = max(schemas.get(key, s), s, key=lambda x: x.since_version)
    return [s for s in schemas.values() if not s.deprecated]


def node(op: str, types: list[Type | None], attributes: dict[str, Any] | None = None, **how: Any) -> Node:
    graph = Graph()
    inputs = [None if t is None else graph.add_input(f"x{i}", t) for i, t in enumerate(types)]
    made = graph.add(op, inputs, attributes or {}, **how)
    infer_node(made)
    return made


@pytest.mark.parametrize("schema", newest(), ids=lambda s: s.name)
def test_every_op_has_a_record(schema: Any) -> None:
    record = find_record(schema.domain, schema.name)
    assert record is not None and record.key == (schema.domain, schema.name)


def test_unknown_ops_have_none() -> None:
    assert reference_record("", "NoSuchOp") is None
    assert reference_record("com.example", "Relu") is None


def test_dims_it_cannot_tell_are_fresh() -> None:
    made = node("NonMaxSuppression", [TensorType(DType.FLOAT, (1, 6, 4)), TensorType(DType.FLOAT, (1, 1, 6))])
    shape = made.output.shape
    assert made.output.dtype is DType.INT64 and len(shape) == 2 and shape[1] == 3
    assert str(shape[0]) == f"{made.output.name}.0"


def test_symbols_pass_through() -> None:
    grid = TensorType(DType.FLOAT, (symbol("n"), symbol("h"), symbol("w"), 2))
    made = node("GridSample", [TensorType(DType.FLOAT, (symbol("n"), 3, 8, 8)), grid])
    assert made.output.type == TensorType(DType.FLOAT, (symbol("n"), 3, symbol("h"), symbol("w")))


def test_an_unknown_rank_leaves_the_element_type() -> None:
    unknown = TensorType(DType.FLOAT16, None)
    assert node("Det", [unknown]).output.type == unknown
    assert node("MatMul", [unknown, unknown]).output.type == unknown
    assert node("Shape", [unknown]).output.dtype is DType.INT64
    assert node("Cast", [unknown], {"to": int(DType.BOOL)}).output.type == TensorType(DType.BOOL, None)


def test_contradictions_name_the_node() -> None:
    with pytest.raises(ShapeError, match="Det"):
        node("Det", [TensorType(DType.FLOAT, (3,))])


def test_sequences_and_optionals() -> None:
    built = node("SequenceConstruct", [FLOAT, FLOAT])
    assert isinstance(built.output.type, SequenceType)
    x, y = np.ones((2, 3), np.float32), np.zeros((1, 3), np.float32)
    (sequence,) = evaluate_node(built, [x, y])
    assert [a.shape for a in sequence] == [(2, 3), (1, 3)]
    at = node("SequenceAt", [built.output.type, TensorType(DType.INT64, ())])
    assert at.output.dtype is DType.FLOAT
    np.testing.assert_array_equal(evaluate_node(at, [sequence, np.array(-1)])[0], y)
    length = node("SequenceLength", [built.output.type])
    assert evaluate_node(length, [sequence])[0] == 2
    has = node("OptionalHasElement", [OptionalType(FLOAT)])
    assert has.output.type == TensorType(DType.BOOL, ())
    assert not evaluate_node(has, [None])[0] and evaluate_node(has, [x])[0]


def test_an_empty_sequence_has_a_type() -> None:
    empty = node("SequenceEmpty", [], {"dtype": int(DType.INT64)})
    assert empty.output.type == SequenceType(TensorType(DType.INT64, NO_ELEMENT))
    assert evaluate_node(empty, [])[0] == []


def test_strings() -> None:
    words = TensorType(DType.STRING, (2,))
    joined = node("StringConcat", [words, words])
    assert joined.output.type == words
    (out,) = evaluate_node(joined, [np.array(["a", "ü"], object), np.array(["b", "c"], object)])
    assert out.dtype == object and out.tolist() == ["ab", "üc"]
    made = node("Cast", [TensorType(DType.FLOAT, (2,))], {"to": int(DType.STRING)})
    (text,) = evaluate_node(made, [np.array([1.5, -2.0], np.float32)])
    assert text.dtype == object and [float(t) for t in text] == [1.5, -2.0]
    back = node("Cast", [words], {"to": int(DType.FLOAT)})
    np.testing.assert_array_equal(
        evaluate_node(back, [np.array(["1e3", "-INF"], object)])[0], np.array([1e3, -np.inf], np.float32)
    )


def test_machine_learning_domain() -> None:
    attributes = {"keys_strings": ("cat", "dog"), "values_int64s": (7, 9), "default_int64": -1}
    encoder = node("LabelEncoder", [TensorType(DType.STRING, (3,))], attributes, domain="ai.onnx.ml")
    assert encoder.output.type == TensorType(DType.INT64, (3,))
    (out,) = evaluate_node(encoder, [np.array(["dog", "cow", "cat"], object)])
    assert out.tolist() == [9, -1, 7]


def test_maps() -> None:
    zipped = node(
        "ZipMap", [TensorType(DType.FLOAT, (symbol("n"), 2))], {"classlabels_strings": ("a", "b")}, domain="ai.onnx.ml"
    )
    t = zipped.output.type
    assert isinstance(t, SequenceType) and isinstance(t.element, MapType) and t.element.key is DType.STRING
    (rows,) = evaluate_node(zipped, [np.array([[0.25, 0.75]], np.float32)])
    assert rows == [{"a": 0.25, "b": 0.75}]


def test_absent_inputs_and_outputs() -> None:
    made = node("Dropout", [FLOAT, None, None], outputs=2)
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(evaluate_node(made, [x, None, None])[0], x)
    clip = node("Clip", [FLOAT, None, TensorType(DType.FLOAT, ())])
    fallback = reference_record("", "Clip")
    assert fallback is not None and fallback.evaluate is not None
    np.testing.assert_array_equal(fallback.evaluate(clip, [x * 3, None, np.float32(2)])[0], x * 2)


def test_random_ops_are_not_deterministic() -> None:
    for op in ("RandomNormal", "RandomUniformLike", "Bernoulli", "Multinomial"):
        record = find_record("", op)
        assert record is not None and not record.deterministic
    made = node("RandomNormal", [], {"shape": (2, 3), "seed": 1.0, "dtype": int(DType.DOUBLE)})
    assert made.output.type == TensorType(DType.DOUBLE, (2, 3))
    assert evaluate_node(made, [])[0].dtype == np.float64


@pytest.mark.parametrize("key", sorted(all_records()), ids=lambda k: k[1])
def test_written_records_infer_what_onnx_does(key: tuple[str, str]) -> None:
    """On every sample of a record, onnx's own shape inference does not contradict ours."""
    from tests.support.records import node_of, samples_of

    record, fallback = all_records()[key], reference_record(*key)
    if record.samples is None or fallback is None:
        pytest.skip("nothing to compare")
    from arenaut.ir.infer import Inference

    for sample in samples_of(record):
        made, _ = node_of(record, sample)
        if "..." in made.attr("equation", ""):
            continue  # onnx refuses an ellipsis that stands for no dims in one operand
        for value, t in zip(made.outputs, fallback.infer(Inference(made)), strict=True):
            if value is None:
                continue
            assert isinstance(t, TensorType) and t.dtype is value.dtype, f"{sample}"
            if t.shape is not None:
                assert len(t.shape) == value.rank
                pairs = zip(t.shape, value.shape, strict=True)
                assert all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int)), f"{sample}"


def test_a_rule_of_onnx_that_misses_an_output_blames_the_model() -> None:
    given = {"R": TensorType(DType.FLOAT, ()), "T": TensorType(DType.INT64, ()), "X": TensorType(DType.FLOAT, (2,))}
    values = [Value(n, given.get(n, given["X"])) for n in "RTXGV"]
    attributes = {"norm_coefficient": 0.1, "alpha": 0.9, "beta": 1.0, "mode": "standard"}
    node = Node("Momentum", values, [Value("y")], attributes, domain="ai.onnx.preview.training")
    with pytest.raises(ShapeError, match="Output 1 is out of bounds"):
        infer_node(node)
