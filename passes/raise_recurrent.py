"""Loops and scans that step through a sequence as LSTM, GRU or RNN do become those ops: one product for the inputs of
all steps, and packed weights for the states.

The body is read as what it computes, not as how its nodes are put: gates are activations of affine functions of the
step's input and the state (passes/reading/affine.py), so one product or four, joined inputs or not, any order of gates
and any way to take them apart are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.ops.control import body_of, captures_of
from arenaut.ir.ops.support.composite import cast, length_of
from arenaut.ir.types import TensorType, same_shape
from arenaut.passes.context import PassContext
from arenaut.passes.reading.affine import Affine, AffineReader, both_orders, operands_of, plain, selection
from arenaut.passes.rewriting.pattern import is_op
from arenaut.plain import dataclass

_ENDLESS = 2**62  # a number of iterations that no sequence has
_ACTIVATIONS = ("Sigmoid", "Tanh", "Relu", "Softsign", "Softplus")


class _OtherwiseError(Exception):
    """Why a loop is none of these ops."""


@dataclass(frozen=True)
class _Gate:
    activation: str
    form: Affine


@dataclass(frozen=True)
class _Cell:
    """gates: in the order of the op's weights. states: numbers of the carried values, the hidden one first.
    recurrent: of a GRU that resets after its product, that product."""

    op: str
    gates: Sequence[_Gate]
    states: Sequence[int]
    activations: Sequence[str]
    recurrent: Affine | None = None


def raise_recurrent(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        if not is_op(node, "Loop", "Scan"):
            continue
        build = GraphBuilder(graph, node, node.name)
        try:
            results = _raised(build, _Steps(node))
        except _OtherwiseError as reason:
            graph.remove(build.made)
            context.missed("recurrent", node, str(reason))
            continue
        for old, new in zip(node.outputs, results, strict=False):
            if old is not None and new is not None:
                graph.supersede(old, build.op("Identity", new) if graph.is_output(old) else new)
        graph.remove(node)
        context.fired("recurrent", node)
        changed = True
    return changed


# -- what a loop steps through ---------------------------------------------------------------------------------------


class _Steps:
    """A Loop or Scan: its body's values, and what they are outside."""

    def __init__(self, node: Node) -> None:
        self.node, self.body = node, body_of(node, "body")
        self.is_scan = is_op(node, "Scan")
        skipped = 0 if self.is_scan else 2
        scanned = int(node.attr("num_scan_inputs", 0)) if self.is_scan else 0
        self.count = len(node.inputs) - captures_of(node) - skipped - scanned
        self.inputs = self.body.inputs[skipped : skipped + self.count]
        self.results = [plain(v) for v in self.body.outputs[not self.is_scan :]]
        self.begins = node.inputs[skipped : skipped + self.count]
        self.scanned = self.body.inputs[self.count : self.count + scanned] if self.is_scan else []
        self._outside = {
            id(v): outer
            for i, (v, outer) in enumerate(zip(self.body.inputs, node.inputs, strict=True))
            if i >= skipped + self.count + scanned or v in self._unchanged()
        }

    def _unchanged(self) -> list[Value]:
        return [v for v, result in zip(self.inputs, self.results, strict=False) if v is result]

    def outside(self, value: Value) -> Value | None:
        """What a value of the body is in every step; None where that is not the same."""
        return self._outside.get(id(plain(value)))

    def constant(self, value: Value) -> Array | None:
        value = plain(value)
        outer = self.outside(value)
        return value.constant if outer is None else outer.constant

    def counter(self, value: Value) -> int | None:
        """What a value of the body that grows by one each step begins with."""
        value = plain(value)
        if not self.is_scan and value is self.body.inputs[0]:
            return 0
        for given, result, begin in zip(self.inputs, self.results, self.begins, strict=False):
            if given is value and begin is not None and self._grows(given, result):
                return _number(begin.constant)
        return None

    def _grows(self, given: Value, result: Value) -> bool:
        return any(plain(a) is given and _number(self.constant(b)) == 1 for a, b in both_orders(result, "Add"))

    def sequence(self, row: Value) -> Value:
        """The sequence outside whose row a value of the body is in every step."""
        if self.is_scan:
            listed = next((i for i, v in enumerate(self.scanned) if v is row), None)
            order = (*self.node.attr("scan_input_axes", ()), *self.node.attr("scan_input_directions", ()))
            outer = None if listed is None else self.node.inputs[self.count + listed]
            if outer is None or any(order) or any(self.node.attr("scan_output_directions", ())):
                raise _OtherwiseError("what the states are joined with is not scanned forwards along its first axis")
            return outer
        maker = row.producer
        if maker is not None and is_op(maker, "Squeeze"):
            axes = None if maker.input(1) is None else self.constant(maker.operand(1))
            maker = None if axes is None or axes.reshape(-1).tolist() != [0] else maker.operand(0).producer
        if maker is None or not is_op(maker, "Gather") or int(maker.attr("axis", 0)) != 0:
            raise _OtherwiseError("what the states are joined with is no row of a sequence")
        outer, at = self.outside(maker.operand(0)), maker.operand(1)
        while at.producer is not None and is_op(at.producer, "Unsqueeze", "Reshape", "Cast", "Identity", "Squeeze"):
            at = at.producer.operand(0)
        if outer is None or self.counter(at) != 0:
            raise _OtherwiseError("the rows of the sequence are not taken one after the other")
        return outer

    def trips(self, length: Dim) -> Dim:
        """How many steps there are. length: of the sequence."""
        if self.is_scan:
            return length
        limit = self.node.input(0)
        bounds = [] if limit is None else [_element(limit)]
        bounds += [bound for term in self._terms(plain(self.body.outputs[0])) for bound in self._bound(term)]
        known = [b for b in bounds if not isinstance(b, int) or b < _ENDLESS]
        if not known or any(b is None for b in known):
            raise _OtherwiseError("how often it runs is not known")
        numbers = [b for b in known if isinstance(b, int)]
        least = min(numbers) if len(numbers) == len(known) else known[0]
        if any(b != least for b in known if not isinstance(b, int) or not isinstance(least, int)):
            raise _OtherwiseError("how often it runs depends on sizes")
        if not self._begins(least):
            raise _OtherwiseError("it may end before its first step")
        assert least is not None
        return least

    def _terms(self, going: Value) -> Iterator[Value]:
        """What all must hold for the loop to go on."""
        parts = operands_of(going, "And")
        for part in parts or (going,):
            part = plain(part)
            if parts:
                yield from self._terms(part)
            elif part is not self.body.inputs[1] and not _number(self.constant(part)):
                yield part

    def _bound(self, term: Value) -> Iterator[Dim | None]:
        """How many steps a condition that counts them allows."""
        counted = operands_of(term, "Less")
        begin = None
        if counted:
            before = [a for a, b in both_orders(plain(counted[0]), "Add") if _number(self.constant(b)) == 1]
            begin = next((n for n in map(self.counter, before) if n is not None), None)
        limit = None if begin is None else self.outside(counted[1]) or counted[1]
        bound = None if limit is None else _element(limit)
        if begin is None or bound is None:
            raise _OtherwiseError("its body decides whether it goes on")
        yield bound if begin == 0 else bound - begin

    def _begins(self, trips: Dim | None) -> bool:
        """Whether the first step runs where there is one at all."""
        start = self.node.input(1)
        if start is None or _number(start.constant):
            return not isinstance(trips, int) or trips > 0
        first = operands_of(plain(start), "Less")
        return bool(first) and _number(first[0].constant) == 0 and _element(first[1]) == trips


