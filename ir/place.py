"""A tensor's place in memory: a buffer with element strides and an offset, and the views that need no copy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from arenaut.ir.dims import Dim, product
from arenaut.ir.dtypes import DType
from arenaut.ir.types import Shape
from arenaut.plain import cached_property, dataclass


def dense_strides(dims: Sequence[Dim]) -> Shape:
    """Row-major strides in elements."""
    strides: list[Dim] = []
    step: Dim = 1
    for d in reversed(dims):
        strides.append(step)
        step = step * d
    return tuple(reversed(strides))


def ordered_strides(dims: Sequence[Dim], order: Sequence[int]) -> Shape:
    """Strides in elements of a tensor without gaps whose axes lie in this order, from the largest stride down."""
    strides: list[Dim] = [0] * len(dims)
    step: Dim = 1
    for axis in reversed(order):
        strides[axis] = step
        step = step * dims[axis]
    return tuple(strides)


@dataclass(frozen=True)
class Place:
    """Element (i, j, ...) lies at offset + i * strides[0] + j * strides[1] + ... elements into the buffer.

    Strides may be 0 (broadcast) or negative. Every method returns another view of the same buffer.
    """

    buffer: int
    dtype: DType
    dims: Shape
    strides: Shape
    offset: Dim = 0

    @property
    def rank(self) -> int:
        return len(self.dims)

    @cached_property
    def is_dense(self) -> bool:
        """Proven row-major without gaps (dims of extent one aside)."""
        want: Dim = 1
        for d, s in zip(reversed(self.dims), reversed(self.strides), strict=True):
            if d != 1:
                if s != want:
                    return False
                want = want * d
        return True

    @property
    def has_unit_inner_stride(self) -> bool:
        return self.rank == 0 or self.dims[-1] == 1 or self.strides[-1] == 1

    @property
    def order(self) -> tuple[int, ...]:
        """The axes from the largest stride down; strides that are no numbers are large, in the order of the axes."""
        sizes = {axis: s for axis, s in enumerate(self.strides) if isinstance(s, int) and s}
        near = sorted(sizes, key=lambda axis: (-abs(sizes[axis]), axis))
        return (*(axis for axis in range(self.rank) if axis not in sizes), *near)

    def _view(self, dims: Shape, strides: Shape) -> Place:
        return Place(self.buffer, self.dtype, dims, strides, self.offset)

    def permute(self, order: Sequence[int]) -> Place:
        return self._view(tuple([self.dims[i] for i in order]), tuple([self.strides[i] for i in order]))

    def slice(self, axis: int, start: Dim, count: Dim, step: Dim = 1) -> Place:
        """Elements start, start + step, ... (count of them) along axis."""
        dims, strides = list(self.dims), list(self.strides)
        offset = self.offset + start * strides[axis]
        dims[axis] = count
        strides[axis] = strides[axis] * step
        return Place(self.buffer, self.dtype, tuple(dims), tuple(strides), offset)

    def insert(self, axis: int) -> Place:
        """A new dim of extent one at axis."""
        return self._view(
            (*self.dims[:axis], 1, *self.dims[axis:]),
            (*self.strides[:axis], 0, *self.strides[axis:]),
        )

    def drop(self, axis: int) -> Place:
        """Without the dim at axis, index 0 of it kept."""
        return self._view(
            (*self.dims[:axis], *self.dims[axis + 1 :]),
            (*self.strides[:axis], *self.strides[axis + 1 :]),
        )

    def split(self, axis: int, outer: Dim, inner: Dim) -> Place:
        """The dim at axis, of extent outer * inner, as two."""
        return self._view(
            (*self.dims[:axis], outer, inner, *self.dims[axis + 1 :]),
            (*self.strides[:axis], self.strides[axis] * inner, *self.strides[axis:]),
        )

    def broadcast_to(self, dims: Sequence[Dim]) -> Place:
        """Numpy broadcasting: new leading dims and dims of extent one get stride 0. A symbolic dim against another
        is taken as equal: bind checks it."""
        lead = len(dims) - self.rank
        strides: list[Dim] = [0] * lead
        for have, want, stride in zip(self.dims, dims[lead:], self.strides, strict=True):
            strides.append(0 if have == 1 and want != 1 else stride)
        return self._view(tuple(dims), tuple(strides))

    def reshape(self, dims: Sequence[Dim]) -> Place | None:
        """The same elements in row-major order under other dims, or None when no strides express that."""
        dims = tuple(dims)
        if dims == self.dims:
            return self
        if self.is_dense:
            return self._view(dims, dense_strides(dims))
        strides = _regroup(self.dims, self.strides, dims)
        return None if strides is None else self._view(dims, strides)


def _regroup(dims: Shape, strides: Shape, target: Shape) -> Shape | None:
    """Strides of `target`: cut both shapes into groups of equal product; a group of source dims must be walkable as
    one, then the group's target dims are row-major over its inner stride."""
    have = [(d, s) for d, s in zip(dims, strides, strict=True) if d != 1]
    out: list[Dim] = [0] * len(target)
    wanted = [i for i, d in enumerate(target) if d != 1]
    i = j = 0
    while i < len(have) and j < len(wanted):
        group, goal = [have[i]], [wanted[j]]
        left, right = have[i][0], target[wanted[j]]
        i, j = i + 1, j + 1
        while left != right:
            grow_left = j == len(wanted) or (isinstance(left, int) and isinstance(right, int) and left < right)
            if not isinstance(left, int) or not isinstance(right, int):
                grow_left = _divides(left, right)
            if grow_left and i < len(have):
                left, i = left * have[i][0], i + 1
                group.append(have[i - 1])
            elif not grow_left and j < len(wanted):
                right, j = right * target[wanted[j]], j + 1
                goal.append(wanted[j - 1])
            else:
                return None
        for (_, outer), (d, inner) in pairwise(group):
            if outer != d * inner:
                return None
        step = group[-1][1]
        for axis in reversed(goal):
            out[axis] = step
            step = step * target[axis]
    return tuple(out) if i == len(have) and j == len(wanted) else None


def _divides(a: Dim, b: Dim) -> bool:
    from arenaut.ir.dims import exact_div

    return exact_div(b, a) is not None


def element_count(dims: Sequence[Dim]) -> Dim:
    return product(dims)
