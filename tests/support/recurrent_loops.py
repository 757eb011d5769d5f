"""Recurrent layers as loops, in the forms that converters of TensorFlow write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
F32, I32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL


@dataclass
class Body:
    """Nodes of a loop's body and its constants, which the body holds or takes from the graph around."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    names: int = 0

    def op(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        self.names += 1
        made = [f"{op.lower()}{self.names}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), made, **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        name = f"const{len(self.constants)}"
        self.constants[name] = np.asarray(array, dtype)
        return name


def weights(*shape: int, seed: int) -> Array:
    return (np.random.default_rng(seed).standard_normal(shape) * 0.4).astype(np.float32)


def lstm_joined(b: Body, x: str, h: str, c: str, inputs: int, hidden: int) -> tuple[str, str]:
    """TensorFlow 1: one product of [x, h], gates i, j, f, o, a bias that is added to the forget gate."""
    both = b.op("Concat", x, h, axis=1)
    total = b.op("Add", b.op("MatMul", both, b.constant(weights(inputs + hidden, 4 * hidden, seed=1))),
                 b.constant(weights(4 * hidden, seed=2)))  # fmt: skip
    i, j, f, o = b.op("Split", total, b.constant([hidden] * 4, np.int64), outputs=4, axis=1)
    forget = b.op("Sigmoid", b.op("Add", f, b.constant(1.0)))
    cell = b.op("Add", b.op("Mul", c, forget), b.op("Mul", b.op("Sigmoid", i), b.op("Tanh", j)))
    return b.op("Mul", b.op("Tanh", cell), b.op("Sigmoid", o)), cell


def lstm_keras(b: Body, x: str, h: str, c: str, inputs: int, hidden: int) -> tuple[str, str]:
    """Keras: two products, gates i, f, c, o."""
    a = b.op("MatMul", x, b.constant(weights(inputs, 4 * hidden, seed=1)))
    r = b.op("MatMul", b.op("Identity", h), b.constant(weights(hidden, 4 * hidden, seed=2)))
    total = b.op("Add", b.op("Add", a, r), b.constant(weights(1, 4 * hidden, seed=3)))
    i, f, g, o = b.op("Split", total, b.constant([hidden] * 4, np.int64), outputs=4, axis=-1)
    kept = b.op("Mul", b.op("Sigmoid", f), c)
    cell = b.op("Add", kept, b.op("Mul", b.op("Sigmoid", i), b.op("Tanh", g)))
    return b.op("Mul", b.op("Sigmoid", o), b.op("Tanh", cell)), cell


def lstm_apart(b: Body, x: str, h: str, c: str, inputs: int, hidden: int) -> tuple[str, str]:
    """A product for each gate; the candidate is Relu, the cell is shown by Softsign."""

    def gate(seed: int) -> str:
        a = b.op("Gemm", x, b.constant(weights(hidden, inputs, seed=seed)), b.constant(weights(hidden, seed=seed + 1)),
                 transB=1)  # fmt: skip
        return b.op("Add", b.op("MatMul", h, b.constant(weights(hidden, hidden, seed=seed + 2))), a)

    i, f, g, o = (gate(seed) for seed in (10, 20, 30, 40))
    cell = b.op("Add", b.op("Mul", b.op("Relu", g), b.op("Sigmoid", i)), b.op("Mul", b.op("Sigmoid", f), c))
    return b.op("Mul", b.op("Softsign", cell), b.op("Sigmoid", o)), cell


def gru_joined(b: Body, x: str, h: str, _: str, inputs: int, hidden: int) -> tuple[str, ...]:
    """TensorFlow 1: gates r, u of [x, h]; the candidate of [x, r h]."""
    both = b.op("Concat", x, h, axis=1)
    total = b.op("Add", b.op("MatMul", both, b.constant(weights(inputs + hidden, 2 * hidden, seed=1))),
                 b.constant(weights(2 * hidden, seed=2)))  # fmt: skip
    r, u = b.op("Split", b.op("Sigmoid", total), b.constant([hidden] * 2, np.int64), outputs=2, axis=1)
    left = b.op("Concat", x, b.op("Mul", r, h), axis=1)
    fresh = b.op("Tanh", b.op("Add", b.op("MatMul", left, b.constant(weights(inputs + hidden, hidden, seed=3))),
                              b.constant(weights(hidden, seed=4))))  # fmt: skip
    rest = b.op("Mul", b.op("Sub", b.constant(1.0), u), fresh)
    return (b.op("Add", b.op("Mul", u, h), rest),)


def gru_keras(b: Body, x: str, h: str, _: str, inputs: int, hidden: int) -> tuple[str, ...]:
    """Keras with reset_after: gates z, r, h, and a bias of each product."""
    a = b.op("Add", b.op("MatMul", x, b.constant(weights(inputs, 3 * hidden, seed=1))),
             b.constant(weights(3 * hidden, seed=2)))  # fmt: skip
    s = b.op("Add", b.op("MatMul", h, b.constant(weights(hidden, 3 * hidden, seed=3))),
             b.constant(weights(3 * hidden, seed=4)))  # fmt: skip
    sizes = b.constant([hidden] * 3, np.int64)
    xz, xr, xh = b.op("Split", a, sizes, outputs=3, axis=-1)
    sz, sr, sh = b.op("Split", s, sizes, outputs=3, axis=-1)
    z, r = b.op("Sigmoid", b.op("Add", xz, sz)), b.op("Sigmoid", b.op("Add", xr, sr))
    fresh = b.op("Tanh", b.op("Add", xh, b.op("Mul", r, sh)))
    return (b.op("Add", b.op("Mul", z, h), b.op("Mul", b.op("Sub", b.constant(1.0), z), fresh)),)


def rnn_keras(b: Body, x: str, h: str, _: str, inputs: int, hidden: int) -> tuple[str, ...]:
    a = b.op("Add", b.op("MatMul", x, b.constant(weights(inputs, hidden, seed=1))),
             b.constant(weights(hidden, seed=2)))  # fmt: skip
    return (b.op("Tanh", b.op("Add", a, b.op("MatMul", h, b.constant(weights(hidden, hidden, seed=3))))),)


CELLS = {
    "lstm_joined": (lstm_joined, 2), "lstm_keras": (lstm_keras, 2), "lstm_apart": (lstm_apart, 2),
    "gru_joined": (gru_joined, 1), "gru_keras": (gru_keras, 1), "rnn_keras": (rnn_keras, 1),
}  # fmt: skip
"""By name: what writes the body, and how many states it has."""


def loop(
    cell: str, steps: int | str = 7, batch: int = 2, inputs: int = 5, hidden: int = 4, *, form: str = "while",
    runs: int | None = None, keeps: Sequence[str] = ("all", "last"),
) -> tuple[onnx.ModelProto, dict[str, Array]]:  # fmt: skip
    """A model of x [steps, batch, inputs] and states, and feeds. form: "while" (counters that the body compares, rows
    that are gathered, the sequence carried unchanged), "for" (a trip count alone) or "scan". runs: at most so many
    steps. keeps: outputs, "all" hidden states, the "last" states, the "count" of steps."""
    write, count = CELLS[cell]
    body = Body()
    states = ["h", "c"][:count]
    length = 7 if isinstance(steps, str) else steps
    if form == "scan":
        row = "row"
    elif form == "for":
        row = body.op("Gather", "x", "i", axis=0)
    else:
        at = body.op("Unsqueeze", "time", body.constant([0], np.int64))
        row = body.op("Squeeze", body.op("Gather", "carried_x", at, axis=0), body.constant([0], np.int64))
    results = [body.op("Identity", v) for v in write(body, row, "h", states[-1], inputs, hidden)]
    of = [helper.make_tensor_value_info(s, F32, [batch, hidden]) for s in states]
    x = helper.make_tensor_value_info("x", F32, [steps, batch, inputs])
    outer = {f"{s}0": weights(batch, hidden, seed=7 + i) for i, s in enumerate(states)}
    begins, lasts = list(outer), [f"{s}_last" for s in states]
    graph_nodes: list[onnx.NodeProto] = []
    stacked = body.op("Identity", results[0])
    if form == "scan":
        inner = helper.make_graph(body.nodes, "body", [*of, helper.make_tensor_value_info("row", F32, [batch, inputs])],
                                  [*_infos(results), *_infos([stacked])])  # fmt: skip
        graph_nodes.append(helper.make_node("Scan", [*begins, "x"], [*lasts, "all"], body=inner, num_scan_inputs=1))
    else:
        steering = [helper.make_tensor_value_info("i", I64, []), helper.make_tensor_value_info("go", BOOL, [])]
        extra, more, carried = [], [], []
        outer["most"] = np.array(2**63 - 1 if form == "while" else runs or length, np.int64)
        going = body.op("Identity", "go")
        if form == "while":
            time = body.op("Add", "time", body.constant(1, np.int32))
            far = body.op("Less", time, "length")
            again = body.op("Less", body.op("Add", body.constant(1, np.int32), "turn"), "limit")
            going = body.op("And", again, far)
            outer |= {"zero": np.array(0, np.int32), "limit": np.array(runs or 1000, np.int32), "yes": np.array(True)}
            outer["length"] = np.array(length, np.int32)
            extra = [*(helper.make_tensor_value_info(n, I32, []) for n in ("time", "turn")),
                     helper.make_tensor_value_info("carried_x", F32, [steps, batch, inputs])]  # fmt: skip
            carried = ["zero", "zero", "x"]
            more = [time, body.op("Add", "turn", body.constant(1, np.int32)), body.op("Identity", "carried_x")]
        finals = ["count", "turns", "same_x"][: len(extra)]
        inner = helper.make_graph(
            body.nodes, "body", [*steering, *extra, *of], _infos([going, *more, *results, stacked])
        )
        given = ["most", "yes" if form == "while" else "", *carried, *begins]
        graph_nodes.append(helper.make_node("Loop", given, [*finals, *lasts, "all"], body=inner))
    outputs = {"all": ["all"], "last": lasts, "count": ["count"]}
    shown = _infos([name for key in keeps for name in outputs[key]])
    stored = [numpy_helper.from_array(a, n) for n, a in {**outer, **body.constants}.items()]
    model = helper.make_model(helper.make_graph(graph_nodes, "loop", [x], shown, stored),
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=9)  # fmt: skip
    return model, {"x": weights(length, batch, inputs, seed=9)}


def _infos(names: Sequence[str]) -> list[onnx.ValueInfoProto]:
    return [onnx.ValueInfoProto(name=n) for n in names]
