"""RNN, GRU and LSTM: every direction, layout, activation, clip, peephole and sequence length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, product
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, check_rank, to_dtype, widen
from arenaut.ir.place import Place
from arenaut.ir.record import Infer, Lower, NoRowError, OpRecord, Param, Sample, Tolerance
from arenaut.ir.types import TensorType, Type
from arenaut.plain import dataclass

_SUMS = Tolerance("product", 8)

# -- activations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Activation:
    """function(x, alpha, beta), and the defaults of alpha and beta; None where it takes none."""

    function: Callable[[Array, float, float], Array]
    alpha: float | None = None
    beta: float | None = None


def _sigmoid(x: Array, alpha: float = 0, beta: float = 0) -> Array:
    return np.asarray(0.5 * np.tanh(0.5 * x) + 0.5)


_ACTIVATIONS: Mapping[str, _Activation] = MappingProxyType(
    {
        "affine": _Activation(lambda x, a, b: a * x + b, 1.0, 0.0),
        "elu": _Activation(lambda x, a, b: np.where(x >= 0, x, a * np.expm1(np.minimum(x, 0))), 1.0),
        "hardsigmoid": _Activation(lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
        "leakyrelu": _Activation(lambda x, a, b: np.where(x >= 0, x, a * x), 0.01),
        "relu": _Activation(lambda x, a, b: np.maximum(x, 0)),
        "scaledtanh": _Activation(lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
        "sigmoid": _Activation(_sigmoid),
        "softplus": _Activation(lambda x, a, b: np.logaddexp(x, 0)),
        "softsign": _Activation(lambda x, a, b: x / (1 + np.abs(x))),
        "tanh": _Activation(lambda x, a, b: np.tanh(x)),
        "thresholdedrelu": _Activation(lambda x, a, b: np.where(x > a, x, 0), 1.0),
    }
)

# At the numbers of the C enumerations.
CELLS = ("rnn", "gru", "gru_linear", "lstm")
ACTIVATIONS = (
    "sigmoid", "tanh", "relu", "affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu",
    "softsign", "softplus",
)  # fmt: skip

Function = Callable[[Array], Array]


def _chosen(node: Node, defaults: Sequence[str], directions: int) -> list[tuple[str, float, float]]:
    """The activations of all directions in order: name in lower case, alpha, beta. Alphas and betas go in order to the
    functions that take one."""
    stated = node.attr("activations") or [*defaults] * directions
    names = [n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in stated]
    alphas, betas = iter(node.attr("activation_alpha") or ()), iter(node.attr("activation_beta") or ())

    def given(values: Iterator[Any], default: float | None) -> float:
        return 0.0 if default is None else float(next(values, default))

    if len(names) < directions * len(defaults):
        raise RuleError(f"{len(names)} activations, expected {directions * len(defaults)}")
    unknown = [name for name in names if name.lower() not in _ACTIVATIONS]
    if unknown:
        raise RuleError(f"{unknown[0]!r} is no activation; there are {', '.join(sorted(_ACTIVATIONS))}")
    known = [(name.lower(), _ACTIVATIONS[name.lower()]) for name in names]
    return [(name, given(alphas, a.alpha), given(betas, a.beta)) for name, a in known]


def _functions(node: Node, defaults: Sequence[str], directions: int) -> list[Function]:
    """The activations of all directions in order, each clipping its input first, but for the LSTM's h, whose input is
    the cell (as onnxruntime has it)."""
    limit = node.attr("clip")

    def bound(name: str, alpha: float, beta: float, clips: bool) -> Function:
        def call(x: Array) -> Array:
            inside = x if limit is None or not clips else np.clip(x, -limit, limit)
            return _ACTIVATIONS[name].function(inside, alpha, beta)

        return call

    chosen = _chosen(node, defaults, directions)
    return [bound(*activation, clips=i % len(defaults) != 2) for i, activation in enumerate(chosen)]


# -- one direction -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Weights:
    """Of one direction: w [gates * H, I], r [gates * H, H], biases [gates * H] each, peepholes [3 * H] or None."""

    w: Array
    r: Array
    input_bias: Array
    state_bias: Array
    peepholes: Array | None
    functions: Sequence[Function]


# One step: (input part [B, gates * H], states, weights) -> states. State 0 is the hidden one.
Step = Callable[[Array, tuple[Array, ...], _Weights], tuple[Array, ...]]


def _rnn_step(x: Array, states: tuple[Array, ...], weights: _Weights) -> tuple[Array, ...]:
    (f,) = weights.functions
    return (f(x + states[0] @ weights.r.T + weights.state_bias),)


def _gru_step(linear_before_reset: bool) -> Step:
    def step(x: Array, states: tuple[Array, ...], weights: _Weights) -> tuple[Array, ...]:
        f, g = weights.functions
        (hidden,) = states
        size = hidden.shape[1]
        gates = x[:, : 2 * size] + hidden @ weights.r[: 2 * size].T + weights.state_bias[: 2 * size]
        update, reset = f(gates[:, :size]), f(gates[:, size:])
        recurrent, bias = weights.r[2 * size :].T, weights.state_bias[2 * size :]
        if linear_before_reset:
            candidate = g(x[:, 2 * size :] + reset * (hidden @ recurrent + bias))
        else:
            candidate = g(x[:, 2 * size :] + (reset * hidden) @ recurrent + bias)
        return ((1 - update) * candidate + update * hidden,)

    return step


def _lstm_step(input_forget: bool) -> Step:
    def step(x: Array, states: tuple[Array, ...], weights: _Weights) -> tuple[Array, ...]:
        f, g, h = weights.functions
        hidden, cell = states
        size = hidden.shape[1]
        gates = x + hidden @ weights.r.T + weights.state_bias
        put, out, keep, new = (gates[:, k * size : (k + 1) * size] for k in range(4))
        peep = np.zeros(3 * size, x.dtype) if weights.peepholes is None else weights.peepholes
        put = f(put + peep[:size] * cell)
        keep = 1 - put if input_forget else f(keep + peep[2 * size :] * cell)
        cell = keep * cell + put * g(new)
        out = f(out + peep[size : 2 * size] * cell)
        return (out * h(cell), cell)

    return step


def _run(
    x: Array, lengths: Array, states: tuple[Array, ...], weights: _Weights, step: Step, backward: bool
) -> tuple[Array, tuple[Array, ...]]:
    """Hidden states of every step [S, B, H], zero beyond each sequence's length, and the states after its last step
    (zero for an empty sequence). x: [S, B, I]."""
    length, batch = x.shape[:2]
    times = np.arange(length).reshape(-1, 1)
    order = (
        np.where(times < lengths, lengths - 1 - times, times) if backward else np.broadcast_to(times, (length, batch))
    )
    columns = np.arange(batch)
    projected = x[order, columns] @ weights.w.T + weights.input_bias
    states = tuple(np.where((lengths > 0).reshape(-1, 1), s, 0) for s in states)
    hidden = np.zeros((length, *states[0].shape), x.dtype)
    for t in range(length):
        active = (t < lengths).reshape(-1, 1)
        after = step(projected[t], states, weights)
        states = tuple(np.where(active, new, old).astype(x.dtype) for new, old in zip(after, states, strict=True))
        hidden[t] = np.where(active, states[0], 0)
    return hidden[order, columns], states


# -- whole op ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    """gates: of the hidden size in W; activations: the default ones; states: hidden, and the LSTM's cell."""

    gates: int
    activations: tuple[str, ...]
    states: int
    step: Callable[[Node], Step]


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "RNN": _Kind(1, ("Tanh",), 1, lambda node: _rnn_step),
        "GRU": _Kind(3, ("Sigmoid", "Tanh"), 1, lambda node: _gru_step(bool(node.attr("linear_before_reset", 0)))),
        "LSTM": _Kind(4, ("Sigmoid", "Tanh", "Tanh"), 2, lambda node: _lstm_step(bool(node.attr("input_forget", 0)))),
    }
)


