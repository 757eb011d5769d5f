"""Ops of onnxruntime that stand for themselves until ranks are known: what they mean in standard ops hangs on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arenaut.frontend.builder import add_node
from arenaut.frontend.contrib.op import ContribOp, Outputs
from arenaut.frontend.scope import Scope
from arenaut.frontend.spec import Spec
from arenaut.ir import DType, GraphBuilder, TensorType, Type, Value
from arenaut.ir.dims import Dim, symbols_of
from arenaut.ir.graph import Graph, Node
from arenaut.ir.ops.support.composite import through_decomposition
from arenaut.ir.record import Build, Infer, OpRecord, UnknownError


def defer(op: ContribOp, scope: Scope, spec: Spec) -> Outputs:
    """The node as it is stored. The program for the sizes of a run has it in standard ops (decompose_composites)."""
    outputs = [scope.graph.value(f"{spec.name}/{i}") if wanted else None for i, wanted in enumerate(spec.wanted)]
    attributes = {k: v for k, v in spec.attributes.items() if v is not None}
    return add_node(
        scope.graph, spec.op, spec.inputs, attributes, outputs, domain=spec.domain, name=spec.name
    ).outputs  # fmt: skip


def deferred_records(ops: Mapping[tuple[str, str], ContribOp]) -> list[OpRecord]:
    """What the rest of arenaut has to know of such nodes."""
    return [_record(domain, name, op) for (domain, name), op in ops.items() if domain]


def _record(domain: str, name: str, op: ContribOp) -> OpRecord:
    def decompose(build: Build, node: Node) -> Sequence[Value]:
        results = op.rule(build, _spec(op, node, node.inputs))
        return results  # type: ignore[return-value]  # None stands for an output that the node has not either

    def infer(context: Infer) -> Sequence[Type]:
        node, graph = context.node, Graph(name)
        given = [None if v is None else _stand_in(graph, v) for v in node.inputs]
        try:
            results = list(op.rule(GraphBuilder(graph), _spec(op, node, given)))
        except UnknownError:
            results = []
        known = {s.name for v in node.inputs if v is not None and v.has_shape for d in v.shape for s in symbols_of(d)}
        return [
            _type(context, op, i, results[i] if i < len(results) else None, known) for i in range(len(node.outputs))
        ]

    return OpRecord(op=name, domain=domain, infer=infer, evaluate=through_decomposition(decompose), decompose=decompose)


def _spec(op: ContribOp, node: Node, inputs: Sequence[Value | None]) -> Spec:
    return Spec(
        op=node.op, domain=node.domain, version=1, name=node.name, inputs=tuple(inputs),
        wanted=tuple(v is not None for v in node.outputs), attributes={**op.defaults, **node.attributes},
    )  # fmt: skip


def _stand_in(graph: Graph, value: Value) -> Value:
    if value.constant is not None:
        return graph.add_constant(value.constant, value.name)
    return graph.add_input(value.name, value.type)


def _type(context: Infer, op: ContribOp, index: int, result: Value | None, known: set[str]) -> Type:
    """What the replacement says, its own symbols made the node's."""
    t = None if result is None else result.type
    if isinstance(t, TensorType) and t.shape is not None:
        return TensorType(t.dtype, tuple(_dim(context, index, axis, d, known) for axis, d in enumerate(t.shape)))
    stated = op.dtypes[min(index, len(op.dtypes) - 1)]
    return TensorType(stated if isinstance(stated, DType) else context.dtype(stated), None)


def _dim(context: Infer, index: int, axis: int, d: Dim, known: set[str]) -> Dim:
    return d if all(s.name in known for s in symbols_of(d)) else context.fresh(index, axis)
