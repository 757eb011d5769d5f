"""The op record: everything Python knows about an op, in one place, and the interfaces its rules are written against.

A record's rules never see a concrete implementation of inference, tile building or lowering: they are handed objects
that follow the protocols below, so `arenaut.ir` imports nothing else of arenaut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, Protocol, Union

from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.elements import ChoiceRule, ElementRule, ReadsRule
from arenaut.ir.errors import UnknownError
from arenaut.ir.graph import ARENAUT_DOMAIN, ONNX_DOMAIN, Array, Graph, Node, Requirement, Value
from arenaut.ir.place import Place
from arenaut.ir.target import Target
from arenaut.ir.types import Shape, Type
from arenaut.plain import dataclass

# What a kernel parameter may be: fields of the family's C struct by name. Symbolic ones are evaluated at binding.
Param = Union[Dim, float, Sequence[Union[Dim, float]]]


class Infer(Protocol):
    """What a type rule sees of its node. A rule returns one type per output."""

    node: Node

    def type(self, index: int) -> Type: ...
    def dtype(self, index: int) -> DType: ...
    def shape(self, index: int) -> Shape:
        """The input's dims. When its rank is unknown the engine gives the outputs unknown shapes: do not catch."""
        ...

    def data(self, index: int) -> Array:
        """The elements of a small integer input as dims (object array). Elements not known at load become symbols
        that a step reads from the data. When even their number is unknown, as `shape` with an unknown rank."""
        ...

    def known_data(self, index: int) -> Array | None:
        """As `data`, without making symbols: None when not known."""
        ...

    def settled_data(self, index: int) -> Array | None:
        """As `known_data`, but only of ints: None when one is an expression that the sizes of a run do not settle."""
        ...

    def settled(self, d: Dim) -> int | None:
        """The value of a dim that decides ranks; None when neither the graph nor the sizes of a run tell."""
        ...

    def truth(self, condition: Dim) -> bool | None:
        """Whether a condition (1 or 0) holds; None when neither the graph nor the sizes of a run tell."""
        ...

    def has(self, index: int) -> bool: ...
    def fresh(self, output: int, axis: int) -> Dim:
        """A new symbol for a dim that only running decides; the same on every call."""
        ...

    def fail(self, message: str) -> Exception:
        """The ShapeError to raise, naming node and op."""
        ...

    def infer_body(self, name: str, types: Sequence[Type]) -> list[Type]:
        """Infers body graph `name` for inputs of these types; its outputs' types, in this graph's symbols."""
        ...


class Reg(Protocol):
    """A tile register: one compute type."""

    dtype: DType


class TileBuilder(Protocol):
    """Builds a tile program. Function names are stems: op("add", x, y) is add_f32 where x is f32.

    Registers hold compute types (DType.compute): the operand of a u8 tensor arrives as i32, and a rule's result is
    narrowed to the output's element type by whoever runs the program, so rules never narrow.
    """

    def op(self, stem: str, *operands: Reg) -> Reg:
        """Operands must have one compute type (where: the two it chooses from); the result's is the tile function's.
        Raises NoRowError when there is no such tile function; rules may raise it too."""
        ...

    def imm(self, value: float, dtype: DType) -> Reg: ...
    def cast(self, reg: Reg, dtype: DType) -> Reg:
        """To another compute type, with ONNX Cast's meaning."""
        ...


