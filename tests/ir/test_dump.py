from __future__ import annotations

import numpy as np

from arenaut.ir import DType, Graph, GraphBuilder, TensorType, symbol


def test_a_graph_reads_as_a_program() -> None:
    graph = Graph("main")
    x = graph.add_input("x", TensorType(DType.FLOAT, (symbol("n"), 4)))
    build = GraphBuilder(graph)
    scaled = build.op("Mul", x, graph.add_constant(np.full((3, 1, 4), 2, np.float32), "scale"))
    shape = graph.add_constant(np.array([0, -1]), "shape")
    flat = build.op("Reshape", build.op("Gelu", scaled, approximate="tanh"), shape)
    graph.outputs = [flat]
    assert str(graph) == "\n".join(
        [
            "graph main(%x: f32[n, 4]) {",
            "  %scale = constant f32[3, 1, 4] all 2.0",
            "  %shape = constant i64[2] [0, -1]",
            "  %mul: f32[3, n, 4] = Mul(%x, %scale)",
            "  %gelu: f32[3, n, 4] = Gelu(%mul) {approximate='tanh'}",
            "  %reshape: f32[3, 4*n] = Reshape(%gelu, %shape)",
            "  return %reshape",
            "}",
        ]
    )


def test_bodies_are_indented_and_absent_values_marked() -> None:
    graph, body = Graph("outer"), Graph("inner")
    y = body.add_input("y", TensorType(DType.FLOAT, (2,)))
    body.outputs = [GraphBuilder(body).op("Relu", y)]
    x = graph.add_input("x", TensorType(DType.FLOAT, (2,)))
    node = graph.add("Fused", [x, None], {"body": body}, domain="arenaut")
    node.output.type = x.type
    graph.outputs = [node.output]
    text = str(graph)
    assert "%fused: f32[2] = arenaut.Fused(%x, -) {body=<graph inner: 1 nodes>}" in text
    assert "    body:\n    graph inner(%y: f32[2]) {\n      %relu: f32[2] = Relu(%y)" in text
