"""A model compiled once for all processes of this machine that are about to map it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from arenaut.compiled.cache import Cache
from arenaut.measure.worker import Worker

_LOCK = ".shared"
_MOST_LINES = 1000


def compile_first(target: str, threads: int | None, cache: str, path: str, options: Mapping[str, Any]) -> None:
    """Puts the model's compiled file into the cache by a process that ends then: whoever loads it through the cache
    afterwards maps that file, and has no weights of its own. One process of a machine does so, others wait for it. A
    folder that cannot be used is left alone, as load_onnx does. Raises WorkerError for what cannot be loaded."""
    try:
        lock = open(os.path.join(Cache(cache).folder, _LOCK), "a+")  # noqa: SIM115
    except OSError:
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status = os.stat(path)
        said = [os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ino, threads, sorted(options)]
        mark = hashlib.sha256(json.dumps([said, str(sorted(options.items()))]).encode()).hexdigest()
        lock.seek(0)
        done = lock.read().split()
        if mark in done and any(entry for entry in Cache(cache).entries()):
            return
        with Worker(target, threads, cache) as compiler:
            compiler.call("load", "model", path, dict(options))
        lock.truncate(0)
        lock.write("\n".join([*done[-_MOST_LINES:], mark]) + "\n")
