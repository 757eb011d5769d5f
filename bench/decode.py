"""Writes docs/measured/DECODE.md: decoders token by token while their caches grow, beside onnxruntime and OpenVINO.

    python -m bench.decode [MODEL...] [--threads 1] [--lengths 64,512,1500] [--rounds N] [--save FOLDER]
    python -m bench.decode --page FOLDER

What is measured is stored length by length, beside what was stored before: slices make one page.

Engines run in processes of their own (bench/decode_engines.py) and take turns: each has so many steps after a cache of
that length in a round. A figure is the least of the rounds' medians. Tokens: whether arenaut's likeliest tokens are
onnxruntime's, 256 steps after a prompt.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenaut.measure.process import machine
from bench import zoo
from bench.decode_engines import caches_at

ROOT: Final = Path(__file__).resolve().parents[1]
OUTPUT: Final = ROOT / "docs" / "measured" / "DECODE.md"
STEPS: Final = 8
TOKENS: Final = 256
PROMPT: Final = (1, 7, 42, 99, 3)
PEERS: Final = ("onnxruntime", "onnxruntime binding", "OpenVINO", "OpenVINO state")
OURS: Final = ("arenaut", "arenaut state")


def decoders() -> dict[str, zoo.ZooEntry]:
    """The zoo's decoders that take and return caches."""
    entries = zoo.load_manifest()
    return {n: e for n, e in entries.items() if "decode" in e.tags and is_decoder(e)}


def is_decoder(entry: zoo.ZooEntry) -> bool:
    names = [feed.name for feed in entry.inputs]
    return any(n.startswith("past_key_values") for n in names) and "use_cache_branch" not in names


