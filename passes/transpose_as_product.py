"""A transposed convolution of dequantised numbers becomes a convolution that makes all phases of its output, and the
rearrangement of these: there is an integer convolution, and bytes are rearranged.

Phase (p, q) of steps s x s holds the outputs at (s i + p, s j + q): sums over the taps p, p + s, ... of the kernel, so
it is a convolution of kernel / s taps. DepthToSpace brings the phases together; a crop follows where there is padding.
"""

from __future__ import annotations

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
        made = _phases(node) if _is_known(w) and x.is_single else "its filters are no constants of one scale a channel"
        if isinstance(made, str):
            context.missed(REWRITE, node, made)
            continue
        _replace(graph, node, w, made)
        context.fired(REWRITE, node)
        changed = True
    return changed


def _is_known(w: Stored) -> bool:
    numbers = (w.x, w.scale, *((w.zero,) if w.zero is not None else ()))
    if any(v.constant is None for v in numbers) or w.dtype not in (DType.UINT8, DType.INT8):
        return False
    return w.is_single or w.axis == 1


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


def _replace(graph: Graph, node: Node, w: Stored, phases: _Phases) -> None:
    build = GraphBuilder(graph, node, node.name)
    step, (down, across) = phases.step, phases.taps
    array = w.x.constant
    assert array is not None
    channels, filters = array.shape[:2]
    # [c, o, t, p, u, q] to [p, q, o, c, t, u], taps in reverse: windows of a convolution look forward.
    split = array.reshape(channels, filters, down, step, across, step)[:, :, ::-1, :, ::-1]
    numbers = np.ascontiguousarray(split.transpose(3, 5, 1, 0, 2, 4)).reshape(-1, channels, down, across)
    again = step * step
    scale, zero = (None if v is None else _repeated(v.constant, again) for v in (w.scale, w.zero))
    inputs = [build.constant(each) for each in (numbers, scale, zero) if each is not None]
    filters_of = build.op("DequantizeLinear", *inputs, axis=0)
    pads = [down - 1, across - 1] * 2
    result = build.op("Conv", node.operand(0), filters_of, _bias(build, node.input(2), again), pads=pads)
    result = build.op("DepthToSpace", result, blocksize=step, mode="DCR")
    if phases.crop is not None:
        begins, ends = zip(*((begin, begin + size) for begin, size in phases.crop), strict=True)
        result = build.op("Slice", result, ints(build, *begins), ints(build, *ends), ints(build, 2, 3))
    graph.supersede(node.output, result)
    graph.remove(node)


def _repeated(values: Array | None, times: int) -> Array:
    """What holds for every filter, for the filters of all phases."""
    assert values is not None
    return values.reshape(()) if values.size == 1 else np.tile(values.reshape(-1), times)


def _bias(build: GraphBuilder, bias: Value | None, times: int) -> Value | None:
    if bias is None:
        return None
    numbers = stored(bias)
    parts = (
        () if numbers is None else (numbers.x, numbers.scale, *((numbers.zero,) if numbers.zero is not None else ()))
    )
    if numbers is None or any(v.constant is None for v in parts):
        if bias.constant is not None:
            return build.constant(np.tile(bias.constant, times))
        return build.op("Tile", bias, ints(build, times))
    assert numbers.x.constant is not None
    arrays = [np.tile(numbers.x.constant, times), *(_repeated(v.constant, times) for v in parts[1:])]
    return build.op("DequantizeLinear", *(build.constant(each) for each in arrays), axis=0)
