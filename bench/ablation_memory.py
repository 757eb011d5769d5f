"""Writes docs/measured/ABLATION_MEMORY.md and .svg: what each idea of the memory planner is worth, over the zoo.

    python bench/ablation_memory.py [NAME...] [--output FILE]

Names, families and tags of bench/zoo.toml; the quick and spine models and the bench models when none is given. Every
figure is the arena of the model's first binding at one thread, outputs included, without running the model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable, here and in child processes
    sys.path.insert(0, str(ROOT))

from arenaut.measure.render import one_line, significant  # noqa: E402
from arenaut.measure.stats import geometric_mean  # noqa: E402
from arenaut.measure.worker import Worker, WorkerError  # noqa: E402
from arenaut.planner import Problem, aligned, plan_memory  # noqa: E402
from arenaut.planner.order import evaluate_order  # noqa: E402
from arenaut.planner.output_reuse import choose_guests, place_guests, without_guests  # noqa: E402
from arenaut.planner.packing import PLACEMENTS, Packer, pack, placement_order  # noqa: E402
from arenaut.planner.problem import BufferKind, Rect, step_dependencies  # noqa: E402
from bench import zoo  # noqa: E402
from bench.table import markdown_table  # noqa: E402

OUTPUT: Final = ROOT / "docs" / "measured" / "ABLATION_MEMORY.md"
DEFAULT_NAMES: Final = ("quick", "spine", "bench")


@dataclass(frozen=True)
class Variant:
    """One column: how the figure is made, from the problems with and without fusion and slices."""

    name: str
    why: str


VARIANTS: Final = (
    Variant("all", "everything on: what load_onnx does"),
    Variant("no slices", "no chain runs depth first"),
    Variant("no views", "every reshape, transpose, split and slice is a copy, and no copy is saved"),
    Variant("no hosting", "nothing lies in outputs before they are written"),
    Variant("no in-place", "no result over an operand that dies"),
    Variant("no copies saved", "no part made inside its Concat, no slice left where it is"),
    Variant("stored order", "the steps as the model has them, not the best of three orders"),
    Variant("FIFO order", "the steps as they become ready, first in, first out"),
    Variant("greedy by size", "one first fit, largest first, instead of the portfolio and the search"),
    Variant("first fit", "first fit in the order in which buffers are born"),
    Variant("no fusion", "the graph as stored: every node a step"),
    Variant("nothing", "no fusion, no sharing, first fit in order of birth"),
    Variant("sum of all", "no memory is ever used twice; scratch does not count"),
)


class PlanProbe:
    """Plans one model in every variant, in a child process."""

    def measure(self, name: str) -> dict[str, int]:
        """Bytes by variant."""
        entry = zoo.load_manifest()[name]
        path, sizes = zoo.ensure(entry), dict(entry.bindings[0])
        sliced, outputs = problem_at(path, sizes)
        whole, _ = problem_at(path, sizes, without=["slices"])
        copied, _ = problem_at(path, sizes, without=["views"])
        raw, raw_outputs = problem_at(path, sizes, optimize=False, without=["slices", "bands"])
        found = {
            "all": arena(sliced),
            "no slices": arena(whole),
            "no views": arena(without_shares(copied, keeps=False)),
            "no hosting": arena(sliced, hosting=False),
            "no in-place": arena(without_shares(sliced, keeps=True)),
            "no copies saved": arena(without_shares(sliced, keeps=False)),
            "stored order": packed(sliced, order="stored", placement=None),
            "FIFO order": packed(sliced, order="FIFO", placement=None),
            "greedy by size": packed(sliced, order="", placement="size"),
            "first fit": packed(sliced, order="", placement="first"),
        }
        found = {variant: size + outputs for variant, size in found.items()}
        bare = without_shares(raw, keeps=None)
        found["no fusion"] = arena(raw) + raw_outputs
        found["nothing"] = packed(bare, order="stored", placement="first", hosting=False) + raw_outputs
        found["sum of all"] = sum(aligned(b.size) for b in raw.buffers if b.kind is BufferKind.ARENA) + raw_outputs
        return found


def problem_at(path: Path, sizes: Mapping[str, int], **options: Any) -> tuple[Problem, int]:
    """The planner's problem of a model with these sizes, and the bytes of its outputs."""
    import arenaut
    from arenaut.results.plan import problem_with

    built = arenaut.load_onnx(path, threads=1, shapes=sizes or None, **options)._built
    problem = problem_with(built, {name: sizes.get(name, 16) for name in built.symbols})
    return problem, sum(b.size for b in problem.buffers if b.kind is BufferKind.OUTPUT)


def without_shares(problem: Problem, keeps: bool | None) -> Problem:
    """The problem with only those offers that keep (or do not keep) what they lie over; None: without any."""
    steps = (step._replace(shares=tuple(s for s in step.shares if s.keeps is keeps)) for step in problem.steps)
    return Problem(tuple(steps), problem.buffers)


