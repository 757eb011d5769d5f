"""Writes docs/measured/QGEMM.md: products of bytes, and by weights of few bits, beside onnxruntime and the peak.

    python bench/qgemm.py [--rounds N] [--table NAME] [--output FILE]

One thread, constant B. A model with one node (MatMulInteger of u8 by s8, or MatMulNBits) is timed as Model.run in turns
with onnxruntime's with IO binding, a loop of dot products (the peak: VNNI's in every table, so that shares compare) and
one of loads over as many bytes as B has (the bandwidth), by the thread's processor time. A share is the median over the
turns of a rate by the limits just before and after.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

import arenaut  # noqa: E402
from arenaut import _native  # noqa: E402
from arenaut.measure.process import machine, pin  # noqa: E402
from arenaut.native.target import FEATURE_CAP_VARIABLE, allowed_features, allowed_tier, feature_names  # noqa: E402
from bench.gemm import Array, Size, peer_run, take_turns  # noqa: E402

OUTPUT: Final = ROOT / "docs" / "measured" / "QGEMM.md"
SQUARE: Final = tuple(Size(m, 1024, 1024) for m in (1, 16, 128, 512))
LAYERS: Final = tuple(
    Size(m, n, k) for n, k in ((768, 768), (3072, 768), (768, 3072), (256, 64), (64, 576)) for m in (16, 128, 784)
)
BLOCKS: Final = tuple(Size(m, 2048, 2048) for m in (1, 16, 128, 512))
BLOCK: Final = 32


@dataclass(frozen=True)
class Table:
    """Sizes of one kind of product. bits: None for bytes by bytes, else of the weights, with MatMulNBits' level."""

    title: str
    sizes: Sequence[Size]
    without: str = ""
    bits: int | None = None
    level: int = 0


TABLES: Final = {
    "vnni": Table("Bytes, K = N = 1024, without AMX", SQUARE, "amx_int8,amx_bf16"),
    "best": Table("Bytes, K = N = 1024, all features", SQUARE),
    "layers": Table("Bytes, sizes of layers, all features", LAYERS),
    "level4": Table("Weights of 4 bits, blocks of 32, accuracy level 4", BLOCKS, bits=4, level=4),
    "level0": Table("Weights of 4 bits, blocks of 32, accuracy level 0", BLOCKS, bits=4),
}


@dataclass(frozen=True)
class Result:
    """Rates in operations a second; shares of the peak, or with one row of the bandwidth that B is read at."""

    size: Size
    rate: float
    share: float
    peer_rate: float


def model_of(table: Table, size: Size, random: np.random.Generator) -> tuple[onnx.ModelProto, Array, int]:
    """The model, its input and the bytes of B that a run reads."""
    helper = onnx.helper
    kind, constants, attributes = "MatMulInteger", {"b": random.integers(-128, 128, (size.k, size.n), np.int8)}, {}
    a: Array = random.integers(0, 256, (size.m, size.k), np.uint8)
    if table.bits is not None:
        blocks = size.k // BLOCK
        stored = random.integers(0, 256, (size.n, blocks, BLOCK * table.bits // 8), np.uint8)
        kind, constants = "MatMulNBits", {"b": stored, "s": random.random(size.n * blocks, np.float32)}
        attributes = {"K": size.k, "N": size.n, "bits": table.bits, "block_size": BLOCK, "accuracy_level": table.level}
        a = random.standard_normal((size.m, size.k), np.float32)
    domain = "" if table.bits is None else "com.microsoft"
    element = {np.dtype(np.uint8): onnx.TensorProto.UINT8, np.dtype(np.float32): onnx.TensorProto.FLOAT}[a.dtype]
    result = onnx.TensorProto.INT32 if table.bits is None else onnx.TensorProto.FLOAT
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(kind, ["a", *constants], ["y"], domain=domain, **attributes)], "product",
        [value("a", element, ["m", size.k])], [value("y", result, ["m", size.n])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    bytes_of_b = sum(array.nbytes for array in constants.values())
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), a, bytes_of_b


def peak_dots() -> float:
    """Operations a second of a loop of the tier's dot products of bytes (VNNI), else four times its multiply-adds."""
    tier = allowed_tier()
    features = allowed_features(tier)
    dots = next((bit for name, bit, _ in _native.features() if name == "vnni" and bit & features), None)
    return float(4 * _native.peak_flops(tier, 0.0007) if dots is None else _native.peak_dots(dots, 0.0007))


def measure(table: Table, size: Size, rounds: int) -> Result:
    model, a, bytes_of_b = model_of(table, size, np.random.default_rng(0))
    loaded = arenaut.load_onnx(model, threads=1)
    by_bandwidth, scale = size.m == 1, size.flops / bytes_of_b

    def limit() -> float:
        if by_bandwidth:
            return scale * float(_native.read_bandwidth(allowed_tier(), bytes_of_b, 0.001))
        return peak_dots()

    turns = take_turns((lambda: loaded.run(a), peer_run(model, a)), size.flops, limit, rounds)
    return Result(size, turns.rates[0], turns.shares[0], turns.rates[1])


def lines_of(table: Table, results: Sequence[Result]) -> list[str]:
    lines = [
        f"## {table.title}",
        "",
        "| M | N | K | arenaut, GOP/s | % of the VNNI peak | % of the bandwidth | onnxruntime, GOP/s | times |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in results:
        s, percent = r.size, f"{100 * r.share:.0f}"
        peak, bandwidth = ("", percent) if s.m == 1 else (percent, "")
        lines.append(
            f"| {s.m} | {s.n} | {s.k} | {r.rate / 1e9:.0f} | {peak} | {bandwidth} | {r.peer_rate / 1e9:.0f} | "
            f"{r.rate / r.peer_rate:.2f} |"
        )
    return [*lines, ""]


def document(tables: Sequence[Sequence[str]], where: str, features: str, rounds: int) -> str:
    head = [
        "# Products of bytes and of weights in blocks",
        "",
        "Generated by `python bench/qgemm.py`; see its help for how. Nothing here is typed in.",
        f"{where}, features {features}, one thread, constant B, {rounds} rounds.",
        "",
    ]
    return "\n".join([*head, *(line for lines in tables for line in lines)])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--table", choices=sorted(TABLES), action="append", help="only these tables, printed")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(arguments)
    where, features = machine(), ", ".join(feature_names(allowed_features(allowed_tier()))) or "none"
    pin(tuple(sorted(os.sched_getaffinity(0))[:1]))
    given = os.environ.get(FEATURE_CAP_VARIABLE, "")
    tables = []
    for name in args.table or TABLES:
        table = TABLES[name]
        os.environ[FEATURE_CAP_VARIABLE] = ",".join(filter(None, (given, table.without)))
        tables.append(lines_of(table, [measure(table, size, args.rounds) for size in table.sizes]))
        print("\n".join(tables[-1]), flush=True)
    if not args.table:
        args.output.write_text(document(tables, where, features, args.rounds))


if __name__ == "__main__":
    main()
