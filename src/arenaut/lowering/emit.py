"""The protocol that the records' lowering rules are written against: places in memory, and steps on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from arenaut.ir.dims import Dim, Expr, product, symbols_of
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.infer import data_symbols_of
from arenaut.ir.place import Place, dense_strides, ordered_strides
from arenaut.ir.record import NoRowError, Param
from arenaut.ir.target import Target
from arenaut.lowering.byte_rows import dims_as_bytes, dims_as_floats
from arenaut.lowering.destinations import destinations
from arenaut.lowering.families import COPY, FILL, TILE
from arenaut.lowering.program import Check, LoweredBuffer, LoweredStep, Segment, StepKind
from arenaut.lowering.tiles import Register, Tiles, TileSpec
from arenaut.lowering.weights import address_of, dense_copy, dense_view
from arenaut.native.enumerations import LIMITS
from arenaut.native.rows import Row, select_row
from arenaut.plain import replace

MAX_RANK = LIMITS["rank"]
_TO_BYTES, _FROM_BYTES = "FloatsToBytes", "BytesToFloats"


class Emitter:
    """Makes the buffers and steps of one graph. Places of values are kept by identity."""

    def __init__(self, graph: Graph, target: Target) -> None:
        self.graph = graph
        self.results = list(graph.outputs)  # what the program returns
        self.target = target
        self.buffers: list[LoweredBuffer] = []
        self.steps: list[LoweredStep] = []
        self.places: dict[int, Place] = {}
        self.kept: dict[int, Place] = {}  # of values that a state keeps as narrower numbers than theirs
        self._byte_rows: set[int] = set()  # buffers of rows of bytes
        self.values: list[tuple[Value, Place]] = []
        self.checks: list[Check] = []
        self.slots = 0
        self._destinations = destinations(graph)
        self._weights: dict[tuple[int, int], int] = {}  # (address, bytes) of an array that a buffer holds -> buffer
        self._defined: set[str] = set(graph.dim_names())
        self._node: Node | None = None
        self._scratch: list[Graph] = []  # of decompositions, kept while their values have places
        self._epilogue: tuple[Place, TileSpec, list[Place]] | None = None

    # -- the protocol of lowering rules ------------------------------------------------------------------------

    def read(self, value: Value) -> Place:
        place = self.places.get(id(value))
        if place is None and id(value) in self.kept:
            place = self._widened(self.kept[id(value)])
            assert place is not None
            self._put(value, place)
        if place is None:
            if value.constant is None:
                raise NoRowError(f"'{value.name}' has no place")
            place = self.constant(value.constant, value.name)
            self._put(value, place)
        return place

    def stored(self, value: Value) -> Place:
        return self.kept[id(value)] if id(value) in self.kept else self.read(value)

    def write(self, value: Value) -> Place:
        if id(value) in self.kept:
            return self.kept[id(value)]
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

    def alias(self, value: Value, place: Place) -> None:
        if id(value) in self.kept:
            self.copy(place, self.kept[id(value)])
        else:
            self._put(value, place)

    def temp(self, dtype: DType, dims: Sequence[Dim]) -> Place:
        return self._dense(Segment.ARENA, dtype, tuple(dims), 0, "temp")

    def stored_as(self, source: Place, target: Place) -> Place:
        bytes_wanted = target.buffer in self._byte_rows
        if source.dtype is target.dtype and bytes_wanted == (source.buffer in self._byte_rows):
            return source
        made = self.temp(target.dtype, dims_as_bytes(source.dims) if bytes_wanted else source.dims)
        if bytes_wanted:
            self._byte_rows.add(made.buffer)
        self.copy(source, made)
        return made

    def constant(self, array: Array, name: str = "const") -> Place:
        array = np.asarray(array)
        if array.dtype.kind in "OUST" or array.ndim > MAX_RANK:
            raise NoRowError("a constant that only the host can hold")
        dtype = dtype_of(array)
        dense, places = dense_view(array)
        key = (address_of(dense), dense.nbytes)
        buffer = self._weights.get(key)
        if buffer is None or not dense.nbytes:
            buffer = self._weights[key] = self._buffer(Segment.WEIGHT, dense.nbytes, 0, dense, name)
        dims: tuple[Dim, ...] = tuple(dense.shape)
        return Place(buffer, dtype, dims, dense_strides(dims)).permute(places)

    def is_constant(self, place: Place) -> bool:
        return self.buffers[place.buffer].segment is Segment.WEIGHT

    def reshape(self, place: Place, dims: Sequence[Dim]) -> Place:
        view = place.reshape(tuple(dims))
        if view is None:
            view = self._densify(place).reshape(tuple(dims))
            assert view is not None
        return view

    def call(
        self,
        family: str,
        inputs: Sequence[Place | None],
        outputs: Sequence[Place | None],
        params: Mapping[str, Param] | None = None,
    ) -> None:
        try:
            row = self._select(family, inputs, outputs)
        except NoRowError:
            if not any(_is_narrow(p) for p in [*inputs, *outputs]):
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
        inputs: Sequence[Place | None],
        outputs: Sequence[Place | None],
        params: Mapping[str, Param] | None,
    ) -> None:
        """A family that has no row for narrow floats, run on float32: converted before and after. An epilogue stores
        what it computes in float32 as the results' type itself."""
        keeps = self._epilogue is not None and any(map(_is_narrow, inputs))
        wide = [self._wide_temp(p) if p is not None and _is_narrow(p) and not keeps else p for p in outputs]
        self.call(family, [self._widened(p) for p in inputs], wide, params)
        for source, target in zip(wide, outputs, strict=True):
            if source is not None and target is not None and source is not target:
                self.convert(source, target)

    def _widened(self, place: Place | None) -> Place | None:
        if place is not None and place.buffer in self._byte_rows:
            temp = self._dense(Segment.ARENA, DType.FLOAT, dims_as_floats(place.dims), 0, "temp", place.order)
            self.call(_FROM_BYTES, [place], [temp])
            return temp
        if place is None or not _is_narrow(place):
            return place
        array = self.buffers[place.buffer].array
        if array is not None:  # a weight, converted once
            buffer = self._buffer(Segment.WEIGHT, array.size * 4, 0, array.astype(np.float32), "widened")
            return replace(place, buffer=buffer, dtype=DType.FLOAT)
        temp = self._wide_temp(place)
        self.convert(place, temp)
        return temp

    def _wide_temp(self, place: Place) -> Place:
        """A float32 tensor whose elements lie in the order of this one's."""
        return self._dense(Segment.ARENA, DType.FLOAT, place.dims, 0, "temp", place.order)

    def convert(self, source: Place, target: Place) -> None:
        tiles = Tiles()
        loaded = tiles.load(source.dtype)
        assert target.dtype.compute is not None
        result = tiles.cast(loaded, target.dtype.compute)
        assert isinstance(result, Register)
        self._call_tile(tiles.finish([result]), [source], [target])

    def copy(self, source: Place, target: Place) -> None:
        if (source.buffer in self._byte_rows) != (target.buffer in self._byte_rows):
            wide = self._widened(source)
            assert wide is not None
            if target.buffer in self._byte_rows:
                self.call(_TO_BYTES, [wide], [target])
            else:
                self.copy(wide, target)
            return
        aligned = replace(source, dims=target.dims) if source.rank == target.rank else source
        if aligned == target:
            return
        if aligned.dtype is not target.dtype:
            self.convert(aligned, target)
            return
        row = self._select(COPY, [aligned], [target])
        self._step(LoweredStep(StepKind.KERNEL, self._current, [aligned], [target], row))

    def fill(self, target: Place, value: Array) -> None:
        raw = np.ascontiguousarray(value).reshape(-1)[:1].tobytes().ljust(16, b"\0")
        bits = [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in (0, 8)]
        row = self._select(FILL, [], [target])
        self._emit(row, [], [target], {"bits": bits}, None)

    def set_symbol(self, dim: Dim, source: Place) -> None:
        names = {s.name for s in symbols_of(dim)}
        if not names:
            return  # declared by the model as a number: the kernels compare what they find with it
        assert len(names) == 1, "a step sets one symbol"
        self._symbols_step(source, ((0, 0, names.pop()),))

    def _output_index(self, value: Value) -> int | None:
        """The first graph output that value is, when it is made by a node."""
        for i, out in enumerate(self.results):
            if out is value:
                return i
        return None

    # -- steps -------------------------------------------------------------------------------------------------

    @property
    def _current(self) -> Node:
        """The node that steps belong to; before the first one, the reading of the graph's inputs."""
        return self._node if self._node is not None else Node("Identity", [], [])

    def _select(self, family: str, inputs: Sequence[Place | None], outputs: Sequence[Place | None]) -> Row:
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
        inputs: Sequence[Place | None],
        outputs: Sequence[Place | None],
        params: Mapping[str, Param],
        tile: TileSpec | None,
    ) -> None:
        readable = [self._accepted(p, row.access_of(i, False)) for i, p in enumerate(inputs)]
        writable: list[Place | None] = []
        late: list[tuple[Place, Place]] = []
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

    def _accepted(self, place: Place | None, access: str) -> Place | None:
        if place is None or _satisfies(place, access):
            return place
        return self._densify(place)

    def _densify(self, place: Place) -> Place:
        if place.is_dense:
            return place
        array = self.buffers[place.buffer].array
        copied = None if array is None else dense_copy(array, place)
        if copied is not None:  # a view of a constant, made once at load
            return self.constant(copied, "dense")
        temp = self.temp(place.dtype, place.dims)
        self.copy(place, temp)
        return temp

    def _densify_or_host(self, place: Place) -> Place:
        return place if self.buffers[place.buffer].segment is Segment.HOST else self._densify(place)

    def _step(self, step: LoweredStep) -> None:
        self.steps.append(step)

    def _symbols_step(self, source: Place, sets: tuple[tuple[int, int, str], ...]) -> None:
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

    def _call_tile(self, spec: TileSpec, inputs: Sequence[Place], outputs: Sequence[Place]) -> None:
        aligned = [align_rank(p, outputs[0].rank) for p in inputs]
        row = self._select(TILE, aligned, outputs)
        self._emit(row, aligned, list(outputs), {}, spec)

    # -- buffers -----------------------------------------------------------------------------------------------

    def _put(self, value: Value, place: Place) -> None:
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
    ) -> Place:
        if len(dims) > MAX_RANK:
            raise NoRowError(f"rank {len(dims)} is over {MAX_RANK}")
        buffer = self._buffer(segment, product(dims) * dtype.itemsize, index, name=name)
        return Place(buffer, dtype, dims, dense_strides(dims) if order is None else ordered_strides(dims, order))


def _is_narrow(place: Place | None) -> bool:
    """Whether its elements are floats that are computed in another type."""
    return place is not None and place.dtype.is_float and place.dtype.compute is not place.dtype


def _satisfies(place: Place, access: str) -> bool:
    if access == "d":
        return place.is_dense
    return access == "s" or place.has_unit_inner_stride


def align_rank(place: Place, rank: int) -> Place:
    """Leading dims of extent one, up to rank: what numpy broadcasting adds."""
    for _ in range(rank - place.rank):
        place = place.insert(0)
    return place
