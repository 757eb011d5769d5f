"""Runs cases in child processes, so that a crash or a hang is a finding and not the end."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from tests.random.cases import Case, one_op
from tests.random.chains import chain

PATIENCE = 300.0  # seconds for one case
STOPPED = 5.0  # seconds that a wait of one takes where all of this was stopped; they do not count for the children


def draw_case(kind: str, seed: int, index: int, only_op: str | None = None) -> Case:
    return chain(seed, index) if kind == "chain" else one_op(seed, index, only_op)


def serve(kind: str, seed: int, first: int, count: int, step: int, only_op: str | None, out: TextIO) -> None:
    """The child: announces each case, then says how it went."""
    from tests.random.check import check

    for index in range(first, first + count * step, step):
        print(json.dumps({"index": index}), file=out, flush=True)
        try:
            case = draw_case(kind, seed, index, only_op)
        except Exception:
            said: dict[str, Any] = {"name": "?", "word": "not drawn", "findings": [traceback.format_exc()[-600:]]}
        else:
            print(json.dumps({"index": index, "name": case.name}), file=out, flush=True)
            outcome = check(case, f"{seed}/{index}")
            said = {"name": case.name, "style": case.style, "word": outcome.word, "findings": outcome.findings,
                    "open": outcome.open,
                    "explained": sorted(set(outcome.explained)), "refused": outcome.refused}  # fmt: skip
        print(json.dumps({"index": index, **said}), file=out, flush=True)


@dataclass
class Summary:
    words: Counter[str] = field(default_factory=Counter)
    by_name: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    findings: list[tuple[int, str, str]] = field(default_factory=list)
    explained: Counter[str] = field(default_factory=Counter)
    open: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return sum(self.words.values())

    def add(self, said: dict[str, Any]) -> None:
        name, word = said["name"], said["word"]
        self.words[word] += 1
        self.by_name[name][word] += 1
        self.explained.update(said.get("explained", ()))
        self.open.update(set(said.get("open", ())))
        if word == "refused by all":
            self.refused[name, said["refused"][:110]] += 1
        if said["findings"]:
            self.findings.append((said["index"], name, said["findings"][0]))


class Worker:
    """A child that works through first, first + step, ... and is started again after a case that ended it."""

    def __init__(self, kind: str, seed: int, first: int, end: int, step: int, only_op: str | None) -> None:
        self.kind, self.seed, self.at, self.end, self.step, self.only_op = kind, seed, first, end, step, only_op
        self.current = "?"
        self.heard = time.monotonic()
        self.child = self._start()

    def _start(self) -> subprocess.Popen[str]:
        count = max(0, -(-(self.end - self.at) // self.step))
        command = [sys.executable, "-m", "tests.random", "--serve", "--kind", self.kind, "--seed", str(self.seed),
                   "--first", str(self.at), "--count", str(count), "--step", str(self.step)]  # fmt: skip
        if self.only_op:
            command += ["--op", self.only_op]
        self.heard = time.monotonic()
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def hear(self, line: str) -> dict[str, Any] | None:
        said: dict[str, Any] = json.loads(line)
        self.heard = time.monotonic()
        self.current = said.get("name", self.current)
        if "word" not in said:
            return None
        self.at = said["index"] + self.step
        return said

    def lost(self, what: str) -> dict[str, Any]:
        """The case that the child did not survive; goes on after it."""
        self.stop()
        said = {"index": self.at, "name": self.current, "word": "differs", "findings": [what]}
        self.at += self.step
        self.child = self._start()
        return said

    def stop(self) -> None:
        self.child.kill()
        self.child.communicate()


def search(
    kind: str, seed: int, first: int, count: int, workers: int, only_op: str | None = None, seconds: float = 1e9
) -> Iterator[dict[str, Any]]:
    """What became of each case, as it becomes known."""
    end, until = first + count, time.monotonic() + seconds
    active = [Worker(kind, seed, first + i, end, workers, only_op) for i in range(min(workers, count))]
    try:
        while active and time.monotonic() < until:
            with selectors.DefaultSelector() as selector:
                for worker in active:
                    assert worker.child.stdout is not None
                    selector.register(worker.child.stdout, selectors.EVENT_READ, worker)
                before = time.monotonic()
                ready = [key.data for key, _ in selector.select(1.0)]
            stopped = time.monotonic() - before
            if stopped > STOPPED:
                for worker in active:
                    worker.heard += stopped
            for worker in list(active):
                if worker in ready:
                    yield from _read(worker, active)
                elif time.monotonic() - worker.heard > PATIENCE:
                    yield worker.lost(f"hung for {PATIENCE:.0f} s")
    finally:
        for worker in active:
            worker.stop()


def _read(worker: Worker, active: list[Worker]) -> Iterator[dict[str, Any]]:
    assert worker.child.stdout is not None
    line = worker.child.stdout.readline()
    if line:
        said = worker.hear(line)
        if said is not None:
            yield said
    elif worker.at < worker.end:
        status = worker.child.wait()
        yield worker.lost(f"crashed with status {status}")
    else:
        worker.stop()
        active.remove(worker)
