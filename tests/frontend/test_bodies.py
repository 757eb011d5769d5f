"""If, Loop, Scan and what else has bodies: outer values become explicit inputs; numbers are those of onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from arenaut.frontend import import_model
from arenaut.frontend.export import to_model_proto
from arenaut.ir import Graph
from arenaut.ir.errors import InvalidModelError, UnsupportedError
from tests.support.importing import Array, compare, model_of, random, run_graph, run_ort, tensor_info

BOOL, INT64 = TensorProto.BOOL, TensorProto.INT64
X = random(2, 3)


def check(model: onnx.ModelProto, **feeds: Array) -> Graph:
    """Compares the imported graph, and the graph saved and run again, with onnxruntime on the original."""
    imported = import_model(model)
    expected = run_ort(model, feeds)
    compare(run_graph(imported.graph, feeds), expected)
    saved = to_model_proto(imported.graph, input_names=imported.input_names, output_names=imported.output_names)
    onnx.checker.check_model(saved)
    compare(run_ort(saved, feeds), expected)
    compare(run_graph(import_model(saved).graph, feeds), expected)
    return imported.graph


def body(
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[str],
    inputs: Sequence[onnx.ValueInfoProto] = (),
    name: str = "body",
) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), name, list(inputs), [tensor_info(o, [2, 3]) for o in outputs])


def names(graph: Graph) -> list[str]:
    return [v.name for v in graph.inputs]


def test_branches_share_one_list_of_captures() -> None:
    then = body([helper.make_node("Add", ["h", "x"], ["t"])], ["t"])
    other = body([helper.make_node("Mul", ["k", "h"], ["e"])], ["e"])
    nodes = [
        helper.make_node("Neg", ["x"], ["h"]),
        helper.make_node("Exp", ["x"], ["k"]),
        helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
    ]
    model = model_of(nodes, [tensor_info("x", [2, 3]), tensor_info("c", [], BOOL)], [tensor_info("y", [2, 3])])
    for flag in (True, False):
        graph = check(model, x=X, c=np.array(flag))
    branch = graph.nodes[-1]
    assert [v.name for v in branch.inputs if v is not None] == ["c", "k", "h", "x"]
    assert branch.attr("captures") == 3
    assert names(branch.attr("then_branch")) == names(branch.attr("else_branch")) == ["k", "h", "x"]


def test_captured_constants_are_the_same_array_inside() -> None:
    then = body([helper.make_node("Add", ["x", "w"], ["t"])], ["t"])
    other = body([helper.make_node("Sub", ["x", "w"], ["e"])], ["e"])
    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
        helper.make_node("Add", ["x", "w"], ["z"]),
    ]
    infos = [tensor_info("x", [2, 3]), tensor_info("c", [], BOOL)]
    outputs = [tensor_info("y", [2, 3]), tensor_info("z", [2, 3])]
    graph = check(model_of(nodes, infos, outputs, {"w": random(2, 3, seed=4)}), x=X, c=np.array(False))
    outer = graph.constants()[0].constant
    assert outer is not None
    for name, inner in graph.nodes[0].bodies():
        assert inner.constants()[0].constant is outer, name
    assert graph.nodes[0].attr("captures") == 1
    saved = to_model_proto(graph)
    assert len(saved.graph.initializer) == 1


def test_nested_bodies_capture_through_all_levels() -> None:
    """The innermost reads x and h of the model and m of the middle; shadowed names mean the nearest value."""
    inner = body(
        [helper.make_node("Add", ["x", "m"], ["s"]), helper.make_node("Mul", ["s", "h"], ["i"])], ["i"], name="in"
    )
    plain = body([helper.make_node("Identity", ["m"], ["j"])], ["j"], name="plain")
    middle = body(
        [
            helper.make_node("Abs", ["x"], ["m"]),
            helper.make_node("If", ["d"], ["o"], then_branch=inner, else_branch=plain),
        ],
        ["o"], name="middle",
    )  # fmt: skip
    outside = body([helper.make_node("Neg", ["x"], ["n"])], ["n"], name="outside")
    nodes = [
        helper.make_node("Exp", ["x"], ["h"]),
        helper.make_node("If", ["c"], ["y"], then_branch=middle, else_branch=outside),
    ]
    infos = [tensor_info("x", [2, 3]), tensor_info("c", [], BOOL), tensor_info("d", [], BOOL)]
    model = model_of(nodes, infos, [tensor_info("y", [2, 3])])
    for c, d in ((True, True), (True, False), (False, True)):
        graph = check(model, x=X, c=np.array(c), d=np.array(d))
    outer = graph.nodes[-1]
    assert [v.name for v in outer.inputs if v is not None] == ["c", "x", "d", "h"]
    nested = next(n for n in outer.attr("then_branch").nodes if n.op == "If")
    assert [v.name for v in nested.inputs if v is not None] == ["d", "m", "x", "h"]


def test_names_of_a_body_may_repeat_those_outside() -> None:
    """Both branches make a value called like one of the model; their own reads mean their own."""
    then = body([helper.make_node("Neg", ["x"], ["h"]), helper.make_node("Exp", ["h"], ["t"])], ["t"])
    other = body([helper.make_node("Abs", ["h"], ["t"])], ["t"])
    nodes = [
        helper.make_node("Add", ["x", "x"], ["h"]),
        helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
        helper.make_node("Sub", ["y", "h"], ["z"]),
    ]
    infos = [tensor_info("x", [2, 3]), tensor_info("c", [], BOOL)]
    graph = import_model(model_of(nodes, infos, [tensor_info("z", [2, 3])])).graph
    compare(run_graph(graph, {"x": X, "c": np.array(True)}), [np.exp(-X) - 2 * X])
    compare(run_graph(graph, {"x": X, "c": np.array(False)}), [np.abs(2 * X) - 2 * X])
    saved = to_model_proto(graph)
    compare(run_ort(saved, {"x": X, "c": np.array(True)}), [np.exp(-X) - 2 * X])


def test_a_branch_that_is_always_taken_is_written_in_place() -> None:
    """The other one would not even be well typed: x has two dims."""
    then = body([helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1])], ["t"])
    other = body([helper.make_node("Mul", ["x", "two"], ["m"]), helper.make_node("Neg", ["m"], ["t"])], ["t"])
    other.initializer.append(onnx.numpy_helper.from_array(np.array(2, np.float32), "two"))
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Size", ["s"], ["rank"]),
        helper.make_node("Equal", ["rank", "three"], ["is3"]),
        helper.make_node("If", ["is3"], ["y"], then_branch=then, else_branch=other),
    ]
    model = model_of(nodes, [tensor_info("x", ["a", "b"])], [tensor_info("y", ["a", "b"])], {"three": np.array(3)})
    graph = import_model(model).graph
    assert [n.op for n in graph.nodes][-2:] == ["Mul", "Neg"] and graph.outputs[0].name == "y"
    compare(run_graph(graph, {"x": X}), [-2 * X])


def test_branches_that_only_pass_values_on() -> None:
    then = body([helper.make_node("Identity", ["x"], ["t"])], ["t"])
    other = body([], ["h"])
    nodes = [
        helper.make_node("Neg", ["x"], ["h"]),
        helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
    ]
    infos = [tensor_info("x", [2, 3]), tensor_info("c", [], BOOL)]
    graph = import_model(model_of(nodes, infos, [tensor_info("y", [2, 3])])).graph
    compare(run_graph(graph, {"x": X, "c": np.array(False)}), [-X])
    compare(run_ort(to_model_proto(graph), {"x": X, "c": np.array(False)}), [-X])


def loop_model(outer: Sequence[onnx.NodeProto] = ()) -> onnx.ModelProto:
    inputs = [tensor_info("i", [], INT64), tensor_info("go", [], BOOL), tensor_info("acc", [2, 3])]
    inner = helper.make_graph(
        [
            helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["x", "f"], ["scaled"]),
            helper.make_node("Add", ["acc", "scaled"], ["next"]),
            helper.make_node("Add", ["next", "w"], ["seen"]),
            helper.make_node("Identity", ["go"], ["again"]),
        ],
        "body", inputs, [tensor_info("again", [], BOOL), tensor_info("next", [2, 3]), tensor_info("seen", [2, 3])],
    )  # fmt: skip
    nodes = [*outer, helper.make_node("Loop", ["n", "", "start"], ["last", "all"], body=inner)]
    infos = [tensor_info("x", [2, 3]), tensor_info("n", [], INT64), tensor_info("start", [2, 3])]
    outputs = [tensor_info("last", [2, 3]), tensor_info("all", ["turns", 2, 3])]
    return model_of(nodes, infos, outputs, {"w": random(2, 3, seed=5)})


def test_loops() -> None:
    for turns in (4, 1):
        graph = check(loop_model(), x=X, n=np.array(turns), start=random(2, 3, seed=1))
    (loop,) = graph.nodes
    assert [None if v is None else v.name for v in loop.inputs] == ["n", None, "start", "x"]
    assert loop.attr("captures") == 1
    assert names(loop.attr("body")) == ["i", "go", "acc", "x"]


def test_loops_whose_body_has_other_counts_are_refused() -> None:
    model = loop_model()
    del model.graph.node[0].input[2:]
    with pytest.raises(InvalidModelError, match="carries 0 values and has 2 outputs, so its body needs 2 inputs and 3"):
        import_model(model)


def test_a_loop_inside_a_branch_inside_a_function() -> None:
    inner = loop_model().graph.node[0]
    then = helper.make_graph([inner], "then", [], [tensor_info("last", [2, 3])])
    other = body([helper.make_node("Sub", ["x", "w"], ["e"])], ["e"])
    fn = helper.make_function(
        "local", "F", ["x", "c", "n", "start", "w"], ["y"],
        [helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)], [helper.make_opsetid("", 21)],
    )  # fmt: skip
    call = helper.make_node("F", ["a", "flag", "turns", "b", "weight"], ["out"], domain="local")
    infos = [tensor_info("a", [2, 3]), tensor_info("flag", [], BOOL), tensor_info("turns", [], INT64),
             tensor_info("b", [2, 3])]  # fmt: skip
    model = model_of([call], infos, [tensor_info("out", [2, 3])], {"weight": random(2, 3, seed=5)}, functions=[fn],
                     domains={"local": 1})  # fmt: skip
    for flag in (True, False):
        graph = check(model, a=X, flag=np.array(flag), turns=np.array(3), b=random(2, 3, seed=1))
    assert [v.name for v in graph.nodes[0].inputs if v is not None] == ["flag", "a", "turns", "b"]


@pytest.mark.parametrize("backward", [0, 1])
def test_scans(backward: int) -> None:
    inputs = [tensor_info("sum_in", [3]), tensor_info("row", [3])]
    inner = helper.make_graph(
        [
            helper.make_node("Mul", ["row", "gain"], ["r"]),
            helper.make_node("Add", ["sum_in", "r"], ["sum_out"]),
            helper.make_node("Neg", ["sum_out"], ["seen"]),
        ],
        "body", inputs, [tensor_info("sum_out", [3]), tensor_info("seen", [3])],
    )  # fmt: skip
    node = helper.make_node("Scan", ["zero", "x"], ["total", "rows"], body=inner, num_scan_inputs=1,
                            scan_input_directions=[backward], scan_output_axes=[1])  # fmt: skip
    infos = [tensor_info("x", ["t", 3]), tensor_info("gain", [3])]
    outputs = [tensor_info("total", [3]), tensor_info("rows", [3, "t"])]
    model = model_of([node], infos, outputs, {"zero": np.zeros(3, np.float32)})
    graph = check(model, x=random(5, 3), gain=random(3, seed=2))
    assert names(graph.nodes[0].attr("body")) == ["sum_in", "row", "gain"]
    assert graph.nodes[0].attr("captures") == 1


def scan_of_opset_8(lengths: bool, directions: Sequence[int] = (0,)) -> onnx.ModelProto:
    inputs = [tensor_info("s", [3]), tensor_info("row", [3])]
    inner = helper.make_graph(
        [helper.make_node("Add", ["s", "row"], ["s2"]), helper.make_node("Mul", ["s2", "gain"], ["seen"])],
        "body", inputs, [tensor_info("s2", [3]), tensor_info("seen", [3])],
    )  # fmt: skip
    node = helper.make_node("Scan", ["lengths" if lengths else "", "start", "x"], ["total", "rows"], body=inner,
                            num_scan_inputs=1, directions=list(directions))  # fmt: skip
    infos = [tensor_info("start", [2, 3]), tensor_info("x", [2, 5, 3]), tensor_info("gain", [3])]
    infos += [tensor_info("lengths", [2], INT64)] if lengths else []
    return model_of(
        [node], infos, [tensor_info("total", [2, 3]), tensor_info("rows", [2, 5, 3])], opset=8, ir_version=3
    )


@pytest.mark.parametrize("direction", [0, 1])
def test_scans_with_a_batch_axis(direction: int) -> None:
    feeds = {"start": random(2, 3), "x": random(2, 5, 3, seed=1), "gain": random(3, seed=2)}
    graph = import_model(scan_of_opset_8(lengths=False, directions=[direction])).graph
    order = feeds["x"][:, :: -1 if direction else 1]
    sums = feeds["start"][:, None] + np.cumsum(order, axis=1)
    expected = [sums[:, -1], sums * feeds["gain"]]
    compare(run_graph(graph, feeds), expected, 1e-5)
    compare(run_ort(to_model_proto(graph), feeds), expected, 1e-5)


def test_scans_with_lengths_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="sequence_lens"):
        import_model(scan_of_opset_8(lengths=True))


def test_sequence_map_keeps_the_meaning_of_its_body() -> None:
    """SequenceMap is defined by a function of opset 17; its body here is of opset 21, captures an outer value that has
    the name of one inside that function, and reduces over axes given as an input."""
    inner = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["e", "axes"], ["r"], keepdims=0),
            helper.make_node("Mul", ["r", "SequenceMap_loop_body_cond_in"], ["o"]),
        ],
        "body", [tensor_info("e", [None, 3])], [tensor_info("o", [None])],
    )  # fmt: skip
    nodes = [
        helper.make_node("Neg", ["x"], ["SequenceMap_loop_body_cond_in"]),
        helper.make_node("SequenceMap", ["items"], ["out"], body=inner),
    ]
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None, 3]))
    infos = [helper.make_value_info("items", sequence), tensor_info("x", [1])]
    result = helper.make_value_info("out", helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [None])))
    model = model_of(nodes, infos, [result], {"axes": np.array([1])})
    graph = import_model(model).graph
    items = [random(2, 3), random(4, 3, seed=1)]
    (out,) = run_graph(graph, {"items": items, "x": np.array([2], np.float32)})  # type: ignore[dict-item]
    compare(out, [-2 * item.sum(1) for item in items], 1e-5)


def test_other_ops_with_bodies_are_refused() -> None:
    node = helper.make_node("Abs", ["x"], ["y"], body=body([], ["x"]))
    with pytest.raises(UnsupportedError, match="body graphs"):
        import_model(model_of([node], [tensor_info("x", [2, 3])], ["y"]))
