"""Tile programs: elementwise ops as instructions over tile registers (cpp/contract.h, arn_tile)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache

from arenaut import _native
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import held_in_register, record_of
from arenaut.ir.record import Reg
from arenaut.native.enumerations import LIMITS
from arenaut.plain import dataclass

MAX_REGISTERS = LIMITS["tile_registers"]
MAX_INSTRUCTIONS = LIMITS["tile_instructions"]
MAX_OPERANDS = LIMITS["operands"]


class TileLimitError(Exception):
    """The program needs a function, a register or an operand that tiles do not have."""


@dataclass(eq=False)
class Register:
    """A value while the program is built; its number is assigned at the end. operand: which load it is, else -1."""

    dtype: DType
    operand: int = -1
    bits: int | None = None


@cache
def _functions() -> Mapping[str, tuple[int, int]]:
    """name -> (index, result dtype)."""
    return {f[0]: (i, f[1]) for i, f in enumerate(_native.tile_functions())}


def tile_function(name: str) -> int:
    """Its number in programs."""
    return _functions()[name][0]


@dataclass
class TileSpec:
    """A finished program: what `_native.TileProgram` is made from. n_in counts the accumulator of an epilogue."""

    reg_dtypes: list[int]
    n_in: int
    immediates: list[int]
    instructions: list[tuple[int, int, int, int, int]]
    out_regs: list[int]
    first_operand: int = 0
    names: list[str] = field(default_factory=list)  # of the functions, for people

    def native(self) -> _native.TileProgram:
        return _native.TileProgram(
            self.reg_dtypes, self.n_in, self.immediates, self.instructions, self.out_regs, self.first_operand
        )


class Tiles:
    """Collects instructions (the protocol `arenaut.ir.record.TileBuilder`)."""

    def __init__(self) -> None:
        self._loads: list[Register] = []
        self._immediates: list[Register] = []
        self._code: list[tuple[str, Register, tuple[Register, ...]]] = []

    def load(self, storage: DType) -> Register:
        """A register for the next operand (or the accumulator, when it is the first of an epilogue)."""
        dtype = storage.compute
        if dtype is None:
            raise TileLimitError(f"tiles do not hold {storage.short}")
        register = Register(dtype, operand=len(self._loads))
        self._loads.append(register)
        return register

    def op(self, stem: str, *operands: Reg) -> Reg:
        typed = [o for o in operands if o.dtype is not DType.BOOL] or list(operands)
        return self._emit(f"{stem}_{typed[0].dtype.short}", operands)

    def _emit(self, name: str, operands: Sequence[Reg]) -> Register:
        if name not in _functions():
            raise TileLimitError(f"there is no tile function {name}")
        result = Register(DType(_functions()[name][1]))
        self._code.append((name, result, tuple(o for o in operands if isinstance(o, Register))))
        return result

    def imm(self, value: float, dtype: DType) -> Register:
        code = {DType.FLOAT: "<f4x", DType.DOUBLE: "<d", DType.UINT64: "<Q", DType.BOOL: "<B7x"}.get(dtype, "<q")
        number = float(value) if dtype.is_float else int(value)
        bits = int.from_bytes(struct.pack(code, number), "little")
        for known in self._immediates:
            if known.bits == bits and known.dtype is dtype:
                return known
        register = Register(dtype, bits=bits)
        self._immediates.append(register)
        return register

    def cast(self, reg: Reg, dtype: DType) -> Reg:
        if reg.dtype is dtype:
            return reg
        return self._emit(f"cast_{reg.dtype.short}_{dtype.short}", (reg,))

    def finish(self, results: Sequence[Register], first_operand: int = 0) -> TileSpec:
        """Assigns register numbers, reusing temporaries after their last use. Raises TileLimitError."""
        loads = len(self._loads)
        number: dict[Register, int] = {r: i for i, r in enumerate([*self._loads, *self._immediates])}
        dtypes = [int(r.dtype) for r in number]
        fixed = len(number)
        last: dict[Register, int] = {}
        for at, (_, _, operands) in enumerate(self._code):
            last.update(dict.fromkeys(operands, at))
        last.update(dict.fromkeys(results, len(self._code)))
        free: list[int] = []
        instructions: list[tuple[int, int, int, int, int]] = []
        names: list[str] = []
        for at, (name, result, operands) in enumerate(self._code):
            if result not in last:
                continue
            sources = [number[o] for o in operands]
            free += sorted({number[o] for o in operands if number[o] >= fixed and last[o] == at})
            slot = next((f for f in free if dtypes[f] == int(result.dtype)), None)
            if slot is None:
                slot = len(dtypes)
                dtypes.append(int(result.dtype))
            else:
                free.remove(slot)
            number[result] = slot
            padded = [*sources, 0, 0, 0][:3]
            instructions.append((_functions()[name][0], slot, padded[0], padded[1], padded[2]))
            names.append(name)
        if len(dtypes) > MAX_REGISTERS or len(instructions) > MAX_INSTRUCTIONS or loads > MAX_OPERANDS - len(results):
            raise TileLimitError("the elementwise program is over the limits of a tile program")
        bits = [r.bits or 0 for r in self._immediates]
        return TileSpec(dtypes, loads, bits, instructions, [number[r] for r in results], first_operand, names)


def emit_node(tiles: Tiles, node: Node, registers: dict[int, Register]) -> None:
    """Adds the instructions of one elementwise node; registers maps id(value) to where its inputs are."""
    rule = record_of(node).tile
    if rule is None:
        raise TileLimitError(f"{node} is not elementwise")
    operands = [None if v is None else registers[id(v)] for v in node.inputs]
    for value, register in zip(node.outputs, rule(tiles, node, operands), strict=False):
        if value is not None:
            storage = value.dtype
            assert isinstance(register, Register)
            want = storage.compute
            if want is not register.dtype:
                raise TileLimitError(f"{node}: the tile rule makes {register.dtype.short}, expected {storage.short}")
            registers[id(value)] = register


def tile_of_graph(
    body: Graph, nodes: Sequence[Node], accumulator: Value | None = None, first_operand: int = 0
) -> tuple[TileSpec, list[Value]]:
    """The tile program of elementwise nodes of a body, and the values it loads as operands, in register order
    (after the accumulator). Raises TileLimitError."""
    tiles = Tiles()
    registers: dict[int, Register] = {}
    operands: list[Value] = []
    if accumulator is not None:
        registers[id(accumulator)] = tiles.load(accumulator.dtype)
    for node in nodes:
        for value in node.inputs:
            if value is not None and id(value) not in registers:
                registers[id(value)] = _load(tiles, value, operands)
        emit_node(tiles, node, registers)
        for value in node.outputs:
            if value is not None and value.uses and not held_in_register(node):
                raise TileLimitError(f"'{value.name}' must be rounded to {value.dtype.short} before it is used")
    return tiles.finish([registers[id(v)] for v in body.outputs], first_operand), operands


def _load(tiles: Tiles, value: Value, operands: list[Value]) -> Register:
    if value.constant is not None and value.constant.size == 1:
        dtype = value.dtype.compute
        if dtype is not None and value.constant.dtype.kind in "fiub":
            return tiles.imm(value.constant.reshape(()).item(), dtype)
    operands.append(value)
    return tiles.load(value.dtype)
