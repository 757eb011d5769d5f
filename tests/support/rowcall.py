"""Calls one kernel row on numpy arrays: the harness of the kernel tests.

Arrays keep their strides (0 and negative ones too), so a test chooses the layout it wants by making such an array.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from arenaut import _native

ONNX_DTYPE = {
    np.dtype(t): n
    for t, n in {
        np.float32: 1, np.uint8: 2, np.int8: 3, np.uint16: 4, np.int16: 5, np.int32: 6, np.int64: 7, np.bool_: 9,
        np.float16: 10, np.float64: 11, np.uint32: 12, np.uint64: 13, np.complex64: 14, np.complex128: 15,
        ml_dtypes.bfloat16: 16, ml_dtypes.float8_e4m3fn: 17, ml_dtypes.float8_e4m3fnuz: 18,
        ml_dtypes.float8_e5m2: 19, ml_dtypes.float8_e5m2fnuz: 20, ml_dtypes.uint4: 21, ml_dtypes.int4: 22,
        ml_dtypes.float4_e2m1fn: 23, ml_dtypes.float8_e8m0fnu: 24,
    }.items()
}  # fmt: skip

TIERS = ["baseline", "v3", "v4"]


def available_tiers() -> list[str]:
    """The tiers this machine can run, capped by ARENAUT_ISA_MAX."""
    best = min(_native.cpu()["tier"], TIERS.index(os.environ.get("ARENAUT_ISA_MAX", "v4")))
    return TIERS[: best + 1]


def rows(name: str) -> list[dict[str, Any]]:
    """The runnable rows of that name, one a tier."""
    usable = available_tiers()
    return [r for r in _native.rows() if r["name"] == name and TIERS[r["tier"]] in usable]


def feature_masks(row: Mapping[str, Any], *kinds: str) -> list[int]:
    """Masks of features to run a row with, each choosing another of its code paths: all that the machine has, then one
    of these kinds (none: those of dot products of bytes) fewer at a time, from the rarest on."""
    present = _native.cpu()["features"]
    mask = sum(bit & present for _, bit, least in _native.features() if least <= row["tier"])
    masks = [mask]
    for name, bit, _ in reversed(_native.features()):
        if mask & bit and any(word in name for word in kinds or ("int8", "vnni", "dot")):
            mask &= ~bit
            masks.append(mask)
    return masks


def params_blob(family: str, values: Mapping[str, Any]) -> bytes:
    """The family's parameter struct, filled by name; members not named are zero."""
    size, fields = _native.params(family)
    blob = bytearray(size)
    known = {name: (offset, count, is_float) for name, offset, count, is_float in fields}
    for name, value in values.items():
        offset, count, is_float = known[name]
        items = list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value]
        assert len(items) <= count, f"{family}.{name} holds {count}"
        struct.pack_into(f"<{len(items)}{'d' if is_float else 'q'}", blob, offset, *items)
    return bytes(blob)


def operand(array: np.ndarray | None, constant: bool = False) -> Any:
    if array is None:
        return None
    size = array.dtype.itemsize
    return (array.__array_interface__["data"][0], ONNX_DTYPE[array.dtype], list(array.shape),
            [s // size for s in array.strides], constant)  # fmt: skip


def call(
    row: Mapping[str, Any],
    inputs: Sequence[np.ndarray | None],
    outputs: Sequence[np.ndarray | None],
    *,
    params: bytes | None = None,
    tile: Any = None,
    constant: Sequence[int] = (),
    pack: Sequence[int] = (),
    parts: int = 1,
    repeat: int = 1,
    features: int = -1,
) -> dict[str, Any]:
    """Binds and runs `row` in place on `outputs`; returns what bind said, with both statuses."""
    consts = set(constant) | set(pack)
    return _native.call_row(
        row["index"],
        [operand(a, i in consts) for i, a in enumerate(inputs)],
        [operand(a) for a in outputs],
        params,
        tile,
        list(pack),
        parts,
        repeat,
        features,
    )
