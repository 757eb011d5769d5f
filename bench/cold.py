"""What a fresh process pays: imports, load and first run of small models, and the load of a large tree ensemble.

    python -m bench.cold [NAME...] [--rounds N]
    python -m bench.cold --forest MEGABYTES [--rounds N]

The first: whole child processes, arenaut's and onnxruntime's in turn, from the first import, which is numpy's for both,
to the first result; medians, the ratio of each round, and its median; then the same without numpy's import. Models of
bench/zoo.toml; by default those of about a megabyte. The second makes an ensemble of that size in the old spelling,
lists of numbers and of texts, and prints what imports and loading take in such processes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

DEFAULT: Final = ("ppocr-cls", "romanizer-decoder", "asr-nemo80", "silero-vad", "mlp-3x512")
CHILD: Final = """
import json, sys, time
begun = time.perf_counter()
import numpy
numpy_there = time.perf_counter()
path, feeds, engine = sys.argv[1:]
feeds = dict(numpy.load(feeds)) if feeds else None
read = time.perf_counter() - numpy_there
if engine == "arenaut":
    import arenaut
    model = arenaut.load_onnx(path, threads=1)
    run = model.run
else:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    run = lambda feeds: session.run(None, feeds)
if feeds is not None:
    run(feeds)
done = time.perf_counter() - read
print(json.dumps([done - begun, done - numpy_there]))
"""
ENGINES: Final = ("arenaut", "onnxruntime")
DEPTH: Final = 11
NODE_BYTES: Final = 32.0


def seconds(path: Path, feeds: str, engine: str) -> list[float]:
    """Of one child, with numpy's import and without, reading the feeds left out."""
    command = [sys.executable, "-c", CHILD, str(path), feeds, engine]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(each) for each in json.loads(said)]


def compare(name: str, path: Path, feeds: Mapping[str, Any] | None, rounds: int) -> None:
    taken: dict[str, list[list[float]]] = {engine: [] for engine in ENGINES}
    with tempfile.TemporaryDirectory() as folder:
        fed = ""
        if feeds is not None:
            fed = str(Path(folder, "feeds.npz"))
            np.savez(fed, **feeds)
        for index in range(rounds):
            for engine in ENGINES if index % 2 else ENGINES[::-1]:
                taken[engine].append(seconds(path, fed, engine))
    line = f"{name:20} {path.stat().st_size / 1e6:7.1f} MB"
    for which, what in enumerate(("all", "without numpy")):
        ours, theirs = ([each[which] for each in taken[engine]] for engine in ENGINES)
        ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
        line += f"  {what}: {1e3 * median(ours):.0f} ms, onnxruntime {1e3 * median(theirs):.0f}, {ratio:.2f}"
    print(line, flush=True)


def forest(megabytes: float, path: Path) -> None:
    """Full trees of one depth, each node in nine lists."""
    import onnx
    from onnx import TensorProto, helper

    inner, every = (1 << DEPTH) - 1, (1 << (DEPTH + 1)) - 1
    count = max(1, round(megabytes * 1e6 / NODE_BYTES / every))
    draw = np.random.default_rng(0)
    ids = np.arange(every)
    low, high = np.where(ids < inner, 2 * ids + 1, 0), np.where(ids < inner, 2 * ids + 2, 0)
    leaves = np.tile(ids[inner:], count)
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=np.repeat(np.arange(count), every).tolist(), nodes_nodeids=np.tile(ids, count).tolist(),
        nodes_featureids=draw.integers(0, 30, count * every).tolist(),
        nodes_values=draw.normal(size=count * every).astype(np.float32).tolist(),
        nodes_modes=(["BRANCH_LEQ"] * inner + ["LEAF"] * (every - inner)) * count,
        nodes_truenodeids=np.tile(low, count).tolist(), nodes_falsenodeids=np.tile(high, count).tolist(),
        target_treeids=np.repeat(np.arange(count), every - inner).tolist(), target_nodeids=leaves.tolist(),
        target_ids=[0] * len(leaves), target_weights=draw.normal(size=len(leaves)).astype(np.float32).tolist(),
    )  # fmt: skip
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 30])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])
    model = helper.make_model(
        helper.make_graph([node], "forest", [x], [y]), ir_version=8,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
    )  # fmt: skip
    onnx.save(model, path)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(DEFAULT), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--forest", type=float, metavar="MEGABYTES")
    given = parser.parse_args(arguments)
    if given.forest:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "forest.onnx")
            forest(given.forest, path)
            compare("tree ensemble", path, None, given.rounds)
        return 0
    from bench.subjects import find_subjects

    for subject in find_subjects(given.names, {}):
        compare(subject.name, subject.path, subject.make_feeds(0), given.rounds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
