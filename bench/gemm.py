"""Writes docs/measured/GEMM.md: matrix products over sizes against the machine's peak, beside onnxruntime's.

    python bench/gemm.py [--tier v3] [--rounds N] [--grid NAME] [--output FILE]

One thread, constant B. A model with one MatMul node is timed as Model.run, which includes about a microsecond of call
(onnxruntime's with IO binding), in turns with a loop of multiply-adds (the peak) or one of loads over as many
bytes as B has (the bandwidth), by the thread's processor time. A share is the median over the turns of a rate by the
limits just before and after.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

import arenaut  # noqa: E402
from arenaut import _native  # noqa: E402
from arenaut.measure.process import machine, pin  # noqa: E402
from arenaut.measure.stats import geometric_mean  # noqa: E402
from arenaut.native.target import ISA_CAP_VARIABLE, TIERS  # noqa: E402

OUTPUT: Final = ROOT / "docs" / "measured" / "GEMM.md"
LARGE: Final = (256, 257, 300, 1000, 1023)
SMALL_M: Final = (14, 16, 24, 32, 48, 64)
SMALL_NK: Final = ((512, 512), (768, 768), (3072, 768), (768, 3072), (1024, 1024))
VECTOR_NK: Final = ((256, 256), (512, 512), (768, 768), (3072, 768), (768, 3072), (2048, 2048), (4096, 4096))
SLOT: Final = 0.003
"""Seconds of a slot, at least one call."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Size:
    m: int
    n: int
    k: int

    @property
    def flops(self) -> float:
        return 2.0 * self.m * self.n * self.k

    @property
    def b_bytes(self) -> int:
        return 4 * self.n * self.k


@dataclass(frozen=True)
class Grid:
    """Sizes that share a target. By bandwidth: the limit is the reading of B, not the multiply-adds."""

    title: str
    sizes: Sequence[Size]
    by_bandwidth: bool
    mean: float
    worst: float


GRIDS: Final = {
    "large": Grid("M, N, K from 256", [Size(*s) for s in product(LARGE, repeat=3)], False, 0.92, 0.85),
    "small": Grid("M from 14 to 64", [Size(m, n, k) for (n, k), m in product(SMALL_NK, SMALL_M)], False, 0.82, 0.72),
    "vector": Grid("One row", [Size(1, n, k) for n, k in VECTOR_NK], True, 0.90, 0.0),
}


@dataclass(frozen=True)
class Result:
    """Shares of the grid's limit, and rates: GFLOP/s, or GB/s of B by bandwidth."""

    size: Size
    limit: float
    rate: float
    share: float
    peer_rate: float
    peer_share: float


