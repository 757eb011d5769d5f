"""Damages models until the time is up: python -m tests.fuzz.run --seconds 300 --seed 1

Each model is loaded and run in a child of a process that has imported everything. What may come of it is a result or an
error of arenaut.errors; a crash, a hang, another exception and more memory than the limit are failures, listed with the
number that repeats them: python -m tests.fuzz.run --seed 1 --only 4711

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
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

EXTRA_MEMORY = 2 << 30  # bytes beyond what the child has after its imports
PATIENCE = 60.0  # seconds of CPU time for one case
SLEEP = 900.0  # seconds in which a child has done nothing: it waits for what will not come
CASES = 2000  # of one child
REPORT_LINES = 16  # of what a child that died had written

Known = Sequence[tuple[str, Callable[[], bytes]]]


def nursery(seed: int, compiled: bool, ready: bool) -> None:
    """Imports everything once, then forks a child for each line `first count` that it is given, and says how it ended.
    ready: makes all models ahead, which a long search needs more than once."""
    from tests.fuzz.attempt import models

    known = models()
    if ready:
        for _, make in known:
            make()
    for line in sys.stdin:
        first, count = map(int, line.split())
        child = os.fork()
        if child == 0:
            status = 1
            try:
                print("born", os.getpid(), flush=True)
                serve(known, seed, first, count, compiled)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def serve(known: Known, seed: int, first: int, count: int, compiled: bool = False) -> None:
    """The child: cases one after the other, each announced before it starts."""
    from tests.fuzz.attempt import attempt, damaged

    if compiled:
        serve_compiled(known, seed, first, count)
        return
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


def serve_compiled(known: Known, seed: int, first: int, count: int) -> None:
    from tests.fuzz.compiled import Subjects, attempt

    with tempfile.TemporaryDirectory() as folder:
        subjects = Subjects(known, seed, folder)
        for index in range(first, first + count):
            subject = subjects.of(index)
            print("start", index, subject.name, flush=True)
            where, (outcome, why) = attempt(index, seed, subject)
            print(outcome, index, subject.name, repr(f"{why} [{where}]"), flush=True)


class Nursery:
    """The process that forks, and the child that it has. What they write to stderr goes into `said`."""

    def __init__(self, seed: int, compiled: bool, ready: bool, said: IO[bytes]) -> None:
        self._said = said
        command = [sys.executable, "-m", "tests.fuzz.run", "--nursery", "--seed", str(seed),
                   *(["--compiled"] if compiled else []), *(["--ready"] if ready else [])]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
        )
        self._child = 0

    def ask(self, first: int, count: int) -> None:
        """Begins a child. What it writes to its stderr begins anew."""
        os.lseek(self._said.fileno(), 0, os.SEEK_SET)
        os.ftruncate(self._said.fileno(), 0)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{first} {count}\n")
        self._process.stdin.flush()
        born = self._stdout().readline().split()
        if born[:1] != ["born"]:
            raise SystemExit("\n".join(["no child can be made:", *self.report()]))
        self._child = int(born[1])

    def _stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def read_line(self) -> str | None:
        """What the child says, or how it ended; None where it takes too long. Its CPU time counts, since machines are
        shared and processes stopped."""
        begun, used = time.monotonic(), cpu_seconds(self._child)
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout(), selectors.EVENT_READ)
            while not selector.select(5):
                now = cpu_seconds(self._child)
                if now - used > PATIENCE or (time.monotonic() - begun > SLEEP and now - used < 1):
                    return None
            return self._stdout().readline()

    def report(self) -> list[str]:
        return report_of(os.pread(self._said.fileno(), 1 << 20, 0).decode(errors="replace").splitlines())

    def stop_child(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        while not self._stdout().readline().startswith("ended"):
            pass

    def close(self) -> None:
        with suppress(ProcessLookupError):
            if self._child:
                os.kill(self._child, signal.SIGKILL)
        self._process.kill()
        self._process.communicate()


def cpu_seconds(pid: int) -> float:
    """What a process has used, 0 where this system does not say."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def search(
    seed: int, first: int, seconds: float, most: int, compiled: bool = False, outcomes: Counter[str] | None = None,
    each: Callable[[Counter[str], list[str]], None] | None = None,
) -> tuple[Counter[str], list[str]]:  # fmt: skip
    """How often each outcome came (added to those given), and the failures. each: is told both now and then."""
    outcomes = Counter() if outcomes is None else outcomes
    failures: list[str] = []
    end, at = time.monotonic() + seconds, first
    with tempfile.TemporaryFile() as said, closing(Nursery(seed, compiled, most > CASES, said)) as nursery:
        while time.monotonic() < end and at < first + most:
            at = follow(nursery, at, min(first + most, at + CASES), end, outcomes, failures)
            if each:
                each(outcomes, failures)
    return outcomes, failures