def _number(constant: Array | None) -> int | None:
    """The whole number that a constant of one element holds."""
    if constant is None or constant.size != 1 or constant.dtype.kind not in "iub":
        return None
    return int(constant.reshape(-1)[0])


def _element(value: Value) -> Dim | None:
    """The only element, where it is known or follows from sizes."""
    if value.constant is not None:
        return _number(value.constant)
    known = value.data
    found: Dim | None = None if known is None or known.size != 1 else known.reshape(-1)[0]
    return found


# -- what a body computes --------------------------------------------------------------------------------------------


class _Reading:
    """Cells among the values of a body."""

    def __init__(self, steps: _Steps) -> None:
        self.steps = steps
        self.affine = AffineReader(steps.constant)

    def gate(self, value: Value) -> Iterator[_Gate]:
        value = plain(value)
        part = selection(value, self.steps.constant)  # of several gates that share an activation
        maker = (value if part is None else plain(part.value)).producer
        if maker is not None and is_op(maker, *_ACTIVATIONS):
            form = self.affine.read(maker.operand(0))
            chosen = form if part is None else part.of(form)
            if chosen is not None:
                yield _Gate(maker.op, chosen)

    def products(self, value: Value) -> Iterator[tuple[Value, Value]]:
        """Both orders of the operands of a Mul."""
        for a, b in both_orders(plain(value), "Mul"):
            yield plain(a), plain(b)

    def sums(self, value: Value) -> Iterator[tuple[Value, Value]]:
        for a, b in both_orders(plain(value), "Add"):
            yield plain(a), plain(b)

    def cells(self) -> Iterator[_Cell]:
        numbers = range(self.steps.count)
        for h in numbers:
            for c in numbers:
                if c != h:
                    yield from self.lstm(h, c)
            yield from self.gru(h)
            yield from self.rnn(h)

    def lstm(self, h: int, c: int) -> Iterator[_Cell]:
        """h' = o act(c'), c' = f c + i g."""
        before, cell = self.steps.inputs[c], self.steps.results[c]
        for out, shown in self.products(self.steps.results[h]):
            maker = shown.producer
            if maker is None or not is_op(maker, *_ACTIVATIONS) or plain(maker.operand(0)) is not cell:
                continue
            for kept, added in self.sums(cell):
                for forget, old in self.products(kept):
                    for enter, fresh in self.products(added) if old is before else ():
                        for i, o, f, g in _all(self.gate(v) for v in (enter, out, forget, fresh)):
                            if i.activation == o.activation == f.activation:
                                names = (f.activation, g.activation, maker.op)
                                yield _Cell("LSTM", (i, o, f, g), (h, c), names)

    def gru(self, h: int) -> Iterator[_Cell]:
        """h' = z h + (1 - z) n, n of the step's input and what r leaves of h, or of its product."""
        before = self.steps.inputs[h]
        for kept, added in self.sums(self.steps.results[h]):
            for update, old in self.products(kept):
                for rest, fresh in self.products(added) if old is before else ():
                    one = operands_of(rest, "Sub")
                    if not one or not _is_one(self.steps.constant(one[0])) or plain(one[1]) is not update:
                        continue
                    for z, n in _all(self.gate(v) for v in (update, fresh)):
                        yield from self.candidate(h, z, n)

    def candidate(self, h: int, z: _Gate, n: _Gate) -> Iterator[_Cell]:
        before = self.steps.inputs[h]
        for product in n.form.values:
            for reset, inner in self.products(product):
                for (r,) in _all([self.gate(reset)]):
                    if r.activation != z.activation:
                        continue
                    names = (z.activation, n.activation)
                    if inner is before and n.form.factor_of(product) is not None:
                        values = tuple(before if v is product else v for v in n.form.values)
                        form = Affine(values, n.form.factors, n.form.bias)
                        yield _Cell("GRU", (z, r, _Gate(n.activation, form)), (h,), names)
                    elif n.form.factor_of(product) is None:
                        yield self.reset_after(h, z, r, n, product, inner)

    def reset_after(self, h: int, z: _Gate, r: _Gate, n: _Gate, product: Value, inner: Value) -> _Cell:
        kept = [(v, f) for v, f in zip(n.form.values, n.form.factors, strict=True) if v is not product]
        form = Affine([v for v, _ in kept], [f for _, f in kept], n.form.bias)
        gates = (z, r, _Gate(n.activation, form))
        return _Cell("GRU", gates, (h,), (z.activation, n.activation), self.affine.read(inner))

    def rnn(self, h: int) -> Iterator[_Cell]:
        for gate in self.gate(self.steps.results[h]):
            yield _Cell("RNN", (gate,), (h,), (gate.activation,))


