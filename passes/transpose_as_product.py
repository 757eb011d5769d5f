"""A transposed convolution becomes a convolution that makes all phases of its output, and the rearrangement of these,
where that is how it runs best: where its operands are dequantised, as there is an integer convolution and bytes are
rearranged; and where it makes so few channels that its rows would leave most lanes of a vector empty.

Phase (p, q) of steps s x s holds the outputs at (s i + p, s j + q): sums over the taps p, p + s, ... of the kernel, so
it is a convolution of kernel / s taps. DepthToSpace brings the phases together; a crop follows where there is padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim
from arenaut.ir.graph import Array, Graph, Node, Value, static_shape
from arenaut.ir.ops.conv import transposed_windows
from arenaut.ir.ops.support.composite import TO_THE_END, dims_of, ints, reshape, transpose
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op
from arenaut.passes.rewriting.quantised import Stored, stored
from arenaut.plain import dataclass

REWRITE = "transpose_as_product"
NARROW = 8
"""Most channels of a float result that are made by phases: a vector holds 16 at best."""
MOST_ADDED = 2.0
"""How many times the taps of a float kernel may become, zeros included, so that they are a multiple of its steps."""


@dataclass(frozen=True)
class _Phases:
    """Along each spatial axis: the step, the taps of the convolution, and what is cut off before the output and after
    it."""

    steps: tuple[int, ...]
    taps: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def count(self) -> int:
        return prod(self.steps)


def transpose_as_product(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        if not is_op(node, "ConvTranspose"):
            continue
        x, w = stored(node.operand(0)), stored(node.operand(1))
        if x is not None and w is not None:
            filters = w.constants if x.is_single and _by_filters(w) else None
            made = "its filters are no constants of one scale a channel" if filters is None else _phases(node)
        elif _is_narrow(node):
            weights = node.operand(1).constant
            filters = None if weights is None else (weights,)
            made = "its filters are no constants" if filters is None else _narrow_phases(node)
        else:
            continue
        if isinstance(made, str) or filters is None:
            context.missed(REWRITE, node, str(made))
            continue
        _replace(graph, node, filters, made)
        context.fired(REWRITE, node)
        changed = True
    return changed


def _by_filters(w: Stored) -> bool:
    return w.is_bytes and (w.is_single or w.axis == 1)


def _is_narrow(node: Node) -> bool:
    w = node.operand(1)
    if not (w.has_shape and w.dtype.is_float and len(w.shape) > 2):
        return False
    filters = w.shape[1]
    return isinstance(filters, int) and 0 < filters <= NARROW


def _narrow_phases(node: Node) -> _Phases | str:
    """The phases of a float result, unless its windows neither overlap nor are cut: these are one product already."""
    made = _phases(node, zeros=True)
    if isinstance(made, str):
        return made
    kernel = static_shape(node.operand(1).shape[2:]) or ()
    if made.count == 1 or (all(t == 1 for t in made.taps) and not any(made.before + made.after)):
        return "its windows do not overlap"
    taps = prod(t * s for t, s in zip(made.taps, made.steps, strict=True))
    return made if taps <= MOST_ADDED * prod(kernel) else "its kernel is no multiple of its steps"


def _phases(node: Node, *, zeros: bool = False) -> _Phases | str:
    """zeros: whether the kernel may be made longer by them."""
    if not (node.operand(0).has_shape and node.operand(1).has_shape):
        return "of unknown rank"
    x, w = node.operand(0).shape, node.operand(1).shape
    kernel = [n for n in w[2:] if isinstance(n, int)]
    if len(x) not in (3, 4) or len(kernel) != len(x) - 2 or int(node.attr("group", 1)) != 1:
        return "not of one or two spatial dims, or in groups"
    if len(x) == 3 and not zeros:
        return "bytes of one spatial dim"
    windows = transposed_windows(node, x[2:], tuple(kernel))
    steps = windows.strides
    multiple = zeros or not any(k % s for k, s in zip(kernel, steps, strict=True))
    if len(set(steps)) != 1 or any(d != 1 for d in windows.dilations) or not multiple:
        return "its kernel is no multiple of its steps"
    taps = tuple(-(-k // s) for k, s in zip(kernel, steps, strict=True))
    full = [(n + t - 1) * s for n, t, s in zip(x[2:], taps, steps, strict=True)]
    before = static_shape(windows.begins)
    after = static_shape(tuple(f - b - n for f, b, n in zip(full, windows.begins, windows.sizes, strict=True)))
    if before is None or after is None or any(n < 0 for n in before + after):
        return "its output is no known part of all sums"
    return _Phases(steps, taps, before, after)


def _replace(graph: Graph, node: Node, known: Sequence[Array], phases: _Phases) -> None:
    """known: the filters' numbers and, where they are quantised, their scale and zero point."""
    build = GraphBuilder(graph, node, node.name)
    array, *scales = known
    numbers = _filters_by_phase(array, phases)
    weights = _dequantised(build, numbers, scales, phases.count) if scales else build.constant(numbers)
    pads = [t - 1 for t in phases.taps] * 2
    bias = _bias(build, node.input(2), phases.count)
    result = build.op("Conv", node.operand(0), weights, bias, pads=pads)
    result = _together(build, result, phases, array.shape[1])
    if any(phases.before + phases.after):
        ends = [-n or TO_THE_END for n in phases.after]
        axes = range(2, 2 + len(ends))
        result = build.op("Slice", result, ints(build, *phases.before), ints(build, *ends), ints(build, *axes))
    graph.supersede(node.output, result)
    graph.remove(node)


