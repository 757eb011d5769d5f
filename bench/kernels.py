"""Times single kernel rows over a grid of shapes, in one thread, against the machine's roofline.

    python -m bench.kernels [--tier v4|all] [--only gemm] [--rounds 20]

Each line: the case, the row and tier (* marks the one that the dispatcher picks on this machine), the code path, the
best processor time and its GFLOP/s, GB/s of operands, and the share of the roofline: the time that the case's
operations take at the multiply-add peak, or its bytes at the bandwidth of what holds them if that is longer, by the
time it took. Row and limits take turns; the share is the median over the turns of that by the limits just before and
after, so that a busy machine disturbs both alike. Rows that no case times are listed last.
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

if not __package__:  # run as a script: make `tests` importable
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.rowcall import TIERS, call, params_blob, rows
from tests.support.tileprog import F32, program

Array = np.ndarray[Any, Any]


@dataclass
class Case:
    """One call of a row. `flops` counts a multiply-add as two."""

    name: str
    row: str
    inputs: list[Array | None]
    output: Array
    params: bytes | None
    flops: float
    pack: tuple[int, ...] = ()
    tile: Any = None

    @property
    def bytes(self) -> int:
        """Of the operands' distinct elements."""
        return sum(a.nbytes for a in [*self.inputs, self.output] if a is not None)


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


def attention() -> Iterator[Case]:
    for batch, heads, rows_q, keys, depth, causal in ((1, 12, 128, 128, 64, 0), (1, 12, 512, 512, 64, 1),
                                                      (1, 6, 197, 197, 64, 0), (1, 6, 1500, 1500, 64, 0),
                                                      (64, 3, 49, 49, 32, 0), (1, 12, 1, 512, 64, 0)):  # fmt: skip
        q, k, v = noise(batch, heads, rows_q, depth), noise(batch, heads, keys, depth), noise(batch, heads, keys, depth)
        params = params_blob("Attention", {"scale": depth**-0.5, "causal": causal})
        share = 0.5 if causal else 1.0
        yield Case(f"{batch}x{heads} heads, {rows_q} x {keys} x {depth}{' causal' if causal else ''}", "attention_f32",
                   [q, k, v, None], np.zeros_like(q), params, 4.0 * q.size * keys * share)  # fmt: skip


def rowwise() -> Iterator[Case]:
    for m, n in ((128, 768), (1500, 384), (4096, 96)):
        x, scale = noise(m, n), noise(n)
        norm = params_blob("LayerNormalization", {"axis": 1, "epsilon": 1e-5})
        yield Case(f"layer norm {m}x{n}", "layer_norm_f32", [x, scale, scale, None], np.zeros_like(x), norm, 0)
        norm = params_blob("RMSNormalization", {"axis": 1, "epsilon": 1e-5})
        yield Case(f"rms norm {m}x{n}", "rms_norm_f32", [x, scale, None], np.zeros_like(x), norm, 0)
        for axis in (0, 1):
            soft = params_blob("Softmax", {"axis": axis})
            yield Case(f"softmax {m}x{n} over {axis}", "softmax_f32", [x, None], np.zeros_like(x), soft, 0)
            reduction = params_blob("Reduce", {"kind": 0, "axes": 1 << axis})
            y = np.zeros((1, n) if axis == 0 else (m, 1), np.float32)
            yield Case(f"reduce {m}x{n} over {axis}", "reduce_f32", [x], y, reduction, 0)


def elementwise() -> Iterator[Case]:
    for m, n in ((128, 768), (1024, 1024), (4096, 4096)):
        x, y, bias = noise(m, n), noise(m, n), noise(n)
        for name, inputs in (("add_f32", [x, y]), ("mul_f32", [x, bias]), ("relu_f32", [x]), ("gelu_f32", [x])):
            tile = program([F32] * len(inputs), [("r", name, *(f"i{k}" for k in range(len(inputs))))], ["r"])
            form = "broadcast" if inputs[-1] is bias else "dense"
            yield Case(f"{name} {form} {m}x{n}", "tile", list(inputs), np.zeros_like(x), None, 0, tile=tile)


def movement() -> Iterator[Case]:
    for m, n in ((128, 768), (1024, 1024), (4096, 4096)):
        x = noise(m, n)
        yield Case(f"copy {m}x{n}", "copy", [x], np.zeros_like(x), None, 0)
        yield Case(f"transpose {m}x{n}", "copy", [x.T], np.zeros((n, m), np.float32), None, 0)
    heads = noise(1, 128, 12, 64).transpose(0, 2, 1, 3)
    yield Case("split heads 128x12x64", "copy", [heads], np.zeros(heads.shape, np.float32), None, 0)
    table, at = noise(30522, 768), np.random.default_rng(0).integers(0, 30522, 128)
    out = np.zeros((128, 768), np.float32)
    yield Case("gather 128 of 30522x768", "gather", [table, at], out, params_blob("Gather", {"axis": 0}), 0)


GRIDS: Mapping[str, Callable[[], Iterator[Case]]] = {
    "gemm": gemm, "conv": conv, "depthwise": depthwise, "pool": pool, "attention": attention, "rowwise": rowwise,
    "elementwise": elementwise, "movement": movement,
}  # fmt: skip


def ideal(case: Case, peak: float, bandwidth: float) -> float:
    """Seconds that the roofline allows: gathers touch what they write twice, the rest all its operands once."""
    moved = 2 * case.output.nbytes if case.row == "gather" else case.bytes
    return max(case.flops / peak, moved / bandwidth)


def measure(case: Case, row: Mapping[str, Any], picked: bool, rounds: int) -> str:
    tier = row["tier"]
    best, variant, shares = float("inf"), "", []
    work = max(case.flops, 8.0 * case.bytes)
    repeat = max(1, min(200, int(2e8 / work)))

    def limits(seconds: float) -> tuple[float, float]:
        peak = _native.peak_flops(tier, min(0.03, max(0.001, seconds)))
        return peak, _native.read_bandwidth(tier, case.bytes, 0.001)

    before = limits(0.001)
    for _ in range(rounds):
        result = call(
            row, case.inputs, [case.output], params=case.params, tile=case.tile, pack=case.pack, repeat=repeat
        )
        assert result["status"] == 0, (case.name, result)
        best, variant = min(best, result["seconds"]), result["variant"]
        after = limits(result["total_seconds"])
        allowed = (ideal(case, *before) + ideal(case, *after)) / 2
        shares.append(allowed * repeat / result["total_seconds"])
        before = after
    where = f"{row['name']}/{TIERS[tier]}{'*' if picked else ''}"
    return (
        f"{case.name:44} {where:22} {variant:16} {best * 1e6:10.1f} us {case.flops / best / 1e9:8.1f} GFLOP/s "
        f"{case.bytes / best / 1e9:7.1f} GB/s {100 * statistics.median(shares):6.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", choices=[*TIERS, "all"], help="the dispatcher's pick by default")
    parser.add_argument("--only", choices=sorted(GRIDS), action="append")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    timed = set()
    for name in args.only or GRIDS:
        for case in GRIDS[name]():
            known = rows(case.row)
            pick = max(row["tier"] for row in known)
            timed.add(case.row)
            for row in known:
                if args.tier == "all" or row["tier"] == (pick if args.tier is None else TIERS.index(args.tier)):
                    print(measure(case, row, row["tier"] == pick, args.rounds), flush=True)
    rest = sorted({row["name"] for row in _native.rows()} - timed)
    print(f"{len(timed)} rows timed; not timed: {', '.join(rest)}")


if __name__ == "__main__":
    main()
