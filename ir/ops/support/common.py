"""What the record families share: shape helpers, and the factory of elementwise records.

Conventions of every evaluator: inputs are numpy arrays (None where absent); narrow floats are computed in float32 and
rounded once at the end; integers wrap; outputs are arrays, 0-d ones included, of the type that inference gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from arenaut.ir.dims import Dim, equal, minimum, minimum_limits, product, select
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.elements import ChoiceRule, Coordinates, Elements, UnknownElementError
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.support.requirements import divisor_requires
from arenaut.ir.ops.support.samples import Samples
from arenaut.ir.record import (
    EXACT,
    ClipRule,
    Evaluator,
    Infer,
    OpRecord,
    Reg,
    SignRule,
    TileBuilder,
    Tolerance,
    UnknownError,
)  # fmt: skip
from arenaut.ir.types import Shape, TensorType, Type

DataRule = Callable[[Infer], Sequence["Array | None"]]


# -- what evaluators keep --------------------------------------------------------------------------------------

_Kept = TypeVar("_Kept")
_MOST_KEPT = 64
# By the identity of a node's attributes, which are held, so that it stays theirs.
_KEPT: dict[int, tuple[object, Any]] = {}


def kept_for(node: Node, make: Callable[[Node], _Kept]) -> _Kept:
    """What `make` makes of the node's attributes: made once, and again where many other nodes came between. A node has
    one such maker."""
    mark = node.attributes
    known = _KEPT.get(id(mark))
    if known is not None and known[0] is mark:
        found: _Kept = known[1]
        return found
    made = make(node)
    while len(_KEPT) >= _MOST_KEPT:
        _KEPT.pop(next(iter(_KEPT)), None)
    _KEPT[id(mark)] = (mark, made)
    return made


# -- shapes ----------------------------------------------------------------------------------------------------


def broadcast_dim(a: Dim, b: Dim) -> Dim | None:
    """The dim of a broadcast result; None when the two contradict. An int other than 1 wins against a symbol."""
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if isinstance(a, int) and isinstance(b, int):
        return None
    if isinstance(a, int):
        return a
    if isinstance(b, int):
        return b
    for x, y in ((a, b), (b, a)):
        if _is_capped(x, y):
            return y
    return select(equal(a, 1), b, a)


def _is_capped(x: Dim, y: Dim) -> bool:
    """Whether x is min(y, c) with c >= 2: then x is 1 only where y is, so the two broadcast only when both are y."""
    return any(x in (minimum(y, c), minimum(c, y)) for c in minimum_limits(x) if c >= 2)


def broadcast_shapes(context: Infer, shapes: Sequence[Shape]) -> Shape:
    """Numpy broadcasting of all shapes. Raises ShapeError where known dims contradict."""
    out: list[Dim] = []
    for shape in shapes:
        out = [*([1] * (len(shape) - len(out))), *out]
        for i, d in enumerate(shape, len(out) - len(shape)):
            merged = broadcast_dim(out[i], d)
            if merged is None:
                raise context.fail(f"shapes do not broadcast: {out[i]} against {d} in dim {i - len(out)}")
            out[i] = merged
    return tuple(out)


def agree(context: Infer, a: Dim, b: Dim, what: str) -> Dim:
    """The better known of two dims that must be equal. Raises ShapeError when they cannot be."""
    if isinstance(a, int) and isinstance(b, int) and a != b:
        raise context.fail(f"{what}: {a} is not {b}")
    return a if isinstance(a, int) else b


def axis_in(context: Infer, axis: int, rank: int) -> int:
    """axis counted from the front. Raises ShapeError when out of range."""
    if not -rank <= axis < rank:
        raise context.fail(f"axis {axis} is out of range for rank {rank}")
    return axis % rank


def from_front(axes: Iterable[int], rank: int) -> list[int]:
    """Axes counted from the front, for evaluators. Raises RuleError for one that the rank does not have."""
    given = [int(a) for a in axes]
    for axis in given:
        if not -rank <= axis < rank:
            raise RuleError(f"axes {given}: {axis} is out of range for rank {rank}")
    return [axis % rank for axis in given]


def known_ints(data: Array | None) -> list[int] | None:
    """Every element as an int, or None when one of them is symbolic or none is known."""
    if data is None or not all(isinstance(x, (int, np.integer)) for x in data.flat):
        return None
    return [int(x) for x in data.flat]


def input_ints(context: Infer, index: int) -> list[int] | None:
    """The elements of an optional integer input that decides ranks or the meaning of dims; None when it is absent.
    Where they are not known at load, the output's shape is not known either (UnknownError)."""
    if not context.has(index):
        return None
    values = known_ints(context.settled_data(index))
    if values is None:
        raise UnknownError(f"input {index} is not known")
    return values


