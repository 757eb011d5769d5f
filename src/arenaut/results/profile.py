"""Per-step times of a model: what `Model.profile()` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from arenaut.ir.dims import Dim, evaluate
from arenaut.lowering.outline import Described, StepOutline
from arenaut.native.arrays import is_tensor, to_native
from arenaut.plain import dataclass

_MOST_OPS = 10  # ops whose share is shown


@dataclass(frozen=True)
class StepProfile:
    """One step: median time over the repeats, bytes its operands span, floating-point operations."""

    name: str
    op: str
    kernel: str
    variant: str
    microseconds: float
    bytes: int
    flops: int

    @property
    def gflops(self) -> float:
        """10^9 floating-point operations per second; 0 where the op's count is not known."""
        return self.flops / self.microseconds / 1e3 if self.microseconds else 0.0


@dataclass(frozen=True)
class TimedStep:
    """One step of one run."""

    name: str
    op: str
    kernel: str
    nanoseconds: int


@dataclass(frozen=True)
class Profile:
    steps: tuple[StepProfile, ...]

    @property
    def total_microseconds(self) -> float:
        return sum(s.microseconds for s in self.steps)

    def by_op(self) -> dict[str, float]:
        """Microseconds per op, largest first."""
        totals: dict[str, float] = {}
        for s in self.steps:
            totals[s.op] = totals.get(s.op, 0.0) + s.microseconds
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def plain(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {"microseconds": self.total_microseconds, "by_op": self.by_op(), "by_kernel": self.by_kernel(),
                "steps": [{**asdict(s), "gflops": s.gflops} for s in self.steps]}  # fmt: skip

    def by_kernel(self) -> dict[str, float]:
        """Microseconds per kernel name, largest first."""
        totals: dict[str, float] = {}
        for s in self.steps:
            totals[s.kernel] = totals.get(s.kernel, 0.0) + s.microseconds
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The share of each op, then the steps, the heaviest first, in lines of at most that width."""
        total = self.total_microseconds or 1.0
        lines = [f"{'us':>10} {'%':>5}  op"]
        lines += [f"{us:10.1f} {100 * us / total:5.1f}  {op}" for op, us in list(self.by_op().items())[:_MOST_OPS]]
        lines += ["", f"{'us':>10} {'%':>5} {'GFLOP/s':>8} {'KiB':>9}  step"]
        for s in sorted(self.steps, key=lambda s: -s.microseconds):
            rate = f"{s.gflops:8.1f}" if s.flops else " " * 8
            lines.append(
                f"{s.microseconds:10.1f} {100 * s.microseconds / total:5.1f} {rate} {s.bytes / 1024:9.1f}  "
                f"{s.name} ({s.kernel}{' ' + s.variant if s.variant else ''})"
            )
        return "\n".join(line if width is None or len(line) <= width else f"{line[: width - 3]}..." for line in lines)


def profile_of(built: Described, inputs: Sequence[Any], repeat: int) -> Profile:
    """Runs `repeat` times; the program ran these inputs before."""
    from statistics import median

    arrays = [to_native(a) if is_tensor(a) else a for a in inputs]
    outline = built.outline.steps
    times = [built.native.profile(arrays)[1] for _ in range(repeat)]
    facts = built.native.describe_last()
    assert facts is not None
    symbols = dict(zip(built.symbols, facts["symbols"], strict=True))
    variants = {facts["first_step"] + i: s[0] for i, s in enumerate(facts["steps"])}
    flops = _flops(outline, symbols)
    return Profile(tuple([
        StepProfile(step.name or step.label, step.label, step.kernel, variants.get(position, ""),
                    median(of_step) / 1e3, sum([_number(span, symbols) for span in step.spans]), flops[position])
        for position, (step, of_step) in enumerate(zip(outline, zip(*times, strict=True), strict=True))
    ]))  # fmt: skip


def timed_steps(built: Described, nanoseconds: Sequence[int]) -> list[TimedStep]:
    """The steps of a run in the order in which they ran, with what each took."""
    pairs = zip(built.outline.steps, nanoseconds, strict=True)
    return [TimedStep(s.title, s.op, s.kernel, int(n)) for s, n in pairs]


def _flops(steps: Sequence[StepOutline], symbols: Mapping[str, int]) -> list[int]:
    """Operations of each step. Steps of one node (its slices) share the node's."""
    parts: dict[int, list[int]] = {}
    for index, step in enumerate(steps):
        if step.flops is not None:
            parts.setdefault(step.group, []).append(index)
    flops = [0] * len(steps)
    for indices in parts.values():
        whole = _number(steps[indices[0]].flops or 0, symbols)
        sizes = [_number(steps[index].factor, symbols) for index in indices]
        for index, size in zip(indices, sizes, strict=True):
            flops[index] = whole * size // max(1, sum(sizes))
    return flops


def _number(d: Dim, symbols: Mapping[str, int]) -> int:
    try:
        return evaluate(d, symbols)
    except KeyError:
        return 0
