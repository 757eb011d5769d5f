"""State: what a model remembers between runs, such as the keys and values of a decoder's cache."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from arenaut import _native
from arenaut.executor.common import Asked
from arenaut.ir.dims import Expr, evaluate, symbols_of
from arenaut.ir.errors import InputError, MemoryLimitError, StateError, memory_errors
from arenaut.ir.graph import Array
from arenaut.lowering.byte_rows import dims_as_floats, rows_as_bytes, rows_as_floats
from arenaut.lowering.pairs import Change
from arenaut.options import refused, whole
from arenaut.plain import replace
from arenaut.results.plan import Plan, plan_at
from arenaut.stateful import Part, Stateful

if TYPE_CHECKING:
    from arenaut.model import Model

# Positions that a state without a stated capacity has room for at first; it doubles when they are taken.
FIRST_CHUNK = 256
_FORMAT = 1


class State(_native.State):
    """What a model remembers between runs: `model.run(feeds, state=state)`.

    The inputs and outputs that carry the state from run to run are neither fed nor returned; what is fed for such an
    input all the same (caches that another model made) takes the place of what is there first. A run that fails, is
    stopped or does not fit leaves the state as it was; where a run is told which positions to write (TensorScatter,
    GroupQueryAttention with lengths of its rows), those alone may have been written. One run
    at a time may have a state: StateError says so where another thread tries. Made by Model.new_state and
    Model.load_state.
    """

    def __init__(self, model: Model, stateful: Stateful, sizes: Mapping[str, int], capacity: int | None) -> None:
        """For Model.new_state. sizes: of the symbolic dims of the parts."""
        self.model = model
        self._of = stateful
        self._sizes = dict(sizes)
        self._grows_at_will = capacity is None and stateful.grows
        room = FIRST_CHUNK if capacity is None else capacity
        dims = [part.sized(sizes, room) for part in stateful.parts]
        self._check_memory(_bytes_of(stateful.parts, dims))
        with memory_errors("the state"):
            super().__init__([
                (int(part.dtype), d, part.axis, part.change.is_new, part.change is Change.RENEWS)
                for part, d in zip(stateful.parts, dims, strict=True)
            ])  # fmt: skip
        self._capacity = room if stateful.grows else 0
        self._alike = np.zeros((self.batch, self.batch), np.int64)  # first positions that two rows have in common
        self._connect()

    # -- looking in ------------------------------------------------------------------------------------------------

    @property
    def length(self) -> int:
        """Positions that are held, along the axis that runs append along; 0 where all parts are replaced by runs, or
        written to where they are told."""
        return self._length

    @property
    def capacity(self) -> int:
        """Positions that there is room for; 0 where runs replace all parts."""
        room = self._of.room
        return self._capacity if room is None else evaluate(room, self._sizes)

    @property
    def batch(self) -> int:
        """Samples."""
        name = self._of.batch
        return 1 if name is None else self._sizes[name]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the state takes: all that there is room for, and twice what runs replace, since a run
        that fails must find it as it was."""
        return self._bytes()

    @property
    def names(self) -> list[str]:
        """The inputs whose place it takes."""
        return list(self._of.names)

    def read(self, name: str) -> Array:
        """A copy of one part, by the name of its input: what would be fed next."""
        with self._held():
            number = self._number(name)
            part, held = self._of.parts[number], self._valid(number)
            return rows_as_floats(held) if part.in_bytes else held.astype(part.fed.numpy)

    def __repr__(self) -> str:
        held = f"{self.length} of {self.capacity} positions, " if self._of.grows else ""
        return f"<arenaut.State of '{self.model._name}': {held}batch {self.batch}, {self.nbytes:,} bytes>"

    # -- changing --------------------------------------------------------------------------------------------------

    def rewind(self, n: int) -> None:
        """Forgets the last n positions. Raises StateError where there are fewer, or where a part is no list of
        positions, so that nothing tells what it was before."""
        n = whole("n", n, 0, "how many positions to forget, an integer from 0")
        with self._held():
            fixed = [part.name for part in self._of.parts if part.change.is_new]
            if n and not fixed and self._of.room is not None:
                raise StateError(f"rewind({n}): '{self.names[0]}' is written where a run is told to: feed it an "
                                 "earlier position")  # fmt: skip
            if n and (fixed or not self._of.grows):
                raise StateError(f"rewind({n}): '{(fixed or self.names)[0]}' is replaced by every run, so that what it "
                                 "was before is not known: keep a copy() of the state instead")  # fmt: skip
            if n > self._length:
                raise StateError(f"rewind({n}): the state holds {self._length} positions")
            self._shorten(self._length - n)

    def _shorten(self, length: int) -> None:
        self._length = length
        np.minimum(self._alike, length, out=self._alike)

    def clear(self) -> None:
        """As new: no positions, and zeros."""
        with self._held():
            for i, part in enumerate(self._of.parts):
                if part.axis < 0:
                    self._reshape(i, part.sized(self._sizes, 0))
            self._shorten(0)

    def copy(self) -> State:
        """Another state that holds the same, with the same capacity."""
        with self._held():
            return self._with_rows(None)

    def select(self, rows: Sequence[int] | Array) -> State:
        """A state of these rows of the batch, which may repeat, in this order. Raises StateError for rows that are out
        of range."""
        with self._held():
            return self._with_rows(self._rows(rows, "select"))

    def reorder(self, indices: Sequence[int] | Array) -> None:
        """Row i becomes what row indices[i] was, as beam search does. Rows that stay are not copied, nor what a row has
        in common with the one that it becomes: of beams, all up to where they parted. Raises StateError for rows that
        are out of range, or another number of them."""
        with self._held():
            rows = self._rows(indices, "reorder")
            if len(rows) != self.batch:
                raise StateError(f"reorder: {len(rows)} indices for a batch of {self.batch}")
            moved = [i for i, row in enumerate(rows) if row != i]
            if not moved:
                return
            axes = [self._axis_of_rows(part) for part in self._of.parts]
            for number, (part, axis) in enumerate(zip(self._of.parts, axes, strict=True)):
                array = self._valid(number)
                keeps = part.change is Change.KEEPS  # rows that began as one are alike
                differ = [i for i in moved if not keeps or not self._alike[i, rows[i]]]
                parted = [0 if part.axis < 0 or part.told else int(self._alike[i, rows[i]]) for i in differ]
                taken = [_rows_from(array, axis, rows[i], part.axis, at) for i, at in zip(differ, parted, strict=True)]
                copies = [source.copy() for source in taken]
                for i, at, copy in zip(differ, parted, copies, strict=True):
                    _rows_from(array, axis, i, part.axis, at)[...] = copy
            self._alike = self._alike_in(rows)

    def _alike_in(self, rows: Sequence[int]) -> Array:
        """What of these rows is known to be alike."""
        same = np.equal.outer(rows, rows)
        alike: Array = np.where(same, self._length, self._alike[np.ix_(rows, rows)])
        return alike

    def _rows(self, given: Sequence[int] | Array, what: str) -> list[int]:
        try:
            rows = [int(i) for i in np.asarray(given).reshape(-1).tolist()]
            fits = np.asarray(given).ndim == 1 and np.asarray(given).dtype.kind in "iu"
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise refused("indices" if what == "reorder" else "rows", given, "rows of the batch, a list of integers")
        wrong = [i for i in rows if not 0 <= i < self.batch]
        if wrong:
            raise StateError(f"{what}: row {wrong[0]} of a batch of {self.batch}")
        return rows

    def _axis_of_rows(self, part: Part) -> int:
        axis = self._of.rows_axis(part)
        if axis is None:
            raise StateError(f"no axis of '{part.name}' is known to count samples")
        return axis

    def _with_rows(self, rows: list[int] | None) -> State:
        """Another state with these rows; None: all."""
        sizes = dict(self._sizes)
        if rows is not None:
            if self._of.batch is None and len(rows) != self.batch:
                raise StateError(f"the model has a batch of {self.batch}, not of {len(rows)}")
            if self._of.batch is not None:
                sizes[self._of.batch] = len(rows)
        made = State(self.model, self._of, sizes, self._capacity if self._of.grows else None)
        made._grows_at_will = self._grows_at_will
        made._length = self._length
        made._alike = self._alike.copy() if rows is None else self._alike_in(rows)
        for number, part in enumerate(self._of.parts):
            source = self._valid(number)
            if rows is not None:
                source = np.take(source, rows, axis=self._axis_of_rows(part))
            made._fill(number, source)
        return made

    # -- files -----------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes what the state holds; Model.load_state reads it."""
        with self._held():
            head = {
                "format": _FORMAT, "length": self._length, "capacity": self._capacity, "sizes": self._sizes,
                "parts": [[part.name, int(part.dtype)] for part in self._of.parts],
            }  # fmt: skip
            arrays = {f"part{i}": _bits(self._valid(i)) for i in range(len(self._of.parts))}
            with open(path, "wb") as file:
                np.savez(file, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)  # type: ignore[arg-type]

    @classmethod
    def _load(cls, model: Model, stateful: Stateful, path: str | os.PathLike[str], capacity: int | None) -> State:
        with open(path, "rb") as opened:
            content = opened.read()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                head = json.loads(file["head"].tobytes())
                arrays = [file[f"part{i}"] for i in range(len(head["parts"]))]
            length, sizes = int(head["length"]), {str(k): int(v) for k, v in head["sizes"].items()}
            parts = [[str(name), int(dtype)] for name, dtype in head["parts"]]
            room = int(head["capacity"]) if capacity is None else capacity
            if int(head["format"]) != _FORMAT or length < 0 or any(v < 0 for v in sizes.values()):
                raise ValueError("numbers that no state has")
        except Exception as error:  # whatever a damaged archive makes the reader raise
            raise StateError(f"'{os.fspath(path)}' holds no state: {error}") from error
        if parts != [[part.name, int(part.dtype)] for part in stateful.parts]:
            raise StateError(f"'{os.fspath(path)}' holds the state of another model")
        if stateful.grows and not length <= room:
            raise StateError(
                f"'{os.fspath(path)}' holds {length} positions, which a capacity of {room} has no room for"
            )
        made = cls(model, stateful, sizes, room if stateful.grows else None)
        made._length = length
        for number, (part, array) in enumerate(zip(stateful.parts, arrays, strict=True)):
            wanted = made._valid(number)
            if part.axis < 0 and array.ndim == wanted.ndim and array.itemsize == wanted.itemsize:
                made._fill(number, array.view(part.dtype.numpy))
            elif array.shape == wanted.shape and array.itemsize == wanted.itemsize:
                wanted[...] = array.view(part.dtype.numpy)
            else:
                raise StateError(f"'{os.fspath(path)}' holds another '{part.name}' than the model's")
        return made

    # -- running ---------------------------------------------------------------------------------------------------

    def _run(self, feeds: Mapping[str, Any], seconds: float | None, stop: _native.Stop | None) -> dict[str, Any]:
        """A run of its model; what Model._run does with state=."""
        own = {n: feeds[n] for n in feeds if n in self._of.names}
        inputs = self._of.inputs.arrays({n: feeds[n] for n in feeds if n not in own})
        self._of.inputs.check_symbols(inputs)
        with self._restoring(own):
            arrays: list[Any] = [None] * self._of.count
            for i, array in zip(self._of.fed, inputs, strict=True):
                arrays[i] = array
            if not self._of.serves(arrays):
                return self._run_otherwise(dict(zip(self._of.inputs.names, inputs, strict=True)), seconds, stop)
            self._make_room(inputs)
            try:
                results = self._of.executor.run(arrays, seconds, Asked(stop=stop, state=self))
            except _native.StateTaken:
                self._refuse()
        return {n: r for n, r in zip(self._of.output_names, results, strict=True) if n is not None}

    def _run_otherwise(
        self, feeds: Mapping[str, Array], seconds: float | None, stop: _native.Stop | None
    ) -> dict[str, Any]:
        """A run in which an input chooses another branch than that of the program that keeps the state: a plain run,
        whose outputs take the place of what is held, but for those without elements."""
        known = {**self._known_of(feeds), **self._sizes}
        with self._held():
            given = dict(feeds)
            for number, part in enumerate(self._of.parts):
                held = self._valid(number)
                if part.axis < 0 and held.size == 0 and not part.in_bytes:
                    held = np.zeros(part.sized(known, 0), part.fed.numpy)  # as long as what is fed with it
                given[part.name] = rows_as_floats(held) if part.in_bytes else held.astype(part.fed.numpy)
            results = self.model._run(given, timeout=seconds, stop=stop)
            made = {self._number(part): results.pop(output) for part, output in self._of.presents().items()}
            stays = {i for i, part in enumerate(self._of.parts) if part.change in (Change.KEEPS, Change.RENEWS)}
            arrays = {i: self._fitting(i, array) for i, array in made.items() if array.size or i not in stays}
            length = self._length_of(arrays)
            if length > self._capacity:
                self._grow_to(length, length - self._length)
            self._length = length
            self._alike[...] = 0
            for number, array in arrays.items():
                self._fill(number, array)
        return results

    def _known_of(self, feeds: Mapping[str, Array]) -> dict[str, int]:
        """The sizes that fed arrays tell."""
        known: dict[str, int] = {}
        for name, value in zip(self._of.inputs.names, self._of.inputs.values, strict=True):
            for d, n in zip(value.shape if value.has_shape else (), feeds[name].shape, strict=False):
                if isinstance(d, Expr) and str(d) == symbols_of(d)[0].name:
                    known.setdefault(str(d), n)
        return known

    @contextmanager
    def _restoring(self, own: Mapping[str, Any]) -> Iterator[None]:
        """Puts fed parts in; where the run then fails, what was there before."""
        if not own:
            yield
            return
        arrays = {self._number(name): self._fitting(self._number(name), given) for name, given in own.items()}
        length = self._length_of(arrays)
        before = self._length
        with self._held():
            kept = {number: self._valid(number).copy() for number in arrays}
            self._alike[...] = 0
            if length > self._capacity:
                self._grow_to(length, length - before)
            self._length = length
            for number, array in arrays.items():
                self._fill(number, array)
        try:
            yield
        except BaseException:
            with self._held():
                self._length = before
                for number, array in kept.items():
                    self._fill(number, array)
            raise

    def _length_of(self, arrays: Mapping[int, Array]) -> int:
        """How long the state is with these parts: those that are appended to are fed all or none, equally long."""
        growing = [i for i, part in enumerate(self._of.parts) if part.axis >= 0]
        lengths = {array.shape[self._of.parts[i].axis] for i, array in arrays.items() if i in growing}
        if not lengths:
            return self._length
        if len(lengths) > 1 or any(i not in arrays for i in growing):
            names = ", ".join(self._of.parts[i].name for i in growing)
            raise InputError(f"parts that are appended to are fed together, equally long: {names}")
        return int(lengths.pop())

    def _fitting(self, number: int, given: Any) -> Array:
        part = self._of.parts[number]
        array = np.asarray(given)
        if array.dtype != part.fed.numpy or array.ndim != len(part.dims):
            raise InputError(f"input '{part.name}': expected {part.fed.numpy} of rank {len(part.dims)}, got "
                             f"{array.dtype} of shape {array.shape}")  # fmt: skip
        dims = dims_as_floats(part.dims) if part.in_bytes else part.dims
        for axis, (d, n) in enumerate(zip(dims, array.shape, strict=True)):
            want = d if isinstance(d, int) else self.batch if str(d) == self._of.batch else n
            if n != want:
                raise InputError(f"input '{part.name}': expected {want} at axis {axis}, got shape {array.shape}")
        return rows_as_bytes(array) if part.in_bytes else array

    def _make_room(self, inputs: Sequence[Array]) -> None:
        """Raises StateError for another batch, and where the run adds more than there is room for; a state that grows
        at will gets the room."""
        env = dict(self._sizes)
        for name in self._of.lengths:
            env[name] = self._length
        for value, array in zip(self._of.inputs.values, inputs, strict=True):
            for d, n in zip(value.shape if value.has_shape else (), getattr(array, "shape", ()), strict=False):
                if not isinstance(d, Expr) or len(symbols_of(d)) != 1 or str(d) != symbols_of(d)[0].name:
                    continue
                if str(d) == self._of.batch and n != self.batch:
                    raise StateError(f"'{value.name}' has a batch of {n}, but the state is of {self.batch}: "
                                     f"new_state(batch={n}) makes one")  # fmt: skip
                env.setdefault(str(d), n)
        total = self._of.use.total
        if total is None or any(s.name not in env for s in symbols_of(total)):
            return
        after = evaluate(total, env)
        if after <= self._capacity:
            return
        with self._held():
            self._grow_to(after, after - self._length)

    def _grow_to(self, length: int, added: int) -> None:
        if not self._grows_at_will:
            held = f"it holds {length - added} positions and the run adds {added}"
            raise StateError(f"the state is full: its capacity is {self._capacity}, {held}")
        capacity = max(length, 2 * self._capacity)
        dims = [part.sized(self._sizes, capacity) if part.axis >= 0 else self._dims(i)
                for i, part in enumerate(self._of.parts)]  # fmt: skip
        self._check_memory(_bytes_of(self._of.parts, dims))
        with memory_errors("the state"):
            for i, part in enumerate(self._of.parts):
                if part.axis >= 0:
                    held = self._valid(i).copy()
                    self._reshape(i, dims[i])
                    np.copyto(self._valid(i), held)
        self._capacity = capacity
        self._connect()

    def _connect(self) -> None:
        """Lets run() take its fast path with this state."""
        of = self._of
        if of.chosen is not None:
            return  # which program a run takes hangs on what is fed
        if any(t is None for _, t in of.fast_inputs) or any(t is None for _, t in of.fast_outputs):
            return
        limit = of.executor.max_memory - (self.nbytes if of.executor.limited else 0)
        for first in (True, False):
            self.model._enable_state(self, first, of.built.native, of.fast_inputs, of.fast_outputs, limit)

    def _check_memory(self, needed: int) -> None:
        executor = self._of.executor
        if needed > executor.max_memory:
            what = "max_memory allows" if executor.limited else "this machine has"
            raise MemoryLimitError(
                f"the state takes {needed} bytes, {what} {executor.max_memory}: ask for less capacity"
            )

    def _plan(self, sizes: Mapping[str, int]) -> Plan:
        """What Model.memory tells of a run that fills the state. sizes: of what is fed."""
        of, known = self._of, {**self._sizes, self._of.use.capacity: self._capacity}
        for name in of.lengths:
            known[name] = 0
        needed = [n for n in of.built.input_symbols if n not in known]
        wrong = [f"'{n}' is missing" for n in needed if n not in sizes]
        wrong += [f"'{n}' is unknown" for n in sizes if n not in needed]
        if wrong:
            raise InputError(
                f"{', '.join(wrong)}: beside the state's, the symbolic dims are {', '.join(needed) or '(none)'}"
            )
        known.update({n: whole(n, size, 0, "a size, an integer from 0") for n, size in sizes.items()})
        if of.use.total is not None:
            room = self._capacity - evaluate(of.use.total, known)
            if room < 0:
                raise StateError(f"the run adds {-room} positions more than the state's capacity of {self._capacity}")
            for name in of.lengths:
                known[name] = room
        return replace(plan_at(of.built, known), state_bytes=self.nbytes)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _number(self, name: str) -> int:
        if name not in self._of.names:
            raise InputError(f"'{name}' is no part of the state: {', '.join(self._of.names)}")
        return self._of.names[name]

    def _valid(self, number: int) -> Array:
        """What of a part is held, in place."""
        part = self._of.parts[number]
        array: Array = self._view(number).view(part.dtype.numpy)
        return array if part.axis < 0 else array[(slice(None),) * part.axis + (slice(self._length),)]

    def _fill(self, number: int, array: Array) -> None:
        """Other content for a part, which may change its sizes where it is not appended to."""
        if self._of.parts[number].axis < 0 and tuple(self._dims(number)) != array.shape:
            self._reshape(number, list(array.shape))
        np.copyto(self._valid(number), array, casting="unsafe")  # to what it is kept as

    @contextmanager
    def _held(self) -> Iterator[None]:
        if not self._take():
            self._refuse()
        try:
            yield
        finally:
            self._give()

    def _refuse(self) -> None:
        raise StateError(f"the state is in use by another run (seen in thread '{threading.current_thread().name}'): "
                         "one run at a time may have it; copy() makes another one")  # fmt: skip


def _rows_from(array: Array, axis: int, row: int, along: int, start: int) -> Array:
    """A view of one row of `axis`, from a position of axis `along` on."""
    index: list[Any] = [slice(None)] * array.ndim
    if along >= 0:
        index[along] = slice(start, None)
    index[axis] = row
    view: Array = array[tuple(index)]
    return view


def _bits(array: Array) -> Array:
    """As integers of the same width, which every reader of arrays knows."""
    bits: Array = np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")
    return bits


def _bytes_of(parts: Sequence[Part], dims: Sequence[Sequence[int]]) -> int:
    """What a state of these dims takes; a part of nothing is a byte."""
    total = 0
    for part, d in zip(parts, dims, strict=True):
        count = part.dtype.itemsize
        for n in d:
            count *= n
        total += max(1, count) * (2 if part.change.is_new else 1)
    return total


__all__ = ["FIRST_CHUNK", "State"]