class Lower(Protocol):
    """Emits the steps of one node. Operands are places in memory (Place); views cost nothing."""

    @property
    def target(self) -> Target: ...
    def read(self, value: Value) -> Place: ...
    def stored(self, value: Value) -> Place:
        """The same, or where a state keeps it as narrower numbers than its own: floats of 16 bits, or rows of bytes,
        which are longer than the value's by a scale."""
        ...

    def write(self, value: Value) -> Place:
        """A new dense place for an output of the node; where a state keeps it, perhaps of narrower numbers (see
        stored), which copy() makes."""
        ...

    def alias(self, value: Value, place: Place) -> None:
        """Declares that value lies at place: a view of something already there."""
        ...

    def temp(self, dtype: DType, dims: Sequence[Dim]) -> Place:
        """Arena memory that lives from its first write to its last read."""
        ...

    def stored_as(self, source: Place, target: Place) -> Place:
        """What source holds as target stores its numbers: where it lies, or copied."""
        ...

    def constant(self, array: Array) -> Place: ...
    def is_constant(self, place: Place) -> bool:
        """Whether what lies there is known at load, and packed by rows that pack."""
        ...

    def reshape(self, place: Place, dims: Sequence[Dim]) -> Place:
        """A view where strides allow it, else a copy."""
        ...

    def call(
        self,
        family: str,
        inputs: Sequence[Place | None],
        outputs: Sequence[Place | None],
        params: Mapping[str, Param] | None = None,
    ) -> None:
        """A kernel step: the best row of that family for these dtypes. Copies are inserted where the row cannot read
        or write the strides. Raises NoRowError (the node then becomes a HostCall) when there is no row."""
        ...

    def control(
        self,
        kind: str,
        node: Node,
        bodies: Sequence[Graph],
        inputs: Sequence[Place | None],
        outputs: Sequence[Value | None],
        *,
        carried: int = 0,
        scanned: int = 0,
    ) -> None:
        """A step that runs body graphs: kind "if" (inputs: cond, then what both branches take; bodies: then, else),
        "loop" (trip count or None, condition or None, carried values, captures) or "scan" (carried states, sequences
        along axis 0, captures; results stacked along axis 0). carried and scanned count inputs."""
        ...

    def copy(self, source: Place, target: Place) -> None: ...
    def convert(self, source: Place, target: Place) -> None:
        """Copies between element types of numbers, with ONNX Cast's meaning."""
        ...

    def fill(self, target: Place, value: Array) -> None:
        """Every element of target becomes the single element of value (same dtype)."""
        ...

    def set_symbol(self, dim: Dim, source: Place) -> None:
        """The fresh symbol `dim` (from `Infer.fresh`) becomes the one int64 that source holds when the steps before
        have run. Places and steps that come after may use it; ends a segment of the program."""
        ...


class Build(Protocol):
    """Builds the replacement of a composite node from simpler ops."""

    def op(self, op: str, *inputs: Value | None, domain: str = "", **attributes: Any) -> Value:
        """Adds a node with one output; that output. Attributes that are None are left out. Types are inferred."""
        ...

    def ops(self, op: str, *inputs: Value | None, outputs: int, domain: str = "", **attributes: Any) -> Sequence[Value]:
        """The same for a node with so many outputs."""
        ...

    def constant(self, array: Array) -> Value: ...


InferRule = Callable[[Infer], Sequence[Type]]
Evaluator = Callable[[Node, Sequence[Any]], Sequence[Any]]
ViewRule = Callable[[Node, Place], Sequence[Place] | None]
TileRule = Callable[[TileBuilder, Node, Sequence[Reg | None]], Sequence[Reg]]
LowerRule = Callable[[Lower, Node], None]
DecomposeRule = Callable[[Build, Node], Sequence[Value]]


@dataclass(frozen=True)
class IntegerForm:
    """An op of the domain arenaut that does on integers what a product does on floats.

    op, attributes  of the new node, whose operands are a, b, their scales and zero points, and a bias.
    axis            of operand 1, along which its scales and zero points may differ: what the result's bias runs along.
    bias            what the product adds, one element an index of that axis, when it does.
    factor          what the product of both operands is multiplied with.
    """

    op: str
    attributes: Mapping[str, Any]
    axis: int
    bias: Value | None = None
    factor: float = 1.0


