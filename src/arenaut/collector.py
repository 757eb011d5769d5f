"""Python's collector of cycles, held back while a program is made.

Graphs are cycles of many small objects that all live: making them sets off full passes, each of which walks everything
that the process holds and frees next to nothing.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_was_enabled = False


@contextmanager
def held_back() -> Iterator[None]:
    """No pass begins in this block by itself, on any thread. Blocks may nest, and overlap on several threads."""
    global _inside, _was_enabled
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
                gc.enable()
