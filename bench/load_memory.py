"""What loading a model costs: resident memory during and after, and time, beside the peers.

    python bench/load_memory.py [NAME or FILE...] [--engines arenaut,onnxruntime,openvino] [--threads 1] [--rounds 3]
                                [--markdown FILE]

Each load happens in a child process of its own, after the engine has loaded another small model, so that imports and
first-use costs are outside. The file is in the page cache. RSS counts mapped file pages too; the peak is the kernel's
own high-water mark, reset just before the load. Weights are the bytes of the initialisers as stored.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

from arenaut.measure.engines import require  # noqa: E402
from arenaut.measure.process import die_with_parent, peak_resident_bytes, resident_bytes  # noqa: E402

MODELS: Final = ("gpt2", "gpt2-lm", "bert-base", "qwen3-2l", "resnet50", "minilm-l6-int8", "light-vgg19-random")
ENGINES: Final = "arenaut,onnxruntime,openvino"
MIB: Final = 2**20
RSS_FACTOR, RSS_SLACK = 1.2, 20e6
PEAK_FACTOR, PEAK_SLACK = 1.6, 40e6


def measure(engine: str, path: Path, threads: int) -> dict[str, float]:
    """In this process: what one load costs."""
    die_with_parent()
    load = require(engine).load
    warm = load(ROOT / "src" / "arenaut" / "data" / "digits.onnx", threads)
    del warm
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = resident_bytes() or 0
    start = time.perf_counter()
    model = load(path, threads)
    seconds = time.perf_counter() - start
    after, peak = resident_bytes() or 0, peak_resident_bytes()
    result = {"seconds": seconds, "grown": float(after - before), "peak": float(peak - before)}
    inner: Any = getattr(model, "model", None)
    if engine == "arenaut" and hasattr(inner, "load_times"):
        result.update({f"t_{k}": v for k, v in inner.load_times.items()})
    return result


def weight_bytes(path: Path) -> int:
    """Bytes of all initialisers and constant nodes of the main graph, as stored."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    tensors = list(model.graph.initializer)
    tensors += [
        a.t for node in model.graph.node if node.op_type == "Constant" for a in node.attribute if a.name == "value"
    ]
    return sum(_tensor_bytes(t) for t in tensors)


def _tensor_bytes(tensor: Any) -> int:
    import onnx

    count = 1
    for d in tensor.dims:
        count *= d
    if tensor.data_type == onnx.TensorProto.STRING:
        return 0
    return int(count * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def in_child(engine: str, path: Path, threads: int) -> dict[str, float] | None:
    command = [sys.executable, str(Path(__file__).resolve()), "--child", engine, str(path), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{engine} cannot load {path.name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def files_of(path: Path) -> list[Path]:
    return [p for p in path.parent.iterdir() if p.is_file() and p.name.startswith(path.name)]


def compare(name: str, path: Path, engines: list[str], threads: int, rounds: int) -> list[str]:
    """Rows of the table for one model: medians over interleaved rounds."""
    for file in files_of(path):
        file.read_bytes()
    weights = weight_bytes(path)
    runs: dict[str, list[dict[str, float]]] = {e: [] for e in engines}
    for _ in range(rounds):
        for engine in engines:
            result = in_child(engine, path, threads)
            if result is not None:
                runs[engine].append(result)
    rows = []
    for engine, results in runs.items():
        if not results:
            continue
        middle = {k: statistics.median(r[k] for r in results) for k in results[0]}
        over = [
            word for word, limit, got in (
                ("RSS", RSS_FACTOR * weights + RSS_SLACK, middle["grown"]),
                ("peak", PEAK_FACTOR * weights + PEAK_SLACK, middle["peak"]),
            ) if got > limit
        ]  # fmt: skip
        grown, peak = (f"{middle[k] / MIB:.1f} ({middle[k] / weights:.2f}x)" for k in ("grown", "peak"))
        rows.append(
            f"| {name} | {engine} | {weights / MIB:.1f} | {grown} | {peak} | {', '.join(over) or '-'} "
            f"| {middle['seconds'] * 1e3:.0f} | {weights / middle['seconds'] / 1e9:.2f} |"
        )
        print(rows[-1], flush=True)
    return rows


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--engines", default=ENGINES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(measure(options.child[0], Path(options.child[1]), options.threads)))
        return 0
    from bench.zoo import ensure, load_manifest

    manifest = load_manifest()
    head = [
        f"Threads: {options.threads}; medians of {options.rounds} loads.",
        "",
        "| model | engine | weights MiB | RSS grown MiB | peak MiB | over the limit | load ms | GB/s of weights |",
        "|---|---|--:|--:|--:|---|--:|--:|",
    ]
    print("\n".join(head))
    rows: list[str] = []
    for name in options.models:
        path = Path(name) if Path(name).exists() else ensure(manifest[name])
        rows += compare(name, path, options.engines.split(","), options.threads, options.rounds)
    if options.markdown:
        options.markdown.write_text("\n".join([*head, *rows]) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
