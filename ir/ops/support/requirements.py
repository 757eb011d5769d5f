"""What ops ask of sizes and of elements of shape tensors that only a run knows (OpRecord.requires)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from arenaut.ir import dims
from arenaut.ir.dims import Dim, Expr
from arenaut.ir.graph import Node
from arenaut.ir.record import Requirement


def elements(node: Node, index: int) -> list[Dim]:
    """The elements of an integer input as dims; none where they are not known."""
    value = node.input(index)
    return (
        [] if value is None or value.data is None else [d if isinstance(d, Expr) else int(d) for d in value.data.flat]
    )


def negate(condition: Dim) -> Dim:
    return dims.equal(condition, 0)


def at_least(low: int, values: Sequence[Dim], text: str) -> Iterator[Requirement]:
    """None of the values is below low."""
    for value in values:
        if isinstance(value, int) or low < 0 or not dims.is_nonnegative(value - low):
            yield Requirement(negate(dims.less(value, low)), text, values)


def divisor_requires(index: int) -> Callable[[Node], Iterator[Requirement]]:
    """Integers that the input at index holds, where they are sizes of a run."""

    def rule(node: Node) -> Iterator[Requirement]:
        divisors = elements(node, index)
        for d in divisors:
            if isinstance(d, Expr):
                yield Requirement(negate(dims.equal(d, 0)), f"input {index}, a divisor, must not hold 0", divisors)

    return rule


def sizes_require(node: Node) -> Iterator[Requirement]:
    """ConstantOfShape: its only input holds sizes."""
    yield from at_least(0, elements(node, 0), "input 0 must hold no negative size")


def tile_requires(node: Node) -> Iterator[Requirement]:
    yield from at_least(0, elements(node, 1), "input 1 must hold no negative number of repeats")


def reshape_requires(node: Node) -> Iterator[Requirement]:
    target, x, out = elements(node, 1), node.operand(0), node.output
    if not x.has_shape or not out.has_shape or len(target) != out.rank:
        return
    open_ones = [t for t in target if isinstance(t, Expr) and not dims.is_nonnegative(t)]
    text = "input 1, the target shape, must hold no dim below -1"
    for t in open_ones:
        yield Requirement(negate(dims.less(t, -1)), text, target)
    holes: list[Dim] = [dims.equal(t, -1) if isinstance(t, int) or t in open_ones else 0 for t in target]
    count: Dim = sum(holes) if holes else 0
    if isinstance(count, Expr):
        yield Requirement(dims.less(count, 2), "input 1, the target shape, may hold one -1", target)
    have, want = dims.product(x.shape), dims.product(out.shape)
    yield Requirement(dims.equal(have, want), "input 1, the target shape, must have the elements of input 0, "
                      f"{'x'.join(map(str, x.shape))}", target)  # fmt: skip
    if node.stated and not (isinstance(count, int) and count == 0):
        # What else the shape says leaves the -1 open where it is 0.
        others = dims.product([dims.select(hole, 1, d) for hole, d in zip(holes, out.shape, strict=True)])
        yield Requirement(negate(dims.minimum(count, dims.equal(others, 0))),
                          "input 1, the target shape, leaves -1 open beside a dim of 0", target)  # fmt: skip


def expand_requires(node: Node) -> Iterator[Requirement]:
    target, x = elements(node, 1), node.operand(0)
    yield from at_least(0, target, "input 1 must hold no negative size")
    if not x.has_shape:
        return
    for have, want in zip(reversed(x.shape), reversed(target), strict=False):
        fits = dims.equal(have, want) + dims.equal(have, 1) + dims.equal(want, 1)
        text = f"dims of input 0, {'x'.join(map(str, x.shape))}, must be 1 or those of the target shape"
        yield Requirement(dims.less(0, fits), text, target)


def squeeze_requires(node: Node) -> Iterator[Requirement]:
    x, axes = node.operand(0), elements(node, 1)
    for axis in axes:
        if isinstance(axis, int) and x.has_shape:
            d = x.shape[axis % x.rank]
            yield Requirement(dims.equal(d, 1), f"dim {axis % x.rank} of input 0 must be 1 to be squeezed", [d])


def split_requires(node: Node) -> Iterator[Requirement]:
    sizes, x = elements(node, 1), node.operand(0)
    if not sizes or not x.has_shape:
        return
    size = x.shape[int(node.attr("axis", 0)) % x.rank]
    yield from at_least(0, sizes, "input 1 must hold no negative size")
    text = f"the sizes of input 1 must make dim {int(node.attr('axis', 0)) % x.rank} of input 0, {size}"
    yield Requirement(dims.equal(sum(sizes), size), text, sizes)


def top_k_requires(node: Node) -> Iterator[Requirement]:
    k, x = elements(node, 1), node.operand(0)
    yield from at_least(0, k, "input 1 (k) must not be negative")
    if k and x.has_shape:
        size = x.shape[int(node.attr("axis", -1)) % x.rank]
        yield Requirement(negate(dims.less(size, k[0])), f"input 1 (k) must be at most the dim of the axis, {size}", k)


def one_hot_requires(node: Node) -> Iterator[Requirement]:
    yield from at_least(1, elements(node, 1), "input 1 (depth) must be positive")


def range_requires(node: Node) -> Iterator[Requirement]:
    delta = elements(node, 2)
    for d in delta:
        yield Requirement(negate(dims.equal(d, 0)), "input 2 (delta) must not be 0", delta)


def pad_requires(node: Node) -> Iterator[Requirement]:
    if node.output.has_shape:
        for d in node.output.shape:
            if isinstance(d, Expr) and not dims.is_nonnegative(d):
                yield Requirement(negate(dims.less(d, 0)), "input 1 (pads) must leave something", elements(node, 1))


def blocks_require(node: Node) -> Iterator[Requirement]:
    """DepthToSpace and SpaceToDepth: whole blocks."""
    x, size = node.operand(0), int(node.attr("blocksize"))
    unit, axes = (size * size, (1,)) if node.op == "DepthToSpace" else (size, (2, 3))
    for axis in axes:
        d = x.shape[axis]
        yield Requirement(dims.equal(dims.mod(d, unit), 0), f"dim {axis} of input 0 must be a multiple of {unit}", [d])


def concat_requires(node: Node) -> Iterator[Requirement]:
    """Dims beside the axis agree."""
    first = node.operand(0).shape
    axis = int(node.attr("axis")) % len(first)
    for index, value in enumerate(node.inputs[1:], start=1):
        for i, d in enumerate(value.shape if value is not None else ()):
            if i != axis:
                text = f"dim {i} of input {index} must be that of input 0, {first[i]}"
                yield Requirement(dims.equal(d, first[i]), text, [d])


def resize_requires(node: Node) -> Iterator[Requirement]:
    yield from at_least(1, elements(node, 3), "input 3 (sizes) must hold positive sizes")
