"""What the passes of quantised models ask of QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.quantize import of_one_scale
from arenaut.passes.rewriting.pattern import is_op, made_by, number_of, same_value
from arenaut.plain import dataclass

BYTES = (DType.UINT8, DType.INT8)


@dataclass(frozen=True)
class Stored:
    """Numbers that stand for floats: x of which `node`, a DequantizeLinear or QuantizeLinear, tells the scale."""

    node: Node
    x: Value

    @property
    def scale(self) -> Value:
        return self.node.operand(1)

    @property
    def zero(self) -> Value | None:
        return self.node.input(2)

    @property
    def constants(self) -> tuple[Array, ...] | None:
        """Numbers, scale and zero point (where there is one), where all are constants."""
        values = [v.constant for v in (self.x, self.scale, self.zero) if v is not None]
        there = tuple(v for v in values if v is not None)
        return there if len(there) == len(values) else None

    @property
    def dtype(self) -> DType:
        """Of the numbers."""
        return (self.node.operand(0) if is_op(self.node, "DequantizeLinear") else self.node.output).dtype

    @property
    def is_bytes(self) -> bool:
        return self.dtype in BYTES

    @property
    def is_single(self) -> bool:
        """Whether one scale holds for the whole tensor."""
        return of_one_scale(self.node)

    @property
    def is_rising(self) -> bool:
        """Whether these are bytes of which the larger surely stands for the larger float."""
        scale = self.scale.constant
        if scale is None or not self.is_single or not self.is_bytes:
            return False
        return bool(np.isfinite(scale).all() and (scale.astype(np.float64) > 0).all())

    @property
    def axis(self) -> int | None:
        """The axis along which scales differ; None where it is one scale, or blocks have their own."""
        x = self.node.operand(0)
        if self.is_single or self.node.attr("block_size", 0) or not x.has_shape:
            return None
        if not self.scale.has_shape or self.scale.rank != 1:
            return None
        return 0 if x.rank < 2 else int(self.node.attr("axis", 1)) % x.rank

    def means_as(self, other: Stored) -> bool:
        """Whether equal numbers of both stand for equal floats; of single scales."""
        if self.dtype is not other.dtype or not self.is_single or not other.is_single:
            return False
        if self._real.dtype is not other._real.dtype:
            return False
        zeros = same_value(self.zero, other.zero) if self.zero and other.zero else _is_zero(self.zero or other.zero)
        return zeros and same_value(self.scale, other.scale)

    @property
    def _real(self) -> Value:
        return self.node.output if is_op(self.node, "DequantizeLinear") else self.node.operand(0)

    @property
    def known(self) -> float | None:
        """The float that x stands for, where it is one constant number of a constant scale."""
        x, scale, zero = number_of(self.x), number_of(self.scale), 0.0 if self.zero is None else number_of(self.zero)
        if x is None or scale is None or zero is None or self._real.dtype is not DType.FLOAT:
            return None
        return float(np.float32(x - zero) * np.float32(scale))

    def number(self, real: float) -> Array | None:
        """The number that stands for exactly this float; None where there is none, or the scale is not known."""
        scale, zero = self.scale.constant, self.zero
        if scale is None or scale.size != 1 or (zero is not None and zero.constant is None):
            return None
        shift = 0 if zero is None or zero.constant is None else int(zero.constant.reshape(-1)[0])
        unit = scale.reshape(-1)[0].astype(np.float32)
        with np.errstate(all="ignore"):
            whole = np.rint(np.float32(real) / unit)
        if not np.isfinite(whole) or np.float32(whole * unit) != np.float32(real):
            return None
        result = np.array(int(whole) + shift, np.int64).astype(self.dtype.numpy)
        return result if int(result) == int(whole) + shift else None


def stored(value: Value | None) -> Stored | None:
    """What value is made of, where a DequantizeLinear makes it."""
    node = made_by(value, "DequantizeLinear")
    return None if node is None or not node.operand(0).has_shape else Stored(node, node.operand(0))


def _is_zero(value: Value | None) -> bool:
    return value is None or (value.constant is not None and not value.constant.astype(np.int64).any())
