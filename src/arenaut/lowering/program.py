"""The lowered program as plain data: buffers, and steps in graph order that read and write places in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from enum import IntEnum
from typing import TYPE_CHECKING

from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.place import Place
from arenaut.ir.record import Param
from arenaut.lowering.tiles import TileSpec
from arenaut.native.rows import Row
from arenaut.plain import dataclass, replace

if TYPE_CHECKING:
    from arenaut.lowering.typical import Typical


class Segment(IntEnum):
    """Where a buffer lives, at the numbers of the native side."""

    ARENA = 0
    WEIGHT = 1
    INPUT = 2
    OUTPUT = 3
    HOST = 4  # a Python object in a slot


class StepKind(IntEnum):
    """What runs a step, at the numbers of the native side."""

    KERNEL = 0
    HOST = 1
    FETCH = 2
    SYMBOLS = 3
    IF = 4
    LOOP = 5
    SCAN = 6
    OPEN = 7  # a fragment: a run's ranks decide which program runs it


@dataclass
class LoweredBuffer:
    """bytes: of the whole buffer. index: which input, output or host slot. array: a weight's content."""

    segment: Segment
    bytes: Dim
    index: int = 0
    array: Array | None = None
    name: str = ""


@dataclass
class LoweredStep:
    """One step. inputs and outputs are places; None where an optional operand is absent.

    sets: (operand or output, element or axis, symbol) that the step decides; see StepKind in cpp/exec/program.h.
    pack: inputs that are constants and that the row packs at load.
    """

    kind: StepKind
    node: Node
    inputs: Sequence[Place | None]
    outputs: Sequence[Place | None]
    row: Row | None = None
    params: Mapping[str, Param] = field(default_factory=dict)
    tile: TileSpec | None = None
    pack: tuple[int, ...] = ()
    sets: tuple[tuple[int, int, str], ...] = ()
    bodies: tuple[Lowered, ...] = ()
    counts: tuple[int, int] = (0, 0)

    def operands(self) -> list[Place | None]:
        return [*self.inputs, *self.outputs]


@dataclass(frozen=True)
class Check:
    """Sizes for which `condition` is 0 are refused with `text`, which ends in the `values`."""

    condition: Dim
    text: str
    values: tuple[Dim, ...]


@dataclass(frozen=True)
class SlicedChain:
    """A chain that runs slice by slice: `steps` feed `product`; of `hidden_bytes`, `slice_bytes` exist at a time.

    by_rows: slices are bands of rows; else they are parts of what the product sums over.
    """

    product: str
    steps: tuple[str, ...]
    slices: int
    hidden_bytes: int
    slice_bytes: int
    by_rows: bool = False


@dataclass(frozen=True)
class Port:
    """A part of a state that a program has as input `input`, by number. output: what becomes it, -1 where it stays or
    is appended to along `axis` (else -1)."""

    input: int
    output: int = -1
    axis: int = -1


@dataclass(frozen=True)
class StateUse:
    """How a program uses a state. total: how long it is afterwards, where it grows. capacity: the symbol of what there
    is room for."""

    ports: tuple[Port, ...]
    total: Dim | None
    capacity: str


@dataclass
class Lowered:
    """A graph as steps. inputs and outputs are places of the graph's inputs and outputs, in order.

    dtypes: the element type of each output, None where it is no tensor; one of unknown rank has a place that does not
    tell. symbols: the names that input shapes set. values: where each value of the graph was put, for the interpreter.
    checks: what is asked of sizes that only a run knows. chains: what runs depth first, in slices. shares: whether
    steps may offer to share memory. typical: the sizes that it is planned for. state: what outlives a run. wholes: by
    number of an input that is a part of such memory, the place of all of it.
    """

    buffers: list[LoweredBuffer]
    steps: list[LoweredStep]
    inputs: list[Place]
    outputs: list[Place]
    dtypes: list[DType | None]
    symbols: list[str]
    slots: int
    values: list[tuple[Value, Place]]
    checks: Sequence[Check] = ()
    chains: tuple[SlicedChain, ...] = ()
    shares: bool = False
    typical: Typical | None = None
    state: StateUse | None = None
    wholes: Mapping[int, Place] = field(default_factory=dict)

    def rewritten(self, buffers: list[LoweredBuffer], steps: list[LoweredStep], dropped: Collection[int]) -> Lowered:
        """The program of these steps. dropped: buffers that none of them keeps as it was."""
        values = [(value, place) for value, place in self.values if place.buffer not in dropped]
        return replace(self, buffers=buffers, steps=steps, values=values)


def host_place(buffer: int, dtype: DType) -> Place:
    """A place in the host segment: an object, without dims."""
    return Place(buffer, dtype, (), ())