class Worker:
    """An engine with a model in a process; None as an answer: it failed."""

    def __init__(self, engine: str, model: str, threads: int, first_core: int = 0) -> None:
        command = [sys.executable, "-m", "bench.decode_engines", engine, model, str(threads), str(first_core)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.ready = self.answer() is not None

    def ask(self, **question: Any) -> Any:
        return self.answer() if self.tell(**question) else None

    def tell(self, **question: Any) -> bool:
        if self.ready:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        return self.ready

    def answer(self) -> Any:
        assert self._process.stdout is not None and self._process.stderr is not None
        line = self._process.stdout.readline()
        while line and not line.startswith(("[", '"ready')):
            line = self._process.stdout.readline()
        if not line:
            self.ready = False
            print(self._process.stderr.read()[-400:], file=sys.stderr)
        return json.loads(line) if line else None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def measure(
    model: str, threads: int, lengths: Sequence[int], rounds: int, engines: Sequence[str], path: Path
) -> dict[str, Any]:
    """{"times": {engine: {length: seconds or None}}, "bandwidth": bytes a second, "bytes": {length: of a step}}, as
    `path` then holds it."""
    entry = decoders()[model]
    found: dict[str, Any] = (
        json.loads(path.read_text()) if path.exists() else {"times": {}, "bandwidth": 0, "bytes": {}}
    )
    workers = {name: Worker(name, model, threads) for name in engines}
    times: dict[str, dict[str, float | None]] = found["times"]
    weights = weight_bytes(entry)
    readers = [Worker("nothing", model, 1, core) for core in range(threads)]
    for length in lengths:
        seen: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(rounds):
            found["bandwidth"] = max(found["bandwidth"], memory_rate(readers))
            for name, worker in workers.items():
                seconds = worker.ask(length=length, steps=STEPS)
                seen[name] += [statistics.median(seconds)] if seconds else []
        for name, seconds in seen.items():
            times.setdefault(name, {})[str(length)] = min(seconds, default=None)
            print(f"{model} {threads} {length} {name}: {[round(1e3 * x, 2) for x in seconds]}", flush=True)
        found["bytes"][str(length)] = weights + sum(a.nbytes for a in caches_at(entry, length).values())
        path.write_text(json.dumps(found))
    for worker in (*workers.values(), *readers):
        worker.close()
    return found


def memory_rate(readers: Sequence[Worker]) -> float:
    """Bytes a second that so many threads read at the same time."""
    for reader in readers:
        reader.tell(read=0.05)
    return sum(rate for reader in readers for rate in reader.answer() or [0.0])


def same_tokens(model: str, engines: Sequence[str]) -> dict[str, int]:
    """How many of the first tokens are onnxruntime's, by engine."""
    found = {}
    for name in ("onnxruntime", *engines):
        worker = Worker(name, model, 2)
        found[name] = worker.ask(prompt=list(PROMPT), tokens=TOKENS) or []
        worker.close()
    theirs = found.pop("onnxruntime")
    return {
        name: next((i for i, (a, b) in enumerate(zip(made, theirs, strict=False)) if a != b), len(made))
        for name, made in found.items()
    }


def weight_bytes(entry: zoo.ZooEntry) -> int:
    """Bytes of the constants that a step reads: those that products take, directly or transposed; of tables that are
    only gathered from it reads a row."""
    import onnx

    graph = onnx.load(zoo.ensure(entry), load_external_data=False).graph
    sizes = {t.name: np.prod(t.dims, dtype=np.int64) * WIDTHS[t.data_type] for t in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Transpose", "Identity", "Cast") and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
    read = {name for node in graph.node if node.op_type in PRODUCTS for name in node.input}
    return int(sum(size for name, size in sizes.items() if name in read))


WIDTHS: Final[Mapping[int, int]] = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}
"""Bytes of an element, by ONNX's numbers of types."""
PRODUCTS: Final = frozenset({"MatMul", "Gemm", "MatMulNBits", "MatMulInteger", "DynamicQuantizeMatMul"})


def page(folder: Path) -> str:
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    order = [n for n in decoders() if any(key.startswith(f"{n}@") for key in found)]
    lines = [HEAD.format(machine=machine(), versions=versions(), steps=STEPS, tokens=TOKENS)]
    for threads in (1, 2):
        rows = {n: found[f"{n}@{threads}"] for n in order if f"{n}@{threads}" in found}
        if rows:
            lines += table(threads, rows)
    if any(key.endswith("@tokens") for key in found):
        lines += ["## Tokens", "", f"How many of the first {TOKENS} tokens are onnxruntime's:", ""]
        lines += ["| model | tokens |", "|---|--:|"]
    for name in order:
        same = found.get(f"{name}@tokens")
        if same:
            lines.append(f"| {name} | {', '.join(f'{engine} {count}' for engine, count in same.items())} |")
    return "\n".join(lines) + "\n"


HEAD: Final = """# Decoding with growing caches

Generated by `python -m bench.decode`; not edited by hand.

- Machine: {machine}
- Versions: {versions}. OpenVINO computes in float32 and keeps its caches so.
- Milliseconds a token after a cache of that many tokens, which grows by one a step; {steps} steps a round after 4 that
  are not counted, the least of the rounds' medians. Engines run in processes of their own and take turns. Memory is
  what a step waits for, and this machine shares its own with others: figures of one row compare, of two rows less.
- binding: onnxruntime's outputs stay its values and are bound as inputs. state: arenaut's `new_state`, OpenVINO's own
  stateful form.
- bandwidth: bytes of weights and caches that a step must read, over the time of the better of arenaut's two, as a share
  of what so many threads read from memory in loops of loads, measured between the rounds.
- Whisper and T5 read the caches of an encoder too, of 1,500 and 100 places.
"""


def table(threads: int, rows: Mapping[str, Any]) -> list[str]:
    engines = [n for n in (*OURS, *PEERS) if any(n in row["times"] for row in rows.values())]
    lines = [f"## {threads} thread{'s' if threads > 1 else ''}", ""]
    columns = ["model", "length", *engines, "onnxruntime / arenaut", "bandwidth"]
    lines += [f"| {' | '.join(columns)} |", f"|---|{'--:|' * (len(columns) - 1)}"]
    for name, row in rows.items():
        for length in sorted(row["bytes"], key=int):
            times = {n: row["times"].get(n, {}).get(length) for n in engines}
            ours = min((times[n] for n in OURS if times.get(n)), default=None)
            theirs = min((times[n] for n in PEERS[:2] if times.get(n)), default=None)
            ratio = f"{theirs / ours:.2f}" if ours and theirs else "-"
            share = f"{100 * row['bytes'][length] / ours / row['bandwidth']:.0f} %" if ours else "-"
            cells = [f"{1e3 * t:.2f}" if (t := times[n]) else "refused" for n in engines]
            lines.append(f"| {' | '.join([name, length, *cells, ratio, share])} |")
    return [*lines, ""]


def versions() -> str:
    names = {"onnxruntime": "onnxruntime", "OpenVINO": "openvino"}
    return ", ".join(f"{name} {zoo.installed_version(package)}" for name, package in names.items())


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--lengths", default="64,512,1500")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engines", default=",".join((*OURS, *PEERS)))
    parser.add_argument("--save", type=Path, default=ROOT / "build" / "decode")
    parser.add_argument("--no-tokens", action="store_true", help="do not compare tokens")
    parser.add_argument("--page", type=Path, help="write the page of what was saved; measure nothing")
    chosen = parser.parse_args(arguments)
    if chosen.page is not None:
        OUTPUT.write_text(page(chosen.page))
        return 0
    chosen.save.mkdir(parents=True, exist_ok=True)
    engines, lengths = chosen.engines.split(","), [int(n) for n in chosen.lengths.split(",")]
    for model in chosen.models or decoders():
        for threads in [int(n) for n in chosen.threads.split(",") if n]:
            measure(model, threads, lengths, chosen.rounds, engines, chosen.save / f"{model}@{threads}.json")
        if not chosen.no_tokens:
            same = same_tokens(model, [n for n in OURS if n in engines])
            print(f"{model}: {same}", flush=True)
            (chosen.save / f"{model}@tokens.json").write_text(json.dumps(same))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
