"""Damages models until the time is up: python -m tests.fuzz.run --seconds 300 --seed 1

Each model is loaded and run in a child process. What may come of it is a result or an error of arenaut.errors; a crash,
a hang, another exception and more memory than the limit are failures, listed with the number that repeats them:
python -m tests.fuzz.run --seed 1 --only 4711

--compiled: compiled files instead, damaged with knowledge of their structure and with right checksums.
--state FILE: goes on where the file says that the last call of this seed stopped, and adds to its counts. The long
search under sanitizers is made of such slices:
.ci/sanitize address python -m tests.fuzz.run --most 100000 --seconds 3600 --state build/models.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO

EXTRA_MEMORY = 2 << 30  # bytes beyond what the child has after its imports
PATIENCE = 60.0  # seconds of CPU time for one case
SLEEP = 900.0  # seconds in which a child has done nothing: it waits for what will not come
CASES = 2500  # of one child
REPORT_LINES = 16  # of what a child that died had written


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


def read_line(child: subprocess.Popen[str]) -> str | None:
    """None where the child takes too long. Its CPU time counts, since machines are shared and processes stopped."""
    assert child.stdout is not None
    begun, used = time.monotonic(), cpu_seconds(child.pid)
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while not selector.select(5):
            now = cpu_seconds(child.pid)
            if now - used > PATIENCE or (time.monotonic() - begun > SLEEP and now - used < 1):
                return None
        return child.stdout.readline()


def cpu_seconds(pid: int) -> float:
    """What a process has used, 0 where this system does not say."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def search(
    seed: int, first: int, seconds: float, most: int, compiled: bool = False, outcomes: Counter[str] | None = None
) -> tuple[Counter[str], list[str]]:
    """How often each outcome came (added to those given), and the failures."""
    outcomes = Counter() if outcomes is None else outcomes
    failures: list[str] = []
    end, at = time.monotonic() + seconds, first
    while time.monotonic() < end and at < first + most:
        command = [sys.executable, "-m", "tests.fuzz.run", "--serve", "--seed", str(seed), "--first", str(at),
                   "--most", str(min(first + most - at, CASES)), *(["--compiled"] if compiled else [])]  # fmt: skip
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
            try:
                at = follow(child, said, at, min(first + most, at + CASES), end, outcomes, failures)
            finally:
                child.kill()
                child.communicate()
    return outcomes, failures


def follow(
    child: subprocess.Popen[str], said: IO[str], at: int, last: int, end: float, outcomes: Counter[str],
    failures: list[str],
) -> int:  # fmt: skip
    """Counts what a child says until it ends or the time is up; the case to go on with."""
    current = f"case {at}"
    while time.monotonic() < end and at < last:
        line = read_line(child)
        if line is None or not line:
            what = "hung" if line is None else f"crashed with status {child.wait()}"
            said.seek(0)
            failures.append("\n".join([f"{current}: {what}", *report_of(said.read().splitlines())]))
            outcomes["crash or hang"] += 1
            return at + 1
        kind, index, name, *rest = line.rstrip("\n").split(" ", 3)
        current = f"case {index} ({name})"
        at = int(index)
        if kind == "start":
            continue
        at += 1
        outcomes[kind if kind != "refused" else "refused: " + rest[0].split(":")[0].strip("'\"")] += 1
        if kind == "failed":
            failures.append(f"{current}: {rest[0]}")
    return at


def report_of(lines: list[str]) -> list[str]:
    """The beginning of a sanitizer's report; without one, the last lines."""
    marks = [i for i, line in enumerate(lines) if "ERROR: " in line or "runtime error: " in line]
    return lines[marks[0] : marks[0] + REPORT_LINES] if marks else lines[-REPORT_LINES:]


def slice_of(state: Path, seed: int, seconds: float, most: int, compiled: bool) -> tuple[Counter[str], list[str]]:
    """One more slice of a long search; all counts and failures so far."""
    before = json.loads(state.read_text()) if state.exists() else {"seed": seed, "outcomes": {}, "failures": []}
    if before["seed"] != seed:
        raise SystemExit(f"{state} is of seed {before['seed']}")
    outcomes, failures = Counter(before["outcomes"]), list(before["failures"])
    while sum(outcomes.values()) < most and seconds > 0:
        begun = time.monotonic()
        done = sum(outcomes.values())
        failures += search(seed, done, min(seconds, 300.0), most - done, compiled, outcomes)[1]
        state.write_text(json.dumps({"seed": seed, "outcomes": outcomes, "failures": failures}, indent=1))
        seconds -= time.monotonic() - begun
    return outcomes, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--most", type=int, default=1 << 30)
    parser.add_argument("--state", type=Path, metavar="FILE")
    parser.add_argument("--only", type=int, help="one case, in this process")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--compiled", action="store_true", help="compiled files instead of models")
    given = parser.parse_args()
    if given.only is not None:
        serve(given.seed, given.only, 1, given.compiled)
    elif given.serve:
        serve(given.seed, given.first, given.most, given.compiled)
    else:
        if given.state:
            outcomes, failures = slice_of(given.state, given.seed, given.seconds, given.most, given.compiled)
        else:
            outcomes, failures = search(given.seed, given.first, given.seconds, given.most, given.compiled)
        print(*failures, sep="\n")
        print(f"{sum(outcomes.values())} cases:", ", ".join(f"{n} {k}" for k, n in outcomes.most_common()))
        sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
