"""The lowered pipeline: what happens to a program's steps between lowering and planning, in which order, and why.

Steps and places change here; the graph stays as the passes left it. Where memory is looked at in another way instead
of being copied ("views" of ir.target.OPTIMISATIONS) is decided when a node is lowered, since steps are made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from arenaut.ir.target import Target
from arenaut.lowering.band_choice import run_bands
from arenaut.lowering.depth_first import run_depth_first
from arenaut.lowering.program import Lowered, LoweredStep
from arenaut.lowering.recompute import recompute
from arenaut.lowering.rooms import share_room
from arenaut.lowering.spectra import take_powers
from arenaut.lowering.typical import Typical, typical_of
from arenaut.lowering.winograd import choose_filters
from arenaut.plain import dataclass, replace


@dataclass(frozen=True)
class LoweringOptions:
    """hints: typical sizes of the main program's symbols, by name. exact_conv: every convolution sums its terms
    directly. winograd_limit: bytes that transformed filters may add; None: as many as the weights."""

    hints: Mapping[str, int] = field(default_factory=dict)
    exact_conv: bool = False
    winograd_limit: int | None = None


@dataclass(frozen=True)
class LoweredPass:
    """run: the program after it, which may be the same one. why: its reason.

    parts: names in ir.target.OPTIMISATIONS that it goes with; without one of them it is left out.
    """

    run: Callable[[Lowered, Target, LoweringOptions], Lowered]
    why: str
    parts: frozenset[str] = frozenset()


def drop_unread_steps(lowered: Lowered, target: Target, options: LoweringOptions) -> Lowered:
    """Without steps that write only what nobody reads."""
    read = {p.buffer for p in (*lowered.outputs, *lowered.wholes.values())}
    kept: list[LoweredStep] = []
    for step in reversed(lowered.steps):
        if step.sets or any(p is not None and p.buffer in read for p in step.outputs):
            read.update(p.buffer for p in step.inputs if p is not None)
            kept.append(step)
    return _in_bodies(replace(lowered, steps=kept[::-1]), target, options, drop_unread_steps)


def offer_sharing(lowered: Lowered, target: Target, options: LoweringOptions) -> Lowered:
    """Steps may offer the planner to write where an input lies."""
    return _in_bodies(replace(lowered, shares=True), target, options, offer_sharing)


def transform_filters(lowered: Lowered, target: Target, options: LoweringOptions) -> Lowered:
    """Filters of some 3 x 3 convolutions in Winograd's form; all bodies share one limit of bytes."""
    if not options.exact_conv:
        choose_filters(lowered, target, limit=options.winograd_limit, hints=options.hints)
    return lowered


def take_powers_of_spectra(lowered: Lowered, target: Target, options: LoweringOptions) -> Lowered:
    """A transform whose result is only squared and summed writes that."""
    return _in_bodies(take_powers(lowered), target, options, take_powers_of_spectra)


def run_in_bands(lowered: Lowered, target: Target, options: LoweringOptions) -> Lowered:
    """Chains of windowed steps run in bands of rows, where that lowers the peak."""
    typical = typical_of(lowered)
    return _in_bodies(run_bands(lowered, target, typical.sizes, typical.facts), target, options, run_in_bands)


def run_in_slices(lowered: Lowered, target: Target, options: LoweringOptions) -> Lowered:
    """Chains up to a product run slice by slice of what it sums over, where that lowers the peak."""
    typical = typical_of(lowered)
    return _in_bodies(run_depth_first(lowered, typical.sizes, typical.facts), target, options, run_in_slices)


def compute_again(lowered: Lowered, target: Target, options: LoweringOptions) -> Lowered:
    """Elementwise steps repeated before late readers of their results, where that lowers the peak."""
    typical = typical_of(lowered)
    return _in_bodies(recompute(lowered, typical.sizes, typical.facts), target, options, compute_again)


def limit_scratch(lowered: Lowered, target: Target, options: LoweringOptions) -> Lowered:
    """Scratch of several threads is limited in steps where it would raise the peak."""
    typical = typical_of(lowered)
    limited = share_room(lowered, target, typical.sizes, typical.facts)
    return _in_bodies(limited, target, options, limit_scratch)


LOWERED_PIPELINE: tuple[LoweredPass, ...] = (
    LoweredPass(drop_unread_steps, "shapes and constants that inference knew were computed for nobody"),
    LoweredPass(
        take_powers_of_spectra,
        "the power of a spectrum is half its size, and was a pass of its own",
        frozenset({"fusion"}),
    ),
    LoweredPass(offer_sharing, "a result may lie where an operand ends", frozenset({"in-place"})),
    LoweredPass(
        transform_filters,
        "a 3 x 3 convolution of transformed tiles takes a quarter to a half of the multiplications",
        frozenset({"winograd", "packing"}),
    ),
    LoweredPass(
        run_in_bands, "rows between convolutions need not outlast the rows that read them", frozenset({"bands"})
    ),
    LoweredPass(
        run_in_slices, "an intermediate that never exists whole does not raise the peak", frozenset({"slices"})
    ),
    LoweredPass(compute_again, "an activation that waits beside its operand raises the peak", frozenset({"slices"})),
    LoweredPass(limit_scratch, "what several threads take together may be more than all else", frozenset({"winograd"})),
)


def run_lowered_pipeline(
    lowered: Lowered,
    target: Target,
    options: LoweringOptions | None = None,
    pipeline: Sequence[LoweredPass] = LOWERED_PIPELINE,
) -> Lowered:
    """The program, bodies included, after all passes that the target asks for."""
    options = options or LoweringOptions()
    lowered = _with_typical(lowered, options.hints)
    for p in pipeline:
        if not p.parts & target.without:
            lowered = p.run(lowered, target, options)
    return lowered


def _with_typical(lowered: Lowered, hints: Mapping[str, int]) -> Lowered:
    for step in lowered.steps:
        step.bodies = tuple(_with_typical(body, {}) for body in step.bodies)
    return replace(lowered, typical=Typical(lowered, hints))


def _in_bodies(
    lowered: Lowered,
    target: Target,
    options: LoweringOptions,
    run: Callable[[Lowered, Target, LoweringOptions], Lowered],
) -> Lowered:
    for step in lowered.steps:
        step.bodies = tuple(run(body, target, options) for body in step.bodies)
    return lowered