def follow(
    nursery: Nursery, at: int, last: int, end: float, outcomes: Counter[str], failures: list[str]
) -> int:  # fmt: skip
    """Counts what a child says until it ends or the time is up; the case to go on with."""
    current = f"case {at}"
    nursery.ask(at, last - at)
    while time.monotonic() < end:
        line = nursery.read_line()
        kind, _, rest = (line or "hung").rstrip("\n").partition(" ")
        if kind in ("hung", "ended"):
            if kind == "hung":
                nursery.stop_child()
            elif at == last and rest == "0":
                return at
            failures.append("\n".join([f"{current}: {'hung' if kind == 'hung' else f'crashed with status {rest}'}",
                                       *nursery.report()]))  # fmt: skip
            outcomes["crash or hang"] += 1
            return at + 1
        index, name, *said = rest.split(" ", 2)
        current = f"case {index} ({name})"
        at = int(index)
        if kind == "start":
            continue
        at += 1
        outcomes[kind if kind != "refused" else "refused: " + said[0].split(":")[0].strip("'\"")] += 1
        if kind == "failed":
            failures.append(f"{current}: {said[0]}")
    return at


def report_of(lines: list[str]) -> list[str]:
    """The beginning of a sanitizer's report; without one, the last lines."""
    marks = [i for i, line in enumerate(lines) if "ERROR: " in line or "runtime error: " in line]
    return lines[marks[0] : marks[0] + REPORT_LINES] if marks else lines[-REPORT_LINES:]


def slice_of(state: Path, seed: int, seconds: float, most: int, compiled: bool) -> tuple[Counter[str], list[str]]:
    """One more slice of a long search; all counts and failures so far."""
    before: Any = json.loads(state.read_text()) if state.exists() else {"seed": seed, "outcomes": {}, "failures": []}
    if before["seed"] != seed:
        raise SystemExit(f"{state} is of seed {before['seed']}")
    outcomes, earlier = Counter[str](before["outcomes"]), list(before["failures"])
    done = sum(outcomes.values())

    def kept(outcomes: Counter[str], failures: list[str]) -> None:
        state.write_text(json.dumps({"seed": seed, "outcomes": outcomes, "failures": earlier + failures}, indent=1))

    if done >= most:
        return outcomes, earlier
    outcomes, failures = search(seed, done, seconds, most - done, compiled, outcomes, kept)
    return outcomes, earlier + failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--most", type=int, default=1 << 30)
    parser.add_argument("--state", type=Path, metavar="FILE")
    parser.add_argument("--only", type=int, help="one case, in this process")
    parser.add_argument("--nursery", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ready", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--compiled", action="store_true", help="compiled files instead of models")
    given = parser.parse_args()
    if given.only is not None:
        from tests.fuzz.attempt import models

        serve(models(), given.seed, given.only, 1, given.compiled)
    elif given.nursery:
        nursery(given.seed, given.compiled, given.ready)
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
