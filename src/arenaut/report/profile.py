"""Per-step times of a model: what `Model.profile()` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arenaut.executor.common import to_native
from arenaut.ir.dims import Dim, evaluate, product
from arenaut.ir.ops import record_of
from arenaut.ir.strided import Strided
from arenaut.lowering.build import Built
from arenaut.lowering.program import LoweredStep, StepKind


@dataclass(frozen=True)
class StepProfile:
    """One step: median-free mean time over the repeats, bytes its operands span, floating-point operations."""

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
class Profile:
    steps: tuple[StepProfile, ...]

    @property
    def total_microseconds(self) -> float:
        return sum(s.microseconds for s in self.steps)

    def by_kernel(self) -> dict[str, float]:
        """Microseconds per kernel name, largest first."""
        totals: dict[str, float] = {}
        for s in self.steps:
            totals[s.kernel] = totals.get(s.kernel, 0.0) + s.microseconds
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        total = self.total_microseconds or 1.0
        lines = [f"{'us':>10} {'%':>5} {'GFLOP/s':>8} {'KiB':>9}  step"]
        for s in sorted(self.steps, key=lambda s: -s.microseconds):
            rate = f"{s.gflops:8.1f}" if s.flops else " " * 8
            lines.append(
                f"{s.microseconds:10.1f} {100 * s.microseconds / total:5.1f} {rate} {s.bytes / 1024:9.1f}  "
                f"{s.name} ({s.kernel}{' ' + s.variant if s.variant else ''})"
            )
        return "\n".join(lines)


def profile_of(built: Built, inputs: Sequence[Any], repeat: int) -> Profile:
    """Runs `repeat` times after one warm run."""
    arrays = [to_native(a) for a in inputs]
    built.native.run(arrays)
    totals = [0] * len(built.step_order)
    for _ in range(repeat):
        _, nanoseconds = built.native.profile(arrays)
        totals = [t + n for t, n in zip(totals, nanoseconds, strict=True)]
    facts = built.native.describe_last()
    assert facts is not None
    symbols = dict(zip(built.symbols, facts["symbols"], strict=True))
    variants = {facts["first_step"] + i: s[0] for i, s in enumerate(facts["steps"])}
    steps = [
        _profile_step(built.lowered.steps[index], total / repeat / 1e3, variants.get(position, ""), symbols)
        for position, (index, total) in enumerate(zip(built.step_order, totals, strict=True))
    ]
    return Profile(tuple(steps))


def _profile_step(step: LoweredStep, microseconds: float, variant: str, symbols: Mapping[str, int]) -> StepProfile:
    kernel = step.row.name if step.row is not None else step.kind.name.lower()
    rule = record_of(step.node).flops if step.kind is StepKind.KERNEL and kernel not in ("copy", "fill") else None
    flops = _number(rule(step.node), symbols) if rule is not None else 0
    size = sum(_span(p, symbols) for p in step.operands() if p is not None)
    return StepProfile(step.node.name or step.node.op, step.node.op, kernel, variant, microseconds, size, flops)


def _span(place: Strided, symbols: Mapping[str, int]) -> int:
    """Bytes of the distinct elements a place shows."""
    distinct = [d for d, s in zip(place.dims, place.strides, strict=True) if s != 0]
    return _number(product(distinct) * place.dtype.itemsize, symbols)


def _number(d: Dim, symbols: Mapping[str, int]) -> int:
    try:
        return evaluate(d, symbols)
    except KeyError:
        return 0
