"""What a model's state consists of, and the program that keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.executor.compiled import CompiledExecutor
from arenaut.inputs import Inputs
from arenaut.ir.dims import Dim, Expr, evaluate, symbols_of
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import OptionError
from arenaut.ir.graph import Value
from arenaut.ir.types import TensorType
from arenaut.lowering.byte_rows import dims_as_bytes
from arenaut.lowering.outline import Described
from arenaut.lowering.pairs import Change, Chosen, Pair
from arenaut.lowering.program import StateUse
from arenaut.options import whole
from arenaut.plain import dataclass, replace


@dataclass(frozen=True)
class Part:
    """One tensor of the state. dtype, dims: as it is kept; fed: the type of its input, whose dims are the same but for
    rows of bytes. axis: along which it is appended to, -1: it is not. told: data says where to write."""

    name: str
    dtype: DType
    fed: DType
    dims: tuple[Dim, ...]
    change: Change
    axis: int
    told: bool

    @property
    def in_bytes(self) -> bool:
        """Whether it is kept as rows of bytes (lowering/byte_rows.py)."""
        return self.dtype is DType.INT8 and self.fed is DType.FLOAT

    def sized(self, sizes: Mapping[str, int], capacity: int) -> list[int]:
        """Its dims with room for so much. Sizes that are not known are 0: nothing is there yet."""
        dims = [evaluate(d, {s.name: sizes.get(s.name, 0) for s in symbols_of(d)}) for d in self.dims]
        if self.axis >= 0:
            dims[self.axis] = capacity
        return dims


class Stateful:
    """The program of a model that keeps its state, and what that consists of."""

    def __init__(
        self,
        program: Described,
        use: StateUse,
        types: Mapping[int, DType],
        pairs: Sequence[Pair],
        inputs: Inputs,
        output_names: Sequence[str],
        outputs: Sequence[Value],
        max_memory: int | None,
        chosen: Chosen | None = None,
    ) -> None:
        """inputs, outputs: all of the model's. types: by number of an input that lies in the state, the type it has
        there. pairs: those that the program was lowered with. chosen: the program is for this value of that input."""
        self.chosen = chosen
        self.built, self.use, self.types, self.pairs = program, use, types, pairs
        self.executor = CompiledExecutor(program, max_memory)
        self.parts = [_part(inputs.names[p.input], inputs.values[p.input], p, types.get(p.input)) for p in pairs]
        self.names = {part.name: i for i, part in enumerate(self.parts)}
        held = {p.input for p in pairs}
        self.fed = [i for i in range(len(inputs.names)) if i not in held]
        self.inputs = Inputs([inputs.names[i] for i in self.fed], [inputs.values[i] for i in self.fed])
        self.count = len(inputs.names)
        self.all_outputs = list(output_names)
        gone = {p.output for p in pairs if not p.change.is_new}
        kept = [i for i in range(len(output_names)) if i not in gone]
        carried = {p.output for p in pairs}
        self.output_names = [output_names[i] if i not in carried else None for i in kept]
        self.fast_inputs = [(name, _numpy_type(value)) for name, value in zip(inputs.names, inputs.values, strict=True)]
        self.fast_outputs = [(output_names[i], _numpy_type(outputs[i])) for i in kept]
        self.lengths = {str(part.dims[part.axis]) for part in self.parts if part.axis >= 0}
        rooms = [inputs.values[p.input].shape[p.axis] for p in pairs if p.change is Change.UPDATES]
        self.room: Dim | None = rooms[0] if rooms and not self.lengths else None
        self.batch = self._batch_symbol()

    @property
    def grows(self) -> bool:
        return self.use.total is not None

    def serves(self, arrays: Sequence[Any]) -> bool:
        """Whether the program is for what is fed, all inputs by number: where one chooses between branches, it is that
        of one value."""
        return self.chosen is None or bool(arrays[self.chosen.input].reshape(-1)[0]) is self.chosen.value

    def presents(self) -> dict[str, str]:
        """The names of the outputs that become parts, by part."""
        return {part.name: self.all_outputs[pair.output] for part, pair in zip(self.parts, self.pairs, strict=True)}

    def _batch_symbol(self) -> str | None:
        """The size that counts the samples: of those that parts share, one that starts an input, or is called so."""
        shared = list(dict.fromkeys(
            str(d) for part in self.parts for d in part.dims
            if isinstance(d, Expr) and str(d) not in (*self.lengths, str(self.room)) and len(symbols_of(d)) == 1
        ))  # fmt: skip
        first = {str(v.shape[0]) for v in self.inputs.values if v.has_shape and v.rank > 0}
        found = [n for n in shared if n in first] or [n for n in shared if "batch" in n.lower()]
        found = found or (shared if len(shared) == 1 else [])
        return found[0] if found else None

    def room_symbol(self) -> str | None:
        """The size that is how many positions caches have which runs are told where to write in; None where the model
        says how many, or has no such caches."""
        return str(self.room) if isinstance(self.room, Expr) and len(symbols_of(self.room)) == 1 else None

    def rows_axis(self, part: Part) -> int | None:
        """The axis of a part that counts the samples; None where none is known to."""
        for axis, d in enumerate(part.dims):
            if self.batch is not None and str(d) == self.batch:
                return axis
        return 0 if self.batch is None and part.axis > 0 and isinstance(part.dims[0], int) else None


def _part(name: str, value: Value, pair: Pair, kept: DType | None) -> Part:
    axis = pair.axis if pair.change is Change.APPENDS else -1
    part = Part(name, kept or value.dtype, value.dtype, value.shape, pair.change, axis, pair.told)
    return replace(part, dims=dims_as_bytes(part.dims)) if part.in_bytes else part


def _numpy_type(value: Value) -> np.dtype[Any] | None:
    t = value.type
    return t.dtype.numpy if isinstance(t, TensorType) and t.dtype is not DType.STRING else None


def sizes_of_state(stateful: Stateful, batch: int, capacity: int | None, given: Mapping[str, int]) -> dict[str, int]:
    """The sizes of a new state. given: of further symbolic dims of its parts."""
    known = {str(d) for part in stateful.parts for d in part.dims if isinstance(d, Expr)} - stateful.lengths
    wrong = sorted(set(given) - known)
    if wrong:
        raise OptionError(f"sizes names {', '.join(wrong)}; the state has {', '.join(sorted(known)) or 'none'}")
    sizes = {name: whole(f"sizes[{name!r}]", n, 0, "a size, an integer from 0") for name, n in given.items()}
    room = stateful.room_symbol()
    if room is not None and capacity is None and room not in sizes:
        raise OptionError(f"capacity=None: runs are told where in '{room}' positions to write; say how many they are")
    if room is not None and capacity is not None:
        sizes.setdefault(room, capacity)
    if isinstance(stateful.room, int) and capacity not in (None, stateful.room):
        raise OptionError(f"capacity={capacity}: the model's caches have {stateful.room} positions")
    if stateful.batch is not None:
        sizes.setdefault(stateful.batch, batch)
    elif batch != 1:
        raise OptionError(f"batch={batch}: the model has no symbolic batch dim")
    return sizes


__all__ = ["Part", "Stateful", "sizes_of_state"]