def _direction(node: Node) -> str:
    return node.text("direction", "forward")


def _infer(context: Infer) -> Sequence[Type]:
    node = context.node
    x, w, r = context.shape(0), context.shape(1), context.shape(2)
    if (len(x), len(w), len(r)) != (3, 3, 3):
        raise context.fail(f"X, W and R must have rank 3, got {len(x)}, {len(w)} and {len(r)}")
    agree(context, x[2], w[2], "features of X and W")
    for index, rank in ((3, 2), (4, 1), (5, 3), (6, 3), (7, 2)):  # B, sequence_lens, initial_h, initial_c, P
        check_rank(context, index, rank)
    direction = _direction(node)
    if direction not in ("forward", "reverse", "bidirectional"):
        raise context.fail(f"direction is {direction!r}, expected forward, reverse or bidirectional")
    directions = 2 if direction == "bidirectional" else 1
    agree(context, w[0], directions, f"directions of W for '{direction}'")
    agree(context, r[0], directions, f"directions of R for '{direction}'")
    hidden: Dim = node.attr("hidden_size") or r[2]
    agree(context, r[2], hidden, "the hidden size of R")
    agree(context, w[1], _KINDS[node.op].gates * hidden, "rows of W against the gates times the hidden size")
    agree(context, r[1], _KINDS[node.op].gates * hidden, "rows of R against the gates times the hidden size")
    kind = context.dtype(0)
    if node.attr("layout", 0):
        batch, length = x[0], x[1]
        y, state = TensorType(kind, (batch, length, directions, hidden)), TensorType(kind, (batch, directions, hidden))
    else:
        length, batch = x[0], x[1]
        y, state = TensorType(kind, (length, directions, batch, hidden)), TensorType(kind, (directions, batch, hidden))
    return [y, state, state][: len(node.outputs)]


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    kind = _KINDS[node.op]
    given = [*inputs, *[None] * (8 - len(inputs))]
    dtype = np.asarray(given[0]).dtype
    x, w, r = (widen(np.asarray(v)) for v in given[:3])
    batchwise = bool(node.attr("layout", 0))
    x = np.swapaxes(x, 0, 1) if batchwise else x
    length, batch = x.shape[:2]
    directions, size = w.shape[0], r.shape[2]
    lengths = np.full(batch, length) if given[4] is None else np.asarray(given[4]).astype(np.int64)
    bias = np.zeros((directions, 2 * kind.gates * size), x.dtype) if given[3] is None else widen(np.asarray(given[3]))
    starts = [_start(v, (directions, batch, size), x.dtype, batchwise) for v in given[5 : 5 + kind.states]]
    peepholes = given[7] if node.op == "LSTM" else None
    functions = _functions(node, kind.activations, directions)
    each = len(kind.activations)
    with np.errstate(all="ignore"):
        runs = [
            _run(
                x,
                lengths,
                tuple(s[d] for s in starts),
                _Weights(
                    w[d], r[d], bias[d, : kind.gates * size], bias[d, kind.gates * size :],
                    None if peepholes is None else widen(np.asarray(peepholes))[d],
                    functions[d * each : (d + 1) * each],
                ),
                kind.step(node),
                backward=d == 1 or _direction(node) == "reverse",
            )
            for d in range(directions)
        ]  # fmt: skip
    y = np.stack([hidden for hidden, _ in runs], axis=1)
    finals = [np.stack([states[k] for _, states in runs]) for k in range(kind.states)]
    if batchwise:
        y, finals = y.transpose(2, 0, 1, 3), [np.swapaxes(f, 0, 1) for f in finals]
    return [to_dtype(v, dtype) for v in (y, *finals)][: len(node.outputs)]


