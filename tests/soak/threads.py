"""Runs, loads and cancels at once: python -m tests.soak.threads [--seconds N] [--threads N]

Python threads share models (with two threads of their own each) and run them, stop each other's runs, set time limits,
load models, save and open compiled files, ask for plans and give memory back. Each outcome must be what a model alone
gives, or the error of a run that was stopped. Meant to run under ThreadSanitizer:
.ci/sanitize thread python -m tests.soak.threads
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import parser

import arenaut
from arenaut import _native
from arenaut.errors import ExecutionError
from tests.executor.alloc_case import load

CASES = ("digits", "loop", "scan", "if", "stages", "products")
SIZE, PRODUCTS = 128, 24


def products() -> tuple[arenaut.Model, dict[str, Any]]:
    """A run that takes long enough to be stopped in its middle."""
    lines = [f"t{i} = MatMul (t{i - 1}, w)" for i in range(1, PRODUCTS)]
    text = (
        f'<ir_version: 10, opset_import: ["" : 21]> g (float[{SIZE}, {SIZE}] x, float[{SIZE}, {SIZE}] w) => '
        f"(float[{SIZE}, {SIZE}] y) {{ t0 = MatMul (x, w) {' '.join(lines)} y = Softmax (t{PRODUCTS - 1}) }}"
    )
    rng = np.random.default_rng(2)
    feeds = {n: (rng.standard_normal((SIZE, SIZE)) / SIZE**0.5).astype(np.float32) for n in "xw"}
    return arenaut.load_onnx(parser.parse_model(text), threads=2), feeds


def made(case: str) -> tuple[arenaut.Model, dict[str, Any]]:
    return products() if case == "products" else load(case, 2)


class Crowd:
    """What the threads share."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.shared = {case: made(case) for case in CASES}
        self.expected = {case: model.run(feeds) for case, (model, feeds) in self.shared.items()}
        self.stops: list[_native.Stop] = []
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def check(self, case: str, outputs: dict[str, Any]) -> None:
        for name, value in self.expected[case].items():
            assert np.array_equal(outputs[name], value), f"{case}: {name} differs"

    def plain(self, rng: random.Random) -> None:
        case = rng.choice(CASES)
        model, feeds = self.shared[case]
        self.check(case, model.run(feeds))

    def stopped(self, rng: random.Random) -> None:
        """A run that another thread may stop."""
        case, stop = rng.choice(CASES), _native.Stop()
        model, feeds = self.shared[case]
        self.stops.append(stop)
        try:
            self.check(case, model._run(feeds, stop=stop))
        except ExecutionError:
            assert stop.is_set()
            self.counts["runs that were stopped"] += 1

    def stop(self, rng: random.Random) -> None:
        del rng
        if self.stops:
            self.stops.pop().set()
        del self.stops[:-8]

    def limited(self, rng: random.Random) -> None:
        case = rng.choice(CASES)
        model, feeds = self.shared[case]
        try:
            self.check(case, model.run(feeds, timeout=rng.random() * 2e-3))
        except ExecutionError:
            self.counts["runs out of time"] += 1

    def loaded(self, rng: random.Random) -> None:
        case = rng.choice(CASES)
        model, feeds = made(case)
        self.check(case, model.run(feeds))

    def compiled(self, rng: random.Random) -> None:
        case = rng.choice(CASES)
        path = os.path.join(self.folder, f"{threading.get_ident()}.arn")
        model, feeds = self.shared[case]
        model.save(path)
        self.check(case, arenaut.load_onnx(path).run(feeds))

    def looked(self, rng: random.Random) -> None:
        model, feeds = self.shared[rng.choice(CASES)]
        rng.choice((lambda: model.plan, lambda: repr(model), model.trim, lambda: model.profile(feeds, repeat=1)))()

    def work(self, seed: int, end: float) -> None:
        rng = random.Random(seed)
        kinds: list[Callable[[random.Random], None]] = [self.plain, self.stopped, self.stop, self.limited, self.loaded,
                                                        self.compiled, self.looked]  # fmt: skip
        try:
            while time.monotonic() < end and not self.failures:
                kind = rng.choices(kinds, (8, 8, 8, 4, 1, 1, 2))[0]
                kind(rng)
                self.counts[kind.__name__] += 1
        except BaseException:
            self.failures.append(traceback.format_exc())


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--seconds", type=float, default=60)
    given.add_argument("--threads", type=int, default=6)
    asked = given.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        crowd = Crowd(folder)
        end = time.monotonic() + asked.seconds
        workers = [threading.Thread(target=crowd.work, args=(seed, end)) for seed in range(asked.threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    print(*crowd.failures, sep="\n")
    print(", ".join(f"{n} {name}" for name, n in crowd.counts.most_common()))
    return int(bool(crowd.failures))


if __name__ == "__main__":
    raise SystemExit(main())
