"""Constants of a graph that only packed forms still need: let go after packing, made again when somebody asks."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

from arenaut.ir.errors import ArenautError
from arenaut.ir.graph import Array, Graph, Value
from arenaut.lowering.weights import address_of

# Arrays below this are not worth the trouble.
MIN_BYTES = 1 << 12


class ReleasedConstants:
    """The constants of an optimised graph, by the addresses of their arrays, which the graph holds until then.

    again: makes an equal graph, with all its constants. maps: (address, bytes) of mapped files; what is a view of
    them costs nothing and stays. bytes: what may be let go in all.
    """

    def __init__(self, graph: Graph, again: Callable[[], Graph], maps: Sequence[tuple[int, int]]) -> None:
        self._again = again
        self._lock = threading.Lock()
        self._gone: set[int] = set()
        self._made: dict[int, Array] = {}
        self._by_address: dict[int, list[tuple[int, Value]]] = {}
        sizes: dict[int, int] = {}
        for number, value in enumerate(constant_values(graph)):
            array = value.constant
            if array is None or array.nbytes < MIN_BYTES or array.dtype.kind in "OUST":
                continue
            address = address_of(array)
            if not any(start <= address < start + size for start, size in maps):
                self._by_address.setdefault(address, []).append((number, value))
                sizes[address] = array.nbytes
        self.bytes = sum(sizes.values())

    def follow(self, twin: Graph) -> None:
        """Lets go of the arrays in this graph too, a copy that was optimised further, where they are the same there."""
        for value in constant_values(twin):
            array = value.constant
            alike = [] if array is None else self._by_address.get(address_of(array), [])
            for number, known in alike:
                same = known.constant
                if array is not None and same is not None and (same.shape, same.dtype) == (array.shape, array.dtype):
                    alike.append((number, value))
                    break

    def release(self, shown: Array) -> None:
        """Lets go of this array, in every value that has its memory."""
        for number, value in self._by_address.pop(address_of(shown), ()):
            array = value.constant
            if array is not None:
                self._gone.add(number)
                value.release(partial(self._array, number, array.shape, array.dtype))

    def forget(self) -> None:
        """Lets go again of what was made since."""
        with self._lock:
            self._made.clear()

    def _array(self, number: int, shape: tuple[int, ...], dtype: object) -> Array:
        with self._lock:
            if number not in self._made:
                for at, value in enumerate(constant_values(self._again())):
                    if at in self._gone and value.constant is not None:
                        self._made[at] = value.constant
            array = self._made.get(number)
        if array is None or array.shape != shape or array.dtype != dtype:
            raise ArenautError("the model was changed since it was loaded: load it again to see its weights")
        return array


def constant_values(graph: Graph) -> Iterator[Value]:
    """The constants of a graph and of all bodies in it, each value once a graph, in an order that the graph decides."""
    yield from graph.constants()
    for node in graph.nodes:
        for _, body in node.bodies():
            yield from constant_values(body)


def trim_heap() -> None:
    """Gives freed memory back to the system, where malloc knows how."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], object] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