def arena(problem: Problem, *, hosting: bool = True) -> int:
    """What the planner makes of it, without outputs."""
    if hosting:
        return plan_memory(problem).arena_bytes
    return packed(problem, order="", placement=None, hosting=False)


def packed(problem: Problem, *, order: str, placement: str | None, hosting: bool = True) -> int:
    """The arena with one thing fixed: the order ("stored", "FIFO", "" for the planner's), the placement rule (None:
    all)."""
    steps: Sequence[int] = range(len(problem.steps))
    if order != "stored":
        steps = fifo_order(problem) if order == "FIFO" else plan_memory(problem).order
    choice = evaluate_order(problem, steps, order or "chosen")
    classes, rects = choice.sharing.classes, list(choice.rects)
    if hosting:
        guests = choose_guests(problem, classes, rects)
        rects = without_guests(rects, place_guests(problem, classes, rects, guests))
    if placement is None:
        return pack(rects).arena_bytes
    return _placed(rects, placement)


def fifo_order(problem: Problem) -> list[int]:
    """Kahn's order without a priority: a step comes when the last step that it needs has come."""
    missing = [len(needed) for needed in step_dependencies(problem)]
    waiting: list[list[int]] = [[] for _ in missing]
    for index, needed in enumerate(step_dependencies(problem)):
        for earlier in needed:
            waiting[earlier].append(index)
    order = [index for index, count in enumerate(missing) if not count]
    for index in order:
        for later in waiting[index]:
            missing[later] -= 1
            if not missing[later]:
                order.append(later)
    return order


def _placed(rects: Sequence[Rect], rule: str) -> int:
    assert rule in PLACEMENTS
    packer = Packer(rects)
    return packer.place(placement_order(rects, packer, rule))[1]


def document(results: Mapping[str, Mapping[str, int]], failed: Mapping[str, str], command: str) -> str:
    """The page: means first, then every model."""
    lines = [
        "# What each idea of the memory planner is worth",
        "",
        f"Generated by `{command}`; not edited by hand. Arena and outputs at the first binding, one thread, in KiB.",
        "",
        "![Arena over the arena with everything on, geometric means](ABLATION_MEMORY.svg)",
        "",
        *markdown_table(
            ("variant", "what it leaves out", "geometric mean over all", "largest", "models it changes"),
            [[v.name, v.why, *_effect(results, v.name)] for v in VARIANTS],
        ),
        "",
        "## Models",
        "",
        *markdown_table(
            ("model", "", *(v.name for v in VARIANTS)),
            [[name, "", *(f"{-(-found[v.name] // 1024):,}" for v in VARIANTS)] for name, found in results.items()],
        ),
    ]
    missing = [f"- {name}: {reason}" for name, reason in failed.items()]
    return "\n".join([*lines, *(["", "## Not measured", "", *missing] if missing else [])]) + "\n"


def ratios(results: Mapping[str, Mapping[str, int]], variant: str) -> list[float]:
    return [found[variant] / found["all"] for found in results.values() if found["all"]]


def _effect(results: Mapping[str, Mapping[str, int]], variant: str) -> list[str]:
    found = ratios(results, variant)
    changed = sum(abs(ratio - 1) > 0.001 for ratio in found)
    return [significant(geometric_mean(found)), significant(max(found)), f"{changed} of {len(found)}"]


def plot(results: Mapping[str, Mapping[str, int]]) -> str:
    """Bars of the geometric means as SVG, on a logarithmic scale."""
    from math import log

    means = {v.name: geometric_mean(ratios(results, v.name)) for v in VARIANTS}
    most = max(log(mean) for mean in means.values()) or 1.0
    row, left, width = 26, 150, 480
    height = row * len(means) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 90} {height}" font-family="sans-serif"'
        ' font-size="13">',
        f'<rect width="{left + width + 90}" height="{height}" fill="#ffffff"/>',
        f'<text x="{left}" y="20" fill="#444">arena over the arena with everything on (log scale)</text>',
    ]
    for number, (name, mean) in enumerate(means.items()):
        y = 32 + number * row
        length = max(2.0, width * max(0.0, log(mean)) / most)
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end" fill="#222">{name}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="18" rx="2" fill="#3b6ea5"/>')
        parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 14}" fill="#222">{mean:.2f}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    results: dict[str, Mapping[str, int]] = {}
    failed: dict[str, str] = {}
    for entry in zoo.select(options.names or DEFAULT_NAMES):
        if entry.name.endswith("-random"):
            continue  # the plan of its namesake
        try:
            with Worker("bench.ablation_memory:PlanProbe") as worker:
                results[entry.name] = worker.call("measure", entry.name)
        except WorkerError as error:
            failed[entry.name] = one_line(str(error), 160)
        print(entry.name, failed.get(entry.name, ""), flush=True)
    command = " ".join(["python bench/ablation_memory.py", *arguments])
    options.output.write_text(document(results, failed, command))
    options.output.with_suffix(".svg").write_text(plot(results))
    print(options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
