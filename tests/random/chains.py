"""Models of several ops: shared values, views of views, writes into what others read, outputs, symbolic sizes."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.random.cases import Case, Facts

OPSET = 21
SIZES = (1, 2, 3, 4, 5, 8, 13, 16, 33, 64, 100, 130, 257)
_INT_MAX = (1 << 31) - 1

Shape = tuple[Any, ...]  # ints, and names of sizes


class Sketch:
    """A model being drawn. Shapes hold names of symbolic sizes; `least` is what each must be at least."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shapes: dict[str, Shape] = {}
        self.inputs: dict[str, tuple[Shape, int]] = {}
        self.ranges: dict[str, str] = {}  # index inputs: the size that they stay below
        self.least: dict[str, int] = {}

    def input(self, shape: Shape, kind: int = TensorProto.FLOAT) -> str:
        name = f"in{len(self.inputs)}"
        self.inputs[name] = (shape, kind)
        if kind == TensorProto.FLOAT:
            self.shapes[name] = shape
        return name

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def ints(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))

    def op(self, op: str, *inputs: str, shape: Shape | None, outputs: int = 1, **attributes: Any) -> str:
        names = [f"v{len(self.nodes)}" + ("" if i == 0 else f"_{i}") for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"n{len(self.nodes)}", **attributes))
        if shape is not None:
            self.shapes[names[0]] = shape
        return names[0]

    def pick(self, fits: Callable[[Shape], bool] = lambda shape: True) -> str | None:
        """A value, more likely a late one."""
        names = [n for n, s in self.shapes.items() if fits(s)]
        if not names:
            return None
        return names[max(self.rng.randrange(len(names)), self.rng.randrange(len(names)))]

    def sized(self, shape: Shape, axis: int, least: int) -> bool:
        """Whether the dim may be taken to be at least so large; remembers it for a symbolic one."""
        size = shape[axis]
        if isinstance(size, int):
            return size >= least
        if not isinstance(size, str) or "+" in size:
            return False
        self.least[size] = max(self.least.get(size, 1), least)
        return True


def unary(s: Sketch) -> None:
    x = s.pick()
    assert x
    s.op(s.rng.choice(["Tanh", "Sigmoid", "Relu", "Neg", "Abs", "Identity"]), x, shape=s.shapes[x])


def binary(s: Sketch) -> None:
    x = s.pick()
    assert x
    y = (
        s.pick(lambda shape: shape == s.shapes[x])
        if s.rng.random() < 0.7
        else s.constant(np.float32(s.rng.choice([0, 1, 2, 0.5])))
    )
    assert y
    s.op(s.rng.choice(["Add", "Sub", "Mul", "Max", "Min"]), x, y, shape=s.shapes[x])


def broadcast(s: Sketch) -> None:
    """With a reduced value of the same tensor."""
    x = s.pick(lambda shape: len(shape) > 0)
    if x is None:
        return
    shape = s.shapes[x]
    axis = s.rng.randrange(len(shape))
    kept = tuple(1 if i == axis else n for i, n in enumerate(shape))
    op = s.rng.choice(["ReduceSum", "ReduceMean", "ReduceMax"])
    total = s.op(op, x, s.ints(axis), shape=kept, keepdims=1)
    s.op(s.rng.choice(["Sub", "Mul", "Add"]), x, total, shape=shape)


def slice_of(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) > 0)
    if x is None:
        return
    shape = list(s.shapes[x])
    axis = s.rng.randrange(len(shape))
    start, length = s.rng.choice([0, 1, 2, 5, 65, 100]), s.rng.choice([1, 2, 4])
    if s.rng.random() < 0.3 and isinstance(shape[axis], str) and "+" not in shape[axis]:
        s.sized(tuple(shape), axis, start + 1)
        shape[axis] = f"{shape[axis]}+{-start}" if start else shape[axis]
        s.op("Slice", x, s.ints(start), s.ints(_INT_MAX), s.ints(axis), shape=tuple(shape))
        return
    if not s.sized(tuple(shape), axis, start + length):
        return
    shape[axis] = length
    if s.rng.random() < 0.25:
        back = s.op("Slice", x, s.ints(start + length - 1), s.ints(start - 1 if start else -_INT_MAX), s.ints(axis), s.ints(-1), shape=tuple(shape))  # noqa: E501  # fmt: skip
        assert back
        return
    s.op("Slice", x, s.ints(start), s.ints(start + length), s.ints(axis), shape=tuple(shape))


def transpose(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) > 1)
    if x is None:
        return
    perm = s.rng.sample(range(len(s.shapes[x])), len(s.shapes[x]))
    s.op("Transpose", x, shape=tuple(s.shapes[x][p] for p in perm), perm=perm)


