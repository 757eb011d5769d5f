"""What the tables of a compiled file hold, as plain records."""

from __future__ import annotations

from arenaut.ir.dims import Dim
from arenaut.ir.types import Type
from arenaut.plain import dataclass

PREPARED = "prepared "


@dataclass(frozen=True)
class Port:
    """An input or output: its name in the model's file, that of its value in the graph, and its type."""

    name: str
    value: str
    type: Type | None


@dataclass(frozen=True)
class DefaultPort:
    name: str
    type: Type | None


@dataclass(frozen=True)
class Defaults:
    """Inputs that a run need not be given. Old exporters list every weight among them: a section of its own."""

    ports: tuple[DefaultPort, ...]


@dataclass(frozen=True)
class Interface:
    """What a caller sees, but for its defaults. nodes: of the optimised graph, bodies included."""

    name: str
    stored_nodes: int
    nodes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True)
class ProgramTable:
    """What is known of a native program without asking it; see lowering.outline.Described."""

    symbols: tuple[str, ...]
    input_symbols: tuple[str, ...]
    dtypes: tuple[int | None, ...]
    calls_python: bool
    packed_bytes: int


@dataclass(frozen=True)
class HostStep:
    """A step that calls an evaluator: a model of one node, in the section "hosts".

    program: which of the manifest's tables; step: in the order of the run.
    operands: which of the step's operands the model is fed, and their types. results: which outputs of the step the
    model makes; types of all.
    """

    program: int
    step: int
    offset: int
    size: int
    operands: tuple[int, ...]
    types: tuple[Type | None, ...]
    results: tuple[int, ...]
    result_types: tuple[Type | None, ...]


@dataclass(frozen=True)
class Answer:
    """A condition on sizes, and whether it held where a program was made."""

    condition: Dim
    held: bool


@dataclass(frozen=True)
class Prepared:
    """A program made for what sizes decide, in the section that `prepared_section` names.

    ranks: of the inputs whose rank is open. answers: the guards under which it serves. names, sizes: what it was made
    for. programs: how many tables are its own and its bodies'.
    """

    ranks: tuple[int, ...]
    answers: tuple[Answer, ...]
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    programs: int


@dataclass(frozen=True)
class OpenStep:
    """A step whose ranks only a run knows, and the programs that runs made of it before the model was saved.

    program: which of the manifest's tables; step: in the order of the run. inputs: of the fragment's graph.
    """

    program: int
    step: int
    inputs: tuple[DefaultPort, ...]
    met: tuple[Prepared, ...]


def prepared_section(number: int) -> str:
    """Of the prepared program of that number; those of open steps follow in the order of the manifest."""
    return f"{PREPARED}{number}"


@dataclass(frozen=True)
class StatePart:
    """A pair of lowering.pairs, its change by name. kept: the type that it has in the state."""

    input: int
    output: int
    change: str
    axis: int
    told: bool
    kept: int | None


@dataclass(frozen=True)
class StatePort:
    """See lowering.program.Port."""

    input: int
    output: int
    axis: int


@dataclass(frozen=True)
class StateTable:
    """What a state consists of, and how the program that keeps it uses it. total: how long it is afterwards; length:
    the same, by its number in the program. programs: how many tables are the program's and its bodies'; 0: it is made
    from the original. chosen, value: the input whose value chooses a branch, and the one that the program is for; -1:
    none does."""

    parts: tuple[StatePart, ...]
    ports: tuple[StatePort, ...]
    total: Dim | None
    length: int
    capacity: str
    programs: int
    chosen: int
    value: bool


@dataclass(frozen=True)
class Manifest:
    """programs: the tables of the program and of its bodies, then those of each prepared one, then of those that open
    steps have met, then of the one that keeps the model's state, if it has one. specialised: whether ranks hang on
    sizes. threads: as the model was asked to use; 0: all that there are."""

    interface: Interface
    programs: tuple[ProgramTable, ...]
    hosts: tuple[HostStep, ...]
    specialised: bool
    threads: int
    prepared: tuple[Prepared, ...]
    opened: tuple[OpenStep, ...]
    state: StateTable | None
