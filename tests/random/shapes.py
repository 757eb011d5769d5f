"""Templates of ops that move elements: shapes, indices, padding, joining and splitting."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, numpy_helper

from tests.random.draw import Draw, between, given, plain, template

FAR = (1 << 31) - 1
FARTHEST = (1 << 63) - 1


@template("Shape")
def shape_of(d: Draw) -> None:
    d.attr("start", d.choice([None, 0, 1, -1, -2, 9, -9]))
    d.attr("end", d.choice([None, 1, 2, -1, 9, -9]))
    d.input("data", d.shape(d.rank()))


@template("Reshape")
def reshape(d: Draw) -> None:
    rank = d.rank()
    shape = list(d.shape(rank, 1 if d.chance(0.8) else 0))
    kind = d.choice(["flat", "same", "split", "merge", "zeros", "ones", "fed"])
    target: list[int]
    if kind == "flat" or rank == 0:
        target = [-1] if d.chance() or rank else d.choice([[], [1], [1, 1], [-1]])
    elif kind == "same":
        target = [0] * rank
    elif kind == "split":
        part, axis = d.choice([1, 2, 3]), d.fixed(0, rank - 1)
        shape[axis] = int(d.size(1, 40)) * part
        target = [0] * axis + ([part, -1] if axis == rank - 1 else [-1, part] + [int(n) for n in shape[axis + 1 :]])
    elif kind == "merge":
        target = [0] * max(0, rank - 2) + [-1]
    elif kind == "zeros":
        target = [0] * (rank - 1) + [-1]
    elif kind == "ones":
        target = [1, -1, 1]
    else:
        target = [int(np.prod([int(n) for n in shape]))]
    if 0 in shape and -1 in target:
        target = [int(n) for n in shape]
    if d.has_attr("allowzero") and d.chance(0.1) and 0 not in target:
        d.attr("allowzero", 1)
    d.input("data", shape)
    d.shaping("shape", target)


@template("Flatten")
def flatten(d: Draw) -> None:
    rank = d.rank(1)
    low = -rank if d.opset >= 11 else 0
    d.attr("axis", d.choice([None, d.fixed(low, rank)]))
    d.input("input", d.shape(rank))


@template("Squeeze")
def squeeze(d: Draw) -> None:
    rank = d.rank()
    shape = list(d.shape(rank, 2))
    axes = d.axes(rank) if d.opset >= 11 else [a % max(1, rank) for a in d.axes(rank)]
    for axis in axes:
        shape[axis] = 1
    d.input("data", shape)
    if d.chance(0.8) and axes:
        _axes(d, sorted(axes) if d.opset < 11 else axes)


def _axes(d: Draw, axes: list[int]) -> None:
    if d.has_attr("axes"):
        d.attr("axes", axes)
    else:
        d.shaping("axes", axes)


@template("Unsqueeze")
def unsqueeze(d: Draw) -> None:
    rank, more = d.rank(0, 4), d.fixed(1, 2)
    axes = d.rng.sample(range(rank + more), more)
    if d.opset >= 11 and d.chance(0.3):
        axes = [a - rank - more for a in axes]
    d.input("data", d.shape(rank))
    _axes(d, axes)


@template("Transpose")
def transpose(d: Draw) -> None:
    rank = d.rank()
    if d.chance(0.8) and rank:
        d.attr("perm", d.rng.sample(range(rank), rank))
    d.input("data", d.shape(rank))


@template("Expand")
def expand(d: Draw) -> None:
    target = d.shape(d.rank(0, 5))
    kept = target[d.fixed(0, len(target)) :]
    dims = tuple(1 if d.chance(0.4) else n for n in kept)
    wanted = [1 if d.chance(0.2) and i >= len(target) - len(dims) and dims[i - len(target)] == n else int(n)
              for i, n in enumerate(target)]  # fmt: skip
    d.input("input", dims)
    d.shaping("shape", wanted)


@template("Tile")
def tile(d: Draw) -> None:
    rank = d.rank()
    d.input("input", d.shape(rank))
    d.shaping("repeats", [d.choice([1, 1, 2, 3, 0]) for _ in range(rank)])


@template("Concat")
def concat(d: Draw) -> None:
    rank = d.rank(1)
    axis = d.axis(rank) if d.opset >= 11 else d.fixed(0, rank - 1)
    shape = list(d.shape(rank))
    d.attr("axis", axis)
    for _ in range(d.fixed(1, 4)):
        shape[axis] = d.size(0, 40)
        d.input("inputs", shape)


@template("Split")
def split(d: Draw) -> None:
    rank = d.rank(1)
    axis = d.axis(rank) if d.opset >= 11 else d.fixed(0, rank - 1)
    shape = list(d.shape(rank))
    count = d.fixed(1, 4)
    d.output_count = count
    d.attr("axis", axis)
    parts = [d.fixed(0, 5) for _ in range(count)]
    even = d.chance(0.4)
    if even and d.has_attr("num_outputs"):
        d.attr("num_outputs", count)
        shape[axis] = d.size(count * count) if d.chance() else count * d.fixed(1, 5)
    else:
        shape[axis] = count * d.fixed(1, 5) if even else sum(parts)
    d.input("input", shape)
    if not even:
        if d.has_attr("split"):
            d.attr("split", parts)
        else:
            d.shaping("split", parts)


@template("Slice")
def slices(d: Draw) -> None:
    rank = d.rank(1)
    axes = d.axes(rank, 1) if d.opset >= 10 else [a % rank for a in d.axes(rank, 1)]
    signs = [d.chance(0.25) and d.opset >= 10 for _ in axes]
    steps = [d.choice([-1, -1, -2, -3, -FAR]) if back else d.choice([1, 1, 1, 2, 3, FAR]) for back in signs]
    if d.opset < 10:
        steps = [1] * len(axes)
    ends = [0, 1, 2, 3, 5, -1, -2, 100, FAR, FARTHEST, -FAR, -FARTHEST]
    starts, stops = ([d.choice(ends) for _ in axes] for _ in range(2))
    d.input("data", d.shape(rank))
    if d.has_attr("starts"):
        for name, numbers in (("starts", starts), ("ends", stops), ("axes", axes)):
            d.attr(name, numbers)
        return
    kind = d.choice(["int64", "int64", "int32"])
    if kind == "int32":
        starts, stops = ([max(-FAR, min(FAR, n)) for n in numbers] for numbers in (starts, stops))
    if d.chance(0.2) and not any(signs):
        axes, starts, stops, steps = list(range(len(axes))), starts, stops, steps
        if d.chance():
            for name, numbers in (("starts", starts), ("ends", stops)):
                d.shaping(name, numbers, kind)
            return
    for name, numbers in (("starts", starts), ("ends", stops), ("axes", axes), ("steps", steps)):
        d.shaping(name, numbers, kind)


@template("Pad")
def pad(d: Draw) -> None:
    rank = d.rank(1)
    mode = d.choice(["constant", "constant", "edge", "reflect"] + (["wrap"] if d.opset >= 19 else []))
    d.attr("mode", mode if d.chance(0.9) or mode != "constant" else None)
    shape = d.shape(rank, 0 if mode == "constant" else 4)
    shape = shape if mode == "constant" else tuple(d.size(4) if n == 1 else n for n in shape)
    low = -2 if d.chance(0.2) and min(shape) >= 4 else 0
    axes = d.axes(rank, 1) if d.has_input("axes") and d.chance(0.4) else None
    count = rank if axes is None else len(axes)
    pads = [d.fixed(-1 if low else 0, 3) for _ in range(2 * count)]
    d.input("data", shape)
    if d.has_attr("pads"):
        d.attr("pads", pads)
        d.attr("value", d.choice([None, 1.5]))
        return
    d.shaping("pads", pads)
    if d.chance() and mode == "constant":
        d.input("constant_value", (), plain, constant=0.6)
    else:
        d.absent()
    if axes is not None:
        d.shaping("axes", axes)


# -- indices -------------------------------------------------------------------------------------------------------


def _below(n: int, negative: bool):  # type: ignore[no-untyped-def]
    return between(-n if negative else 0, n - 1)


@template("Gather")
def gather(d: Draw) -> None:
    rank = d.rank(1, 4)
    axis = d.axis(rank)
    shape = list(d.shape(rank))
    shape[axis] = d.size(1)
    d.attr("axis", axis)
    d.input("data", shape, constant=0.3)
    d.input("indices", d.shape(d.rank(0, 2)), _below(int(shape[axis]), d.opset >= 11 and d.chance()), constant=0.3)


@template("GatherElements")
def gather_elements(d: Draw) -> None:
    rank = d.rank(1, 4)
    axis = d.axis(rank)
    shape = list(d.shape(rank, 1))
    indices = [n if d.chance(0.7) else 1 for n in shape]
    indices[axis] = d.size(0, 20)
    d.attr("axis", axis)
    d.input("data", shape)
    d.input("indices", indices, _below(int(shape[axis]), d.chance()))


@template("GatherND")
def gather_nd(d: Draw) -> None:
    rank = d.rank(1, 4)
    shape = d.shape(rank, 1)
    batch = d.fixed(0, min(2, rank - 1)) if d.opset >= 12 else 0
    depth = d.fixed(1, rank - batch)
    d.attr("batch_dims", batch if batch or d.chance() else None)
    d.input("data", shape)
    between_dims = [d.size(0, 9) for _ in range(d.fixed(0, 2))]
    d.input("indices", [*shape[:batch], *between_dims, depth], _positions(shape[batch:], depth, d.chance(0.4)))


def _positions(shape, depth, negative):  # type: ignore[no-untyped-def]
    def values(rng, dims, dtype):  # type: ignore[no-untyped-def]
        columns = [rng.integers(-int(shape[i]) if negative else 0, int(shape[i]), dims[:-1]) for i in range(depth)]
        return np.stack(columns, -1).astype(dtype).reshape(dims)

    return values


@template("ScatterElements", "Scatter")
def scatter_elements(d: Draw) -> None:
    rank = d.rank(1, 4)
    axis = d.axis(rank) if d.opset >= 11 else d.fixed(0, rank - 1)
    shape = list(d.shape(rank, 1))
    part = list(shape)
    part[axis] = d.fixed(0, 3)
    shape[axis] = d.size(max(1, part[axis]))
    d.attr("axis", axis)
    reductions = ["none", "add", "mul"] + (["max", "min"] if d.opset >= 18 else [])
    d.attr("reduction", d.choice([None, *reductions]))
    unique = d.attributes.get("reduction", "none") == "none"
    d.input("data", shape)
    size, negative = int(shape[axis]), d.opset >= 11 and d.chance(0.4)

    def values(rng, dims, dtype):  # type: ignore[no-untyped-def]
        if not unique:
            return rng.integers(-size if negative else 0, size, dims).astype(dtype)
        lines = np.argsort(rng.random([*(n for i, n in enumerate(dims) if i != axis % rank), size]), -1)
        chosen = np.moveaxis(lines[..., : dims[axis]], -1, axis % rank)
        return (chosen - size if negative else chosen).astype(dtype)

    d.input("indices", part, values)
    d.input("updates", part)


@template("ScatterND")
def scatter_nd(d: Draw) -> None:
    rank = d.rank(1, 4)
    shape = d.shape(rank, 1)
    depth = d.fixed(1, rank)
    reductions = ["none", "add", "mul"] + (["max", "min"] if d.opset >= 18 else [])
    d.attr("reduction", d.choice([None, *reductions]))
    unique = d.attributes.get("reduction", "none") == "none"
    total = int(np.prod([int(n) for n in shape[:depth]]))
    count = min(d.fixed(0, 4), total) if unique else d.fixed(0, 6)
    negative = d.opset >= 11 and d.chance(0.3)

    def values(rng, dims, dtype):  # type: ignore[no-untyped-def]
        flat = rng.choice(total, count, replace=not unique)
        index = np.stack(np.unravel_index(flat, [int(n) for n in shape[:depth]]), -1).reshape(dims)
        return (index - np.array([int(n) for n in shape[:depth]]) if negative else index).astype(dtype)

    d.input("data", shape)
    d.input("indices", [count, depth], values)
    d.input("updates", [count, *shape[depth:]])


@template("TensorScatter")
def tensor_scatter(d: Draw) -> None:
    batch, heads, most, width = d.size(1, 4), d.size(1, 4), d.size(4, 40), d.size(1, 9)
    new = d.fixed(1, 3)
    circular = d.chance(0.4)
    d.attr("mode", "circular" if circular else d.choice([None, "linear"]))
    d.attr("axis", d.choice([None, -2, 2]))
    d.input("past_cache", (batch, heads, most, width))
    d.input("update", (batch, heads, new, width))
    if d.chance(0.7):
        d.input("write_indices", (batch,), between(0, int(most) - (1 if circular else new)))


@template("Compress")
def compress(d: Draw) -> None:
    rank = d.rank(1, 4)
    shape = d.shape(rank, 1)
    axis = d.choice([None, d.axis(rank)]) if d.opset >= 11 else d.choice([None, d.fixed(0, rank - 1)])
    d.attr("axis", axis)
    d.input("input", shape)
    length = int(np.prod([int(n) for n in shape])) if axis is None else shape[axis]
    d.input("condition", (length if d.chance(0.7) else 1,), constant=0.3)


@template("OneHot")
def one_hot(d: Draw) -> None:
    rank = d.rank(0, 3)
    depth = d.fixed(1, 9)
    d.attr("axis", d.choice([None, d.fixed(-rank - 1, rank)]))
    signed = not d.dtype(0).startswith("u")
    d.input("indices", d.shape(rank), between(-depth if signed else 0, depth - 1))
    d.input("depth", () if d.chance() and d.opset >= 11 else (1,), given(depth), constant=0.7)
    d.input("values", (2,), constant=0.6)


@template("ReverseSequence")
def reverse_sequence(d: Draw) -> None:
    batch_axis = d.fixed(0, 1)
    shape = list(d.shape(d.rank(2, 4), 1))
    shape[0], shape[1] = d.size(1, 20), d.size(1, 20)
    if d.chance(0.8):
        d.attr("batch_axis", batch_axis)
        d.attr("time_axis", 1 - batch_axis)
    else:
        batch_axis = 1
    d.input("input", shape)
    d.input("sequence_lens", (shape[batch_axis],), between(1, int(shape[1 - batch_axis])))


@template("DepthToSpace", "SpaceToDepth")
def depth_space(d: Draw) -> None:
    block, n, c, h, w = d.fixed(1, 3), d.size(1, 3), d.size(1, 5), d.size(1, 9), d.size(1, 9)
    d.attr("blocksize", block)
    if d.op == "DepthToSpace":
        d.attr("mode", d.choice([None, "DCR", "CRD"]))
        d.input("input", (n, c * block * block, h, w))
    else:
        d.input("input", (n, c, h * block, w * block))


@template("EyeLike")
def eye_like(d: Draw) -> None:
    d.attr("k", d.choice([None, 0, 1, -1, 5, -9]))
    d.attr("dtype", d.choice([None, TensorProto.FLOAT, TensorProto.INT64, TensorProto.DOUBLE]))
    d.input("input", d.shape(2))


@template("Trilu")
def trilu(d: Draw) -> None:
    d.attr("upper", d.choice([None, 0, 1]))
    d.input("input", d.shape(d.rank(2, 4)))
    if d.chance(0.7):
        d.input("k", (), given(d.choice([0, 1, -1, 3, -9, 9])), constant=0.6)


@template("Range")
def number_range(d: Draw) -> None:
    start, step, count = d.fixed(-5, 5), d.choice([1, 2, 3, -1, -2]), d.fixed(0, 40)
    constant = d.choice([0.0, 1.0, 0.5])
    for name, value in (("start", start), ("limit", start + step * count), ("delta", step)):
        d.input(name, (), given(value), constant=constant)


@template("ConstantOfShape")
def constant_of_shape(d: Draw) -> None:
    if d.chance(0.7):
        kind = d.choice(["float32", "int64", "int32", "bool", "float64", "uint8", "float16"])
        d.attr("value", numpy_helper.from_array(np.array([d.choice([0, 1, 3])]).astype(kind)))
    d.shaping("input", [int(n) for n in d.shape(d.rank())], constant=0.4)


@template("Unique")
def unique(d: Draw) -> None:
    rank = d.rank(1, 3)
    d.attr("axis", d.choice([None, None, d.axis(rank)]))
    d.attr("sorted", d.choice([None, 0, 1]))
    d.input("X", d.shape(rank, 1), plain if d.dtype(0) == "string" else between(0, 3))
    d.outputs(4)


@template("CenterCropPad")
def center_crop_pad(d: Draw) -> None:
    rank = d.rank(1, 4)
    axes = d.axes(rank, 1) if d.chance() else None
    d.attr("axes", axes)
    d.input("input_data", d.shape(rank, 1))
    d.shaping("shape", [d.fixed(1, 9) for _ in range(rank if axes is None else len(axes))])


@template("Dropout")
def dropout(d: Draw) -> None:
    d.input("data", d.shape(d.rank()))
    if d.opset < 12:
        d.attr("ratio", d.choice([None, 0.3]))
    d.outputs(2)
