"""A decoder and what it remembers: tokens go in, logits of what follows come out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from arenaut.errors import InputError, UnsupportedError
from arenaut.generation.roles import Cache, Roles, roles_of
from arenaut.inputs import TensorInfo
from arenaut.ir.graph import Array
from arenaut.model import Model
from arenaut.state import State


class Decoder(ABC):
    """Rows of tokens that grow together; all rows have the same length. At first there is one row.

    first: the decoder of the first call where the one with caches cannot make those of an encoder's states. states: the
    encoder's, and source_mask its attention mask, for a decoder that looks at them.
    """

    def __init__(
        self, model: Model, roles: Roles, first: Model | None, states: Array | None, source_mask: Array | None
    ) -> None:
        self._model, self._roles, self._first = model, roles, first
        self._states, self._source_mask = states, source_mask
        self._length = 0

    @abstractmethod
    def extend(self, tokens: Array) -> Array:
        """Appends tokens [rows, n]; returns the logits [rows, vocabulary] of what follows, float32."""

    def reorder(self, rows: Sequence[int]) -> None:
        """Row i becomes what row rows[i] was; there may be other many rows than before."""
        self._states = None if self._states is None else self._states[list(rows)]
        self._source_mask = None if self._source_mask is None else self._source_mask[list(rows)]

    def _first_call(self, tokens: Array) -> tuple[Array, dict[str, Array]]:
        """What the decoder of the first call makes of tokens: logits, and the caches by the inputs that take them."""
        assert self._first is not None
        roles = roles_of(self._first.inputs, self._first.outputs)
        outputs = self._first.run(self._feeds(roles, tokens))
        rests = {name.split(".", 1)[-1]: array for name, array in outputs.items()}
        wanted = {c.past.name: c.past.name.split(".", 1)[-1] for c in self._roles.caches}
        missing = [name for name, rest in wanted.items() if rest not in rests]
        if missing:
            raise InputError(f"the decoder of the first call makes nothing that becomes {', '.join(missing)}")
        return self._last(outputs, roles), {name: rests[rest] for name, rest in wanted.items()}

    def _feeds(self, roles: Roles, tokens: Array) -> dict[str, Array]:
        """All but the caches."""
        rows, count = tokens.shape
        feeds = {roles.ids.name: tokens.astype(roles.ids.dtype, copy=False)}
        positions = np.arange(self._length, self._length + count)
        if roles.mask is not None:
            feeds[roles.mask.name] = np.ones((rows, self._length + count), roles.mask.dtype)
        if roles.positions is not None:
            feeds[roles.positions.name] = np.tile(positions, (rows, 1)).astype(roles.positions.dtype, copy=False)
        if roles.cache_positions is not None:
            feeds[roles.cache_positions.name] = positions.astype(roles.cache_positions.dtype)
        if roles.branch is not None:
            feeds[roles.branch.name] = np.full(fixed(roles.branch, 1), self._length > 0, roles.branch.dtype)
        for info, array in ((roles.states, self._states), (roles.source_mask, self._source_mask)):
            if info is None:
                continue
            if array is None:
                raise InputError(f"the decoder has an input '{info.name}': give generate encoder= and feeds=")
            feeds[info.name] = np.ascontiguousarray(array, info.dtype)
        return feeds

    def _last(self, outputs: Mapping[str, Array], roles: Roles) -> Array:
        logits: Array = outputs[roles.logits][:, -1]
        return logits.astype(np.float32, copy=False)


class StateDecoder(Decoder):
    """A decoder whose own caches are in a state. Those of an encoder's states are there too where the model's first
    call makes them (use_cache_branch); else they are fed to each call. Nothing copies them."""

    def __init__(
        self, model: Model, roles: Roles, first: Model | None, states: Array | None, source_mask: Array | None,
        state: State,
    ) -> None:  # fmt: skip
        super().__init__(model, roles, first, states, source_mask)
        self._state = state
        self._made: dict[str, Array] = {}  # by a first call, for the state
        self._cross: dict[str, Array] = {}

    def extend(self, tokens: Array) -> Array:
        if self._length == 0 and self._first is not None:
            logits, made = self._first_call(tokens)
            held = set(self._state.names)
            self._made = {name: array for name, array in made.items() if name in held}
            self._cross = {name: array for name, array in made.items() if name not in held}
        else:
            feeds = {**self._feeds(self._roles, tokens), **self._cross, **self._made}
            logits = self._last(self._model.run(feeds, state=self._state), self._roles)
            self._made = {}
        self._length += tokens.shape[1]
        return logits

    def reorder(self, rows: Sequence[int]) -> None:
        super().reorder(rows)
        if len(rows) == self._state.batch:
            self._state.reorder(rows)
        else:
            self._state = self._state.select(rows)
        self._made = {name: array[list(rows)] for name, array in self._made.items()}
        self._cross = {name: array[list(rows)] for name, array in self._cross.items()}


class CachedDecoder(Decoder):
    """A decoder whose caches are arrays, outputs of one call and inputs of the next, or that has none and is run on all
    tokens: for models whose caches a state cannot append to."""

    def __init__(
        self, model: Model, roles: Roles, first: Model | None, states: Array | None, source_mask: Array | None
    ) -> None:
        super().__init__(model, roles, first, states, source_mask)
        self._caches: dict[str, Array] = {}
        self._tokens: Array | None = None  # all of them, where the model has no caches

    def extend(self, tokens: Array) -> Array:
        if not self._roles.caches:
            self._tokens = tokens if self._tokens is None else np.concatenate([self._tokens, tokens], axis=1)
            return self._last(self._model.run(self._feeds(self._roles, self._tokens)), self._roles)
        if self._length == 0 and self._first is not None:
            logits, self._caches = self._first_call(tokens)
        else:
            rows, places = len(tokens), 0 if self._states is None else self._states.shape[1]
            absent = [c for c in self._roles.caches if c.past.name not in self._caches]
            self._caches |= {c.past.name: empty(c, rows, places if c.cross else 0) for c in absent}
            outputs = self._model.run({**self._feeds(self._roles, tokens), **self._caches})
            logits = self._last(outputs, self._roles)
            for cache in self._roles.caches:  # what only a first call makes of the encoder's states stays
                if cache.present is not None and not (cache.cross and self._length > 0):
                    self._caches[cache.past.name] = outputs[cache.present]
        self._length += tokens.shape[1]
        return logits

    def reorder(self, rows: Sequence[int]) -> None:
        super().reorder(rows)
        held = self._caches[self._roles.caches[0].past.name] if self._caches else self._tokens
        if held is not None and list(rows) == list(range(len(held))):
            return
        self._caches = {name: array[list(rows)] for name, array in self._caches.items()}
        self._tokens = None if self._tokens is None else self._tokens[list(rows)]


def decoder_of(
    model: Model, first: Model | None = None, states: Array | None = None, source_mask: Array | None = None
) -> Decoder:
    """Raises InputError for a model that is no decoder, or whose parts are missing."""
    roles = roles_of(model.inputs, model.outputs)
    cross = [c.past.name for c in roles.caches if c.cross]
    if cross and first is None and roles.branch is None:
        raise InputError(f"nothing makes {', '.join(cross)}: give generate the decoder of the first call, first=")
    try:
        state = model.new_state()
    except UnsupportedError:
        return CachedDecoder(model, roles, first, states, source_mask)
    held = {c.past.name for c in roles.caches if not c.cross or roles.branch is not None}
    if state.capacity == 0 or set(state.names) != held:
        return CachedDecoder(model, roles, first, states, source_mask)
    return StateDecoder(model, roles, first, states, source_mask, state)


def fixed(info: TensorInfo, size: int) -> tuple[int, ...]:
    """The shape of an input with `size` for every dim that is open."""
    return tuple(d if isinstance(d, int) else size for d in info.shape or ())


def empty(cache: Cache, rows: int, places: int) -> Array:
    """A cache that nothing was put into: rows first, and so many places along the axis that is open, if one is."""
    shape = cache.past.shape
    opened = [] if shape is None else [axis for axis in range(1, len(shape)) if not isinstance(shape[axis], int)]
    if shape is None or len(opened) > 1:
        raise InputError(f"input {cache.past}: expected a cache with at most one open dim beside the batch's")
    dims = [d if isinstance(d, int) else places for d in shape]
    return np.zeros([rows if not isinstance(shape[0], int) else dims[0], *dims[1:]], cache.past.dtype)