def reshape(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) > 0)
    if x is None:
        return
    shape = s.shapes[x]
    kind = s.rng.choice(["unsqueeze", "squeeze", "flat", "zero"])
    if kind == "unsqueeze" and len(shape) < 5:
        axis = s.rng.randrange(len(shape) + 1)
        s.op("Unsqueeze", x, s.ints(axis), shape=(*shape[:axis], 1, *shape[axis:]))
    elif kind == "squeeze" and 1 in shape:
        axis = shape.index(1)
        s.op("Squeeze", x, s.ints(axis), shape=shape[:axis] + shape[axis + 1 :])
    elif kind == "flat" and all(isinstance(n, int) for n in shape):
        s.op("Reshape", x, s.ints(-1), shape=(int(np.prod(shape)),))
    elif kind == "zero":
        s.op("Reshape", x, s.ints(*[0] * len(shape)), shape=shape)


def concat(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) > 0 and all(isinstance(n, int) for n in shape[:1]))
    if x is None:
        return
    shape = s.shapes[x]
    parts = [x]
    for _ in range(s.rng.randint(1, 2)):
        other = s.pick(lambda t: len(t) == len(shape) and t[1:] == shape[1:] and isinstance(t[0], int))
        if other:
            parts.append(other)
    total = sum(s.shapes[p][0] for p in parts)
    if total > 400:
        return
    s.op("Concat", *parts, shape=(total, *shape[1:]), axis=0)


def split(s: Sketch) -> None:
    x = s.pick(lambda shape: any(isinstance(n, int) and n > 1 for n in shape))
    if x is None:
        return
    shape = list(s.shapes[x])
    axis = s.rng.choice([i for i, n in enumerate(shape) if isinstance(n, int) and n > 1])
    first = s.rng.randint(1, shape[axis] - 1)
    sizes = (first, shape[axis] - first)
    name = s.op("Split", x, s.ints(*sizes), shape=None, outputs=2, axis=axis)
    for made, size in zip((name, f"{name}_1"), sizes, strict=True):
        s.shapes[made] = tuple(size if i == axis else n for i, n in enumerate(shape))


def scatter(s: Sketch) -> None:
    """Writes a few rows of a value that others may still read, or a view of it."""
    x = s.pick(lambda shape: len(shape) > 0)
    if x is None:
        return
    shape = s.shapes[x]
    count = s.rng.choice([1, 2, 4])
    if not s.sized(shape, 0, count):
        return
    rows = s.rng.sample(range(count), count)
    part = (count, *shape[1:])
    updates = s.pick(lambda t: t == part) or s.input(part)
    reduction = s.rng.choice(["none", "none", "none", "add", "mul", "max"])
    if s.rng.random() < 0.6 or not all(isinstance(n, int) for n in part):
        index = s.constant(np.array(rows, np.int64).reshape(count, 1))
        s.op("ScatterND", x, index, updates, shape=shape, reduction=reduction)
    else:
        index = s.constant(
            np.broadcast_to(np.array(rows).reshape(count, *[1] * (len(part) - 1)), part).astype(np.int64)
        )
        s.op("ScatterElements", x, index, updates, shape=shape, axis=0, reduction=reduction)


def gather(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) > 0)
    if x is None:
        return
    shape = s.shapes[x]
    axis = s.rng.randrange(len(shape))
    index = [s.rng.randrange(3) for _ in range(s.rng.randint(1, 3))]
    if not s.sized(shape, axis, 3):
        return
    if s.rng.random() < 0.4:
        s.op("Gather", x, s.constant(np.array(index[0], np.int64)), shape=shape[:axis] + shape[axis + 1 :], axis=axis)
    else:
        s.op("Gather", x, s.ints(*index), shape=(*shape[:axis], len(index), *shape[axis + 1 :]), axis=axis)


def pad(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) > 0 and isinstance(shape[-1], int) and shape[-1] < 100)
    if x is None:
        return
    shape = s.shapes[x]
    before, after = s.rng.randint(0, 2), s.rng.randint(0, 2)
    pads = [*[0] * (len(shape) - 1), before, *[0] * (len(shape) - 1), after]
    s.op("Pad", x, s.ints(*pads), shape=(*shape[:-1], shape[-1] + before + after))


def expand(s: Sketch) -> None:
    x = s.pick(lambda shape: 1 in shape)
    if x is None:
        return
    shape = list(s.shapes[x])
    axis = shape.index(1)
    shape[axis] = s.rng.choice([2, 3, 5])
    s.op("Expand", x, s.ints(*[shape[axis] if i == axis else 1 for i in range(len(shape))]), shape=tuple(shape))


