"""Templates of control flow, sequences and text."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from tests.random.draw import Draw, between, given, template


def _info(name: str, kind: int = TensorProto.FLOAT, shape: object = None) -> object:
    return helper.make_tensor_value_info(name, kind, shape)


@template("If")
def branches(d: Draw) -> None:
    """Both branches read what lies outside through the node's own extra values: constants of the branch."""
    rank = d.rank(0, 3)
    bodies = []
    for name in ("then", "else"):
        dims = [d.fixed(0, 4) for _ in range(rank)] if d.chance(0.3) else [2] * rank
        count = int(np.prod(dims))
        tensor = helper.make_tensor("c", TensorProto.FLOAT, dims, [float(d.fixed(-9, 9)) for _ in range(count)])
        nodes = [helper.make_node("Constant", [], [f"{name}_c"], value=tensor),
                 helper.make_node(d.choice(["Neg", "Identity", "Abs"]), [f"{name}_c"], [f"{name}_y"])]  # fmt: skip
        bodies.append(helper.make_graph(nodes, name, [], [_info(f"{name}_y")]))  # type: ignore[list-item]
    d.attr("then_branch", bodies[0])
    d.attr("else_branch", bodies[1])
    d.input("cond", d.choice([(), (1,)]) if d.opset >= 11 else (1,))


@template("Loop")
def loop(d: Draw) -> None:
    trips = d.fixed(0, 5)
    scanned = d.chance()
    nodes = [
        helper.make_node("Add", ["v", "v"], ["doubled"]),
        helper.make_node("Cast", ["i"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["doubled", "number"], ["next"]),
        helper.make_node("Identity", ["c"], ["again"]),
    ]
    outputs = [_info("again", TensorProto.BOOL), _info("next")]
    if scanned:
        nodes.append(helper.make_node("Neg", ["v"], ["seen"]))
        outputs.append(_info("seen"))
    inputs = [_info("i", TensorProto.INT64, []), _info("c", TensorProto.BOOL, []), _info("v")]
    d.attr("body", helper.make_graph(nodes, "body", inputs, outputs))  # type: ignore[arg-type]
    d.input("M", d.choice([(), (1,)]), given(trips), constant=0.6)
    d.input("cond", d.choice([(), (1,)]), given(d.chance(0.9)), constant=0.6)
    d.input("v_initial", d.shape(d.rank(0, 3)), dtype="float")
    d.output_count = 2 if scanned else 1


@template("Scan", oldest=9)
def scan(d: Draw) -> None:
    rank = d.rank(0, 2)
    inner = d.shape(rank)
    axis = d.fixed(0, rank)
    nodes = [helper.make_node("Add", ["s", "e"], ["t"]), helper.make_node(d.choice(["Neg", "Relu"]), ["t"], ["y"])]
    body = helper.make_graph(nodes, "body", [_info("s"), _info("e")], [_info("t"), _info("y")])  # type: ignore[list-item]
    d.attr("body", body)
    d.attr("num_scan_inputs", 1)
    d.attr("scan_input_axes", [axis])
    d.attr("scan_output_axes", [d.fixed(0, rank)])
    if d.chance():
        d.attr("scan_input_directions", [d.fixed(0, 1)])
        d.attr("scan_output_directions", [d.fixed(0, 1)])
    sequence = list(inner)
    sequence.insert(axis, d.size(1, 9))
    d.input("state", inner, dtype="float")
    d.input("sequence", sequence, dtype="float")
    d.output_count = 2


@template("StringConcat")
def string_concat(d: Draw) -> None:
    shape = d.shape(d.rank(0, 3))
    d.input("X", shape)
    d.input("Y", tuple(1 if d.chance(0.3) else n for n in shape), constant=0.3)


@template("StringSplit")
def string_split(d: Draw) -> None:
    d.attr("delimiter", d.choice([None, " ", "a", "t"]))
    d.attr("maxsplit", d.choice([None, 0, 1, 2]))
    d.input("X", d.shape(d.rank(0, 2), 1))
    d.output_count = 2


@template("StringNormalizer")
def string_normalizer(d: Draw) -> None:
    d.attr("case_change_action", d.choice([None, "NONE", "LOWER", "UPPER"]))
    d.attr("is_case_sensitive", d.choice([None, 0, 1]))
    d.attr("stopwords", d.choice([None, ["a"], ["wort", "42"]]))
    d.input("X", d.choice([(d.size(1, 9),), (1, d.size(1, 9))]))


@template("RegexFullMatch")
def regex(d: Draw) -> None:
    d.attr("pattern", d.choice([r"[a-z]*", r"\d+", r"a|bc", r".*o.*"]))
    d.input("X", d.shape(d.rank(0, 3)))


@template("SplitToSequence")
def split_to_sequence(d: Draw) -> None:
    rank = d.rank(1, 3)
    shape = list(d.shape(rank, 1))
    axis = d.axis(rank)
    d.attr("axis", axis)
    parts = [d.fixed(1, 4) for _ in range(d.fixed(1, 3))]
    kind = d.choice(["each", "number", "list"])
    if kind == "each":
        d.attr("keepdims", d.choice([None, 0, 1]))
        shape[axis] = d.size(1, 9)
    else:
        shape[axis] = sum(parts)
    d.input("input", shape)
    if kind == "number":
        d.input("split", (), given(parts[0]), constant=0.7)
    elif kind == "list":
        d.shaping("split", parts, dtype=d.dtype(1))


@template("SequenceConstruct")
def sequence_construct(d: Draw) -> None:
    for _ in range(d.fixed(1, 3)):
        d.input("inputs", d.shape(d.rank(0, 3)))


@template("Optional")
def optional(d: Draw) -> None:
    d.input("input", d.shape(d.rank(0, 3)))


_ = between
