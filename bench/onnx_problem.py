"""Memory problems of ONNX models, one step per node: what the planner is measured on without lowering a model.

    problem = problem_of(onnx.load(path), feeds)

Sizes are those of a real run in onnxruntime, unoptimised, with every intermediate fetched; nodes that depend on
constants alone are left out. `sharing=False` leaves out views and offers to share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from arenaut.planner import BufferInfo, BufferKind, Problem, Share, StepUse

if TYPE_CHECKING:
    import onnx

VIEWS: Final = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Split", "Slice", "Expand"}
)
IN_PLACE: Final = frozenset(
    {
        *(
            "Abs",
            "Add",
            "And",
            "BatchNormalization",
            "Cast",
            "Ceil",
            "Clip",
            "Cos",
            "Div",
            "Elu",
            "Equal",
            "Erf",
            "Exp",
        ),
        *("Floor", "Gelu", "Greater", "HardSigmoid", "HardSwish", "LayerNormalization", "LeakyRelu", "Less", "Log"),
        *("LogSoftmax", "Max", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "RMSNormalization"),
        *("Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus", "Softsign", "Sqrt"),
        *("Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor"),
    }
)
"""Ops whose result may lie over an input of the same shape and element size."""


@dataclass
class _Builder:
    buffers: list[BufferInfo] = field(default_factory=list)
    steps: list[StepUse] = field(default_factory=list)
    buffer_of: dict[str, int] = field(default_factory=dict)

    def new(self, name: str, size: int, kind: BufferKind) -> int:
        self.buffer_of[name] = len(self.buffers)
        self.buffers.append(BufferInfo(size, kind))
        return self.buffer_of[name]


def problem_of(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], *, sharing: bool = True) -> Problem:
    """The steps and buffers of `model` run on `feeds`."""
    graph = model.graph
    constant = {tensor.name for tensor in graph.initializer}
    constant.update(tensor.values.name for tensor in graph.sparse_initializer)
    nodes = []
    for node in graph.node:
        if all(name in constant for name in read_names(node)):
            constant.update(node.output)
        else:
            nodes.append(node)
    arrays = run_all(model, feeds, [name for node in nodes for name in node.output if name])
    outputs = {value.name for value in graph.output}
    builder = _Builder()
    for name, array in feeds.items():
        builder.new(name, array.nbytes, BufferKind.FIXED)
    for node in nodes:
        reads = [name for name in read_names(node) if name in builder.buffer_of]
        written = [name for name in node.output if name in arrays]
        if sharing and node.op_type in VIEWS and node.input[0] in reads and not outputs.intersection(written):
            builder.buffer_of.update(dict.fromkeys(written, builder.buffer_of[node.input[0]]))
        else:
            add_step(builder, node, reads, written, arrays, outputs, sharing)
    return Problem(tuple(builder.steps), tuple(builder.buffers))


def add_step(
    builder: _Builder,
    node: onnx.NodeProto,
    reads: list[str],
    written: list[str],
    arrays: Mapping[str, np.ndarray],
    outputs: set[str],
    sharing: bool,
) -> None:
    """One step for `node`, with its offers to share."""
    shares: list[Share] = []
    read_buffers = tuple(dict.fromkeys(builder.buffer_of[name] for name in reads))
    whole = [n for n in reads if n in arrays and arrays[n].nbytes == builder.buffers[builder.buffer_of[n]].size]
    for name in written:
        kind = BufferKind.OUTPUT if name in outputs else BufferKind.ARENA
        number = builder.new(name, arrays[name].nbytes, kind)
        if not sharing:
            continue
        if node.op_type in IN_PLACE or node.op_type in VIEWS:
            same = [n for n in whole if arrays[n].shape == arrays[name].shape or node.op_type in VIEWS]
            same = [n for n in same if arrays[n].nbytes == arrays[name].nbytes]
            shares += [Share(number, b, keeps=node.op_type in VIEWS) for b in buffers_of(builder, same)]
        elif node.op_type == "Concat":
            shares += concat_parts(builder, node, number, arrays[name], whole, arrays)
    builder.steps.append(StepUse(read_buffers, tuple(builder.buffer_of[n] for n in written), tuple(shares)))


def concat_parts(
    builder: _Builder,
    node: onnx.NodeProto,
    number: int,
    result: np.ndarray,
    whole: Iterable[str],
    arrays: Mapping[str, np.ndarray],
) -> list[Share]:
    """An offer per input of a Concat along an axis outside of which there is one element."""
    axis = next(attribute.i for attribute in node.attribute if attribute.name == "axis") % max(result.ndim, 1)
    if int(np.prod(result.shape[:axis])) != 1 or any(name not in whole for name in node.input):
        return []
    shares, at = [], 0
    for name in node.input:
        shares.append(Share(number, builder.buffer_of[name], -at, keeps=True))
        at += arrays[name].nbytes
    return shares


def buffers_of(builder: _Builder, names: Iterable[str]) -> list[int]:
    return list(dict.fromkeys(builder.buffer_of[name] for name in names))


def read_names(node: onnx.NodeProto) -> list[str]:
    """What a node reads: its inputs, and what its bodies take from outside."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for body in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            inside = {value.name for value in (*body.input, *body.initializer)}
            inside.update(name for inner in body.node for name in inner.output)
            names += [name for inner in body.node for name in read_names(inner) if name not in inside]
            names += [value.name for value in body.output if value.name not in inside]
    return list(dict.fromkeys(names))


def run_all(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], names: list[str]) -> dict[str, Any]:
    """The tensors of `names` after an unoptimised run."""
    import onnx
    import onnxruntime

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, dict(feeds)), strict=True))
    return {name: np.asarray(value) for name, value in found.items() if isinstance(value, np.ndarray | np.generic)}
