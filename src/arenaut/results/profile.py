"""Per-step times of a model: what `Model.profile()` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from arenaut.ir.dims import Dim, evaluate, product
from arenaut.ir.ops import record_of
from arenaut.ir.place import Place
from arenaut.lowering.build import Built
from arenaut.lowering.families import family_of
from arenaut.lowering.program import LoweredStep, StepKind
from arenaut.native.arrays import is_tensor, to_native
from arenaut.results.plan import op_label

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


def profile_of(built: Built, inputs: Sequence[Any], repeat: int) -> Profile:
    """Runs `repeat` times; the program ran these inputs before."""
    arrays = [to_native(a) if is_tensor(a) else a for a in inputs]
    times = [built.native.profile(arrays)[1] for _ in range(repeat)]
    facts = built.native.describe_last()
    assert facts is not None
    symbols = dict(zip(built.symbols, facts["symbols"], strict=True))
    variants = {facts["first_step"] + i: s[0] for i, s in enumerate(facts["steps"])}
    flops = _flops(built.lowered.steps, symbols)
    steps = [
        _profile_step(
            built.lowered.steps[index], median(of_step) / 1e3, variants.get(position, ""), flops[index], symbols
        )
        for position, (index, of_step) in enumerate(zip(built.step_order, zip(*times, strict=True), strict=True))
    ]
    return Profile(tuple(steps))


def timed_steps(built: Built, nanoseconds: Sequence[int]) -> list[TimedStep]:
    """The steps of a run in the order in which they ran, with what each took."""
    steps = [built.lowered.steps[index] for index in built.step_order]
    pairs = zip(steps, nanoseconds, strict=True)
    return [TimedStep(s.node.name or s.node.op, s.node.op, _kernel(s), int(n)) for s, n in pairs]


def _profile_step(
    step: LoweredStep, microseconds: float, variant: str, flops: int, symbols: Mapping[str, int]
) -> StepProfile:
    places = [p for p in step.operands() if p is not None]
    if family_of(step).gathers and step.outputs[0] is not None:
        places = [step.outputs[0], *places[1:]]  # of the table only what is gathered
    size = sum(_span(p, symbols) for p in places)
    op = op_label(step.node)
    return StepProfile(step.node.name or op, op, _kernel(step), variant, microseconds, size, flops)


def _kernel(step: LoweredStep) -> str:
    return step.row.name if step.row is not None else step.kind.name.lower()


def _flops(steps: Sequence[LoweredStep], symbols: Mapping[str, int]) -> list[int]:
    """Operations of each step. Steps of one node (its slices) share the node's: by what they read of the second factor
    if it is a product, by what they write otherwise."""
    parts: dict[int, list[int]] = {}
    for index, step in enumerate(steps):
        if step.kind is StepKind.KERNEL and family_of(step).computes:
            parts.setdefault(id(step.node), []).append(index)
    flops = [0] * len(steps)
    for indices in parts.values():
        node = steps[indices[0]].node
        rule = record_of(node).flops
        if rule is None:
            continue
        whole = _number(rule(node), symbols)
        sizes = [_span(place, symbols) if (place := _factor(steps[index])) is not None else 0 for index in indices]
        for index, size in zip(indices, sizes, strict=True):
            flops[index] = whole * size // max(1, sum(sizes))
    return flops


def _factor(step: LoweredStep) -> Place | None:
    factor = family_of(step).factor
    return step.outputs[0] if factor is None else step.inputs[factor]


def _span(place: Place, symbols: Mapping[str, int]) -> int:
    """Bytes of the distinct elements a place shows."""
    distinct = [d for d, s in zip(place.dims, place.strides, strict=True) if s != 0]
    return _number(product(distinct) * place.dtype.itemsize, symbols)


def _number(d: Dim, symbols: Mapping[str, int]) -> int:
    try:
        return evaluate(d, symbols)
    except KeyError:
        return 0
