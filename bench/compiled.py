"""Compiled files beside what peers store: sizes, times and memory, every time and size taken in a fresh process.

    python -m bench.compiled [NAME...] [--rounds N] [--markdown FILE]
    python -m bench.compiled --workers 8 --worker-model bert-base

A child imports its engine (and numpy), notes what it has by then, opens its file, and runs once. Engines: arenaut from
its compiled file; arenaut from the model; onnxruntime from the model, and from the optimised model that it can write;
OpenVINO from the model, and with its model cache filled. Each number is the median of N rounds, with files in the page
cache. RSS and PSS are what opening and the first run added. --workers: what N processes, alive together, add to the
sum of PSS on top of what they had after their imports.
docs/measured/COMPILED.md is what the first command wrote.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

DEFAULT: Final = (
    "digits", "mlp-3x512", "magika", "silero-vad", "ppocr-det", "mobilenet-v3-large", "light-densenet121-random",
    "minilm-l3", "gpt2-2l", "resnet50", "bert-base",
)  # fmt: skip
ENGINES: Final = ("arenaut file", "arenaut model", "onnxruntime model", "onnxruntime file", "openvino model",
                  "openvino cache")  # fmt: skip
STORED: Final = ("arenaut file", "onnxruntime file", "openvino cache")


def opened(engine: str, path: str, stored: str) -> Any:
    """A callable that runs feeds. The engine is imported by now."""
    if engine == "arenaut file":
        import arenaut

        return arenaut.load_onnx(stored, threads=1).run
    if engine == "arenaut model":
        import arenaut

        return arenaut.load_onnx(path, threads=1).run
    if engine.startswith("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        if engine == "onnxruntime file":
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(
            stored if engine == "onnxruntime file" else path, options, ["CPUExecutionProvider"]
        )
        return lambda feeds: session.run(None, feeds)
    import openvino

    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": 1})
    if engine == "openvino cache":
        core.set_property({"CACHE_DIR": stored})
    model = core.compile_model(path, "CPU")
    return lambda feeds: model(feeds)


def store(engine: str, path: str, stored: str, feeds: Mapping[str, Any]) -> None:
    """Makes what the engine opens later. arenaut's file is saved after a run: it holds what open parts became."""
    if engine == "arenaut file":
        import arenaut

        model = arenaut.load_onnx(path, threads=1)
        model.run(feeds)
        model.save(stored)
    elif engine == "onnxruntime file":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = stored
        onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    else:
        opened(engine, path, stored)


def prepare_imports(engine: str) -> None:
    if engine.startswith("arenaut"):
        import arenaut
        import arenaut.compiled.opening  # what load_onnx asks for when it meets a compiled file
        import arenaut.loading  # noqa: F401
    elif engine.startswith("onnxruntime"):
        import onnxruntime  # noqa: F401
    else:
        import openvino  # noqa: F401


def memory() -> dict[str, int]:
    """Bytes of this process: resident, and with shared pages divided among those that share them."""
    found = {}
    with open("/proc/self/smaps_rollup") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in ("Rss", "Pss"):
                found[name.lower()] = int(rest.split()[0]) << 10
    return found


def child(task: Mapping[str, Any]) -> None:
    """One engine, one model: prints what it took as JSON. wait: until a line comes, before memory is read again."""
    prepare_imports(task["engine"])
    feeds = dict(np.load(task["feeds"], allow_pickle=False)) if task["feeds"] else {}
    if task["store"]:
        begun = time.perf_counter()
        store(task["engine"], task["path"], task["stored"], feeds)
        print(json.dumps({"store": time.perf_counter() - begun}), flush=True)
        return
    before = memory()
    begun = time.perf_counter()
    run = opened(task["engine"], task["path"], task["stored"])
    done = time.perf_counter()
    run(feeds)
    first = time.perf_counter()
    if task["wait"]:
        print("ready", flush=True)
        sys.stdin.readline()
    after = memory()
    print(json.dumps({"open": done - begun, "first": first - begun, **{k: after[k] - before[k] for k in after}}),
          flush=True)  # fmt: skip
    if task["wait"]:
        sys.stdin.readline()


