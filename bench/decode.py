"""Writes docs/measured/DECODE.md: decoders token by token while their caches grow, beside onnxruntime and OpenVINO.

    python -m bench.decode [MODEL...] [--threads 1,2] [--lengths 64,512,1500] [--rounds N] [--save FOLDER]
    python -m bench.decode --missing [--seconds N]
    python -m bench.decode --page FOLDER

What is measured is stored part by part, beside what was stored before: slices make one page. --missing measures what
the folder lacks, so that a call that was ended is taken up by the next.

Engines run in processes of their own (bench/decode_engines.py) and take turns: each has so many steps after a cache of
that length in a round. A figure is the least of the rounds' medians. Tokens: whether arenaut's likeliest tokens are
onnxruntime's, 256 steps after a prompt. Streams: models with a recurrent state (bench/streams.py).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenaut.measure.process import machine
from bench import zoo
from bench.batches import BATCHED, LENGTH, ROWS, batches
from bench.decode_engines import caches_at
from bench.streams import CALLS, STREAMS, stream

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
    model: str, threads: int, lengths: Sequence[int], rounds: int, engines: Sequence[str], path: Path, until: float
) -> int:
    """How many of the lengths were left out, since the clock had passed `until`. `path` then holds
    {"times": {engine: {length: seconds or None}}, "bandwidth": {length: bytes a second}, "bytes": {length: of a step}}.
    """
    entry = decoders()[model]
    found: dict[str, Any] = (
        json.loads(path.read_text()) if path.exists() else {"times": {}, "bandwidth": {}, "bytes": {}}
    )
    left = len(lengths)
    workers = {name: Worker(name, model, threads) for name in engines}
    times: dict[str, dict[str, float | None]] = found["times"]
    weights = weight_bytes(entry)
    readers = [Worker("nothing", model, 1, core) for core in range(threads)]
    for length in lengths:
        if time.monotonic() > until:
            break
        left -= 1
        seen: dict[str, list[float]] = {name: [] for name in workers}
        rate = 0.0
        for _ in range(rounds):
            rate = max(rate, memory_rate(readers))
            for name, worker in workers.items():
                seconds = worker.ask(length=length, steps=STEPS)
                seen[name] += [statistics.median(seconds)] if seconds else []
        for name, seconds in seen.items():
            times.setdefault(name, {})[str(length)] = min(seconds, default=None)
            print(f"{model} {threads} {length} {name}: {[round(1e3 * x, 2) for x in seconds]}", flush=True)
        found["bandwidth"][str(length)] = max(rate, memory_rate(readers))
        found["bytes"][str(length)] = weights + sum(a.nbytes for a in caches_at(entry, length).values())
        path.write_text(json.dumps(found))
    for worker in (*workers.values(), *readers):
        worker.close()
    return left


def memory_rate(readers: Sequence[Worker]) -> float:
    """Bytes a second that so many threads read at the same time."""
    for reader in readers:
        reader.tell(read=0.05)
    return sum(rate for reader in readers for rate in reader.answer() or [0.0])


def same_tokens(model: str, engines: Sequence[str], count: int, path: Path) -> int:
    """0. How engines' likeliest tokens and logits compare with onnxruntime's, as `path` then holds it:
    {"own": largest difference of the logits of onnxruntime's two, "engines": {name: see agreement}}. What each of them
    made is kept until all have, so that a call that was ended is taken up by the next."""
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)

    def decoded(engine: str, forced: list[int] | None) -> tuple[list[int], np.ndarray]:
        name = f"{engine}-{'free' if forced is None else 'forced'}-{count}"
        logits, tokens = folder / f"{name}.npy", folder / f"{name}.json"
        if not tokens.exists():
            worker = Worker(engine, model, 2)
            made = worker.ask(prompt=list(PROMPT), tokens=count, forced=forced, save=str(logits))
            worker.close()
            if made is None:
                raise RuntimeError(f"{engine} does not run {model}")
            tokens.write_text(json.dumps(made))
        return json.loads(tokens.read_text()), np.load(logits)

    theirs, logits = decoded("onnxruntime", None)
    own = float(np.abs(decoded("onnxruntime unoptimised", theirs)[1] - logits).max())
    found: dict[str, Any] = {"own": own, "largest": float(np.abs(logits).max()), "engines": {}}
    for engine in engines:
        made, ours = decoded(engine, theirs)
        free = made if made == theirs else decoded(engine, None)[0]
        found["engines"][engine] = agreement(free, made, ours, theirs, logits, own)
    print(f"{model}: {found}", flush=True)
    path.write_text(json.dumps(found))
    shutil.rmtree(folder)
    return 0


def agreement(
    free: Sequence[int], made: Sequence[int], ours: np.ndarray, theirs: Sequence[int], logits: np.ndarray, own: float
) -> dict[str, Any]:
    """What is said of an engine beside onnxruntime. free: its tokens when it is fed its own; made, ours: tokens and
    logits when it is fed `theirs`, to which `logits` belong. own: by how much onnxruntime's own two ways differ.

    "beyond": tokens that differ though onnxruntime puts its own above the other one by more than twice `own`, which is
    how much two logits may come nearer by roundings; "margin": the largest such distance of all that differ.
    """
    differ = [i for i, (a, b) in enumerate(zip(made, theirs, strict=True)) if a != b]
    margins = [float(logits[i, theirs[i]] - logits[i, made[i]]) for i in differ]
    return {
        "greedy": next((i for i, (a, b) in enumerate(zip(free, theirs, strict=True)) if a != b), len(theirs)),
        "forced": len(theirs) - len(differ),
        "beyond": sum(margin > 2 * own for margin in margins),
        "margin": max(margins, default=0.0),
        "difference": float(np.abs(ours - logits).max()),
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
    same = {n: found[f"{n}@tokens"] for n in decoders() if f"{n}@tokens" in found}
    if same:
        lines += tokens_table(same)
    several = {n: found[f"{n}@batches"] for n in BATCHED if f"{n}@batches" in found}
    if several:
        lines += batches_table(several)
    streams = {n: found[f"{n}@stream"] for n in STREAMS if f"{n}@stream" in found}
    if streams:
        lines += streams_table(streams)
    return "\n".join(lines).rstrip() + "\n"


def tokens_table(rows: Mapping[str, Any]) -> list[str]:
    lines = [TOKENS_HEAD.format(tokens=TOKENS)]
    columns = ["model", "", "greedy", "forced", "beyond roundings", "margin", "logits differ", "onnxruntime's own"]
    lines += [f"| {' | '.join(columns)} |", f"|---|---|{'--:|' * (len(columns) - 2)}"]
    for name, row in rows.items():
        for engine, said in row["engines"].items():
            counts = [str(said[n]) for n in ("greedy", "forced", "beyond")]
            shares = [f"{x / row['largest']:.1e}" for x in (said["margin"], said["difference"], row["own"])]
            lines.append(f"| {' | '.join([name, engine, *counts, *shares])} |")
    return [*lines, ""]


def batches_table(rows: Mapping[str, Any]) -> list[str]:
    lines = [BATCHES_HEAD.format(length=LENGTH), f"| model | {' | '.join(map(str, ROWS))} | {ROWS[-1]} / 1 |"]
    lines.append(f"|---|{'--:|' * (len(ROWS) + 1)}")
    for name, row in rows.items():
        times = [row[str(n)] for n in ROWS]
        cells = [f"{1e3 * t:.1f}" for t in times]
        lines.append(f"| {name} | {' | '.join(cells)} | {times[-1] / times[0]:.2f} |")
    return [*lines, ""]


def streams_table(rows: Mapping[str, Any]) -> list[str]:
    lines = [STREAMS_HEAD.format(calls=CALLS), "| model | plain | state | state / plain |", "|---|--:|--:|--:|"]
    for name, row in rows.items():
        plain, state = row["plain"], row["state"]
        lines.append(f"| {name} | {1e6 * plain:.1f} | {1e6 * state:.1f} | {state / plain:.2f} |")
    return [*lines, ""]


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
TOKENS_HEAD: Final = """## Tokens

{tokens} greedy tokens after a prompt of five, beside onnxruntime's. greedy: how many are the same before the first that
is another. forced: how many are the same where each step is fed onnxruntime's tokens. Weights are drawn at random, so
that logits lie close together: beyond roundings are those where onnxruntime's logits of the two tokens are further
apart than twice what onnxruntime with and without its graph optimisations differ by. margin: the largest distance of
tokens that differ. All distances are shares of the largest logit.
"""
BATCHES_HEAD: Final = """## Several sequences at a time

Milliseconds of a step of arenaut with a state that takes so many sequences at a time, after {length} tokens each; one
thread, the median of a run of steps. Weights are read once for all of them.
"""
STREAMS_HEAD: Final = """## Recurrent states

Microseconds a call of models that carry a recurrent state, one thread: outputs fed again, and `new_state`; the least of
the medians of rounds of {calls} calls that take turns. The outputs of both are the same bytes.
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
            share = f"{100 * row['bytes'][length] / ours / row['bandwidth'][length]:.0f} %" if ours else "-"
            cells = [f"{1e3 * t:.2f}" if (t := times[n]) else "refused" for n in engines]
            lines.append(f"| {' | '.join([name, length, *cells, ratio, share])} |")
    return [*lines, ""]


def versions() -> str:
    names = {"onnxruntime": "onnxruntime", "OpenVINO": "openvino"}
    return ", ".join(f"{name} {zoo.installed_version(package)}" for name, package in names.items())


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--threads", default="1,2", help="numbers of threads; empty: measure no times")
    parser.add_argument("--lengths", default="64,512,1500")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engines", default=",".join((*OURS, *PEERS)))
    parser.add_argument("--save", type=Path, default=ROOT / "build" / "decode")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="how many tokens are compared; 0: none")
    parser.add_argument("--missing", action="store_true", help="measure only what the folder does not hold")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after so long")
    parser.add_argument("--page", type=Path, help="write the page of what was saved; measure nothing")
    chosen = parser.parse_args(arguments)
    if chosen.page is not None:
        OUTPUT.write_text(page(chosen.page))
        return 0
    chosen.save.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + chosen.seconds
    left = 0
    for make in parts(chosen, until):
        left += make() if time.monotonic() < until else 1
    if left:
        print(f"{left} parts are left: the same with --missing goes on")
    return 0


def parts(chosen: argparse.Namespace, until: float) -> Iterator[Callable[[], int]]:
    """What is to be measured, by calls that return how much of it they left out."""

    def wanted(path: Path) -> bool:
        return not (chosen.missing and path.exists())

    for model in chosen.models or [*decoders(), *STREAMS]:
        if model in STREAMS:
            path = chosen.save / f"{model}@stream.json"
            if wanted(path):
                yield partial(stream, model, path)
            continue
        for threads in [int(n) for n in chosen.threads.split(",") if n]:
            path = chosen.save / f"{model}@{threads}.json"
            held = [] if wanted(path) else json.loads(path.read_text())["bytes"]
            lengths = [int(n) for n in chosen.lengths.split(",") if n not in held]
            if lengths:
                yield partial(measure, model, threads, lengths, chosen.rounds, chosen.engines.split(","), path, until)
        path = chosen.save / f"{model}@batches.json"
        if model in BATCHED and chosen.threads and wanted(path):
            yield partial(batches, decoders()[model], path)
        path = chosen.save / f"{model}@tokens.json"
        if chosen.tokens and wanted(path):
            yield partial(same_tokens, model, OURS, chosen.tokens, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
