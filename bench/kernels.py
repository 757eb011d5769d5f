"""Times single kernel rows over a grid of shapes, in one thread, against what a loop of multiply-adds reaches.

    python -m bench.kernels [--tier v4] [--only gemm] [--rounds 20]

Each line: the case, the code path, the best processor time and its GFLOP/s, the share of the multiply-add peak, GB/s
of operands. Row and peak take turns; the share is the median over the turns of the row's rate by that of the peak loop
just before and after, so that a busy machine disturbs both alike.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arenaut import _native

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "kernels"))
from rowcall import TIERS, call, params_blob, rows

Array = np.ndarray[Any, Any]


@dataclass
class Case:
    """One call of a row. `flops` counts a multiply-add as two."""

    name: str
    row: str
    inputs: list[Array | None]
    output: Array
    params: bytes
    flops: float
    pack: tuple[int, ...] = ()


def noise(*dims: int) -> Array:
    return np.random.default_rng(0).standard_normal(dims, np.float32)


def product(name: str, m: int, n: int, k: int, batch: int = 1, trans_b: bool = False, pack: bool = True) -> Case:
    a = noise(batch, m, k)
    b = noise(*([] if pack else [batch]), *((n, k) if trans_b else (k, n)))
    params = params_blob("MatMul", {"trans_b": int(trans_b), "alpha": 1.0, "beta": 1.0})
    label = f"{name} {batch}x{m}x{n}x{k}"
    return Case(label, "matmul_f32", [a, b, None], np.zeros((batch, m, n), np.float32), params,
                2.0 * batch * m * n * k, (1,) if pack else ())  # fmt: skip


def gemm() -> Iterator[Case]:
    for size in (64, 128, 256, 512, 1024):
        yield product("square", size, size, size)
        yield product("square, B not packed", size, size, size, pack=False)
    for m in (1, 2, 4, 8, 14, 32, 128, 512):
        yield product("bert ffn", m, 3072, 768)
        yield product("bert out", m, 768, 3072)
    yield product("gpt2 head", 1, 50257, 768)
    for seq in (128, 512):
        yield product("scores", seq, seq, 64, 12, trans_b=True, pack=False)
        yield product("weighted values", seq, 64, seq, 12, pack=False)
    yield product("scores, one query", 1, 512, 64, 12, trans_b=True, pack=False)


def convolution(name: str, n: int, c: int, size: int, o: int, kernel: int, stride: int = 1, group: int = 1,
                last: bool = False) -> Case:  # fmt: skip
    pad = kernel // 2
    x, w = noise(n, c, size, size), noise(o, c // group, kernel, kernel)
    out = (size + 2 * pad - kernel) // stride + 1
    y = np.zeros((n, o, out, out), np.float32)
    if last:
        x, y = (np.moveaxis(np.ascontiguousarray(np.moveaxis(v, 1, -1)), -1, 1) for v in (x, y))
    params = params_blob("Conv", {"group": group, "spatial": 2, "kernel": [kernel] * 2, "strides": [stride] * 2,
                                  "dilations": [1, 1], "pads": [pad] * 4})  # fmt: skip
    label = f"{name} {n}x{c}x{size} -> {o}, {kernel}x{kernel}/{stride}{' channels-last' if last else ''}"
    return Case(label, "conv_f32", [x, w, noise(o)], y, params, 2.0 * w.size * n * out * out, (1,))


def conv() -> Iterator[Case]:
    for last in (False, True):
        yield convolution("stem", 1, 3, 224, 64, 7, 2, last=last)
        for c, size in ((64, 56), (128, 28), (256, 14), (512, 7)):
            yield convolution("3x3", 1, c, size, c, 3, last=last)
            yield convolution("expand", 1, c, size, 4 * c, 1, last=last)
            yield convolution("reduce", 1, 4 * c, size, c, 1, last=last)
        yield convolution("down", 1, 256, 56, 512, 1, 2, last=last)


def depthwise() -> Iterator[Case]:
    for last in (False, True):
        for c, size, kernel, stride in ((32, 112, 3, 1), (96, 112, 3, 2), (144, 56, 3, 1), (240, 28, 5, 1),
                                        (480, 14, 3, 1), (672, 14, 5, 2), (960, 7, 5, 1)):  # fmt: skip
            yield convolution("depthwise", 1, c, size, c, kernel, stride, c, last)


def pooling(row: str, c: int, size: int, kernel: int, stride: int, last: bool) -> Case:
    base = convolution("", 1, c, size, c, kernel, stride, c, last)
    params = params_blob("MaxPool", {"spatial": 2, "kernel": [kernel] * 2, "strides": [stride] * 2,
                                     "dilations": [1, 1], "pads": [kernel // 2] * 4})  # fmt: skip
    label = f"{row} {c}x{size}, {kernel}x{kernel}/{stride}{' channels-last' if last else ''}"
    return Case(label, row, base.inputs[:1], base.output, params, base.flops / 2)


def pool() -> Iterator[Case]:
    for last in (False, True):
        for row in ("max_pool_f32", "average_pool_f32"):
            yield pooling(row, 64, 112, 3, 2, last)
            yield pooling(row, 192, 28, 3, 1, last)


GRIDS: Mapping[str, Callable[[], Iterator[Case]]] = {"gemm": gemm, "conv": conv, "depthwise": depthwise, "pool": pool}


def measure(case: Case, tier: int, rounds: int) -> str:
    row = next(r for r in rows(case.row) if r["tier"] == tier)
    best, variant, shares = float("inf"), "", []
    repeat = max(1, min(200, int(2e8 / case.flops)))
    before = _native.peak_flops(tier)
    for _ in range(rounds):
        result = call(row, case.inputs, [case.output], params=case.params, pack=case.pack, repeat=repeat)
        assert result["status"] == 0, (case.name, result)
        best, variant = min(best, result["seconds"]), result["variant"]
        after = _native.peak_flops(tier, min(0.03, max(0.001, result["total_seconds"])))
        shares.append(case.flops * repeat / result["total_seconds"] / ((before + after) / 2))
        before = after
    moved = sum(a.nbytes for a in [*case.inputs, case.output] if a is not None)
    return (
        f"{case.name:48} {variant:20} {best * 1e6:10.1f} us {case.flops / best / 1e9:8.1f} GFLOP/s "
        f"{100 * statistics.median(shares):6.1f} % {moved / best / 1e9:8.1f} GB/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", choices=TIERS, default=TIERS[_native.cpu()["tier"]])
    parser.add_argument("--only", choices=sorted(GRIDS), action="append")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    tier = TIERS.index(args.tier)
    for name in args.only or GRIDS:
        for case in GRIDS[name]():
            print(measure(case, tier, args.rounds), flush=True)


if __name__ == "__main__":
    main()
