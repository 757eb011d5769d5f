"""The geometry of sliding windows, which convolutions and pools share: output sizes, resolved pads, numpy windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from arenaut.ir.dims import Dim, ceildiv, floordiv, less, maximum
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node, static_shape
from arenaut.ir.record import Param
from arenaut.ir.types import Shape
from arenaut.plain import dataclass


@dataclass(frozen=True)
class Windows:
    """Windows over the spatial dims, one entry a dim. begins and ends are the resolved pads, sizes the output's dims;
    they and the kernel may be symbolic."""

    kernel: Shape
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: Shape
    ends: Shape
    sizes: Shape

    @property
    def params(self) -> Mapping[str, Param]:
        """The fields that the kernel families' parameter structs share."""
        return {
            "spatial": len(self.kernel),
            "kernel": self.kernel,
            "strides": self.strides,
            "dilations": self.dilations,
            "pads": (*self.begins, *self.ends),
        }


def ints_attribute(node: Node, name: str, count: int, default: int) -> tuple[int, ...]:
    """An attribute with one int a spatial dim. Raises ValueError for another number of them."""
    given = node.attr(name)
    if given is None or len(given) == 0:
        return (default,) * count
    if len(given) != count:
        raise RuleError(f"{name} has {len(given)} entries, expected {count}")
    return tuple(int(x) for x in given)


def auto_pad_of(node: Node) -> str:
    return node.text("auto_pad", "NOTSET")


def split_total(total: Dim, more_at_end: bool) -> tuple[Dim, Dim]:
    """A total padding as (begin, end); an odd one has its larger half at the end or at the begin."""
    half = floordiv(total, 2)
    return (half, total - half) if more_at_end else (total - half, half)


def _split_signed(total: Dim, more_at_end: bool) -> tuple[Dim, Dim]:
    """A total padding that may be negative as (begin, end): halves are cut off towards zero, as onnxruntime does."""
    doubled = total if more_at_end else total + 1
    half = floordiv(doubled + less(doubled, 0), 2)
    return half, total - half


def windows_of(node: Node, spatial: Shape, kernel: Shape, *, crops: bool = False) -> Windows:
    """The windows of a convolution or pool over these input dims. crops: SAME padding is what the standard's formula
    says even where strides that outrun the kernel make it negative; else at least 0. Raises ValueError where attributes
    contradict."""
    count = len(spatial)
    if len(kernel) != count:
        raise RuleError(f"the kernel has {len(kernel)} dims, the input {count} spatial ones")
    strides = ints_attribute(node, "strides", count, 1)
    dilations = ints_attribute(node, "dilations", count, 1)
    if min((*strides, *dilations), default=1) < 1:
        raise RuleError(f"strides {strides} and dilations {dilations} must be positive")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    mode = auto_pad_of(node)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        sizes = tuple(ceildiv(n, s) for n, s in zip(spatial, strides, strict=True))
        upper = mode == "SAME_UPPER"
        totals = [(o - 1) * s + r - n for o, s, r, n in zip(sizes, strides, reach, spatial, strict=True)]
        pairs = [
            _split_signed(t, upper) if crops and isinstance(r, int) and r < s else split_total(maximum(t, 0), upper)
            for t, s, r in zip(totals, strides, reach, strict=True)
        ]
        begins, ends = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
        return Windows(tuple(kernel), strides, dilations, begins, ends, sizes)
    if mode not in ("NOTSET", "VALID"):
        raise RuleError(f"auto_pad is {mode!r}, expected NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    pads = (0,) * (2 * count) if mode == "VALID" else ints_attribute(node, "pads", 2 * count, 0)
    ceil = bool(node.attr("ceil_mode", 0)) and mode != "VALID"
    axes = zip(spatial, reach, strides, pads[:count], pads[count:], strict=True)
    sizes = tuple(_window_count(n, r, s, before, after, ceil) for n, r, s, before, after in axes)
    if any(isinstance(n, int) and n < 0 for n in sizes):
        raise RuleError(f"windows of {tuple(reach)} do not fit into the padded input {tuple(spatial)}")
    return Windows(tuple(kernel), strides, dilations, pads[:count], pads[count:], sizes)


def _window_count(n: Dim, reach: Dim, stride: int, before: int, after: int, ceil: bool) -> Dim:
    """How many windows start within the input and its begin padding."""
    room = n + before + after - reach
    if not ceil:
        return floordiv(room, stride) + 1
    count = ceildiv(room, stride) + 1
    if isinstance(reach, int) and after + stride <= reach:
        return count
    return count - 1 + less((count - 1) * stride, n + before)


# -- numpy ---------------------------------------------------------------------------------------------------------


def _ints(shape: Shape) -> tuple[int, ...]:
    known = static_shape(shape)
    assert known is not None
    return known


def padded(x: Array, w: Windows, fill: float) -> Array:
    """x [N, C, spatial...] with its pads (negative ones crop), grown at the end so that every window fits."""
    grow, crop = [(0, 0), (0, 0)], [slice(None), slice(None)]
    axes = zip(x.shape[2:], *map(_ints, (w.begins, w.ends, w.kernel, w.sizes)), w.strides, w.dilations, strict=True)
    for n, before, after, k, size, stride, dilation in axes:
        needed = (size - 1) * stride + (k - 1) * dilation + 1 - n - before
        grow.append((max(before, 0), max(after, needed, 0)))
        crop.append(slice(max(-before, 0), None))
    wide = np.pad(x, grow, constant_values=fill) if any(b or a for b, a in grow) else x
    return wide[tuple(crop)]


def numpy_windows(x: Array, w: Windows) -> Array:
    """Views of the padded x: [N, C, sizes..., kernel...]."""
    sizes, kernel = _ints(w.sizes), _ints(w.kernel)
    outer = [s * step for s, step in zip(x.strides[2:], w.strides, strict=True)]
    inner = [s * step for s, step in zip(x.strides[2:], w.dilations, strict=True)]
    shape = (*x.shape[:2], *sizes, *kernel)
    if 0 in shape:
        return np.empty(shape, x.dtype)
    return np.lib.stride_tricks.as_strided(x, shape, (*x.strides[:2], *outer, *inner), writeable=False)


def window_axes(w: Windows) -> tuple[int, ...]:
    """The axes of numpy_windows that run inside a window."""
    count = len(w.kernel)
    return tuple(range(2 + count, 2 + 2 * count))


def geometries(dtype: DType) -> Iterator[tuple[tuple[int, ...], dict[str, object]]]:
    """Samples' (spatial dims, attributes with kernel_shape) over strides, dilations, pads and auto_pad; for other types
    than float32 only two spatial dims and explicit pads, which every oracle knows."""
    for rank in (1, 2, 3) if dtype is DType.FLOAT else (2,):
        spatial = (9, 7, 6)[:rank]
        kernel = (3, 2, 3)[:rank]
        yield spatial, {"kernel_shape": kernel}
        yield spatial, {"kernel_shape": (1,) * rank, "strides": (2,) * rank}
        yield (
            spatial,
            {"kernel_shape": kernel, "strides": (2, 3, 1)[:rank], "pads": (1, 0, 2)[:rank] + (1, 1, 1)[:rank]},
        )
        yield spatial, {"kernel_shape": kernel, "dilations": (2, 1, 2)[:rank], "pads": (1,) * (2 * rank)}
        for mode in ("SAME_UPPER", "SAME_LOWER", "VALID") if dtype is DType.FLOAT else ():
            yield spatial, {"kernel_shape": kernel, "strides": (2, 1, 3)[:rank], "auto_pad": mode}
