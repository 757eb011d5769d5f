"""Damages models until the time is up: python -m tests.fuzz.run --seconds 300 --seed 1

Each model is loaded and run in a child process. What may come of it is a result or an error of arenaut.errors; a crash,
a hang, another exception and more memory than the limit are failures, listed with the number that repeats them:
python -m tests.fuzz.run --seed 1 --only 4711

--compiled: compiled files instead, damaged with knowledge of their structure and with right checksums.
"""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter

EXTRA_MEMORY = 2 << 30  # bytes beyond what the child has after its imports
PATIENCE = 60.0  # seconds


def serve(seed: int, first: int, count: int, compiled: bool = False) -> None:
    """The child: cases one after the other, each announced before it starts."""
    from tests.fuzz.attempt import attempt, damaged, models

    if compiled:
        serve_compiled(seed, first, count)
        return
    known = models()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + EXTRA_MEMORY
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):  # its shadow is larger than any limit
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for index in range(first, first + count):
        name, data = damaged(index, seed, known)
        print("start", index, name, flush=True)
        outcome, why = attempt(index, seed, data)
        print(outcome, index, name, repr(why), flush=True)


def serve_compiled(seed: int, first: int, count: int) -> None:
    from tests.fuzz.attempt import models
    from tests.fuzz.compiled import Subjects, attempt

    with tempfile.TemporaryDirectory() as folder:
        subjects = Subjects(models(), seed, folder)
        for index in range(first, first + count):
            subject = subjects.of(index)
            print("start", index, subject.name, flush=True)
            where, (outcome, why) = attempt(index, seed, subject)
            print(outcome, index, subject.name, repr(f"{why} [{where}]"), flush=True)


def read_line(child: subprocess.Popen[str], seconds: float) -> str | None:
    """None where nothing comes in time."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        return child.stdout.readline() if selector.select(seconds) else None


def search(seed: int, first: int, seconds: float, most: int, compiled: bool = False) -> tuple[Counter[str], list[str]]:
    """How often each outcome came, and the failures."""
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    end, at = time.monotonic() + seconds, first
    while time.monotonic() < end and at < first + most:
        command = [sys.executable, "-m", "tests.fuzz.run", "--serve", "--seed", str(seed), "--first", str(at),
                   "--most", str(first + most - at), *(["--compiled"] if compiled else [])]  # fmt: skip
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        current = f"case {at}"
        try:
            while time.monotonic() < end and at < first + most:
                line = read_line(child, PATIENCE)
                if line is None or not line:
                    what = "hung" if line is None else f"crashed with status {child.wait()}"
                    failures.append(f"{current}: {what}")
                    outcomes["crash or hang"] += 1
                    at += 1
                    break
                kind, index, name, *rest = line.rstrip("\n").split(" ", 3)
                current = f"case {index} ({name})"
                at = int(index)
                if kind == "start":
                    continue
                at += 1
                outcomes[kind if kind != "refused" else "refused: " + rest[0].split(":")[0].strip("'\"")] += 1
                if kind == "failed":
                    failures.append(f"{current}: {rest[0]}")
        finally:
            child.kill()
            child.communicate()
    return outcomes, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--most", type=int, default=1 << 30)
    parser.add_argument("--only", type=int, help="one case, in this process")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--compiled", action="store_true", help="compiled files instead of models")
    given = parser.parse_args()
    if given.only is not None:
        serve(given.seed, given.only, 1, given.compiled)
    elif given.serve:
        serve(given.seed, given.first, given.most, given.compiled)
    else:
        outcomes, failures = search(given.seed, given.first, given.seconds, given.most, given.compiled)
        print(*failures, sep="\n")
        print(f"{sum(outcomes.values())} cases:", ", ".join(f"{n} {k}" for k, n in outcomes.most_common()))
        sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