def product(s: Sketch) -> None:
    """With a weight, perhaps one that others read too."""
    x = s.pick(lambda shape: len(shape) > 1 and isinstance(shape[-1], int) and shape[-1] <= 64)
    if x is None:
        return
    width, out = s.shapes[x][-1], s.rng.choice([1, 3, 8, 17])
    rng = np.random.default_rng(len(s.nodes))
    weight = s.constant((rng.standard_normal((width, out)) / max(1, width) ** 0.5).astype(np.float32))
    y = s.op("MatMul", x, weight, shape=(*s.shapes[x][:-1], out))
    if s.rng.random() < 0.4:
        y = s.op("Add", y, s.constant(np.linspace(-1, 1, out, dtype=np.float32)), shape=s.shapes[y])
    if s.rng.random() < 0.3:
        s.op(s.rng.choice(["Relu", "Tanh", "Sigmoid"]), y, shape=s.shapes[y])


def softmax(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) > 0)
    if x is not None:
        s.op("Softmax", x, shape=s.shapes[x], axis=s.rng.randrange(len(s.shapes[x])))


def where(s: Sketch) -> None:
    x = s.pick()
    assert x
    y = s.pick(lambda shape: shape == s.shapes[x])
    assert y
    test = s.op("Greater", x, y, shape=None)
    s.op("Where", test, *s.rng.sample([x, y], 2), shape=s.shapes[x])


def convolution(s: Sketch) -> None:
    x = s.pick(lambda shape: len(shape) == 4 and isinstance(shape[1], int) and shape[1] <= 16)
    if x is None:
        return
    shape = s.shapes[x]
    rng, out, kernel = np.random.default_rng(len(s.nodes)), s.rng.choice([1, 4, 8, 16]), s.rng.choice([1, 3])
    weight = (rng.standard_normal((out, shape[1], kernel, kernel)) / (shape[1] * kernel)).astype(np.float32)
    s.op("Conv", x, s.constant(weight), shape=(shape[0], out, *shape[2:]), pads=[kernel // 2] * 4)


FRAGMENTS: tuple[Callable[[Sketch], None], ...] = (
    unary, unary, binary, binary, broadcast, slice_of, slice_of, transpose, reshape, concat, split, scatter, scatter,
    gather, pad, expand, product, softmax, where, convolution,
)  # fmt: skip


def chain(seed: int, index: int) -> Case:
    rng = random.Random(f"{seed}/{index}/chain")
    s = Sketch(rng)
    names = ["n", "m"]
    rank = rng.choice([1, 1, 2, 2, 3, 4])
    shape: Shape = tuple(
        rng.choice([*names, *names, 1, 3, 4, 8]) if i < 2 else rng.choice([1, 3, 4, 8]) for i in range(rank)
    )
    if rank == 4:
        shape = (rng.choice(["n", 1, 2]), rng.choice([3, 4, 8]), rng.choice(["m", 4, 7]), rng.choice([4, 7]))
    s.input(shape)
    s.input(shape)
    if rng.random() < 0.3:
        s.input(shape[1:] if len(shape) > 1 else shape)
    for _ in range(rng.randint(3, 14)):
        rng.choice(FRAGMENTS)(s)
    return _finish(s, rng, f"{seed}/{index}")


def _finish(s: Sketch, rng: random.Random, key: str) -> Case:
    if not s.nodes:
        s.op("Relu", "in0", shape=s.shapes["in0"])
    read = {name for node in s.nodes for name in node.input}
    made = [name for node in s.nodes for name in node.output if name in s.shapes]
    names = [n for n in made if n not in read]
    names += rng.sample(made, min(len(made), rng.choice([0, 0, 1, 2])))
    style = rng.choice(["named", "named", "named", "anonymous", "unknown", "fixed"])
    kinds = {n: k for n, (_, k) in s.inputs.items()}
    runs = []
    for binding in range(1 if style == "fixed" else 3):
        sizes = {name: rng.choice([n for n in SIZES if n >= s.least.get(name, 1)]) for name in ("n", "m")}
        data = np.random.default_rng(zlib.crc32(f"{key}/{binding}".encode()))
        runs.append({n: data.standard_normal([_value(d, sizes) for d in shape]).astype(np.float32)
                     for n, (shape, _) in s.inputs.items()})  # fmt: skip
    infos = []
    for name, (shape, _) in s.inputs.items():
        declared = _declare(style, shape, runs[0][name].shape)
        infos.append(helper.make_tensor_value_info(name, kinds[name], declared))
    outputs = [onnx.ValueInfoProto(name=n) for n in dict.fromkeys(names)]
    graph = helper.make_graph(s.nodes, "chain", infos, outputs, s.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return Case("chain", s.nodes[-1].op_type, style, model, runs, [Facts("chain", style=style)] * len(runs))


def _declare(style: str, shape: Shape, actual: tuple[int, ...]) -> list[Any] | None:
    if style == "unknown":
        return None
    if style == "fixed":
        return list(actual)
    return [d if isinstance(d, int) else d if style == "named" and "+" not in d else None for d in shape]


def _value(dim: Any, sizes: dict[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    name, _, more = dim.partition("+")
    return sizes[name] + int(more or 0)
