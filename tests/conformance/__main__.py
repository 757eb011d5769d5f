"""The official cases one by one, with figures: python -m tests.conformance [--stored] [--compiled] [--only TEXT]

--stored: the graph as stored. --compiled: each model is saved as a compiled file, opened, and must give the same bytes
as before, beside passing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any

import numpy as np

from arenaut.errors import ModelError
from tests.conformance.cases import Case, cases, run_case
from tests.conformance.known import FAILURES, NOT_COMPARABLE, RANDOM


def outcome(case: Case, optimize: bool, compiled: bool) -> str:
    """ "passed", "known" (a listed failure, which fails), or what is wrong."""
    try:
        sets = list(run_case(case, optimize=optimize, compiled=compiled))
        if compiled and case.name not in RANDOM:
            plain = list(run_case(case, optimize=optimize))
            if not all(same(ours, before) for (ours, _), (before, _) in zip(sets, plain, strict=True)):
                return "other bytes than from the model"
        for outputs, expected in sets:
            if case.name not in RANDOM | NOT_COMPARABLE:
                case.compare(outputs, expected)
    except (AssertionError, ModelError) as error:
        return "known" if case.name in FAILURES else f"{type(error).__name__}: {error}"[:300]
    return "passes, so it is no failure any more" if case.name in FAILURES else "passed"


def same(a: Any, b: Any) -> bool:
    """The same types, shapes and bytes."""
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(map(same, a.values(), b.values()))
    if not isinstance(a, np.ndarray) or a.dtype == object:
        return bool(np.all(a == b))
    return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", action="store_true")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--part", default="0/1", metavar="K/N", help="every Nth case from the Kth on")
    given = parser.parse_args()
    part, parts = map(int, given.part.split("/"))
    counts: Counter[str] = Counter()
    for case in [c for c in cases() if given.only in c.name][part::parts]:
        found = outcome(case, not given.stored, given.compiled)
        counts[found if found in ("passed", "known") else "wrong"] += 1
        if found not in ("passed", "known"):
            print(f"{case}: {found}", flush=True)
    print(f"{sum(counts.values())} cases: {counts['passed']} pass, {counts['known']} fail as known, "
          f"{counts['wrong']} wrong")  # fmt: skip
    sys.exit(counts["wrong"] > 0)


if __name__ == "__main__":
    main()
