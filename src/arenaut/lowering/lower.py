"""Graph -> steps. Implements the protocol that the records' lowering rules are written against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim, Expr, product, symbol, symbols_of
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import InvalidModelError, OptionError, ShapeError, UnknownError, UnsupportedError, blamed_on
from arenaut.ir.evaluate import can_evaluate
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.limits import check_time
from arenaut.ir.ops import record_of
from arenaut.ir.ops.fused import FUSED
from arenaut.ir.place import Place, dense_strides
from arenaut.ir.record import NoRowError, Requirement
from arenaut.ir.target import Target
from arenaut.ir.types import TensorType
from arenaut.lowering.byte_rows import can_be_bytes, dims_as_bytes
from arenaut.lowering.emit import MAX_RANK, Emitter, align_rank
from arenaut.lowering.fragments import Fragment, divide
from arenaut.lowering.pairs import Change, Pair, values_in_place
from arenaut.lowering.program import Check, Lowered, LoweredStep, Port, Segment, StateUse, StepKind, host_place
from arenaut.lowering.tiles import TileLimitError, Tiles, emit_node, tile_of_graph
from arenaut.plain import replace

_CONTROL = {"if": StepKind.IF, "loop": StepKind.LOOP, "scan": StepKind.SCAN}


def lower_graph(
    graph: Graph,
    target: Target,
    most: int | None = None,
    pairs: Sequence[Pair] | None = None,
    cache: DType | None = None,
) -> Lowered:
    """The graph's steps for this target. Raises UnsupportedError naming every node that nothing can run.

    most: fragments of unknown ranks of at least so many nodes are run node by node. pairs: what carries the state of
    the model, which is then memory that outlives a run: an input that is appended to is a part of what there is room
    for, and its output the same memory. cache: what floats of 32 bits are kept as there. Raises NotAppendedError.
    """
    return Lowerer(graph, target, pairs, cache).run(most)


# Changes of a part that take place in the memory of its input.
IN_PLACE = (Change.APPENDS, Change.UPDATES)


class NotAppendedError(Exception):
    """args: the pair whose output is made elsewhere than behind its input."""


class Lowerer(Emitter):
    """Lowers one graph, node after node."""

    def __init__(
        self, graph: Graph, target: Target, pairs: Sequence[Pair] | None = None, cache: DType | None = None
    ) -> None:
        super().__init__(graph, target)
        self._pairs = pairs
        self._cache = cache
        self._wholes: dict[int, Place] = {}
        self._lasting: dict[int, Place] = {}  # by value: its place in the state, where it is stored as what it is
        self._capacity = unused_name(graph.dim_names(), "capacity")
        if pairs is not None:
            self._defined.add(self._capacity)
            gone = [p.output for p in pairs if not p.change.is_new]
            self.results = [v for i, v in enumerate(graph.outputs) if i not in gone]

    # -- whole graph -------------------------------------------------------------------------------------------

    def run(self, most: int | None = None) -> Lowered:
        inputs = [self._input(v, i) for i, v in enumerate(self.graph.inputs)]
        for value in self.graph.inputs:
            self._read_data_symbols(value)
        failures: list[str] = []
        missing: set[int] = set()  # results of nodes that nothing can run, and of what reads them
        try:
            parts = divide(self.graph, most)
        except UnsupportedError as error:
            failures.append(str(error))
            parts = []
        for part in parts:
            check_time()
            node = self._node = part.node if isinstance(part, Fragment) else part
            if any(id(v) in missing for v in node.inputs):
                missing.update(id(v) for v in node.outputs if v is not None)
                continue
            try:
                with blamed_on(InvalidModelError, node):
                    if isinstance(part, Fragment):
                        self._lower_fragment(node)
                    else:
                        self._lower_node(node)
            except UnsupportedError as error:
                failures.append(str(error))
                missing.update(id(v) for v in node.outputs if v is not None)
                continue
            for out in node.outputs:
                if out is not None:
                    self._read_data_symbols(out)
        if failures:
            raise UnsupportedError("nothing can run these nodes: " + "; ".join(failures))
        self._ask_for_stored_nodes()
        outputs = [self._output(v, i) for i, v in enumerate(self.results)]
        dtypes = [v.type.dtype if isinstance(v.type, TensorType) else None for v in self.results]
        symbols = self.graph.dim_names()
        if self._pairs is not None:
            symbols = [*symbols, self._capacity]
        return Lowered(
            self.buffers, self.steps, inputs, outputs, dtypes, symbols, self.slots, self.values, self.checks,
            state=self._state_use(), wholes=self._wholes,
        )  # fmt: skip

    def _state_use(self) -> StateUse | None:
        if self._pairs is None:
            return None
        ports = []
        total: Dim | None = None
        for pair in self._pairs:
            present = self.graph.outputs[pair.output]
            if pair.change in IN_PLACE:
                place = self.kept.get(id(present), self.places.get(id(present)))
                if place is None or place.buffer != self._wholes[pair.input].buffer:
                    raise NotAppendedError(pair)
            grows = pair.change is Change.APPENDS
            if grows and total is None:
                total = present.shape[pair.axis]
            output = self.results.index(present) if pair.change.is_new else -1
            ports.append(Port(pair.input, output, pair.axis if grows else -1))
        return StateUse(tuple(ports), total, self._capacity)

    def _lasting_input(self, value: Value, index: int, pair: Pair) -> Place:
        """A part, from the start on, of the memory that there is room for; what the pair's output is, too."""
        dims = list(value.shape)
        if pair.change is Change.APPENDS:
            dims[pair.axis] = symbol(self._capacity)
        dtype = self._cache if self._cache is not None and value.dtype is DType.FLOAT else value.dtype
        in_bytes = dtype is DType.INT8 and value.dtype is DType.FLOAT
        if in_bytes and not can_be_bytes(value, pair.axis):
            raise OptionError(f"cache_precision='int8': '{value.name}' of shape {value.type} is written to along its "
                              "rows, which would need a new scale each time; 'float16' halves its bytes")  # fmt: skip
        as_stored = dims_as_bytes if in_bytes else tuple[Dim, ...]
        whole = self._dense(Segment.INPUT, dtype, as_stored(dims), index, value.name)
        self._wholes[index] = whole
        if in_bytes:
            self._byte_rows.add(whole.buffer)
        for part in (value, *values_in_place(self.graph, value, self.graph.outputs[pair.output])):
            place = replace(whole, dims=as_stored(part.shape))
            if dtype is value.dtype:
                self._put(part, place)
                self._lasting[id(part)] = place
            else:
                self.kept[id(part)] = place
        return replace(whole, dims=as_stored(value.shape))

    def _input(self, value: Value, index: int) -> Place:
        for pair in self._pairs or ():
            if pair.input == index and pair.change in IN_PLACE:
                return self._lasting_input(value, index, pair)
        if self._is_host(value):
            place = host_place(self._buffer(Segment.HOST, 0, self._slot(), name=value.name), self._held_dtype(value))
            if value.has_shape:  # of text: its dims set symbols
                place = replace(place, dims=value.shape, strides=(0,) * value.rank)
        else:
            place = self._dense(Segment.INPUT, value.dtype, value.shape, index, value.name)
        self._put(value, place)
        return place

    def _output(self, value: Value, index: int) -> Place:
        """Where output `index` ends up: an output buffer of its own, or a host slot."""
        if value.constant is not None and id(value) not in self.places and self._is_host(value):
            self._held_step(StepKind.HOST, Node("Identity", [value], [value], name=value.name), [None], [value])
        place = self.read(value)
        buffer = self.buffers[place.buffer]
        if buffer.segment is Segment.HOST or (buffer.segment is Segment.OUTPUT and buffer.index == index):
            return place
        whole = place.is_dense and place.offset == 0 and place.dtype.itemsize * product(place.dims) == buffer.bytes
        if buffer.segment is Segment.ARENA and whole:
            # The only view that leaves: what was to be arena memory is the output itself.
            buffer.segment, buffer.index = Segment.OUTPUT, index
            return Place(place.buffer, place.dtype, value.shape, dense_strides(value.shape))
        target = self._dense(Segment.OUTPUT, value.dtype, value.shape, index, value.name)
        self.copy(place, target)
        return target

    # -- nodes -------------------------------------------------------------------------------------------------

    def _lower_node(self, node: Node) -> None:
        record = record_of(node)
        mark = (len(self.steps), len(self.buffers), len(self.values), self.slots, set(self._defined), len(self.checks))
        if not any(self._is_host(v) for v in [*node.inputs, *node.outputs] if v is not None):
            try:
                if self._lower_natively(node) and self._symbols_defined(node):
                    self._ask_of_sizes(node)
                    return
            except (NoRowError, TileLimitError, UnknownError):
                pass
            self._undo(node, mark)
            body = node.attr("body")
            if node.key == FUSED and isinstance(body, Graph):
                self._lower_unfused(node, body)
                return
            if record.decompose is not None and self._lower_decomposed(node):
                return
        elif record.lower is not None and self._controls(node):
            try:
                record.lower(self, node)
                return
            except (NoRowError, UnknownError):
                self._undo(node, mark)
        self._host_call(node)

    def _ask_of_sizes(self, node: Node) -> None:
        """Checks of what the node asks of sizes that only a run knows. Evaluators check for themselves."""
        rule = record_of(node).requires
        for need in () if rule is None else rule(node):
            if need.condition == 0:
                raise ShapeError(f"{node}: {need.text}, got {', '.join(map(str, need.values))}")
            self._check(str(node), need)

    def _ask_for_stored_nodes(self) -> None:
        """The same for nodes of the file, which rewrites may have taken away: their checks go before others."""
        asked = {need.condition for _, need in self.graph.asks}
        self.checks = [check for check in self.checks if check.condition not in asked]
        for node, need in self.graph.asks:
            self._check(node, need)

    def _check(self, node: str, need: Requirement) -> None:
        dims = (need.condition, *need.values)
        if isinstance(need.condition, Expr) and all(s.name in self._defined for d in dims for s in symbols_of(d)):
            self.checks.append(Check(need.condition, f"{node}: {need.text}, got ", tuple(need.values)))

    def _controls(self, node: Node) -> bool:
        return node.has_bodies

    def _undo(self, node: Node, mark: tuple[int, int, int, int, set[str], int]) -> None:
        steps, buffers, values, slots, defined, checks = mark
        del self.steps[steps:], self.buffers[buffers:], self.values[values:], self.checks[checks:]
        self._weights = {k: b for k, b in self._weights.items() if b < buffers}
        self._byte_rows = {b for b in self._byte_rows if b < buffers}
        self.slots = slots
        self._defined = defined
        self._epilogue = None
        for key in [k for k, place in self.places.items() if place.buffer >= buffers]:
            del self.places[key]
        for out in node.outputs:
            if out is not None:
                self.places.pop(id(out), None)
                if id(out) in self._lasting:
                    self.places[id(out)] = self._lasting[id(out)]

    def _lower_natively(self, node: Node) -> bool:
        record = record_of(node)
        if record.view is not None and self._lower_view(node):
            return True
        body = node.attr("body")
        if node.key == FUSED and isinstance(body, Graph):
            self._lower_fused(node, body)
            return True
        if record.is_elementwise(node):
            self._lower_tile(node)
            return True
        if record.lower is not None:
            record.lower(self, node)
            return True
        return False

    def _lower_view(self, node: Node) -> bool:
        rule = record_of(node).view
        assert rule is not None
        source = self.read(node.operand(0))
        views = rule(node, source)
        if views is None and record_of(node).lower is None:
            source = self._densify(source)
            views = rule(node, source)
        if views is None:
            return False
        copied = "views" in self.target.without and self.buffers[source.buffer].segment is not Segment.WEIGHT
        for out, view in zip(node.outputs, views, strict=False):
            if out is None:
                continue
            if copied:
                self.copy(view, self.write(out))
            else:
                self.alias(out, view)
        return True

    def _lower_tile(self, node: Node) -> None:
        tiles = Tiles()
        present = [v for v in node.inputs if v is not None]
        registers = {id(v): tiles.load(v.dtype) for v in dict.fromkeys(present)}
        emit_node(tiles, node, registers)
        outputs = [v for v in node.outputs if v is not None]
        spec = tiles.finish([registers[id(v)] for v in outputs])
        self._call_tile(spec, [self.read(v) for v in dict.fromkeys(present)], [self.write(v) for v in outputs])

    def _lower_fused(self, node: Node, body: Graph) -> None:
        for inner, outer in zip(body.inputs, node.inputs, strict=True):
            assert outer is not None
            self.places[id(inner)] = self.read(outer)
        anchor = next((n for n in body.nodes if not record_of(n).is_elementwise(n)), None)
        outputs = [self.write(v) for v in node.outputs if v is not None]
        if anchor is None:
            spec, operands = tile_of_graph(body, body.nodes)
            self._call_tile(spec, [self.read(v) for v in operands], outputs)
            return
        rest = [n for n in body.nodes if n is not anchor]
        spec, operands = tile_of_graph(body, rest, anchor.output)
        self.places[id(anchor.output)] = outputs[0]
        extra = [align_rank(self.read(v), outputs[0].rank) for v in operands]
        self._epilogue = (outputs[0], spec, extra)
        rule = record_of(anchor).lower
        if rule is None:
            raise NoRowError(f"{anchor} cannot anchor an epilogue")
        rule(self, anchor)
        if self._epilogue is not None:
            raise NoRowError(f"{anchor} did not take the epilogue")

    def _lower_unfused(self, node: Node, body: Graph) -> None:
        """A fused node that no row takes whole: its body's nodes, one by one."""
        for inner, outer in zip(body.inputs, node.inputs, strict=True):
            assert outer is not None
            self.places[id(inner)] = self.read(outer)
        for inner_node in body.nodes:
            self._lower_node(inner_node)
        for inner, out in zip(body.outputs, node.outputs, strict=True):
            if out is not None:
                self.alias(out, self.read(inner))

    def _lower_decomposed(self, node: Node) -> bool:
        """A node that no row takes whole but that simpler ops express: those ops, one by one. They stand in a graph of
        their own, which ends with this lowering, so that the model's graph stays as it is."""
        rule = record_of(node).decompose
        assert rule is not None
        scratch = self.graph.scratch(node.name or node.op)
        self._scratch.append(scratch)  # places are known by the identities of values
        try:
            results = list(rule(GraphBuilder(scratch, name=node.name or node.op.lower()), node))
        except (NoRowError, UnknownError):
            results = []
        for out, result in zip(node.outputs, results, strict=False):
            if out is None or result.producer not in scratch.nodes:
                continue
            if id(out) in self.kept:
                self.kept[id(result)] = self.kept[id(out)]
            elif id(out) in self._lasting:
                self.places[id(result)] = self._lasting[id(out)]
        try:
            for part in list(scratch.nodes if results else ()):
                self._lower_node(part)
        finally:
            scratch.remove(list(scratch.nodes))
        for out, result in zip(node.outputs, results, strict=False):
            if out is not None:
                self.alias(out, self.stored(result))
        return bool(results)

    def _symbols_defined(self, node: Node) -> bool:
        """Whether every symbol in the outputs' shapes is known once the node's steps ran."""
        return all(name in self._defined for out in node.outputs if out is not None for name in _symbols(out))

    def control(
        self,
        kind: str,
        node: Node,
        bodies: Sequence[Graph],
        inputs: Sequence[Place | None],
        outputs: Sequence[Value | None],
        *,
        carried: int = 0,
        scanned: int = 0,
    ) -> None:
        lowered = tuple(lower_graph(b, self.target) for b in bodies)
        dense = [None if p is None else self._densify_or_host(p) for p in inputs]
        self._held_step(_CONTROL[kind], node, dense, outputs, bodies=lowered, counts=(carried, scanned))

    def _lower_fragment(self, node: Node) -> None:
        inputs = [None if v is None else self._densify_or_host(self.read(v)) for v in node.inputs]
        self._held_step(StepKind.OPEN, node, inputs, node.outputs)

    # -- host --------------------------------------------------------------------------------------------------

    def _host_call(self, node: Node) -> None:
        if not can_evaluate(node):
            raise UnsupportedError(f"{node}: neither a kernel nor an evaluator")
        inputs = [None if v is None else self._host_operand(v) for v in node.inputs]
        self._held_step(StepKind.HOST, node, inputs, node.outputs)

    def _host_operand(self, value: Value) -> Place | None:
        """Where the host call finds an input; None for constants that only the host holds (it has the value)."""
        if id(value) not in self.places and value.constant is not None and self._is_host(value):
            return None
        return self._densify_or_host(self.read(value))

    def _held_step(
        self,
        kind: StepKind,
        node: Node,
        inputs: Sequence[Place | None],
        outputs: Sequence[Value | None],
        *,
        bodies: tuple[Lowered, ...] = (),
        counts: tuple[int, int] = (0, 0),
    ) -> None:
        """A step whose results go where they belong, if their sizes are known before it runs. The others are held
        outside the arena and fetched by a step of their own, once the results that decide their sizes are there."""
        placed: list[Place | None] = []
        late: list[tuple[Value, Place]] = []
        copies: list[tuple[Place, Place]] = []
        sets: list[tuple[int, int, str]] = []
        for i, value in enumerate(outputs):
            if value is None:
                placed.append(None)
            elif not self._is_host(value) and all(name in self._defined for name in _symbols(value)):
                target = self.write(value)
                dense = self._whole_result(value, target)
                placed.append(dense)
                copies.append((dense, target))
            else:
                held = host_place(self._buffer(Segment.HOST, 0, self._slot()), self._held_dtype(value))
                placed.append(held)
                late.append((value, held))
                sets += [(i, axis, name) for axis, name in self._open_dims(value)]
        self._defined.update(name for _, _, name in sets)
        self._step(LoweredStep(kind, node, list(inputs), placed, sets=tuple(sets), bodies=bodies, counts=counts))
        for source, target in copies:
            self.copy(source, target)
        waiting = {id(value) for value, _ in late}
        for value in outputs:
            if value is not None and id(value) not in waiting:
                self._read_data_symbols(value)
        while late:
            ready = next((i for i, (v, _) in enumerate(late) if self._is_host(v) or not self._missing(v)), None)
            if ready is None:
                value = late[0][0]
                raise UnsupportedError(f"{node}: nothing decides the size {self._missing(value)} of '{value.name}'")
            self._fetch(node, *late.pop(ready))

    def _missing(self, value: Value) -> list[str]:
        """The symbols in a value's dims that nothing has decided yet."""
        return [name for name in _symbols(value) if name not in self._defined]

    def _fetch(self, node: Node, value: Value, place: Place) -> None:
        """Brings a held result to where it belongs."""
        if self._is_host(value):
            self._put(value, place)
            return
        target = self.write(value)
        dense = self._whole_result(value, target)
        self._step(LoweredStep(StepKind.FETCH, node, [place], [dense]))
        self.copy(dense, target)
        self._read_data_symbols(value)

    def _whole_result(self, value: Value, target: Place) -> Place:
        """Where Python may write what goes to target: there, or to memory of the value's own type and dims."""
        return target if target.is_dense and id(value) not in self.kept else self.temp(value.dtype, value.shape)

    def _open_dims(self, value: Value) -> list[tuple[int, str]]:
        """Axes of a held result whose size is a symbol that nothing decided yet."""
        dims = () if self._is_host(value) else value.shape
        names = [(axis, [s.name for s in symbols_of(dim)]) for axis, dim in enumerate(dims)]
        return [(a, n[0]) for a, n in names if len(n) == 1 and str(dims[a]) == n[0] and n[0] not in self._defined]

    def _is_host(self, value: Value) -> bool:
        """Values that only Python can hold: no tensors, strings, unknown or too high rank."""
        t = value.type
        if not isinstance(t, TensorType) or t.shape is None:
            return True
        return t.dtype is DType.STRING or len(t.shape) > MAX_RANK

    def _held_dtype(self, value: Value) -> DType:
        """The element type of a held result; STRING stands for any Python object."""
        return value.dtype if isinstance(value.type, TensorType) else DType.STRING


def unused_name(taken: Iterable[str], name: str) -> str:
    """The name, or one made of it."""
    known = set(taken)
    while name in known:
        name += "_"
    return name


def _symbols(value: Value) -> Iterator[str]:
    if isinstance(value.type, TensorType) and value.type.shape is not None:
        for dim in value.type.shape:
            for s in symbols_of(dim):
                yield s.name
