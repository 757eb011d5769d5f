"""What a call and a step cost when the ops are tiny: microseconds of a one-op run, nanoseconds of each further step.

    python -m bench.dispatch [--threads 1] [--rounds 9] [--steps 200]

arenaut and onnxruntime take turns; each line is the median over the rounds of the fastest call in a round. The time
of the op itself is included, and so is a dict of feeds and of outputs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort

import arenaut
from arenaut import _native

if not __package__:  # run as a script: make `tests` importable
    sys.path.insert(0, str(Path(__file__).parents[1]))

import itertools

from tests.support.models import parse

Call = Callable[[], Any]
CALLS: Final = 300
BUSY: Final = 5000  # nanoseconds of a piece while fork and join are timed

# Chains of n ops that no optimisation merges: type, values that every op reads besides the one before, the op.
CHAINS: Final[Mapping[str, tuple[str, str, str]]] = {
    "MatMul 2x2": ("float[2, 2]", "float[2, 2] w", "MatMul ({0}, w)"),
    "Softmax 4": ("float[4]", "", "Softmax ({0})"),
    "Gather 4": ("int64[4]", "", "Gather ({0}, {0})"),
    "CumSum 4": ("float[4]", "int64 axis", "CumSum ({0}, axis)"),
}


def chain(kind: str, length: int) -> onnx.ModelProto:
    value, other, op = CHAINS[kind]
    names = ["x", *(f"t{i}" for i in range(1, length)), "y"]
    nodes = " ".join(f"{b} = {op.format(a)}" for a, b in itertools.pairwise(names))
    return parse(f"g ({value} x{', ' if other else ''}{other}) => ({value} y) {{ {nodes} }}")


def feeds_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    feeds = {}
    for given in model.graph.input:
        dims = [d.dim_value for d in given.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
        feeds[given.name] = np.eye(2, dtype=dtype) if len(dims) == 2 else np.zeros(dims, dtype)
    return feeds


def engines(model: onnx.ModelProto, threads: int) -> tuple[dict[str, Call], arenaut.Model]:
    feeds = feeds_of(model)
    ours = arenaut.load_onnx(model, threads=threads)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return {"arenaut": lambda: ours.run(feeds), "onnxruntime": lambda: session.run(None, feeds)}, ours


def fastest(call: Call) -> float:
    """Microseconds of the fastest of CALLS calls."""
    best = float("inf")
    for _ in range(CALLS):
        begin = time.perf_counter_ns()
        call()
        best = min(best, time.perf_counter_ns() - begin)
    return best / 1e3


def measure(model: onnx.ModelProto, threads: int, rounds: int) -> tuple[dict[str, float], arenaut.Model]:
    calls, ours = engines(model, threads)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(fastest(call))
    return {name: statistics.median(values) for name, values in times.items()}, ours


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args(arguments)
    empty = statistics.median(fastest(lambda: None) for _ in range(options.rounds))
    print(f"{options.threads} thread(s); reading the clock, {empty:.2f} us, is left out")
    if options.threads > 1:
        join = [t - BUSY for _ in range(20) for t in _native.fork_join(options.threads, 200, BUSY)]
        print(f"fork and join: {statistics.median(join) / 1e3:.2f} us")
    print(f"{'chain':14} {'engine':12} {'one op':>8} {'per step':>9}   steps")
    for kind in CHAINS:
        one, _ = measure(chain(kind, 1), options.threads, options.rounds)
        many, ours = measure(chain(kind, options.steps), options.threads, options.rounds)
        steps = len(ours._built.step_order)
        for name in one:
            step = (many[name] - one[name]) / (options.steps - 1) * 1e3
            count = str(steps) if name == "arenaut" else ""
            print(f"{kind:14} {name:12} {one[name] - empty:5.2f} us {step:6.0f} ns   {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
