"""DynamicQuantizeLSTM as onnxruntime computes it: the whole input and every hidden state are quantised as they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arenaut.frontend.spec import Spec
from arenaut.ir import DType, Graph, Value
from arenaut.ir.builder import GraphBuilder
from arenaut.ir.ops.support.composite import cast, concat, dims_of, ints, number, slice_of, unsqueeze
from arenaut.ir.record import Build
from arenaut.ir.types import TensorType
from arenaut.plain import dataclass


@dataclass(frozen=True)
class Weights:
    """Of one direction: stored [rows, 4 hidden], scale and zero point single or one a column."""

    stored: Value
    scale: Value
    zero: Value

    @staticmethod
    def of(build: Build, spec: Spec, index: int, scale: int, direction: int) -> Weights:
        parts = (spec.operand(index), spec.operand(scale), spec.operand(scale + 1))
        return Weights(*(_of_direction(build, value, direction) for value in parts))


def _of_direction(build: Build, value: Value, direction: int) -> Value:
    if value.constant is not None:
        return build.constant(np.ascontiguousarray(value.constant[direction]))
    return build.op("Squeeze", slice_of(build, value, 0, direction, direction + 1), ints(build, 0))


def is_plain(spec: Spec) -> bool:
    """Whether it is the LSTM that exporters write: default activations, no clip, peepholes or lengths, and weights
    that are stored."""
    given = spec.attr("activations") or ()
    default = ("sigmoid", "tanh", "tanh")
    activations = all(str(name).lower() == default[i % 3] for i, name in enumerate(given))
    extras = spec.attr("clip") or spec.attr("input_forget") or spec.attr("activation_alpha")
    stored = all(spec.operand(i).constant is not None for i in (1, 2, 8, 9, 10, 11))
    bias = spec.input(3)
    return activations and not extras and spec.input(4) is None and spec.input(7) is None and stored and (
        bias is None or bias.constant is not None
    )  # fmt: skip


def quantized_lstm(build: Build, spec: Spec) -> Sequence[Value]:
    """Y [time, directions, batch, hidden], Y_h and Y_c [directions, batch, hidden]."""
    x, hidden = spec.operand(0), int(spec.operand(2).shape[1])  # type: ignore[arg-type]
    kind = str(spec.attr("direction"))
    backward = {"forward": [0], "reverse": [1], "bidirectional": [0, 1]}[kind]
    quantised, scale, zero = build.ops("DynamicQuantizeLinear", x, outputs=3)
    results: list[list[Value]] = [[], [], []]
    for direction, reverse in enumerate(backward):
        w, r = (Weights.of(build, spec, index, at, direction) for index, at in ((1, 8), (2, 10)))
        gates = _product(build, quantised, scale, zero, w)
        states = [_initial(build, spec, index, direction, x, hidden) for index in (5, 6)]
        body = _step(build, spec, r, direction, gates, hidden)
        h, c, steps = build.ops(
            "Scan", *states, gates, outputs=3, body=body, num_scan_inputs=1, scan_input_axes=(0,),
            scan_output_axes=(0,), scan_input_directions=(reverse,), scan_output_directions=(reverse,),
        )  # fmt: skip
        for result, value, axis in zip(results, (steps, h, c), (1, 0, 0), strict=True):
            result.append(unsqueeze(build, value, axis))
    return [concat(build, parts, axis) for parts, axis in zip(results, (1, 0, 0), strict=True)]


def _product(build: Build, numbers: Value, scale: Value, zero: Value, w: Weights) -> Value:
    total = build.op("MatMulInteger", numbers, w.stored, zero, w.zero)
    return build.op("Mul", cast(build, total, DType.FLOAT), build.op("Mul", scale, w.scale))


def _initial(build: Build, spec: Spec, index: int, direction: int, x: Value, hidden: int) -> Value:
    """[batch, hidden]; zeros where none is given."""
    given = spec.input(index)
    if given is not None:
        return _of_direction(build, given, direction)
    shape = concat(build, [dims_of(build, x, 1, 2), ints(build, hidden)], 0)
    return build.op("Expand", number(build, 0, DType.FLOAT), shape)


def _step(build: Build, spec: Spec, r: Weights, direction: int, gates: Value, hidden: int) -> Graph:
    """(h, c, gates of x) -> (h, c, h). The gates are input, output, forget and cell."""
    body = Graph("step")
    batch = gates.shape[1]
    states = [body.add_input(name, TensorType(DType.FLOAT, (batch, hidden))) for name in ("h", "c")]
    given = body.add_input("gates", TensorType(DType.FLOAT, (batch, 4 * hidden)))
    inner = GraphBuilder(body)
    inside = Weights(*(inner.constant(np.asarray(v.constant)) for v in (r.stored, r.scale, r.zero)))
    quantised, scale, zero = inner.ops("DynamicQuantizeLinear", states[0], outputs=3)
    total = inner.op("Add", given, _product(inner, quantised, scale, zero, inside))
    bias = spec.input(3)
    if bias is not None and bias.constant is not None:
        own = bias.constant[direction].reshape(2, -1)
        total = inner.op("Add", total, inner.constant(own[0] + own[1]))
    sizes = inner.constant(np.full(4, hidden, np.int64))
    i, o, f, g = inner.ops("Split", total, sizes, outputs=4, axis=1)
    i, o, f = (inner.op("Sigmoid", gate) for gate in (i, o, f))
    kept, added = inner.op("Mul", f, states[1]), inner.op("Mul", i, inner.op("Tanh", g))
    c = inner.op("Add", kept, added)
    h = inner.op("Mul", o, inner.op("Tanh", c))
    body.outputs = [h, c, inner.op("Identity", h)]
    return body