def _all(found: Iterator[Iterator[_Gate]] | Sequence[Iterator[_Gate]]) -> Iterator[tuple[_Gate, ...]]:
    """All of them, where each is there."""
    gates = [list(each) for each in found]
    if all(gates):
        yield tuple(each[0] for each in gates)


def _is_one(constant: Array | None) -> bool:
    return constant is not None and constant.size == 1 and bool((constant == 1).all())


# -- the op ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Weights:
    """The op's operands w, r and b, and the value of the body that is its input in each step."""

    row: Value
    w: Array
    r: Array
    b: Array


def _weights(steps: _Steps, cell: _Cell) -> _Weights:
    state = steps.inputs[cell.states[0]]
    rows = {id(v): v for gate in cell.gates for v in gate.form.values if v is not state}
    if len(rows) != 1:
        raise _OtherwiseError("gates read other values than one input and the state")
    (row,) = rows.values()
    hidden = _columns_of(state)
    parts: list[tuple[Array, Array, Array, Array]] = []
    for at, gate in enumerate(cell.gates):
        inner = cell.recurrent if at == len(cell.gates) - 1 else None
        if not gate.form.reads_only(row, state if inner is None else None):
            raise _OtherwiseError("gates are not made of products with constants")
        if inner is not None and not inner.reads_only(state):
            raise _OtherwiseError("what is reset is no product of the state with a constant")
        w, r = gate.form.factor_of(row), (gate.form if inner is None else inner).factor_of(state)
        w = np.zeros((_columns_of(row), hidden), np.float32) if w is None else w
        r = np.zeros((hidden, hidden), np.float32) if r is None else r
        if w.shape[1] != hidden or any(n != hidden for n in r.shape):
            raise _OtherwiseError("gates of another size than the state")
        parts.append((w.T, r.T, _bias(gate.form, hidden), _bias(inner, hidden)))
    columns = [np.ascontiguousarray(np.concatenate(side)[None], np.float32) for side in zip(*parts, strict=True)]
    return _Weights(row, columns[0], columns[1], np.concatenate(columns[2:], axis=1))


