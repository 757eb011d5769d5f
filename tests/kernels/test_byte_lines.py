"""Softmax and layer normalisation of lines of bytes or floats, which round their results: against the rows of float32,
which are compared with float64 in test_softmax.py and test_norm.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.products import at_page_end
from tests.support.rowcall import call, params_blob, rows
from tests.support.tileprog import F32, I32, program

ROWS = [*rows("qsoftmax"), *rows("qlayer_norm")]
SHAPES = [(3, 7), (2, 5, 197), (40, 33), (1, 5000), (9,), (0, 3), (3, 0), (2, 3, 4, 64)]
SCALE, EPSILON = np.array(0.037, np.float32), 1e-5

Array = np.ndarray[Any, Any]
every = pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r['name']}-tier{r['tier']}")


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Array, Array, list[Array | None]]:
    """X, the floats that it stands for, and what tells that of X."""
    if dtype is np.float32:
        x = rng.standard_normal(shape, np.float32) * 3
        return x, x, [None, None]
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    zero = np.array(info.max - 100, dtype)
    return x, (x.astype(np.int32) - int(zero)).astype(np.float32) * SCALE, [SCALE, zero]


def setting(row: Any, rng: np.random.Generator, length: int) -> tuple[list[Array | None], bytes | None, Any, bytes]:
    """Further operands and parameters; the row of float32 that gives the same, and its parameters for axis `last`."""
    tier = row["tier"]
    if row["name"] == "qsoftmax":
        return [], None, next(r for r in rows("softmax_f32") if r["tier"] == tier), b""
    vectors: list[Array | None] = [rng.standard_normal(length, np.float32), rng.standard_normal(length, np.float32)]
    blob = params_blob("QLayerNormalization", {"epsilon": EPSILON})
    return vectors, blob, next(r for r in rows("layer_norm_f32") if r["tier"] == tier), blob


def operands(x: Array, told: list[Array | None], vectors: Sequence[Array | None]) -> list[Array | None]:
    return [x, *vectors[:1], *told, *vectors[1:]]


def of_floats(row: Any, wide: Array, vectors: list[Array | None]) -> Array:
    axis = wide.ndim - 1
    if row["name"] == "softmax_f32":
        inputs, blob = [wide, None], params_blob("Softmax", {"axis": axis})
    else:
        inputs, blob = [wide, *vectors, None], params_blob("LayerNormalization", {"axis": axis, "epsilon": EPSILON})
    outputs = [(wide.shape, np.float32), *[None] * (len(inputs) - 1 if row["name"] != "softmax_f32" else 0)]
    return run(row, inputs, outputs, params=blob, parts=(1,))[0]


def same(row: Any, got: Array, want: Array) -> None:
    """To the last bit, but of short lines that normalisations of float32 sum several of at once."""
    if row["name"] == "qlayer_norm" and want.shape[-1] < 48:
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(got, want)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int8])
@pytest.mark.parametrize("shape", SHAPES)
def test_lines_are_those_of_float32(row: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape) + shape[-1])
    x, wide, told = numbers(rng, shape, dtype)
    vectors, blob, float_row, _ = setting(row, rng, shape[-1])
    want = of_floats(float_row, np.ascontiguousarray(wide), vectors)
    first = 3 + len(vectors)
    rounds = program([F32], [("q", "quantize_u8_f32", "i0", "k0", "k1")], ["q"], [(0.01, F32), (7, I32)], first)
    options: dict[str, Any] = {} if blob is None else {"params": blob}
    for laid_out in (x, place(x, rng)):
        placed = [None if v is None else place(v, rng) for v in vectors]
        (got,) = run(row, operands(laid_out, told, placed), [(shape, np.float32)], rng, **options)
        same(row, got, want)
        (quantised,) = run(row, operands(laid_out, told, placed), [(shape, np.uint8)], rng, tile=rounds, **options)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(quantised, np.clip(np.rint(got / np.float32(0.01)) + 7, 0, 255))


@every
def test_an_operand_of_the_epilogue_and_nothing_read_past_the_end(row: Any) -> None:
    rng = np.random.default_rng(3)
    for dtype in (np.uint8, np.int8, np.float32):
        for shape in ((3, 7), (5, 64), (2, 99)):
            x, wide, told = numbers(rng, shape, dtype)
            vectors, blob, float_row, _ = setting(row, rng, shape[-1])
            want = of_floats(float_row, wide, vectors)
            options: dict[str, Any] = {} if blob is None else {"params": blob}
            added = rng.standard_normal(shape, np.float32)
            tile = program([F32, F32], [("t", "add_f32", "i0", "i1")], ["t"], first_operand=3 + len(vectors))
            given = [x, added, *[v for v in vectors if v is not None], np.zeros(shape, np.float32)]
            with at_page_end(*given) as (gx, ga, *rest):
                *gv, out = rest
                assert call(row, [*operands(gx, told, gv), ga], [out], tile=tile, **options)["status"] == 0
                same(row, out - added, want + added - added)


@every
def test_bytes_are_written_over_the_bytes_that_are_read(row: Any) -> None:
    rng = np.random.default_rng(4)
    x, _, told = numbers(rng, (130, 70), np.uint8)
    vectors, blob, _, _ = setting(row, rng, 70)
    tile = program(
        [F32], [("q", "quantize_u8_f32", "i0", "k0", "k1")], ["q"], [(0.01, F32), (7, I32)], 3 + len(vectors)
    )
    options: dict[str, Any] = {"tile": tile} if blob is None else {"tile": tile, "params": blob}
    (apart,) = run(row, operands(x, told, vectors), [(x.shape, np.uint8)], **options)
    for parts in (1, 3):
        both = x.copy()
        assert call(row, operands(both, told, vectors), [both], parts=parts, **options)["status"] == 0
        np.testing.assert_array_equal(both, apart)
