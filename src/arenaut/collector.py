"""Python's collector of cycles, held back while a program is made.

Graphs are cycles of many small objects that all live: making them sets off full passes, each of which walks everything
that the process holds and frees next to nothing. Models that were let go leave their graphs to the collector, so what
was made meanwhile is counted, and looked through before the next program when it has become much.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# So many objects may come to be, or as many bytes, before a full pass: some 50 MB of graphs.
MOST_OBJECTS = 400_000
BYTES_OF_AN_OBJECT = 128

_lock = threading.Lock()
_inside = 0
_was_enabled = False
_made = 0


@contextmanager
def held_back() -> Iterator[None]:
    """No pass begins in this block by itself, on any thread. Blocks may nest, and overlap on several threads."""
    global _inside, _was_enabled, _made
    if _made > MOST_OBJECTS and gc.isenabled():
        _made = 0
        gc.collect()
    with _lock:
        if _inside == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _was_enabled:
                _made += gc.get_count()[0]
                if not gc.get_freeze_count():
                    gc.freeze()  # what was made is no longer young: the next pass does not walk it either
                    gc.unfreeze()
                gc.enable()


def holds(count: int) -> None:
    """What was made in such a block keeps so many bytes alive until it is collected."""
    global _made
    _made += count // BYTES_OF_AN_OBJECT
