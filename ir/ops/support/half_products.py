"""Which products of floats have kernels for 16 bits."""

from __future__ import annotations

from arenaut.ir.dtypes import DType
from arenaut.ir.record import Lower

_HALF = (DType.FLOAT16, DType.BFLOAT16)


def product_family(lower: Lower, family: str, a: DType, b: DType) -> tuple[str, dict[str, int]]:
    """The kernel family of a product of these types, which is `family` or its sibling for 16-bit floats, and the
    parameter that says how that one treats operands."""
    floats = (DType.FLOAT, *_HALF)
    if lower.target.precision == "bfloat16" and a in floats and b in floats:
        return f"Half{family}", {"rounded": 1}
    return (f"Half{family}", {}) if a in _HALF and b in _HALF else (family, {})
