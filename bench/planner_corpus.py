"""Writes the packing problems of real models that tests/planner/data holds: one CSV each, `id,size,first,last`.

    python -m bench.planner_corpus NAME[+raw]...    writes tests/planner/data/NAME.csv; +raw: without views and sharing

Sizes are bytes, first and last inclusive positions in the chosen order.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from arenaut.planner import plan_memory
from bench import zoo
from bench.onnx_problem import problem_of

ROOT = Path(__file__).resolve().parents[1]


def write(name: str) -> Path:
    """Writes the problem of one model of the zoo."""
    entry = zoo.load_manifest()[name.removesuffix("+raw")]
    feeds = zoo.make_feeds(entry, entry.bindings[0], seed=0)
    plan = plan_memory(problem_of(zoo.load(entry), feeds, sharing=not name.endswith("+raw")))
    path = ROOT / "tests" / "planner" / "data" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("id", "size", "first", "last"))
        sized = (rect for rect in plan.rects if rect.size)
        table.writerows((number, rect.size, rect.first, rect.last) for number, rect in enumerate(sized))
    return path


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(write(argument))