def _bias(form: Affine | None, hidden: int) -> Array:
    given = np.zeros(1, np.float32) if form is None or form.bias is None else form.bias
    if given.size not in (1, hidden):
        raise _OtherwiseError("a bias of another size than the state")
    return np.broadcast_to(given.reshape(-1), (hidden,))


def _columns_of(value: Value) -> int:
    last = value.shape[1] if value.has_shape and value.rank == 2 else None
    if not isinstance(last, int) or value.dtype is not DType.FLOAT:
        raise _OtherwiseError(f"'{value.name}' is {value.type}, expected rows of float32")
    return last


def _raised(build: GraphBuilder, steps: _Steps) -> list[Value | None]:
    reason = "its body is no cell of LSTM, GRU or RNN"
    for cell in _Reading(steps).cells():
        try:
            return _as_op(build, steps, cell)
        except _OtherwiseError as error:
            reason = str(error)
    raise _OtherwiseError(reason)


def _as_op(build: GraphBuilder, steps: _Steps, cell: _Cell) -> list[Value | None]:
    weights = _weights(steps, cell)
    x = steps.sequence(weights.row)
    if not x.has_shape or x.rank != 3 or x.dtype is not DType.FLOAT:
        raise _OtherwiseError(f"the sequence is {x.type}, expected [steps, batch, features] of float32")
    trips = steps.trips(x.shape[0])
    whole = trips == x.shape[0]
    if not whole and not (isinstance(trips, int) and isinstance(x.shape[0], int) and trips < x.shape[0]):
        raise _OtherwiseError("it may run more or fewer steps than the sequence has")
    begins = [_begin(steps, i, x) for i in cell.states]
    wanted = _wanted(steps, cell)
    if not whole:
        bounds = (build.constant(np.array([n], np.int64)) for n in (0, trips, 0, 1))
        x = build.op("Slice", x, *bounds)
    constants = [build.constant(a) for a in (weights.w, weights.r, weights.b)]
    first = build.constant(np.array([0], np.int64))
    starts = [build.op("Unsqueeze", v, first) for v in begins]
    linear: dict[str, Any] = {"linear_before_reset": int(cell.recurrent is not None)} if cell.op == "GRU" else {}
    every, *last = build.ops(
        cell.op, x, *constants, None, *starts, outputs=1 + len(starts), hidden_size=weights.r.shape[2],
        direction="forward", activations=tuple(cell.activations), **linear,
    )  # fmt: skip
    finals = dict(zip(cell.states, (build.op("Squeeze", v, first) for v in last), strict=True))
    results: list[Value | None] = []
    for i, kind in enumerate(wanted):
        if kind == "stacked":
            results.append(build.op("Squeeze", every, build.constant(np.array([1], np.int64))))
        elif kind == "count":
            results.append(_counted(build, steps, i, x))
        else:
            results.append(finals.get(i, steps.begins[i]) if kind == "state" else None)
    return results


def _begin(steps: _Steps, number: int, x: Value) -> Value:
    begin = steps.begins[number]
    wanted = TensorType(DType.FLOAT, (x.shape[1], _columns_of(steps.inputs[number]))).shape
    if begin is None or not begin.has_shape or same_shape(begin.shape, wanted) is not True:
        raise _OtherwiseError("a state does not begin with a row for each of the batch")
    return begin


def _wanted(steps: _Steps, cell: _Cell) -> list[str]:
    """What each output of the node is: a state, the hidden states of all steps, a counter, or nothing."""
    hidden = steps.results[cell.states[0]]
    axes = steps.node.attr("scan_output_axes", ()) if steps.is_scan else ()
    found = []
    for i, output in enumerate(steps.node.outputs):
        if output is None or not (output.uses or _is_result(steps, output)):
            found.append("")
        elif i >= steps.count:
            if steps.results[i] is not hidden or any(axes):
                raise _OtherwiseError("it stacks other values than the hidden state")
            found.append("stacked")
        elif i in cell.states or steps.inputs[i] is steps.results[i]:
            found.append("state")
        elif steps.counter(steps.inputs[i]) is not None:
            found.append("count")
        else:
            raise _OtherwiseError("it carries other values than the cell's states")
    return found


def _is_result(steps: _Steps, output: Value) -> bool:
    graph = steps.node.graph
    return graph is not None and graph.is_output(output)


def _counted(build: GraphBuilder, steps: _Steps, number: int, x: Value) -> Value:
    begin = steps.begins[number]
    assert begin is not None
    length = cast(build, length_of(build, x, 0), begin.dtype)
    return build.op("Add", begin, length)