def _filters_by_phase(array: Array, phases: _Phases) -> Array:
    """From [c, o, k, ...] to [p ... o, c, t ...] for kernels k = t s + p: taps in reverse, as windows of a convolution
    look forward."""
    spatial = len(phases.steps)
    grown = [(0, t * s - k) for t, s, k in zip(phases.taps, phases.steps, array.shape[2:], strict=True)]
    array = np.pad(array, [(0, 0), (0, 0), *grown])
    channels, filters = array.shape[:2]
    pairs = [n for pair in zip(phases.taps, phases.steps, strict=True) for n in pair]
    split = np.flip(array.reshape(channels, filters, *pairs), axis=tuple(2 + 2 * i for i in range(spatial)))
    taps_at, phases_at = [2 + 2 * i for i in range(spatial)], [3 + 2 * i for i in range(spatial)]
    moved = split.transpose(*phases_at, 1, 0, *taps_at)
    return np.ascontiguousarray(moved).reshape(phases.count * filters, channels, *phases.taps)


def _together(build: GraphBuilder, result: Value, phases: _Phases, filters: Dim) -> Value:
    """[n, p ... o, i ...] as [n, o, i s + p ...]."""
    if len(phases.steps) == 2:
        return build.op("DepthToSpace", result, blocksize=phases.steps[0], mode="DCR")
    assert isinstance(filters, int)
    batch, length = dims_of(build, result, 0, 1), dims_of(build, result, 2, 3)
    split = transpose(build, reshape(build, result, batch, phases.count, filters, length), (0, 2, 3, 1))
    return reshape(build, split, batch, filters, build.op("Mul", length, ints(build, phases.count)))


def _dequantised(build: GraphBuilder, numbers: Array, scales: Sequence[Array], times: int) -> Value:
    """scales, and zero points: of one filter each, or of all; they hold for the filters of so many phases."""
    repeated = (v.reshape(()) if v.size == 1 else np.tile(v.reshape(-1), times) for v in scales)
    return build.op("DequantizeLinear", *(build.constant(v) for v in (numbers, *repeated)), axis=0)


def _bias(build: GraphBuilder, bias: Value | None, times: int) -> Value | None:
    if bias is None:
        return None
    numbers = stored(bias)
    known = None if numbers is None else numbers.constants
    if known is not None:
        return _dequantised(build, np.tile(known[0], times), known[1:], times)
    if bias.constant is not None:
        return build.constant(np.tile(bias.constant, times))
    return build.op("Tile", bias, ints(build, times))
