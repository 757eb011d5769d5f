"""Graph -> steps. Implements the protocol that the records' lowering rules are written against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim, Expr, product, symbols_of
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import UnsupportedError
from arenaut.ir.evaluate import can_evaluate
from arenaut.ir.graph import ARENAUT_DOMAIN, Array, Graph, Node, Value
from arenaut.ir.infer import data_symbols_of
from arenaut.ir.ops import record_of
from arenaut.ir.record import NoRowError, Param
from arenaut.ir.strided import Strided, dense_strides, ordered_strides
from arenaut.ir.target import Target
from arenaut.ir.types import TensorType
from arenaut.lowering.destinations import destinations
from arenaut.lowering.program import Lowered, LoweredBuffer, LoweredStep, Segment, StepKind, host_place
from arenaut.lowering.rows import Row, select_row
from arenaut.lowering.tiles import TileLimitError, Tiles, TileSpec, emit_node, tile_of_graph
from arenaut.lowering.weights import address_of, dense_copy, dense_view

MAX_RANK = 8
FUSED = (ARENAUT_DOMAIN, "Fused")
_CONTROL = {"if": StepKind.IF, "loop": StepKind.LOOP, "scan": StepKind.SCAN}


def lower_graph(graph: Graph, target: Target) -> Lowered:
    """The graph's steps for this target. Raises UnsupportedError naming every node that nothing can run."""
    return Lowerer(graph, target).run()