def _start(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any], batchwise: bool) -> Array:
    if value is None:
        return np.zeros(shape, dtype)
    return np.swapaxes(widen(np.asarray(value)), 0, 1) if batchwise else widen(np.asarray(value))


# -- native steps --------------------------------------------------------------------------------------------------


def _cell(node: Node) -> int:
    linear = node.op == "GRU" and node.attr("linear_before_reset", 0)
    return CELLS.index("gru_linear" if linear else node.op.lower())


def _params(node: Node, directions: int) -> Mapping[str, Param]:
    kind, limit = _KINDS[node.op], node.attr("clip")
    if limit is not None and not limit > 0:
        raise NoRowError("clip is not a positive number")
    chosen = _chosen(node, kind.activations, directions)
    each = len(kind.activations)
    slots = [chosen[d * each + min(i, each - 1)] for d in range(directions) for i in range(3)]
    return {
        "cell": _cell(node),
        "backward": int(_direction(node) == "reverse"),
        "input_forget": int(node.attr("input_forget", 0)),
        "clip": float(limit or 0),
        "activation": [ACTIVATIONS.index(name) for name, _, _ in slots],
        "alpha": [alpha for _, alpha, _ in slots],
        "beta": [beta for _, _, beta in slots],
    }


def _biases(lower: Lower, node: Node, rows: int, hidden: int) -> tuple[Place | None, Place | None]:
    """What the product of the inputs adds, [directions, 1, rows], and what that of the state adds, [directions, rows].
    Known ones are added up but for the candidate of a GRU that scales its product."""
    value = node.input(3)
    if value is None:
        return None, None
    if value.constant is None:
        place = lower.read(value)
        return place.slice(1, 0, rows).insert(1), place.slice(1, rows, rows)
    inputs, states = np.split(np.asarray(value.constant), 2, axis=1)
    apart = np.zeros_like(states)
    if CELLS[_cell(node)] == "gru_linear":
        apart[:, 2 * hidden :] = states[:, 2 * hidden :]
    total = to_dtype(widen(inputs) + widen(states - apart), inputs.dtype)
    return lower.constant(total[:, np.newaxis]), lower.constant(apart) if apart.any() else None