@dataclass(frozen=True)
class Channels:
    """Where a product of input 0 with weights, input 1, has its channels. Axes, from the front or the end.

    at        of input 0 and of the output, which has as many dims.
    summed    of the weights: runs along the channels of input 0.
    made      of the weights: runs along the channels of the output.
    grouped   the weights hold the channels of the output that one group makes; else those of all groups.
    """

    at: int
    summed: int
    made: int
    grouped: bool = False

    def count(self, node: Node, weights: Array) -> int:
        """Channels of the output."""
        return int(weights.shape[self.made]) * (int(node.attr("group", 1)) if self.grouped else 1)

    def along(self, numbers: Array, axis: int, rank: int) -> Array:
        """A number for each channel, or one for all, so that it broadcasts along that axis of the weights."""
        shape = [1] * rank
        shape[axis] = -1
        return numbers.reshape(shape)


IntegerRule = Callable[[Node], "IntegerForm | None"]
SignRule = Callable[[Node, Callable[[Value], bool]], bool]
ClipRule = Callable[[Node], "tuple[float, float] | None"]
CarryRule = Callable[[Node], Sequence[int]]


@dataclass(frozen=True)
class Tolerance:
    """How far a result may be from the float64 oracle.

    kind "exact"; "ulp": at most `amount` units in the last place of the output type; "product":
    |error| <= amount * eps * sqrt(K) * sum |a||b| + the smallest normal number, amount <= 8.
    """

    kind: str = "exact"
    amount: float = 0


EXACT = Tolerance()