def ranked(context: Infer, index: int, least: int, most: int | None = None) -> Shape:
    """The dims of an input that has so many. Raises ShapeError for more or fewer."""
    shape, most = context.shape(index), least if most is None else most
    if not least <= len(shape) <= most:
        span = str(least) if least == most else f"{least} to {most}"
        raise context.fail(f"input {index} has rank {len(shape)}, expected {span}")
    return shape


def check_rank(context: Infer, index: int, rank: int) -> None:
    """Raises ShapeError for an input that is there and known to have another rank."""
    if context.has(index) and context.node.operand(index).has_shape:
        ranked(context, index, rank)


def only_element(context: Infer, index: int, elements: Array) -> Any:
    """The single element of an input. Raises ShapeError where it has another number of them."""
    if elements.size != 1:
        raise context.fail(f"input {index} has {elements.size} elements, expected 1")
    return elements.item()


def tensor_like(context: Infer, index: int = 0) -> TensorType:
    """The type of a tensor input, of known rank or not."""
    t = context.type(index)
    if not isinstance(t, TensorType):
        raise context.fail(f"input {index} is {t}, expected a tensor")
    return t


def same_as_input(context: Infer) -> Sequence[Type]:
    """One output with the type of input 0."""
    return [context.type(0)]


def dim_array(dims: Sequence[Dim]) -> Array:
    """A 1-d array of dims, as data rules return it."""
    out = np.empty(len(dims), object)
    out[:] = list(dims)
    return out


def data_through(evaluate: Evaluator, *operands: int) -> DataRule:
    """The data rule of an op that only moves elements: its evaluator run on arrays of dims. operands: the inputs whose
    elements are moved (all when none is named); the others must be ints."""

    def rule(context: Infer) -> Sequence[Array | None]:
        node, arrays = context.node, []
        for index in range(len(node.inputs)):
            known = context.known_data(index) if context.has(index) else None
            if context.has(index) and known is None:
                return [None] * len(node.outputs)
            if known is not None and operands and index not in operands:
                values = known_ints(known)
                if values is None:
                    return [None] * len(node.outputs)
                known = np.array(values, np.int64).reshape(known.shape)
            arrays.append(known)
        return evaluate(node, arrays)

    return rule


# -- values ----------------------------------------------------------------------------------------------------


def widen(array: Array) -> Array:
    """Narrow floats as float32, sub-byte integers as int32, everything else as it is."""
    if array.dtype.kind in "OUST":
        return array
    dtype = dtype_of(array)
    if dtype.is_float and dtype.itemsize < 4:
        return array.astype(np.float32)
    if array.dtype.kind == "V":
        return array.astype(np.int32)
    return array


def to_dtype(array: Any, dtype: np.dtype[Any]) -> Array:
    """array in the given element type (integers wrap, floats round to nearest even)."""
    out = np.asarray(array)
    if out.dtype == dtype:
        return out
    with np.errstate(all="ignore"):
        return out.astype(dtype)


def filled_up(rows: Sequence[Sequence[str]], shape: Sequence[int], fill: str) -> Array:
    """Rows of text along a new last axis after `shape`, as long as the longest."""
    columns = list(zip_longest(*rows, fillvalue=fill))
    out = np.empty((len(rows), len(columns)), object)
    for target, column in zip(out.T, columns, strict=True):
        target[:] = column
    return out.reshape(*shape, len(columns))


# -- elementwise records -----------------------------------------------------------------------------------------


def map_dims(function: Callable[..., Dim | None], *operands: Array) -> Array | None:
    """function over broadcast object arrays; None when it gave None for any element."""
    result = np.asarray(np.frompyfunc(function, len(operands), 1)(*operands), object)
    return None if any(x is None for x in result.flat) else result


def always_signless(node: Node, asks: Callable[[Value], bool]) -> bool:
    """Whatever the operands are."""
    return True


def signless_of_signless(node: Node, asks: Callable[[Value], bool]) -> bool:
    """Where all operands of floats are."""
    floats = [v for v in node.inputs if v is not None and isinstance(v.type, TensorType) and v.dtype.is_float]
    return bool(floats) and all(asks(v) for v in floats)