def _lower(lower: Lower, node: Node) -> None:
    """All input products at once, then the steps: family Recurrent, whose row file states the operands."""
    given = [*node.inputs, *[None] * (8 - len(node.inputs))]
    places = [None if v is None else lower.read(v) for v in given]
    x, w, r, _, lengths, hidden, cell, peepholes = places
    assert x is not None and w is not None and r is not None
    directions, rows, size = r.dims
    if x.dtype is DType.DOUBLE or not all(isinstance(d, int) for d in r.dims):
        raise NoRowError("recurrent layers in double precision, or of unknown size")
    assert isinstance(directions, int) and isinstance(rows, int) and isinstance(size, int)
    if node.attr("layout", 0):
        x = x.permute((1, 0, 2))
        hidden, cell = (None if p is None else p.permute((1, 0, 2)) for p in (hidden, cell))
    length, batch, features = x.dims
    input_bias, state_bias = _biases(lower, node, rows, size)
    sums = lower.temp(DType.FLOAT, (directions, length * batch, rows))
    flat = lower.reshape(x, (length * batch, features))
    lower.call("MatMul", [flat, w, input_bias], [sums], {"trans_a": 0, "trans_b": 1, "alpha": 1.0, "beta": 1.0})
    apart = lower.reshape(sums, (directions, length, batch, rows))
    outputs = _output_places(lower, node, directions)
    lower.call(
        "Recurrent", [apart, r, state_bias, lengths, hidden, cell, peepholes], outputs, _params(node, directions)
    )


def _output_places(lower: Lower, node: Node, directions: int) -> list[Place | None]:
    """Y as [steps, directions, batch, hidden], the last states as [directions, batch, hidden]."""
    given = [*node.outputs, *[None] * (3 - len(node.outputs))]
    batchwise = bool(node.attr("layout", 0))
    y, *states = given
    places: list[Place | None] = [None]
    if y is not None and batchwise:
        places = [lower.write(y).permute((1, 2, 0, 3))]
    elif y is not None and directions == 1:
        places = [lower.write(y)]
    elif y is not None:
        # Both directions of a step side by side: what follows joins them, and then needs no copy.
        length, _, batch, hidden = y.shape
        place = lower.temp(y.dtype, (length, batch, directions, hidden)).permute((0, 2, 1, 3))
        lower.alias(y, place)
        places = [place]
    for state in states:
        last = None if state is None else lower.write(state)
        places.append(last.permute((1, 0, 2)) if last is not None and batchwise else last)
    return places


def _flops(node: Node) -> Dim:
    x, w = node.operand(0).shape, node.operand(1).shape
    return 2 * x[0] * x[1] * product(w[:2]) * (x[2] + node.operand(2).shape[2])


def _samples(op: str) -> Callable[[], Iterator[Sample]]:
    kind = _KINDS[op]

    def tensors(directions: int, dtype: DType) -> list[Array]:
        """X, W, R, B, lengths, initial states, peepholes: S = 5, B = 3, I = 4, H = 6."""
        rows = kind.gates * 6
        shapes = [(5, 3, 4), (directions, rows, 4), (directions, rows, 6), (directions, 2 * rows)]
        floats = [samples.draw(s, dtype, -1, 1, seed=i) for i, s in enumerate(shapes)]
        lengths = np.array([5, 0, 3], np.int32)
        starts = [samples.draw((directions, 3, 6), dtype, -1, 1, seed=9 + i) for i in range(kind.states)]
        peepholes = [samples.draw((directions, 18), dtype, -1, 1, seed=20)] if op == "LSTM" else []
        return [*floats, lengths, *starts, *peepholes]

    names = {"RNN": ("Relu",), "GRU": ("HardSigmoid", "Softsign"), "LSTM": ("HardSigmoid", "ScaledTanh", "Elu")}[op]

    def generate() -> Iterator[Sample]:
        for dtype in (DType.FLOAT, DType.FLOAT16):
            for direction in ("forward", "reverse", "bidirectional"):
                directions = 2 if direction == "bidirectional" else 1
                base: dict[str, Any] = {"hidden_size": 6, "direction": direction}
                given = tensors(directions, dtype)
                yield Sample(tuple(given[:3]), base, 1 + kind.states)
                yield Sample((*given[:4], None, *given[5:]), base, 1 + kind.states)
                yield Sample(tuple(given), base, 1 + kind.states)
                yield Sample(tuple(given[:4]), {**base, "clip": 0.5})
                chosen = {**base, "activations": names * directions}
                if op == "LSTM":
                    chosen["activation_alpha"] = (0.25, 1.5, 0.75) * directions
                    chosen["activation_beta"] = (0.375, 0.5) * directions
                yield Sample(tuple(given[:4]), chosen)
                if op == "GRU":
                    yield Sample(tuple(given[:6]), {**base, "linear_before_reset": 1}, 2)
                if op == "LSTM":
                    yield Sample(tuple(given), {**base, "input_forget": 1}, 3)

    return generate


RECORDS: tuple[OpRecord, ...] = tuple(
    OpRecord(op=op, infer=_infer, evaluate=_evaluate, lower=_lower, flops=_flops, tolerance=_SUMS, samples=_samples(op))
    for op in _KINDS
)