def matmul_model(b: Array) -> onnx.ModelProto:
    helper = onnx.helper
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["y"])],
        "product",
        [value("a", onnx.TensorProto.FLOAT, ["m", b.shape[0]])],
        [value("y", onnx.TensorProto.FLOAT, ["m", b.shape[1]])],
        [onnx.numpy_helper.from_array(b, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def peer_run(model: onnx.ModelProto, a: Array) -> Callable[[], object]:
    """One run of onnxruntime on one thread, operands bound."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("a", a)
    binding.bind_output("y")
    return lambda: session.run_with_iobinding(binding)


def seconds(run: Callable[[], object], calls: int) -> float:
    start = time.thread_time()
    for _ in range(calls):
        run()
    return (time.thread_time() - start) / calls


@dataclass(frozen=True)
class Turns:
    """Medians. limit: of the limits; rates, shares: of each run, and what part of the limit it reached."""

    limit: float
    rates: Sequence[float]
    shares: Sequence[float]


def take_turns(runs: Sequence[Callable[[], object]], work: float, limit: Callable[[], float], rounds: int) -> Turns:
    """Times the runs in turns, each so often that a turn takes SLOT. work: of one run, in what `limit` counts a second.
    A share is a rate by the limits just before and after it."""
    calls = []
    for run in runs:
        run()
        calls.append(max(1, int(SLOT / max(1e-7, seconds(run, 1)))))
    limits = [limit()]
    rates: list[list[float]] = [[] for _ in runs]
    shares: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, often, own_rates, own_shares in zip(runs, calls, rates, shares, strict=True):
            own_rates.append(work / seconds(run, often))
            limits.append(limit())
            own_shares.append(own_rates[-1] / statistics.mean(limits[-2:]))
    middle = statistics.median
    return Turns(middle(limits), [middle(r) for r in rates], [middle(s) for s in shares])


def measure(size: Size, by_bandwidth: bool, tier: int, rounds: int) -> Result:
    random = np.random.default_rng(0)
    a = random.standard_normal((size.m, size.k), np.float32)
    model = matmul_model(random.standard_normal((size.k, size.n), np.float32))
    loaded = arenaut.load_onnx(model, threads=1)
    work = size.b_bytes if by_bandwidth else size.flops

    def limit() -> float:
        rate = _native.read_bandwidth(tier, size.b_bytes, 0.001) if by_bandwidth else _native.peak_flops(tier, 0.0007)
        return float(rate)

    turns = take_turns((lambda: loaded.run(a), peer_run(model, a)), work, limit, rounds)
    (rate, peer_rate), (share, peer_share) = turns.rates, turns.shares
    return Result(size, turns.limit, rate, share, peer_rate, peer_share)


def table(grid: Grid, results: Sequence[Result]) -> list[str]:
    unit, limit = ("GB/s of B", "bandwidth") if grid.by_bandwidth else ("GFLOP/s", "peak")
    shares, peers = [r.share for r in results], [r.peer_share for r in results]
    reached = geometric_mean(shares) >= grid.mean and min(shares) >= grid.worst
    worst = f", worst {100 * grid.worst:.0f} %" if grid.worst else ""
    lines = [
        f"## {grid.title}",
        "",
        f"Geometric mean {100 * geometric_mean(shares):.1f} % of the {limit}, worst {100 * min(shares):.1f} %; "
        f"onnxruntime {100 * geometric_mean(peers):.1f} %, worst {100 * min(peers):.1f} %. "
        f"Target: mean {100 * grid.mean:.0f} %{worst}: {'reached' if reached else 'missed'}.",
        "",
        f"| M | N | K | {limit}, {unit} | arenaut | % | onnxruntime | % |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in results:
        s = r.size
        lines.append(
            f"| {s.m} | {s.n} | {s.k} | {r.limit / 1e9:.1f} | {r.rate / 1e9:.1f} | {100 * r.share:.1f} | "
            f"{r.peer_rate / 1e9:.1f} | {100 * r.peer_share:.1f} |"
        )
    return [*lines, ""]


def document(tables: Sequence[Sequence[str]], where: str, tier: str, rounds: int, command: str) -> str:
    head = [
        "# Matrix products",
        "",
        f"Generated by `{command}`; see its help for how. Nothing here is typed in.",
        f"{where}, tier {tier}, one thread, constant B, {rounds} rounds.",
        "",
    ]
    return "\n".join([*head, *(line for lines in tables for line in lines)])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", choices=TIERS, help="cap; the best of the machine by default")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--grid", choices=sorted(GRIDS), action="append", help="only these grids, printed")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(arguments)
    if args.tier:
        os.environ[ISA_CAP_VARIABLE] = args.tier
    tier = min(_native.cpu()["tier"], TIERS.index(args.tier) if args.tier else len(TIERS))
    where = machine()
    pin(tuple(sorted(os.sched_getaffinity(0))[:1]))
    tables = []
    for name in args.grid or GRIDS:
        grid = GRIDS[name]
        tables.append(table(grid, [measure(size, grid.by_bandwidth, tier, args.rounds) for size in grid.sizes]))
        print("\n".join(tables[-1]), flush=True)
    if not args.grid:
        args.output.write_text(document(tables, where, TIERS[tier], args.rounds, "python bench/gemm.py") + "\n")


if __name__ == "__main__":
    main()
