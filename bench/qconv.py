"""Writes docs/measured/QCONV.md: convolutions of bytes beside onnxruntime and the peak.

    python -m bench.qconv [--rounds N] [--table NAME] [--output FILE]

One thread. A model with one QLinearConv of u8 by s8 (a scale a filter, bias) between transposes, so that both engines
compute it channels last, is timed as Model.run in turns with onnxruntime's with IO binding and a loop of dot products
(the VNNI peak), by the thread's processor time. A share is the median over the turns of a rate by the limits just
before and after.
"""

from __future__ import annotations

import argparse
import os
import statistics
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
from arenaut.measure.process import machine, pin  # noqa: E402
from arenaut.native.target import allowed_features, allowed_tier, feature_names  # noqa: E402
from bench.gemm import Array, peer_run, take_turns  # noqa: E402
from bench.qgemm import peak_dots  # noqa: E402

OUTPUT: Final = ROOT / "docs" / "measured" / "QCONV.md"


@dataclass(frozen=True)
class Layer:
    """A convolution over a square image. size: its pixels a side; kernel: taps a side, odd, padded by half of them."""

    channels: int
    size: int
    filters: int
    kernel: int
    stride: int = 1
    group: int = 1

    @property
    def out(self) -> int:
        return (self.size - 1) // self.stride + 1

    @property
    def flops(self) -> float:
        """Operations, a multiply-add being two."""
        return 2.0 * self.out**2 * self.filters * self.channels // self.group * self.kernel**2


TABLES: Final = {
    "resnet": ("Layers of ResNet-50", (
        Layer(3, 224, 64, 7, 2),
        *(Layer(c, size, c, 3) for c, size in ((64, 56), (128, 28), (256, 14), (512, 7))),
        *(Layer(c, size, 4 * c, 1) for c, size in ((64, 56), (128, 28), (256, 14), (512, 7))),
        *(Layer(4 * c, size, c, 1) for c, size in ((64, 56), (128, 28), (256, 14), (512, 7))),
        Layer(256, 56, 512, 1, 2), Layer(1024, 14, 2048, 1, 2),
    )),
    "mobilenet": ("1x1 layers of MobileNetV3", (
        Layer(16, 112, 64, 1), Layer(64, 56, 24, 1), Layer(24, 56, 72, 1), Layer(72, 28, 40, 1), Layer(40, 28, 120, 1),
        Layer(240, 14, 80, 1), Layer(80, 14, 480, 1), Layer(672, 14, 112, 1), Layer(160, 7, 960, 1),
    )),
    "depthwise": ("Depthwise layers of MobileNetV3", tuple(
        Layer(c, size, c, kernel, stride, c)
        for c, size, kernel, stride in ((16, 112, 3, 1), (64, 112, 3, 2), (72, 56, 3, 1), (120, 28, 5, 1),
                                        (240, 28, 3, 2), (480, 14, 3, 1), (672, 14, 5, 2), (960, 7, 5, 1))
    )),
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """Rates in operations a second; share: of the VNNI peak."""

    layer: Layer
    rate: float
    share: float
    peer_rate: float


def model_of(layer: Layer) -> tuple[onnx.ModelProto, Array]:
    """A model from u8 [1, size, size, channels] to u8 [1, out, out, filters], and an input."""
    random, helper, numpy = np.random.default_rng(0), onnx.helper, onnx.numpy_helper
    w = random.integers(-127, 128, (layer.filters, layer.channels // layer.group, layer.kernel, layer.kernel), np.int8)
    spread = 2 / (127 * np.sqrt(w[0].size))
    constants = {
        "xs": np.float32(0.02), "xz": np.uint8(128), "w": w, "ws": np.full(layer.filters, spread, np.float32),
        "wz": np.zeros(layer.filters, np.int8), "ys": np.float32(0.02), "yz": np.uint8(128),
        "b": random.integers(-1000, 1000, layer.filters).astype(np.int32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Transpose", ["a"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("QLinearConv", ["first", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["conv"],
                         group=layer.group, strides=[layer.stride] * 2, pads=[layer.kernel // 2] * 4),
        helper.make_node("Transpose", ["conv"], ["y"], perm=[0, 2, 3, 1]),
    ]  # fmt: skip
    value, u8 = helper.make_tensor_value_info, onnx.TensorProto.UINT8
    graph = helper.make_graph(
        nodes, "layer", [value("a", u8, [1, layer.size, layer.size, layer.channels])],
        [value("y", u8, [1, layer.out, layer.out, layer.filters])],
        [numpy.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    x = random.integers(0, 256, (1, layer.size, layer.size, layer.channels), np.uint8)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), x


def measure(layer: Layer, rounds: int) -> Result:
    model, x = model_of(layer)
    loaded = arenaut.load_onnx(model, threads=1)
    turns = take_turns((lambda: loaded.run(x), peer_run(model, x)), layer.flops, peak_dots, rounds)
    return Result(layer, turns.rates[0], turns.shares[0], turns.rates[1])


def lines_of(title: str, results: Sequence[Result]) -> list[str]:
    lines = [
        f"## {title}",
        "",
        "| channels | pixels | filters | taps | stride | arenaut, GOP/s | % of the VNNI peak "
        "| onnxruntime, GOP/s | times |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in results:
        n = r.layer
        lines.append(
            f"| {n.channels} | {n.size}x{n.size} | {n.filters} | {n.kernel}x{n.kernel} | {n.stride} | "
            f"{r.rate / 1e9:.0f} | {100 * r.share:.0f} | {r.peer_rate / 1e9:.0f} | {r.rate / r.peer_rate:.2f} |"
        )
    mean = statistics.geometric_mean(r.rate / r.peer_rate for r in results)
    return [*lines, "", f"Geometric mean: {mean:.2f} times onnxruntime.", ""]


def document(tables: Sequence[Sequence[str]], where: str, features: str, rounds: int) -> str:
    head = [
        "# Convolutions of bytes",
        "",
        "Generated by `python -m bench.qconv`; see its help for how. Nothing here is typed in.",
        f"{where}, features {features}, one thread, {rounds} rounds.",
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
    tables = []
    for name in args.table or TABLES:
        title, layers = TABLES[name]
        tables.append(lines_of(title, [measure(layer, args.rounds) for layer in layers]))
        print("\n".join(tables[-1]), flush=True)
    if not args.table:
        args.output.write_text(document(tables, where, features, args.rounds))


if __name__ == "__main__":
    main()