class Lowerer:
    """Lowers one graph. Places of values are kept by identity."""

    def __init__(self, graph: Graph, target: Target) -> None:
        self.graph = graph
        self.target = target
        self.buffers: list[LoweredBuffer] = []
        self.steps: list[LoweredStep] = []
        self.places: dict[int, Strided] = {}
        self.values: list[tuple[Value, Strided]] = []
        self.slots = 0
        self._destinations = destinations(graph)
        self._weights: dict[tuple[int, int], int] = {}  # (address, bytes) of an array that a buffer holds -> buffer
        self._defined: set[str] = set(graph.dim_names())
        self._node: Node | None = None
        self._epilogue: tuple[Strided, TileSpec, list[Strided]] | None = None

    # -- whole graph -------------------------------------------------------------------------------------------

    def run(self) -> Lowered:
        inputs = [self._input(v, i) for i, v in enumerate(self.graph.inputs)]
        for value in self.graph.inputs:
            self._read_data_symbols(value)
        failures: list[str] = []
        for node in list(self.graph.nodes):
            self._node = node
            try:
                self._lower_node(node)
            except UnsupportedError as error:
                failures.append(str(error))
            for out in node.outputs:
                if out is not None:
                    self._read_data_symbols(out)
        if failures:
            raise UnsupportedError("nothing can run these nodes: " + "; ".join(failures))
        outputs = [self._output(v, i) for i, v in enumerate(self.graph.outputs)]
        self.steps = _needed_steps(self.steps, outputs)
        return Lowered(self.buffers, self.steps, inputs, outputs, self.graph.dim_names(), self.slots, self.values)

    def _input(self, value: Value, index: int) -> Strided:
        if self._is_host(value):
            place = host_place(self._buffer(Segment.HOST, 0, self._slot(), name=value.name), self._held_dtype(value))
            if value.has_shape:  # of text: its dims set symbols
                place = replace(place, dims=value.shape, strides=(0,) * value.rank)
        else:
            place = self._dense(Segment.INPUT, value.dtype, value.shape, index, value.name)
        self._put(value, place)
        return place

    def _output(self, value: Value, index: int) -> Strided:
        """Where output `index` ends up: an output buffer of its own, or a host slot."""
        place = self.read(value)
        buffer = self.buffers[place.buffer]
        if buffer.segment is Segment.HOST or (buffer.segment is Segment.OUTPUT and buffer.index == index):
            return place
        whole = place.is_dense and place.offset == 0 and place.dtype.itemsize * product(place.dims) == buffer.bytes
        if buffer.segment is Segment.ARENA and whole:
            # The only view that leaves: what was to be arena memory is the output itself.
            buffer.segment, buffer.index = Segment.OUTPUT, index
            return Strided(place.buffer, place.dtype, value.shape, dense_strides(value.shape))
        target = self._dense(Segment.OUTPUT, value.dtype, value.shape, index, value.name)
        self.copy(place, target)
        return target

    def _output_index(self, value: Value) -> int | None:
        """The first graph output that value is, when it is made by a node."""
        for i, out in enumerate(self.graph.outputs):
            if out is value:
                return i
        return None

    # -- nodes -------------------------------------------------------------------------------------------------

    def _lower_node(self, node: Node) -> None:
        record = record_of(node)
        mark = (len(self.steps), len(self.buffers), len(self.values), self.slots, set(self._defined))
        if not any(self._is_host(v) for v in [*node.inputs, *node.outputs] if v is not None):
            try:
                if self._lower_natively(node) and self._symbols_defined(node):
                    return
            except (NoRowError, TileLimitError):
                pass
            self._undo(node, mark)
            body = node.attr("body")
            if node.key == FUSED and isinstance(body, Graph):
                self._lower_unfused(node, body)
                return
            if record.decompose is not None and self._lower_decomposed(node):
                return
        elif record.lower is not None and self._controls(node):
            record.lower(self, node)
            return
        self._host_call(node)

    def _controls(self, node: Node) -> bool:
        return any(True for _ in node.bodies())

    def _undo(self, node: Node, mark: tuple[int, int, int, int, set[str]]) -> None:
        steps, buffers, values, slots, defined = mark
        del self.steps[steps:], self.buffers[buffers:], self.values[values:]
        self._weights = {k: b for k, b in self._weights.items() if b < buffers}
        self.slots = slots
        self._defined = defined
        self._epilogue = None
        for key in [k for k, place in self.places.items() if place.buffer >= buffers]:
            del self.places[key]
        for out in node.outputs:
            if out is not None:
                self.places.pop(id(out), None)

    def _lower_natively(self, node: Node) -> bool:
        record = record_of(node)
        if record.view is not None and self._lower_view(node):
            return True
        body = node.attr("body")
        if node.key == FUSED and isinstance(body, Graph):
            self._lower_fused(node, body)
            return True
        if record.tile is not None:
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
        for out, view in zip(node.outputs, views, strict=False):
            if out is not None:
                self.bind(out, view)
        return True

    def _lower_tile(self, node: Node) -> None:
        tiles = Tiles()
        present = [v for v in node.inputs if v is not None]
        registers = {id(v): tiles.load(v.dtype) for v in dict.fromkeys(present)}
        emit_node(tiles, node, registers)
        outputs = [v for v in node.outputs if v is not None]
        spec = tiles.finish([registers[id(v)] for v in outputs])
        self._call_tile(spec, [self.read(v) for v in dict.fromkeys(present)], [self.write(v) for v in outputs])

    def _call_tile(self, spec: TileSpec, inputs: Sequence[Strided], outputs: Sequence[Strided]) -> None:
        aligned = [_align_rank(p, outputs[0].rank) for p in inputs]
        row = self._select("Tile", aligned, outputs)
        self._emit(row, aligned, list(outputs), {}, spec)

    def _lower_fused(self, node: Node, body: Graph) -> None:
        for inner, outer in zip(body.inputs, node.inputs, strict=True):
            assert outer is not None
            self.places[id(inner)] = self.read(outer)
        anchor = next((n for n in body.nodes if record_of(n).tile is None), None)
        outputs = [self.write(v) for v in node.outputs if v is not None]
        if anchor is None:
            spec, operands = tile_of_graph(body, body.nodes)
            self._call_tile(spec, [self.read(v) for v in operands], outputs)
            return
        rest = [n for n in body.nodes if n is not anchor]
        spec, operands = tile_of_graph(body, rest, anchor.output)
        self.places[id(anchor.output)] = outputs[0]
        extra = [_align_rank(self.read(v), outputs[0].rank) for v in operands]
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
                self.bind(out, self.read(inner))

    def _lower_decomposed(self, node: Node) -> bool:
        """A node that no row takes whole but that simpler ops express: those ops, one by one."""
        rule = record_of(node).decompose
        assert rule is not None
        known = {id(n) for n in self.graph.nodes}
        try:
            results = list(rule(GraphBuilder(self.graph, node, node.name or node.op.lower()), node))
        except (NoRowError, TypeError):  # TypeError: a rank that is not known
            results = []
        parts = [n for n in self.graph.nodes if id(n) not in known]
        if not results:
            self.graph.remove(parts)
            return False
        for part in parts:
            self._lower_node(part)
        for out, result in zip(node.outputs, results, strict=False):
            if out is not None:
                self.bind(out, self.read(result))
        return True

    def _symbols_defined(self, node: Node) -> bool:
        """Whether every symbol in the outputs' shapes is known once the node's steps ran."""
        return all(name in self._defined for out in node.outputs if out is not None for name in _symbols(out))

    # -- the protocol of lowering rules ------------------------------------------------------------------------

    def read(self, value: Value) -> Strided:
        place = self.places.get(id(value))
        if place is None:
            if value.constant is None:
                raise NoRowError(f"'{value.name}' has no place")
            place = self.constant(value.constant, value.name)
            self._put(value, place)
        return place

    def write(self, value: Value) -> Strided:
        if id(value) in self.places:
            return self.places[id(value)]
        index, part = self._output_index(value), self._destinations.get(id(value))
        if index is not None:
            place = self._dense(Segment.OUTPUT, value.dtype, value.shape, index, value.name)
        elif part is not None:
            place = self.write(part.whole).slice(part.axis, part.start, value.shape[part.axis])
        else:
            place = self._dense(Segment.ARENA, value.dtype, value.shape, 0, value.name, value.order)
        self._put(value, place)
        return place

    def bind(self, value: Value, place: Strided) -> None:
        self._put(value, place)

    def temp(self, dtype: DType, dims: Sequence[Dim]) -> Strided:
        return self._dense(Segment.ARENA, dtype, tuple(dims), 0, "temp")

    def constant(self, array: Array, name: str = "const") -> Strided:
        array = np.asarray(array)
        if array.dtype.kind in "OUST" or array.ndim > MAX_RANK:
            raise NoRowError("a constant that only the host can hold")
        from arenaut.ir.dtypes import dtype_of

        dtype = dtype_of(array)
        dense, places = dense_view(array)
        key = (address_of(dense), dense.nbytes)
        buffer = self._weights.get(key)
        if buffer is None or not dense.nbytes:
            buffer = self._weights[key] = self._buffer(Segment.WEIGHT, dense.nbytes, 0, dense, name)
        dims: tuple[Dim, ...] = tuple(dense.shape)
        return Strided(buffer, dtype, dims, dense_strides(dims)).permute(places)

    def reshape(self, place: Strided, dims: Sequence[Dim]) -> Strided:
        view = place.reshape(tuple(dims))
        if view is None:
            view = self._densify(place).reshape(tuple(dims))
            assert view is not None
        return view

    def call(
        self,
        family: str,
        inputs: Sequence[Strided | None],
        outputs: Sequence[Strided | None],
        params: Mapping[str, Param] | None = None,
    ) -> None:
        try:
            row = self._select(family, inputs, outputs)
        except NoRowError:
            if self._epilogue is not None or not any(_is_narrow(p) for p in [*inputs, *outputs]):
                raise
            self._call_widened(family, inputs, outputs, params)
            return
        operands = list(inputs)
        spec: TileSpec | None = None
        if self._epilogue is not None and outputs and outputs[0] == self._epilogue[0]:
            if not row.tile:
                raise NoRowError(f"row {row.name} takes no epilogue")
            _, spec, extra = self._epilogue
            operands += [None] * (row.input_count - len(operands))
            spec = replace(spec, first_operand=len(operands))
            operands += extra
            self._epilogue = None
        self._emit(row, operands, list(outputs), params or {}, spec)

    def _call_widened(
        self,
        family: str,
        inputs: Sequence[Strided | None],
        outputs: Sequence[Strided | None],
        params: Mapping[str, Param] | None,
    ) -> None:
        """A family that has no row for narrow floats, run on float32: converted before and after."""
        wide = [self.temp(DType.FLOAT, p.dims) if p is not None and _is_narrow(p) else p for p in outputs]
        self.call(family, [self._widened(p) for p in inputs], wide, params)
        for source, target in zip(wide, outputs, strict=True):
            if source is not None and target is not None and source is not target:
                self._convert(source, target)

    def _widened(self, place: Strided | None) -> Strided | None:
        if place is None or not _is_narrow(place):
            return place
        array = self.buffers[place.buffer].array
        if array is not None:  # a weight, converted once
            buffer = self._buffer(Segment.WEIGHT, array.size * 4, 0, array.astype(np.float32), "widened")
            return replace(place, buffer=buffer, dtype=DType.FLOAT)
        temp = self.temp(DType.FLOAT, place.dims)
        self._convert(place, temp)
        return temp

    def _convert(self, source: Strided, target: Strided) -> None:
        """Copies between storage types of one compute type."""
        tiles = Tiles()
        self._call_tile(tiles.finish([tiles.load(source.dtype)]), [source], [target])

    def copy(self, source: Strided, target: Strided) -> None:
        aligned = replace(source, dims=target.dims) if source.rank == target.rank else source
        if aligned == target:
            return
        row = self._select("Copy", [aligned], [target])
        self._step(LoweredStep(StepKind.KERNEL, self._current, [aligned], [target], row))

    def fill(self, target: Strided, value: Array) -> None:
        raw = np.ascontiguousarray(value).reshape(-1)[:1].tobytes().ljust(16, b"\0")
        bits = [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in (0, 8)]
        row = self._select("Fill", [], [target])
        self._emit(row, [], [target], {"bits": bits}, None)

    def set_symbol(self, dim: Dim, source: Strided) -> None:
        names = {s.name for s in symbols_of(dim)}
        if not names:
            return  # declared by the model as a number: the kernels compare what they find with it
        assert len(names) == 1, "a step sets one symbol"
        self._symbols_step(source, ((0, 0, names.pop()),))

    def control(
        self,
        kind: str,
        node: Node,
        bodies: Sequence[Graph],
        inputs: Sequence[Strided | None],
        outputs: Sequence[Value | None],
        *,
        carried: int = 0,
        scanned: int = 0,
    ) -> None:
        lowered = tuple(lower_graph(b, self.target) for b in bodies)
        dense = [None if p is None else self._densify_or_host(p) for p in inputs]
        self._held_step(_CONTROL[kind], node, dense, outputs, bodies=lowered, counts=(carried, scanned))

    # -- steps -------------------------------------------------------------------------------------------------

    @property
    def _current(self) -> Node:
        """The node that steps belong to; before the first one, the reading of the graph's inputs."""
        return self._node if self._node is not None else Node("Identity", [], [])

    def _select(self, family: str, inputs: Sequence[Strided | None], outputs: Sequence[Strided | None]) -> Row:
        for place in [*inputs, *outputs]:
            if place is not None and place.rank > MAX_RANK:
                raise NoRowError(f"rank {place.rank} is over {MAX_RANK}")
        row = select_row(
            family, [None if p is None else p.dtype for p in inputs], [None if p is None else p.dtype for p in outputs],
            self.target,
        )  # fmt: skip
        if row is None:
            types = ", ".join("-" if p is None else p.dtype.short for p in inputs)
            raise NoRowError(f"no row of family {family} for ({types})")
        return row

    def _emit(
        self,
        row: Row,
        inputs: Sequence[Strided | None],
        outputs: Sequence[Strided | None],
        params: Mapping[str, Param],
        tile: TileSpec | None,
    ) -> None:
        readable = [self._accepted(p, row.access_of(i, False)) for i, p in enumerate(inputs)]
        writable: list[Strided | None] = []
        late: list[tuple[Strided, Strided]] = []
        for i, place in enumerate(outputs):
            if place is not None and not _satisfies(place, row.access_of(i, True)):
                temp = self.temp(place.dtype, place.dims)
                late.append((temp, place))
                place = temp
            writable.append(place)
        pack = tuple(
            i for i, p in enumerate(readable)
            if row.packs and p is not None and self.buffers[p.buffer].segment is Segment.WEIGHT
            and "packing" not in self.target.without
        )  # fmt: skip
        self._step(LoweredStep(StepKind.KERNEL, self._current, readable, writable, row, dict(params), tile, pack))
        for temp, place in late:
            self.copy(temp, place)

    def _accepted(self, place: Strided | None, access: str) -> Strided | None:
        if place is None or _satisfies(place, access):
            return place
        return self._densify(place)

    def _densify(self, place: Strided) -> Strided:
        if place.is_dense:
            return place
        array = self.buffers[place.buffer].array
        copied = None if array is None else dense_copy(array, place)
        if copied is not None:  # a view of a constant, made once at load
            return self.constant(copied, "dense")
        temp = self.temp(place.dtype, place.dims)
        self.copy(place, temp)
        return temp

    def _densify_or_host(self, place: Strided) -> Strided:
        return place if self.buffers[place.buffer].segment is Segment.HOST else self._densify(place)

    def _step(self, step: LoweredStep) -> None:
        self.steps.append(step)

    def _symbols_step(self, source: Strided, sets: tuple[tuple[int, int, str], ...]) -> None:
        dense = self._densify(source)
        self._step(LoweredStep(StepKind.SYMBOLS, self._current, [dense], [], sets=sets))
        self._defined.update(name for _, _, name in sets)

    def _read_data_symbols(self, value: Value) -> None:
        """Symbols that inference made of this tensor's elements are read when it is there."""
        names = [n for n in data_symbols_of(value) if n not in self._defined]
        if not names or value.data is None:
            return
        elements = {str(d): i for i, d in enumerate(value.data.flat) if isinstance(d, Expr)}
        self._symbols_step(self.read(value), tuple((0, elements[n], n) for n in names))

    # -- host --------------------------------------------------------------------------------------------------

    def _host_call(self, node: Node) -> None:
        if not can_evaluate(node):
            raise UnsupportedError(f"{node}: neither a kernel nor an evaluator")
        inputs = [None if v is None else self._host_operand(v) for v in node.inputs]
        self._held_step(StepKind.HOST, node, inputs, node.outputs)

    def _host_operand(self, value: Value) -> Strided | None:
        """Where the host call finds an input; None for constants that only the host holds (it has the value)."""
        if id(value) not in self.places and value.constant is not None and self._is_host(value):
            return None
        return self._densify_or_host(self.read(value))

    def _held_step(
        self,
        kind: StepKind,
        node: Node,
        inputs: Sequence[Strided | None],
        outputs: Sequence[Value | None],
        *,
        bodies: tuple[Lowered, ...] = (),
        counts: tuple[int, int] = (0, 0),
    ) -> None:
        """A step whose results are held outside the arena until their sizes are known, then fetched."""
        held: list[Strided | None] = []
        sets: list[tuple[int, int, str]] = []
        for i, value in enumerate(outputs):
            if value is None:
                held.append(None)
                continue
            held.append(host_place(self._buffer(Segment.HOST, 0, self._slot()), self._held_dtype(value)))
            for axis, dim in enumerate(() if self._is_host(value) else value.shape):
                names = [s.name for s in symbols_of(dim)]
                if len(names) == 1 and str(dim) == names[0] and names[0] not in self._defined:
                    sets.append((i, axis, names[0]))
                    self._defined.add(names[0])
        self._step(LoweredStep(kind, node, list(inputs), held, sets=tuple(sets), bodies=bodies, counts=counts))
        for value, place in zip(outputs, held, strict=True):
            if value is None or place is None:
                continue
            if self._is_host(value):
                self._put(value, place)
                continue
            missing = [n for n in _symbols(value) if n not in self._defined]
            if missing:
                raise UnsupportedError(f"{node}: nothing decides the size {missing} of '{value.name}'")
            target = self.write(value)
            dense = target if target.is_dense else self.temp(target.dtype, target.dims)
            self._step(LoweredStep(StepKind.FETCH, node, [place], [dense]))
            self.copy(dense, target)

    def _is_host(self, value: Value) -> bool:
        """Values that only Python can hold: no tensors, strings, unknown or too high rank."""
        t = value.type
        if not isinstance(t, TensorType) or t.shape is None:
            return True
        return t.dtype is DType.STRING or len(t.shape) > MAX_RANK

    def _held_dtype(self, value: Value) -> DType:
        """The element type of a held result; STRING stands for any Python object."""
        return DType.STRING if self._is_host(value) else value.dtype

    # -- buffers -----------------------------------------------------------------------------------------------

    def _put(self, value: Value, place: Strided) -> None:
        self.places[id(value)] = place
        self.values.append((value, place))

    def _slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def _buffer(self, segment: Segment, size: Dim, index: int = 0, array: Array | None = None, name: str = "") -> int:
        self.buffers.append(LoweredBuffer(segment, size, index, array, name))
        return len(self.buffers) - 1

    def _dense(
        self,
        segment: Segment,
        dtype: DType,
        dims: tuple[Dim, ...],
        index: int,
        name: str,
        order: tuple[int, ...] | None = None,
    ) -> Strided:
        if len(dims) > MAX_RANK:
            raise NoRowError(f"rank {len(dims)} is over {MAX_RANK}")
        buffer = self._buffer(segment, product(dims) * dtype.itemsize, index, name=name)
        return Strided(buffer, dtype, dims, dense_strides(dims) if order is None else ordered_strides(dims, order))


