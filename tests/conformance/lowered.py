"""What a model's nodes become: which steps run them, and which of them need Python."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Graph, Node
from arenaut.ir.types import TensorType
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.pipeline import run_lowered_pipeline
from arenaut.lowering.program import Lowered, LoweredStep, StepKind
from arenaut.native.target import current_target
from arenaut.passes.context import PassContext
from arenaut.passes.decompose_composites import decompose_composites
from tests.conformance.cases import Case
from tests.support.records import SHAPING_FLOATS


def with_constant_arguments(case: Case) -> onnx.ModelProto:
    """The case's model as exporters write it: shapes, axes, scales and the like as constants. The official cases give
    them as inputs."""
    model = onnx.ModelProto.FromString(case.model().SerializeToString())
    inputs, _ = next(case.data_sets(model))
    kept = []
    for index, (info, value) in enumerate(zip(model.graph.input, inputs, strict=False)):
        if index > 0 and _is_argument(info.name, value):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), info.name))
        else:
            kept.append(info)
    kept += list(model.graph.input)[len(inputs) :]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model


def _is_argument(name: str, value: object) -> bool:
    if not isinstance(value, (np.ndarray, np.generic)) or value.ndim > 1:
        return False
    return value.dtype.kind in "iu" or name in SHAPING_FLOATS


def lower_plainly(graph: Graph) -> list[LoweredStep]:
    """The graph's steps with no pass run but decomposition; those of bodies included."""
    target = current_target(1)
    decompose_composites(graph, PassContext(target))
    return list(all_steps(run_lowered_pipeline(lower_graph(graph, target), target)))


def all_steps(lowered: Lowered) -> Iterator[LoweredStep]:
    for step in lowered.steps:
        yield step
        for body in step.bodies:
            yield from all_steps(body)


def python_reason(node: Node) -> str:
    """Why a node is a host call: "objects" (sequences, optionals, maps), "text", "rank" (known only when it runs) or
    "kernel" (there is none for its types and attributes)."""
    types = [v.type for v in [*node.inputs, *node.outputs] if v is not None]
    tensors = [t for t in types if isinstance(t, TensorType)]
    if len(tensors) < len(types):
        return "objects"
    if any(t.dtype is DType.STRING for t in tensors):
        return "text"
    return "rank" if any(t.shape is None for t in tensors) else "kernel"


def in_python(steps: list[LoweredStep]) -> list[Node]:
    return [step.node for step in steps if step.kind is StepKind.HOST]
