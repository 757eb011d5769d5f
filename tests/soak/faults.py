"""A fault at every allocation of the native side, one after the other: python -m tests.soak.faults

Models are loaded, run for the first time and run again while one allocation after the other fails, by the preloaded
counter of tests/executor/alloc_counter.c. Each fault must end in MemoryError or an error of arenaut.errors; the model
must run right afterwards; and such rounds must leave nothing: what is in use may grow once, where the interpreter's
table of interned strings is made twice as large (417,776 to 961,224 bytes), but not from each round to the next. Then
runs are left after each of their steps, and must leave nothing either.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import arenaut
from arenaut import _native
from arenaut.errors import ArenautError, InternalError

SOURCE = Path(__file__).parents[1] / "executor" / "alloc_counter.c"
CASES = ("digits", "loop", "scan", "if", "stages")
# pybind11 enters each new object in a table of its own, outside of its handlers: where those few bytes cannot be had,
# it ends the process. So smaller allocations fail in runs only, which make no such objects.
LEAST = 128
MOST_LEFT = 16 << 10  # bytes that a round may leave: the interpreter's own
ROUNDS = 5


class _Heap(ctypes.Structure):
    """glibc's mallinfo2."""

    _fields_ = [(n, ctypes.c_size_t) for n in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                                               "uordblks", "fordblks", "keepcost")]  # fmt: skip


def bytes_in_use() -> int:
    while gc.collect():  # a native object that one pass lets go of keeps what only the next can find
        pass
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Heap
    heap = ask()
    return int(heap.uordblks + heap.hblkhd)


class Faults:
    """The preloaded counter, which lets one allocation fail."""

    def __init__(self, path: str) -> None:
        from tests.executor.alloc_case import native_range

        self._library = ctypes.CDLL(path)
        self._library.arn_count.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
        self._library.arn_fail.argtypes = [ctypes.c_long, ctypes.c_size_t]
        self._library.arn_count(*native_range())
        self.outcomes: Counter[str] = Counter()

    def everywhere(self, call: Callable[[], Any], after: Callable[[], None], stride: int, least: int = 0) -> int:
        """Fails every `stride`th allocation of a call of at least so many bytes in turn; how many
        failed. after: checks that all is well."""
        at = 1
        while True:
            self._library.arn_fail(at, least)
            try:
                call()
                outcome = "ok"
            except InternalError:
                raise
            except (MemoryError, ArenautError) as error:
                outcome = type(error).__name__
            finally:
                failed = bool(self._library.arn_failed())
                self._library.arn_fail(0, 0)
            if not failed:
                return at - 1
            self.outcomes[outcome] += 1
            after()
            at += stride


def rounds(case: str, faults: Faults, stride: int, times: int) -> int:
    """All faults of one case; how many. Raises AssertionError where something stays or a result is wrong."""
    from tests.executor.alloc_case import load

    reference, feeds = load(case, 2)
    expected = reference.run(feeds)

    def right(model: arenaut.Model) -> None:
        for _ in range(2):
            outputs = model.run(feeds)
            assert all(np.array_equal(outputs[name], expected[name]) for name in expected), case

    held: list[arenaut.Model] = []

    def loaded() -> None:
        held.clear()
        held.append(load(case, 2)[0])

    def first_run() -> None:
        loaded()
        held[0].run(feeds)

    count, used = 0, []
    for _ in range(times):
        count += faults.everywhere(loaded, lambda: None, stride, LEAST)
        count += faults.everywhere(first_run, lambda: right(held[0]) if held else None, stride, LEAST)
        loaded()
        count += faults.everywhere(lambda: held[0].run(feeds), lambda: right(held[0]), stride)
        right(held[0])
        held.clear()
        used.append(bytes_in_use())
    assert left_by_a_round(used) <= MOST_LEFT, f"{case}: {used} bytes in use after rounds of faults"
    return count


def steps(case: str, times: int) -> int:
    """Runs that end after each of their steps, so many rounds; how many. Raises AssertionError as `rounds`."""
    from tests.executor.alloc_case import load

    model, feeds = load(case, 2)
    expected = model.run(feeds)
    program: Any = model._built.native
    arrays = [feeds[info.name] for info in model.inputs]
    count, used = 0, []
    for _ in range(times):
        for taken in range(len(model._built.outline.steps) + 1):
            run = _native.Run(program, arrays, -1)
            for _ in range(taken):
                run.step()
            del run
            count += 1
        outputs = model.run(feeds)
        assert all(np.array_equal(outputs[name], expected[name]) for name in expected), case
        del outputs
        used.append(bytes_in_use())
    assert left_by_a_round(used) <= MOST_LEFT, f"{case}: {used} bytes in use after runs that were left"
    return count


def left_by_a_round(used: Sequence[int]) -> float:
    """The median of what each round added to what is in use: one that a table of the interpreter's grew in is none."""
    return median(after - before for before, after in pairwise(used))


def compiled_counter(folder: str) -> str:
    """The preloaded library."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler is not None, "needs a C compiler"
    path = os.path.join(folder, "alloc_counter.so")
    subprocess.run([compiler, "-O1", "-fPIC", "-shared", "-fno-builtin", "-fexceptions", str(SOURCE), "-o", path],
                   check=True)  # fmt: skip
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--stride", type=int, default=1, metavar="N", help="every Nth allocation")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--preloaded", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.preloaded is None:
        with tempfile.TemporaryDirectory() as folder:
            library = compiled_counter(folder)
            command = [sys.executable, "-m", "tests.soak.faults", *given.cases, "--stride", str(given.stride),
                       "--rounds", str(given.rounds), "--preloaded", library]  # fmt: skip
            return subprocess.run(command, env={**os.environ, "LD_PRELOAD": library}).returncode
    faults = Faults(given.preloaded)
    for case in given.cases:
        failed = rounds(case, faults, given.stride, given.rounds)
        left = steps(case, given.rounds)
        print(f"{case}: {failed} allocations failed, {left} runs left after a step; nothing stays", flush=True)
    print("outcomes:", ", ".join(f"{n} {name}" for name, n in faults.outcomes.most_common()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
