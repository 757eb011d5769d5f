"""A decoder and what it remembers: tokens go in, logits of what follows come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from arenaut.generation.roles import Cache, Roles, roles_of
from arenaut.inputs import TensorInfo
from arenaut.ir.errors import InputError
from arenaut.ir.graph import Array
from arenaut.model import Model


class Decoder(Protocol):
    """Rows of tokens that grow together; all rows have the same length."""

    def extend(self, tokens: Array) -> Array:
        """Appends tokens [rows, n]; returns the logits [rows, vocabulary] of what follows."""

    def reorder(self, rows: Sequence[int]) -> None:
        """Row i becomes what row rows[i] was; there may be other many rows than before."""


class CachedDecoder:
    """A decoder with its caches as arrays: outputs of a call are inputs of the next.

    first: the decoder of the first call where the one with caches cannot make those of an encoder's states. states: the
    encoder's, and source_mask its attention mask, for a decoder that looks at them.
    """

    def __init__(
        self, model: Model, first: Model | None = None, states: Array | None = None, source_mask: Array | None = None
    ) -> None:
        self._model, self._roles = model, roles_of(model.inputs, model.outputs)
        self._first = first
        self._first_roles = None if first is None else roles_of(first.inputs, first.outputs)
        self._states, self._source_mask = states, source_mask
        cross = [c.past.name for c in self._roles.caches if c.cross]
        if cross and first is None and self._roles.branch is None:
            raise InputError(f"nothing makes {', '.join(cross)}: give generate the decoder of the first call, first=")
        self._length = 0
        self._caches: dict[str, Array] = {}
        self._tokens: Array | None = None  # all of them, where the model has no caches

    def extend(self, tokens: Array) -> Array:
        if not self._roles.caches:
            tokens = tokens if self._tokens is None else np.concatenate([self._tokens, tokens], axis=1)
            self._tokens, self._length = tokens, 0
        if self._length == 0 and self._first is not None and self._first_roles is not None:
            outputs = self._first.run(self._feeds(self._first_roles, tokens))
            self._remember(outputs, self._first_roles)
        else:
            outputs = self._model.run(self._feeds(self._roles, tokens))
            self._remember(outputs, self._roles)
        self._length += tokens.shape[1]
        last: Array = outputs[self._roles.logits][:, -1]
        return last.astype(np.float32, copy=False)

    def reorder(self, rows: Sequence[int]) -> None:
        if list(rows) == list(range(self._rows())):
            return
        take = list(rows)
        self._caches = {name: array[take] for name, array in self._caches.items()}
        self._tokens = None if self._tokens is None else self._tokens[take]
        self._states = None if self._states is None else self._states[take]
        self._source_mask = None if self._source_mask is None else self._source_mask[take]

    def _rows(self) -> int:
        arrays = [*self._caches.values(), *(a for a in (self._tokens,) if a is not None)]
        return len(arrays[0]) if arrays else 0

    def _feeds(self, roles: Roles, tokens: Array) -> dict[str, Array]:
        rows, count = tokens.shape
        feeds = {roles.ids.name: tokens.astype(roles.ids.dtype, copy=False)}
        positions = np.arange(self._length, self._length + count)
        if roles.mask is not None:
            feeds[roles.mask.name] = np.ones((rows, self._length + count), roles.mask.dtype)
        if roles.positions is not None:
            feeds[roles.positions.name] = np.broadcast_to(positions, (rows, count)).astype(roles.positions.dtype)
        if roles.cache_positions is not None:
            feeds[roles.cache_positions.name] = positions.astype(roles.cache_positions.dtype)
        if roles.branch is not None:
            feeds[roles.branch.name] = np.full(fixed(roles.branch, 1), self._length > 0, roles.branch.dtype)
        for info, array in ((roles.states, self._states), (roles.source_mask, self._source_mask)):
            if info is not None and array is None:
                raise InputError(f"the decoder has an input '{info.name}': give generate encoder= and feeds=")
            if info is not None and array is not None:
                feeds[info.name] = np.ascontiguousarray(array, info.dtype)
        for cache in roles.caches:
            name = cache.past.name
            places = 0 if self._states is None or not cache.cross else self._states.shape[1]
            feeds[name] = self._caches[name] if name in self._caches else empty(cache, rows, places)
        return feeds

    def _remember(self, outputs: Mapping[str, Array], roles: Roles) -> None:
        """What a call makes of the encoder's states stays; later calls give none, or tensors without rows."""
        made = {c.past.name: c.present for c in roles.caches} or self._names_made(outputs)
        for cache in self._roles.caches:
            present = made.get(cache.past.name)
            if present is None or present not in outputs or (cache.cross and self._length > 0):
                continue
            self._caches[cache.past.name] = outputs[present]

    def _names_made(self, outputs: Mapping[str, Array]) -> dict[str, str]:
        """Which output of a decoder without caches becomes which cache: the names differ in what precedes the layer."""
        rests = {name.split(".", 1)[-1]: name for name in outputs}
        return {
            c.past.name: rests[rest] for c in self._roles.caches if (rest := c.past.name.split(".", 1)[-1]) in rests
        }


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
