"""Takes away each pass, planner rule and lowered pass, each kernel row and each way its code path is chosen, one at a
time, and asks the tests that name it whether they notice.

    python -m tests.mutation                     all; prints the survivors and ends with 1 where there is one
    python -m tests.mutation --list              the mutants and the tests that have to fail
    python -m tests.mutation NAME [NAME ...]     only these, or those whose names begin with NAME
    --jobs N                                     so many at a time (2)

A mutant survives when its tests pass without what it takes away; one whose tests cannot be collected is reported too.
Code paths are forced in a build of their own, build/mutants, which the command makes first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.mutation.mutants import ROOT, Mutant, all_mutants

FAILED = 1  # pytest's exit status when a test failed
BUILD = "build/mutants"


def run(mutant: Mutant) -> int:
    """pytest's exit status on the mutant's tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.mutation.plugin", "-p", "no:cacheprovider"]
    environment = {**os.environ, "ARENAUT_MUTANT": mutant.name}
    if mutant.forced is not None:
        environment.update(ARENAUT_FORCED=mutant.forced, PYTHONPATH=str(ROOT / BUILD / "pkg"))
    return subprocess.run([*command, *mutant.tests], cwd=ROOT, env=environment, capture_output=True).returncode


def said(status: int) -> str:
    """What the exit status means. A negative one is a signal: the process crashed, which nobody overlooks."""
    if status == FAILED:
        return "noticed"
    return "SURVIVED" if status == 0 else f"noticed: signal {-status}" if status < 0 else f"pytest ended with {status}"


def chosen(names: Sequence[str]) -> list[Mutant]:
    """The mutants that the names begin; all without names. Raises KeyError for a name that begins none."""
    known = all_mutants()
    for name in names:
        if not any(m.name.startswith(name) for m in known):
            raise KeyError(name)
    exact = {m.name for m in known} & set(names)
    begins = tuple(n for n in names if n not in exact)
    return [m for m in known if not names or m.name in exact or (begins and m.name.startswith(begins))]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    try:
        mutants = chosen(options.names)
    except KeyError as unknown:
        parser.error(f"no mutant is called {unknown}")
    if options.list:
        for mutant in mutants:
            print(f"{mutant.name:32} {' '.join(mutant.tests)}")
        return 0
    if any(m.forced for m in mutants):
        environment = {**os.environ, "ARENAUT_BUILD": BUILD, "PYTHON": sys.executable}
        subprocess.run(["bash", ".ci/dev", "-DARENAUT_MUTANTS=ON"], cwd=ROOT, env=environment, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    survivors = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutant, status in zip(mutants, pool.map(run, mutants), strict=True):
            print(f"{mutant.name:40} {said(status)}", flush=True)
            if not said(status).startswith("noticed"):
                survivors.append(mutant.name)
    names = ": " + ", ".join(survivors) if survivors else ""
    print(f"{len(mutants) - len(survivors)} noticed, {len(survivors)} not{names}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
