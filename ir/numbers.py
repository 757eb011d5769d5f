"""Long lists of numbers, as attributes hold them: a sequence over an array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np


class Numbers(Sequence[Any]):
    """Behaves as the tuple of the numbers of a read-only vector, and gives that vector to numpy without a copy."""

    __slots__ = ("_array", "_hash")

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array.view()
        self._array.flags.writeable = False
        self._hash: int | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        made: np.ndarray[Any, Any] = self._array if dtype is None else self._array.astype(dtype, copy=False)
        return np.array(made) if copy else made

    def __len__(self) -> int:
        return int(self._array.size)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._array.tolist())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        found = self._array[index]
        return tuple(found.tolist()) if isinstance(index, slice) else found.item()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Numbers):
            return np.array_equal(self._array, other._array)
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self._array.size, self._array.tobytes()))
        return self._hash

    def __repr__(self) -> str:
        return f"Numbers({self._array.size} of {self._array.dtype})"
