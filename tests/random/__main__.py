"""Random models against onnx.reference and onnxruntime.

python -m tests.random --kind op --count 2000 --seed 1     one-op models
python -m tests.random --kind chain --count 500            models of several ops
python -m tests.random --kind op --seed 1 --only 4711      one case: the model, and what differs
python -m tests.random --op Resize --count 500             of one op only
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import onnx

from tests.random.search import Summary, draw_case, search, serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["op", "chain"], default="op")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--op", help="one-op models of this op only")
    parser.add_argument("--only", type=int, help="one case, in this process")
    parser.add_argument("--save", type=Path, help="with --only: where to write the model")
    parser.add_argument("--table", action="store_true", help="outcomes by op")
    parser.add_argument("--step", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.kind, given.seed, given.first, given.count, given.step, given.op, sys.stdout)
    elif given.only is not None:
        sys.exit(show(given.kind, given.seed, given.only, given.op, given.save))
    else:
        sys.exit(report(given))


def show(kind: str, seed: int, index: int, op: str | None, save: Path | None) -> int:
    from tests.random.check import check

    case = draw_case(kind, seed, index, op)
    print(onnx.printer.to_text(case.model))
    if save is not None:
        save.write_bytes(case.model.SerializeToString())
    for number, feeds in enumerate(case.runs):
        for name, array in feeds.items():
            text = str(array.tolist())
            print(f"run {number}: {name} {array.dtype}{list(array.shape)} {text[:200]}")
    outcome = check(case, f"{seed}/{index}")
    opened = [*outcome.details, *sorted(set(outcome.open))]
    for title, lines in (("differs", outcome.findings), ("open", opened), ("explained", outcome.explained)):
        for line in lines:
            print(f"{title}: {line}")
    print(f"{case.name}, {case.style}: {outcome.word}", f"({outcome.refused})" if outcome.refused else "")
    return 1 if outcome.findings else 0


def report(given: argparse.Namespace) -> int:
    summary, last = Summary(), time.monotonic()
    for said in search(
        given.kind, given.seed, given.first, given.count, given.workers, given.op, seconds=given.seconds
    ):
        summary.add(said)
        if said["findings"]:
            again = f"--kind {given.kind} --seed {given.seed} --only {said['index']}" + (
                f" --op {given.op}" * bool(given.op)
            )
            print(f"{said['name']} {said.get('style', '')} [{again}] {said['findings'][0]}", flush=True)
        if time.monotonic() - last > 30:
            last = time.monotonic()
            print(f"... {summary.count} cases, {len(summary.findings)} differ", file=sys.stderr, flush=True)
    print_summary(summary, given.table)
    return 1 if summary.findings else 0


def print_summary(summary: Summary, table: bool) -> None:
    if table:
        words = sorted({w for c in summary.by_name.values() for w in c})
        print("| op |", " | ".join(words), "|")
        for name, counts in sorted(summary.by_name.items()):
            print(f"| {name} |", " | ".join(str(counts[w] or "") for w in words), "|")
        for (name, text), n in summary.refused.most_common():
            print(f"refused by all, {n}: {name}: {text}")
    for what, counter in (("known errors of oracles", summary.explained), ("open faults", summary.open)):
        if counter:
            print(f"{what}:")
            for reason, n in counter.most_common():
                print(f"  {n:6d}  {reason}")
    print(f"{summary.count} cases:", ", ".join(f"{n} {w}" for w, n in summary.words.most_common()))


if __name__ == "__main__":
    main()
