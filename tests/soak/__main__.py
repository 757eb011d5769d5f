"""Memory over a long life: python -m tests.soak [--runs N] [--loads N] [--open N]

So many runs of one model (sizes, threads and kept outputs vary), so many models loaded, run and let go, and so many
models open at once and let go again. The resident memory after a tenth of each, and after at least 100, is what it must
have, within 1 %, at its end. Of models that are open at once, as many more once those are let go may take no more
memory while they are open, and leave no more blocks of the interpreter's, within 1 %. (What stays resident after is
shown: it is a few pieces of 1 MiB more or less, each held by a few objects.)
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import arenaut

WITHIN = 0.01
DIGITS = Path(arenaut.__file__).parent / "data" / "digits.onnx"


def resident() -> int:
    """Bytes of this process in memory, after what the interpreter and the allocator can let go is let go."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def feeds(batch: int) -> dict[str, Any]:
    return {"image": np.random.default_rng(batch).standard_normal((batch, 1, 8, 8)).astype(np.float32)}


def grown(what: str, count: int, work: Callable[[int], None]) -> bool:
    """Does `work` so often; whether memory grew by more than it may after the first tenth."""
    first = max(count // 10, min(count // 2, 100))
    for at in range(first):
        work(at)
    before = resident()
    for at in range(first, count):
        work(at)
    after = resident()
    share = after / before - 1
    print(f"{count:,} {what}: {before / 2**20:.1f} MiB at first, {after / 2**20:.1f} MiB at the end "
          f"({100 * share:+.2f} %)", flush=True)  # fmt: skip
    return share > WITHIN


def runs(count: int) -> bool:
    model = arenaut.load_onnx(DIGITS, threads=2)
    given = {batch: feeds(batch) for batch in (1, 2, 3, 7, 20)}
    batches = list(given)
    expected = {batch: model.run(given[batch])["logits"] for batch in batches}
    kept: list[Any] = [None] * 8

    def one(at: int) -> None:
        batch = batches[at % len(batches)] if at % 100 else batches[at // 100 % len(batches)]
        found = model.run(given[batch])["logits"]
        kept[at % len(kept)] = found
        if at % 997 == 0:
            assert np.array_equal(found, expected[batch])

    def some(at: int) -> None:
        """In two threads at once, every thousandth."""
        if at % 1000:
            one(at)
            return
        others = [threading.Thread(target=one, args=(at + k,)) for k in range(2)]
        for other in others:
            other.start()
        for other in others:
            other.join()

    return grown("runs", count, some)


def loads(count: int) -> bool:
    given = feeds(2)

    def one(at: int) -> None:
        model = arenaut.load_onnx(DIGITS, threads=1 + at % 2)
        if at % 2:
            model.run(given)

    return grown("models loaded and let go", count, one)


def opened(count: int) -> bool:
    given = feeds(2)

    def once() -> tuple[int, int, int]:
        """Memory while they are open, and after; blocks after."""
        models = [arenaut.load_onnx(DIGITS, threads=1) for _ in range(count)]
        for model in models:
            model.run(given)
        most = resident()
        models.clear()
        del model
        return most, resident(), sys.getallocatedblocks()

    once()
    (most, left, blocks), (most_again, left_again, blocks_again) = once(), once()
    share = max(most_again / most, blocks_again / blocks) - 1
    print(f"{count:,} models open at once: {most / 2**20:.1f} MiB, {most_again / 2**20:.1f} MiB when as many more are; "
          f"{blocks:,} and {blocks_again:,} blocks ({100 * share:+.2f} %), {left / 2**20:.1f} and "
          f"{left_again / 2**20:.1f} MiB when they are let go", flush=True)  # fmt: skip
    return share > WITHIN


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--loads", type=int, default=10_000)
    parser.add_argument("--open", type=int, default=200)
    given = parser.parse_args()
    return int(any([runs(given.runs), loads(given.loads), opened(given.open)]))


if __name__ == "__main__":
    raise SystemExit(main())
