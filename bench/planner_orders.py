"""Compares the planner's orders on models of the zoo: peak bound and time of each, and what packing makes of the best.

    python -m bench.planner_orders [NAME...]        models in the zoo's cache (all by default), as they run
    python -m bench.planner_orders --raw [NAME...]  the graphs as stored, node by node, without views and sharing

Bounds are relative to that of the stored order; "step" is the largest working set of a single step. The last columns
are what `plan_memory` chooses, how far its arena lies above the bound, and how long it takes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from arenaut.planner import Problem, plan_memory
from arenaut.planner.bound import order_free_bound
from arenaut.planner.order import ORDERS, evaluate_order
from arenaut.planner.problem import step_dependencies
from bench import zoo
from bench.ablation_memory import problem_at
from bench.onnx_problem import problem_of

Result = TypeVar("Result")


def timed(action: Callable[[], Result]) -> tuple[Result, float]:
    """The result, and milliseconds."""
    start = time.perf_counter()
    result = action()
    return result, 1e3 * (time.perf_counter() - start)


def row(name: str, problem: Problem) -> str:
    """One line of the table."""
    dependencies = step_dependencies(problem)
    stored = evaluate_order(problem, range(len(problem.steps)), "stored").bound_bytes
    cells = [f"{name:28s}{len(problem.steps):6d}{stored / 1024:11,.0f}{relative(order_free_bound(problem), stored)}"]
    for order_name, make in ORDERS.items():
        if order_name != "stored":
            order, milliseconds = timed(lambda make=make: make(problem, dependencies))  # type: ignore[misc]
            bound = evaluate_order(problem, order, order_name).bound_bytes
            cells.append(f"{relative(bound, stored)}{milliseconds:7.1f}")
    plan, milliseconds = timed(lambda: plan_memory(problem))
    cells.append(f"{relative(plan.lower_bound_bytes, stored)} {plan.order_name:7s}")
    above = 100 * (plan.arena_bytes - plan.lower_bound_bytes) / max(plan.lower_bound_bytes, 1)
    cells.append(f"{above:8.2f}%{milliseconds:8.1f}")
    return "".join(cells)


def stored_problem(entry: zoo.ZooEntry) -> Problem:
    return problem_of(zoo.load(entry), zoo.make_feeds(entry, entry.bindings[0], seed=0), sharing=False)


def lowered_problem(entry: zoo.ZooEntry) -> Problem:
    return problem_at(zoo.ensure(entry), entry.bindings[0])[0]


def relative(bound: int, stored: int) -> str:
    return f"{bound / max(stored, 1):8.3f}"


def main(arguments: list[str]) -> int:
    raw = "--raw" in arguments
    names = [argument for argument in arguments if argument != "--raw"]
    entries = zoo.load_manifest()
    unknown = sorted(set(names) - set(entries))
    if unknown:
        print(f"not in the zoo: {', '.join(unknown)}", file=sys.stderr)
        return 2
    greedy = "".join(f"{name:>8s}{'ms':>7s}" for name in ORDERS if name != "stored")
    chosen = f"{'chosen':>8s} {'order':7s}{'above':>9s}{'ms':>8s}"
    print(f"{'model':28s}{'steps':>6s}{'stored KiB':>11s}{'step':>8s}{greedy}{chosen}")
    for name in names or entries:
        entry = entries[name]
        if names or entry.offline or zoo.cache_path(entry).exists():
            print(row(name, stored_problem(entry) if raw else lowered_problem(entry)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
