"""`arenaut demo`: the shipped digit classifier, from file to accuracy, latency and memory plan."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from arenaut.loading import load_onnx
from arenaut.model import Model
from arenaut.results.picture import memory_picture

# Grey levels of the held-out images; the model takes them scaled to [0, 1].
GREY_LEVELS = 16


def demo_data() -> tuple[bytes, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The demo model's bytes, its feed float32 [200, 1, 8, 8], and the labels [200]."""
    folder = resources.files("arenaut") / "data"
    model = (folder / "digits.onnx").read_bytes()
    with (folder / "digits_heldout.npz").open("rb") as file:
        held = np.load(file)
        images, labels = held["images"], held["labels"]
    return model, images[:, None].astype(np.float32) / GREY_LEVELS, labels


def run_demo(say: Callable[[str], None], threads: int | None = None) -> bool:
    """Says what the demo shows, line by line; True when accuracy, and parity where onnxruntime is there, hold."""
    data, images, labels = demo_data()
    begin = time.perf_counter()
    model = load_onnx(data, threads=threads)
    loaded = time.perf_counter() - begin
    logits = model.run(image=images)["logits"]
    accuracy = float(np.mean(np.argmax(logits, axis=1) == labels))
    say(f"digits.onnx: {len(data) / 1024:.0f} KiB, loaded in {loaded * 1e3:.1f} ms")
    say(f"accuracy on {len(labels)} held-out handwritten digits: {accuracy:.1%}")
    batch_us, one_us = _latency(model, images), _latency(model, images[:1])
    say(f"latency with {model.threads} threads: one image {one_us:.0f} us, all at once {batch_us / 1e3:.2f} ms")
    say("")
    say("the optimised graph:")
    for node in model.graph.nodes:
        out = node.output
        say(f"  {node.op if not node.domain else _fused(node):24} -> {out.type}")
    model.run(image=images)
    say("")
    say(f"the memory plan for {len(labels)} images: {model.plan}")
    say(memory_picture(model.plan))
    say("")
    return accuracy >= 0.97 and _compare(say, data, images, logits, model)


def _fused(node: Any) -> str:
    body = node.attr("body")
    return "+".join(n.op for n in body.nodes) if body is not None else node.op


def _latency(model: Model, images: np.ndarray[Any, Any], repeat: int = 50) -> float:
    """Median microseconds of a run."""
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        model.run(image=images)
        times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1e6


def _compare(
    say: Callable[[str], None], data: bytes, images: np.ndarray[Any, Any], logits: np.ndarray[Any, Any], model: Model
) -> bool:
    try:
        import onnxruntime as ort
    except ImportError:
        say("(install onnxruntime to compare results and arena size with it)")
        return True
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    want = session.run(None, {"image": images})[0]
    error = float(np.max(np.abs(logits - want)))
    say(f"onnxruntime {ort.__version__}: largest difference {error:.2e} at logits up to {np.max(np.abs(want)):.1f}")
    _compare_arena(say, data, images, model)
    return error <= 1e-4 * float(np.max(np.abs(want)))


def _compare_arena(say: Callable[[str], None], data: bytes, images: np.ndarray[Any, Any], model: Model) -> None:
    from arenaut.measure.memory import ort_memory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "digits.onnx"
        path.write_bytes(data)
        try:
            memory = ort_memory(path, {"image": images}, threads=model.threads)
        except Exception as error:  # another version of onnxruntime may not show its arena
            say(f"(its arena could not be measured: {error})")
            return
    ours, default, best = model.plan.arena_bytes, memory.default, memory.best
    say(
        f"arena: arenaut {ours / 1024:,.0f} KiB, onnxruntime {default.peak_bytes / 1024:,.0f} KiB by default, "
        f"{best.peak_bytes / 1024:,.0f} KiB at its best setting"
    )