def spawn(task: Mapping[str, Any]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.compiled", "--child", json.dumps(task)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def asked(task: Mapping[str, Any]) -> dict[str, float] | None:
    """What a child says; None where its engine failed."""
    process = spawn(task)
    text, _ = process.communicate("\n")
    return json.loads(text.splitlines()[-1]) if process.returncode == 0 and text.strip() else None


@dataclass
class Row:
    """Of one model and engine; seconds and bytes. stored: what it opens from, 0 for the model itself."""

    model: str
    engine: str
    stored: int = 0
    store: float = 0.0
    rounds: list[dict[str, float]] = field(default_factory=list)

    def of(self, name: str) -> float:
        return median(r[name] for r in self.rounds)


def size_of(path: str) -> int:
    if os.path.isdir(path):
        return sum(f.stat().st_size for f in os.scandir(path) if f.is_file())
    return os.path.getsize(path) if os.path.exists(path) else 0


def tasks_of(path: Path, feeds: str, folder: Path) -> dict[str, dict[str, Any]]:
    stored = {"arenaut file": folder / "model.arn", "onnxruntime file": folder / "model.ort.onnx",
              "openvino cache": folder / "openvino"}  # fmt: skip
    return {
        engine: {"engine": engine, "path": str(path), "stored": str(stored.get(engine, "")), "feeds": feeds,
                 "store": False, "wait": False}
        for engine in ENGINES
    }  # fmt: skip


def measure(name: str, path: Path, feeds: Mapping[str, Any], rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        given = os.path.join(folder, "feeds.npz")
        np.savez(given, **feeds)
        tasks = tasks_of(path, given, Path(folder))
        rows = {engine: Row(name, engine) for engine in ENGINES}
        for engine in STORED:
            said = asked({**tasks[engine], "store": True})
            if said is None:
                del rows[engine]
                continue
            rows[engine].store = said["store"]
            rows[engine].stored = size_of(tasks[engine]["stored"])
        for _ in range(rounds):
            for engine in list(rows):
                said = asked(tasks[engine])
                if said is None:
                    del rows[engine]
                else:
                    rows[engine].rounds.append(said)
        return list(rows.values())


def workers(name: str, path: Path, feeds: Mapping[str, Any], count: int) -> dict[str, tuple[float, float]]:
    """Per engine: what `count` processes, alive together, add to the sum of PSS, and the size of what they open."""
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        given = os.path.join(folder, "feeds.npz")
        np.savez(given, **feeds)
        for engine, task in tasks_of(path, given, Path(folder)).items():
            if engine in STORED and asked({**task, "store": True}) is None:
                continue
            processes = [spawn({**task, "wait": True}) for _ in range(count)]
            for process in processes:  # all of them have run once before any looks
                assert process.stdout is not None
                process.stdout.readline()
            total = 0.0
            for process in processes:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write("\n")
                process.stdin.flush()
                said = process.stdout.readline()
                total += json.loads(said)["pss"] if said.strip() else float("nan")
            for process in processes:
                process.communicate("\n")
            found[engine] = (total, float(size_of(task["stored"]) or path.stat().st_size))
    return found


def _mib(n: float) -> str:
    return f"{n / 2**20:,.1f}"


def line(row: Row) -> str:
    stored = f"{_mib(row.stored)} | {1e3 * row.store:,.0f}" if row.engine in STORED else "| "
    return (f"| {row.model} | {row.engine} | {stored} | {1e3 * row.of('open'):,.1f} | {1e3 * row.of('first'):,.1f} | "
            f"{_mib(row.of('rss'))} | {_mib(row.of('pss'))} |")  # fmt: skip


def document(
    rows: Sequence[Row], shared: Mapping[str, tuple[float, float]], about: str, where: str, rounds: int, command: str
) -> str:
    head = [
        "# Compiled files", "", f"Generated by `{command}`; see its help for how. Nothing here is typed in.",
        f"{where}. One thread, each number of a fresh process after its imports, median of {rounds}.", "",
        "| model | opened from | MiB stored | ms to store | ms to open | ms to first result | RSS added, MiB | "
        "PSS added, MiB |", "|---|---|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    tail = [
        "", f"{about}:", "", "| opened from | MiB of the file | MiB added to the sum of PSS |", "|---|--:|--:|",
        *[f"| {engine} | {_mib(size)} | {_mib(total)} |" for engine, (total, size) in shared.items()],
    ]  # fmt: skip
    return "\n".join([*head, *[line(row) for row in rows], *(tail if shared else [])]) + "\n"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--worker-model", default="bert-base")
    parser.add_argument("--no-models", action="store_true", help="only the processes that share")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        child(json.loads(options.child))
        return 0
    from arenaut.measure.process import machine
    from bench.subjects import find_subjects

    rows: list[Row] = []
    for subject in [] if options.no_models else find_subjects(list(options.names or DEFAULT), {}):
        for row in measure(subject.name, subject.path, subject.make_feeds(0), options.rounds):
            rows.append(row)
            print(line(row), flush=True)
    shared: dict[str, tuple[float, float]] = {}
    if options.workers:
        (subject,) = find_subjects([options.worker_model], {})
        shared = workers(subject.name, subject.path, subject.make_feeds(0), options.workers)
        for engine, (total, size) in shared.items():
            print(f"{options.workers} processes of {subject.name}, {engine}: {_mib(total)} MiB of PSS; "
                  f"{_mib(size)} MiB opened")  # fmt: skip
    if options.markdown:
        about = f"{options.workers} processes of {options.worker_model}, alive together"
        command = " ".join(["python -m bench.compiled", *arguments])
        options.markdown.write_text(document(rows, shared, about, machine(), options.rounds, command))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