def _needed_steps(steps: Sequence[LoweredStep], outputs: Sequence[Strided]) -> list[LoweredStep]:
    """Without steps that write only what nobody reads: shape arithmetic whose result inference knew, for one."""
    read = {p.buffer for p in outputs}
    kept: list[LoweredStep] = []
    for step in reversed(steps):
        if step.sets or any(p is not None and p.buffer in read for p in step.outputs):
            read.update(p.buffer for p in step.inputs if p is not None)
            kept.append(step)
    return kept[::-1]


def _is_narrow(place: Strided | None) -> bool:
    """Whether its elements are floats that are computed in another type."""
    return place is not None and place.dtype.is_float and place.dtype.compute is not place.dtype


def _symbols(value: Value) -> Iterator[str]:
    if isinstance(value.type, TensorType) and value.type.shape is not None:
        for dim in value.type.shape:
            for s in symbols_of(dim):
                yield s.name


def _satisfies(place: Strided, access: str) -> bool:
    if access == "d":
        return place.is_dense
    return access == "s" or place.has_unit_inner_stride


def _align_rank(place: Strided, rank: int) -> Strided:
    """Leading dims of extent one, up to rank: what numpy broadcasting adds."""
    for _ in range(rank - place.rank):
        place = place.insert(0)
    return place
