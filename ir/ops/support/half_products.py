"""Which products of floats have kernels for 16 bits."""

from __future__ import annotations

from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.record import Lower

_HALF = (DType.FLOAT16, DType.BFLOAT16)


# Kernels of products read terms by 32 and, of a right operand that is no constant, columns by 16.
_TERMS, _COLUMNS = 32, 16


def product_family(
    lower: Lower, family: str, a: DType, b: DType, terms: Dim | None = None, fed_columns: Dim | None = None
) -> tuple[str, dict[str, int]]:
    """The kernel family of a product of these types, which is `family` or its sibling for 16-bit floats and rows of
    bytes (DType.INT8), and the parameter that says how that one treats operands. terms: what is summed over, where the
    caller knows; fed_columns: those of a right operand that a run brings. Where there are few, operands are widened
    once instead."""
    floats = (DType.FLOAT, *_HALF)
    if DType.INT8 in (a, b):
        return f"Half{family}", {"rounded": int(lower.target.precision == "bfloat16")}
    if any(isinstance(n, int) and n < least for n, least in ((terms, _TERMS), (fed_columns, _COLUMNS))):
        return family, {}
    if lower.target.precision == "bfloat16" and a in floats and b in floats:
        return f"Half{family}", {"rounded": 1}
    return (f"Half{family}", {}) if a in _HALF and b in _HALF else (family, {})