@dataclass(frozen=True)
class Sample:
    """One test input of an op: attributes, and inputs (None where absent)."""

    inputs: tuple[Array | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1


@dataclass(frozen=True, kw_only=True)
class OpRecord:
    """One op of the newest opset.

    op, domain    its name. Signature, attributes and defaults of standard ops are those of onnx's own schema.
    infer         type and shape rule, over symbolic dims.
    evaluate      numpy evaluator (node, inputs) -> outputs; None: onnx.reference, or the body, is asked.
    symbolic      evaluate also works on object arrays of dims, so shape arithmetic through this op stays known.
    data          the rule for symbolic elements, where evaluate cannot be it: (infer) -> one object array per output
                  (None where not known).
    view          the outputs as views of input 0's place, or None when they are not; needs no kernel.
    direct        (node) -> how the native side answers the node's host call without the evaluator: a name of
                  cpp/python/direct.h and its arguments; None: it does not.
    tile          the op as tile instructions: elementwise with numpy broadcasting.
    tile_when     which nodes of the op `tile` does (None: all); the others are lowered or decomposed.
    lower         emits kernel steps. Tried after view and tile.
    layout        "channels": windows slide over [N, C, spatial...], best where channels lie innermost. "follow": works
                  alike in any layout that input 0 and the output share (elementwise ops do anyway).
    anchor        lower ends in one call that writes output 0 and takes an elementwise epilogue.
    channels      where they lie, of a product with weights of two dims or more.
    decompose     the op in terms of simpler ones; applied when there is neither view, tile nor lower.
    family        the kernel family that lower calls, of an op that is decomposed on machines without it.
    carries       (node) -> the inputs whose elements the outputs consist of: the op moves, repeats or selects them by
                  place or by order, and computes nothing, so that it works alike on the numbers that stand for them.
    by_order      what it carries it selects by order: alike only on bytes of which the larger are larger floats.
    commutative   of two inputs either may come first.
    reshapes      the elements of input 0 in the same row-major order, in another shape.
    permutes      the dims of input 0 in another order.
    reads_at      where in input 0 an element of the output lies, of an op that moves elements by place.
    element       an integer or boolean element of output 0 as a formula of its coordinates.
    choice        a float element of output 0, where it is one of two numbers.
    neutral       the numbers that change nothing as the constant operand of that index: x + 0, x * 1, x / 1.
    repeats       (node) -> the input that output 0 equals wherever the two have one shape; None: it may differ.
    keeps_shape   output 0 has the shape of what `repeats` names.
    clips         (node) -> the bounds, lower and upper, that input 0 is limited to, of an op that does nothing else.
    signless      (node, asks) -> whether each float of output 0 is NaN or at least +0; asks: the same of an input.
    integer       (node) -> the form that multiplies the integers that stand for its operands, if it has one.
    widens        makes larger elements of stored ones, at no cost to speak of: on constants it is folded last, when
                  nothing wants the small ones; a region computes it anew rather than have it kept.
    narrows       tile leaves in its register just what the output's narrow type holds.
    requires      what sizes must fulfil where the node runs natively; an evaluator checks for itself.
    size_limit    (node, output, axis) -> the most that a size which only running decides can be; None: no limit known.
    flops         floating-point operations, a dim.
    deterministic False: never folded, never merged (random ops).
    tolerance, samples  for the tests.
    """

    op: str
    domain: str = ONNX_DOMAIN
    infer: InferRule
    evaluate: Evaluator | None = None
    symbolic: bool = False
    data: Callable[[Infer], Sequence[Array | None]] | None = None
    view: ViewRule | None = None
    direct: Callable[[Node], tuple[str, tuple[Any, ...]] | None] | None = None
    tile: TileRule | None = None
    tile_when: Callable[[Node], bool] | None = None
    lower: LowerRule | None = None
    layout: Literal["", "channels", "follow"] = ""
    anchor: bool = False
    channels: Channels | None = None
    decompose: DecomposeRule | None = None
    family: str = ""
    carries: CarryRule | None = None
    by_order: bool = False
    commutative: bool = False
    reshapes: bool = False
    permutes: bool = False
    reads_at: ReadsRule | None = None
    element: ElementRule | None = None
    choice: ChoiceRule | None = None
    neutral: Mapping[int, float] = field(default_factory=dict)
    repeats: Callable[[Node], Value | None] | None = None
    keeps_shape: bool = False
    clips: ClipRule | None = None
    divisor: int | None = None
    signless: SignRule | None = None
    integer: IntegerRule | None = None
    widens: bool = False
    narrows: bool = False
    requires: Callable[[Node], Iterable[Requirement]] | None = None
    size_limit: Callable[[Node, int, int], Dim | None] | None = None
    flops: Callable[[Node], Dim] | None = None
    deterministic: bool = True
    tolerance: Tolerance = EXACT
    samples: Callable[[], Iterable[Sample]] | None = None

    @property
    def key(self) -> tuple[str, str]:
        return (self.domain, self.op)

    def is_elementwise(self, node: Node) -> bool:
        """Whether the node is tile instructions."""
        return self.tile is not None and (self.tile_when is None or self.tile_when(node))

    @property
    def arranges(self) -> bool:
        """Whether the outputs are the elements of input 0, each once, in another shape or order."""
        return self.reshapes or self.permutes

    @property
    def has_native_form(self) -> bool:
        return any(rule is not None for rule in (self.view, self.tile, self.lower, self.decompose))


def the_first_input(node: Node) -> Value | None:
    """The `repeats` rule of an op that can only change the shape or type of input 0."""
    return node.operand(0)


def the_only_input(node: Node) -> Value | None:
    """The `repeats` rule of an op that does nothing to a single input."""
    return node.operand(0) if len(node.inputs) == 1 else None


def first_operand(node: Node) -> Sequence[int]:
    """The carry rule of an op that moves the elements of input 0."""
    return (0,)


def all_operands(node: Node) -> Sequence[int]:
    """The carry rule of an op that moves the elements of every input."""
    return range(len(node.inputs))


class NoRowError(Exception):
    """No kernel row does this family for these operand types: lowering falls back to the evaluator."""


__all__ = [
    "ARENAUT_DOMAIN",
    "EXACT",
    "Build",
    "Evaluator",
    "Infer",
    "IntegerForm",
    "Lower",
    "NoRowError",
    "OpRecord",
    "Param",
    "Reg",
    "Requirement",
    "Sample",
    "TileBuilder",
    "Tolerance",
    "UnknownError",
    "all_operands",
    "first_operand",
    "the_first_input",
    "the_only_input",
]
