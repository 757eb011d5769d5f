"""Takes each pass, planner rule and lowered pass away in turn, and asks the tests that name it whether they notice.

    python -m tests.mutation                     all; prints the survivors and ends with 1 where there is one
    python -m tests.mutation --list              the mutants and the tests that have to fail
    python -m tests.mutation NAME [NAME ...]     only these

A mutant survives when its tests pass without the function; a mutant whose tests cannot be collected is reported too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tests.mutation.mutants import ROOT, Mutant, all_mutants

FAILED = 1  # pytest's exit status when a test failed


def run(mutant: Mutant) -> int:
    """pytest's exit status on the mutant's tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.mutation.plugin", "-p", "no:cacheprovider"]
    environment = {**os.environ, "ARENAUT_MUTANT": mutant.name}
    return subprocess.run([*command, *mutant.tests], cwd=ROOT, env=environment, capture_output=True).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    known = all_mutants()
    unknown = set(options.names) - {m.name for m in known}
    if unknown:
        parser.error(f"no mutant is called {', '.join(sorted(unknown))}")
    chosen = [m for m in known if not options.names or m.name in options.names]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name:32} {' '.join(mutant.tests)}")
        return 0
    survivors = []
    for mutant in chosen:
        status = run(mutant)
        said = "noticed" if status == FAILED else "SURVIVED" if status == 0 else f"pytest ended with {status}"
        print(f"{mutant.name:32} {said}", flush=True)
        if status != FAILED:
            survivors.append(mutant.name)
    print(
        f"{len(chosen) - len(survivors)} noticed, {len(survivors)} not"
        + (": " + ", ".join(survivors) if survivors else "")
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