def _refuse_zeros(node: Node, inputs: Sequence[Any], divisor: int) -> None:
    by = np.asarray(inputs[divisor])
    results = np.broadcast_shapes(*(np.shape(x) for x in inputs))
    if by.dtype.kind in "iu" and 0 not in results and not by.all():
        from arenaut.ir.undefined import division_by_zero

        raise division_by_zero(node, inputs)


def elementwise(
    op: str,
    function: Callable[..., Any],
    *,
    tile: str | Callable[..., Reg] | None = None,
    defaults: Mapping[str, Any] | None = None,
    result: DType | None = None,
    alike: slice = slice(None),
    like: int = 0,
    data: Callable[..., Dim | None] | None = None,
    element: Callable[..., Dim | None] | None = None,
    choice: ChoiceRule | None = None,
    commutative: bool = False,
    neutral: Mapping[int, float] = MappingProxyType({}),
    repeats: Callable[[Node], Value | None] | None = None,
    keeps_shape: bool = False,
    clips: ClipRule | None = None,
    divisor: int | None = None,
    signless: SignRule | None = None,
    flops: int = 1,
    tolerance: Tolerance = EXACT,
    samples: Samples | None = None,
) -> OpRecord:
    """A record of an op with numpy broadcasting over any number of inputs.

    function(*arrays, **attributes) gives the result on widened arrays. tile is a stem of tile functions, or
    (builder, *registers, **attributes) -> register. data(*dims, **attributes) follows integer elements as dims, None
    where it cannot; element does it for elements at symbolic coordinates (by default as data). result: the output's
    element type, when it is not that of input `like`. alike: the inputs that must have one element type. defaults: the
    attributes it takes. divisor: as in the record.
    """
    # Attributes are float32 in a model; so are their defaults.
    names = {k: float(np.float32(v)) if isinstance(v, float) else v for k, v in (defaults or {}).items()}

    def attributes(node: Node) -> dict[str, Any]:
        return {name: node.attr(name, value) for name, value in names.items()}

    def infer(context: Infer) -> Sequence[Type]:
        types = [tensor_like(context, i) for i in range(len(context.node.inputs))]
        if len({t.dtype for t in types[alike]}) > 1:
            raise context.fail("inputs must have one element type")
        shapes = [t.shape for t in types if t.shape is not None]
        shape = broadcast_shapes(context, shapes) if len(shapes) == len(types) else None
        return [TensorType(result or types[like].dtype, shape)]

    def evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
        if divisor is not None:
            _refuse_zeros(node, inputs, divisor)
        target = result.numpy if result is not None else inputs[like].dtype
        with np.errstate(all="ignore"):
            return [to_dtype(function(*(widen(np.asarray(x)) for x in inputs), **attributes(node)), target)]

    def follow(context: Infer) -> Sequence[Array | None]:
        known = [context.known_data(i) for i in range(len(context.node.inputs))]
        operands = [k for k in known if k is not None]
        if data is None or len(operands) < len(known):
            return [None]
        chosen = attributes(context.node)
        return [map_dims(lambda *dims: data(*dims, **chosen), *operands)]

    at_coordinates = element or data

    def formula(elements: Elements, node: Node, at: Coordinates) -> Dim:
        assert at_coordinates is not None
        found = at_coordinates(*elements.operands(node, at), **attributes(node))
        if found is None:
            raise UnknownElementError
        return found

    def instructions(builder: TileBuilder, node: Node, registers: Sequence[Reg | None]) -> Sequence[Reg]:
        operands = [r for r in registers if r is not None]
        if callable(tile):
            return [tile(builder, *operands, **attributes(node))]
        assert tile is not None
        return [builder.op(tile, *operands)]

    return OpRecord(
        op=op,
        infer=infer,
        evaluate=evaluate,
        data=follow if data is not None else None,
        tile=instructions if tile is not None else None,
        flops=lambda node: flops * product(node.output.shape),
        commutative=commutative,
        neutral=neutral,
        repeats=repeats,
        keeps_shape=keeps_shape,
        element=formula if at_coordinates is not None else None,
        choice=choice,
        clips=clips,
        divisor=divisor,
        requires=None if divisor is None else divisor_requires(divisor),
        signless=signless,
        tolerance=tolerance,
        samples=samples,
    )
