"""A transposed convolution of dequantised numbers becomes a convolution that makes all phases of its output, and the
rearrangement of these: there is an integer convolution, and bytes are rearranged.

Phase (p, q) of steps s x s holds the outputs at (s i + p, s j + q): sums over the taps p, p + s, ... of the kernel, so
it is a convolution of kernel / s taps. DepthToSpace brings the phases together; a crop follows where there is padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array, Graph, Node, Value, static_shape
from arenaut.ir.ops.conv import transposed_windows
from arenaut.ir.ops.support.composite import ints
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op
from arenaut.passes.rewriting.quantised import Stored, stored
from arenaut.plain import dataclass

REWRITE = "transpose_as_product"


@dataclass(frozen=True)
class _Phases:
    """step: of both spatial axes; taps: of the convolution; crop: what is cut off before the output, and its size,
    where anything is."""

    step: int
    taps: tuple[int, int]
    crop: tuple[tuple[int, int], ...] | None


def transpose_as_product(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        if not is_op(node, "ConvTranspose"):
            continue
        x, w = stored(node.operand(0)), stored(node.operand(1))
        if x is None or w is None:
            continue
        filters = w.constants if x.is_single and _by_filters(w) else None
        made = "its filters are no constants of one scale a channel" if filters is None else _phases(node)
        if isinstance(made, str) or filters is None:
            context.missed(REWRITE, node, str(made))
            continue
        _replace(graph, node, filters, made)
        context.fired(REWRITE, node)
        changed = True
    return changed


def _by_filters(w: Stored) -> bool:
    return w.dtype in (DType.UINT8, DType.INT8) and (w.is_single or w.axis == 1)


def _phases(node: Node) -> _Phases | str:
    x, w = node.operand(0).shape, node.operand(1).shape
    kernel = [n for n in w[2:] if isinstance(n, int)]
    if len(x) != 4 or len(kernel) != 2 or int(node.attr("group", 1)) != 1:
        return "not of two spatial dims, or in groups"
    windows = transposed_windows(node, x[2:], tuple(kernel))
    step = windows.strides[0]
    if windows.strides != (step, step) or any(d != 1 for d in windows.dilations) or any(k % step for k in kernel):
        return "its kernel is no multiple of its steps"
    taps = (kernel[0] // step, kernel[1] // step)
    full = [(n + t - 1) * step for n, t in zip(x[2:], taps, strict=True)]
    if tuple(windows.sizes) == tuple(full) and not any(windows.begins):
        return _Phases(step, taps, None)
    begins, sizes, whole = (static_shape(each) for each in (windows.begins, windows.sizes, full))
    if begins is None or sizes is None or whole is None:
        return "its output is no known part of all sums"
    crop = tuple(zip(begins, sizes, strict=True))
    if any(begin < 0 or begin + size > most for (begin, size), most in zip(crop, whole, strict=True)):
        return "its output is no known part of all sums"
    return _Phases(step, taps, crop)


def _replace(graph: Graph, node: Node, known: Sequence[Array], phases: _Phases) -> None:
    """known: the filters' numbers, scale and zero point."""
    build = GraphBuilder(graph, node, node.name)
    step, (down, across) = phases.step, phases.taps
    array, *scales = known
    channels, filters = array.shape[:2]
    again = step * step
    # [c, o, t, p, u, q] to [p, q, o, c, t, u], taps in reverse: windows of a convolution look forward.
    split = array.reshape(channels, filters, down, step, across, step)[:, :, ::-1, :, ::-1]
    numbers = np.ascontiguousarray(split.transpose(3, 5, 1, 0, 2, 4)).reshape(again * filters, channels, down, across)
    weights = _dequantised(build, numbers, scales, again)
    pads = [down - 1, across - 1] * 2
    result = build.op("Conv", node.operand(0), weights, _bias(build, node.input(2), again), pads=pads)
    result = build.op("DepthToSpace", result, blocksize=step, mode="DCR")
    if phases.crop is not None:
        begins, ends = zip(*((begin, begin + size) for begin, size in phases.crop), strict=True)
        result = build.op("Slice", result, ints(build, *begins), ints(build, *ends), ints(build, 2, 3))
    graph.supersede(node.output, result)
    graph.remove(node)


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
