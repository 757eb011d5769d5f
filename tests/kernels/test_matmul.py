from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.guard import Guarded, place, run
from tests.support.products import assert_product, at_page_end
from tests.support.rowcall import call, params_blob, rows
from tests.support.tileprog import F32, program

FLOAT_ROWS = rows("matmul_f32") + rows("matmul_f64")
INT_ROWS = rows("matmul_i32") + rows("matmul_i64")
DTYPES = {"matmul_f32": [np.float32], "matmul_f64": [np.float64], "matmul_i32": [np.int32, np.uint32],
          "matmul_i64": [np.int64, np.uint64]}  # fmt: skip


def row_id(row: dict[str, Any]) -> str:
    return f"{row['name']}-tier{row['tier']}"


def params(trans_a: int = 0, trans_b: int = 0, alpha: float = 1.0, beta: float = 1.0) -> bytes:
    return params_blob("MatMul", {"trans_a": trans_a, "trans_b": trans_b, "alpha": alpha, "beta": beta})


def swap_last(x: np.ndarray, flag: int) -> np.ndarray:
    return np.swapaxes(x, -1, -2) if flag else x


class Case:
    """A random product: operands in the layouts the row will see, and the oracle in float64."""

    def __init__(self, rng: np.random.Generator, dtype: type, shape: tuple[int, int, int], batch: str, c_kind: int):
        m, n, k = shape
        self.batch_a, self.batch_b = {
            "none": ((), ()), "a": ((3,), ()), "b": ((), (2,)), "both": ((2, 3), (2, 3)),
            "cross": ((2, 1), (1, 3)), "one": ((1, 4), (4,)),
        }[batch]  # fmt: skip
        self.trans = int(rng.integers(2)), int(rng.integers(2))
        self.a = self.fill(rng, (*self.batch_a, m, k), dtype)
        self.b = self.fill(rng, (*self.batch_b, k, n), dtype)
        self.out_shape = (*np.broadcast_shapes(self.batch_a, self.batch_b), m, n)
        c_shape = [None, (n,), (m, 1), (), (1, n), (m, n), self.out_shape][c_kind]
        self.c = None if c_shape is None else self.fill(rng, c_shape, dtype)
        self.terms = k + (c_shape is not None)

    @staticmethod
    def fill(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        if np.issubdtype(dtype, np.floating):
            return rng.standard_normal(shape).astype(dtype)
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)

    def oracle(self, a: np.ndarray, b: np.ndarray, c: np.ndarray | None, alpha: float, beta: float) -> np.ndarray:
        if np.issubdtype(a.dtype, np.floating):
            a, b = a.astype(np.float64), b.astype(np.float64)
            total = alpha * np.matmul(a, b)
            return total if c is None else total + beta * c.astype(np.float64)
        with np.errstate(over="ignore"):
            total = np.array(int(alpha)).astype(a.dtype) * np.matmul(a, b)
            return total if c is None else total + np.array(int(beta)).astype(a.dtype) * c


SHAPES = [(1, 1, 1), (1, 65, 7), (3, 130, 33), (14, 32, 64), (15, 33, 17), (29, 48, 5), (65, 63, 31), (33, 1, 20),
          (64, 5, 40), (2, 300, 400), (31, 140, 900), (470, 3, 8), (5, 9, 0), (0, 4, 3), (4, 0, 3)]  # fmt: skip


@pytest.mark.parametrize("row", FLOAT_ROWS, ids=row_id)
@pytest.mark.parametrize("seed", range(40))
def test_floats_follow_the_tolerance_rule(row: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    dtype = DTYPES[row["name"]][0]
    shape = SHAPES[seed % len(SHAPES)] if seed < 20 else tuple(int(x) for x in rng.integers(1, 66, 3))
    case = Case(rng, dtype, shape, str(rng.choice(["none", "none", "a", "b", "both", "cross", "one"])), seed % 7)
    alpha, beta = (1.0, 1.0) if rng.random() < 0.5 else (0.75, -1.5)
    a = place(swap_last(case.a, case.trans[0]), rng, zero=True)
    b = place(swap_last(case.b, case.trans[1]), rng, zero=True)
    c = None if case.c is None else place(case.c, rng)
    blob = params(*case.trans, alpha, beta)
    va, vb = swap_last(a, case.trans[0]), swap_last(b, case.trans[1])
    want = case.oracle(va, vb, c, alpha, beta)
    size = case.oracle(np.abs(va), np.abs(vb), None if c is None else np.abs(c), abs(alpha), abs(beta))
    got = {}
    for pack in ([], [1]):
        (got[len(pack)],) = run(row, [a, b, c], [(case.out_shape, dtype)], rng, params=blob, pack=pack)
        assert_product(got[len(pack)], want, size, case.terms)
    assert got[0].tobytes() == got[1].tobytes(), "a packed B gives other bytes"


@pytest.mark.parametrize("row", INT_ROWS, ids=row_id)
@pytest.mark.parametrize("seed", range(12))
def test_integers_wrap_exactly(row: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    for dtype in DTYPES[row["name"]]:
        case = Case(rng, dtype, SHAPES[seed % len(SHAPES)], str(rng.choice(["none", "a", "cross"])), seed % 7)
        a, b = place(swap_last(case.a, case.trans[0]), rng), place(swap_last(case.b, case.trans[1]), rng)
        want = case.oracle(case.a, case.b, case.c, 3.0, -1.0 if np.issubdtype(dtype, np.signedinteger) else 2.0)
        beta = -1.0 if np.issubdtype(dtype, np.signedinteger) else 2.0
        for pack in ([], [1]):
            blob = params(*case.trans, 3.0, beta)
            (got,) = run(row, [a, b, case.c], [(case.out_shape, dtype)], rng, params=blob, pack=pack)
            np.testing.assert_array_equal(got, want)
    assert call(row, [case.a, case.b], [np.zeros(case.out_shape, dtype)], params=params(alpha=0.5))["bind_status"] == 1


@pytest.mark.parametrize("row", rows("matmul_f32"), ids=row_id)
def test_an_element_does_not_depend_on_the_tile_it_falls_in(row: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((70, 777), np.float32), rng.standard_normal((777, 150), np.float32)
    whole = np.zeros((70, 150), np.float32)
    call(row, [a, b], [whole], params=params(), pack=[1])
    for i, j in [(0, 0), (3, 17), (13, 31), (14, 32), (69, 149), (40, 128)]:
        for m, n in [(1, 1), (2, 33), (5, 48), (9, 70)]:
            rows_a, cols_b = a[i : i + m], b[:, j : j + n]
            for pack in ([], [1]):
                part = np.zeros((len(rows_a), cols_b.shape[1]), np.float32)
                assert call(row, [rows_a, cols_b], [part], params=params(), pack=pack)["status"] == 0
                assert part.tobytes() == whole[i : i + m, j : j + n].tobytes()


@pytest.mark.parametrize("row", rows("matmul_f32"), ids=row_id)
@pytest.mark.parametrize("n", [512, 517])
def test_partial_sums_lie_in_the_output(row: dict[str, Any], n: int) -> None:
    """Scratch grows with the inner index only where another operand may lie in the output."""
    rng = np.random.default_rng(n)
    a, b, c = (rng.standard_normal(s, np.float32) for s in [(128, 1300), (1300, n), (128, n)])
    made, bias = np.zeros((128, n), np.float32), rng.standard_normal(n, np.float32)
    kept = [call(row, [a, b, x], [made], params=params(), pack=[1]) for x in (bias, None, c)]
    assert [each["status"] for each in kept] == [0, 0, 0]
    assert kept[0]["thread_scratch"] == kept[1]["thread_scratch"] < kept[2]["thread_scratch"]
    assert kept[0]["thread_scratch"] <= 64 << 10


@pytest.mark.parametrize("row", rows("matmul_f32"), ids=row_id)
@pytest.mark.parametrize("k", [7, 1000])
def test_the_output_may_overwrite_c(row: dict[str, Any], k: int) -> None:
    rng = np.random.default_rng(k)
    a, b, c = (rng.standard_normal(s, np.float32) for s in [(37, k), (k, 75), (37, 75)])
    (apart,) = run(row, [a, b, c], [((37, 75), np.float32)], params=params(), pack=[1])
    for order in "CF":
        for parts in (1, 3):
            both = np.array(c, order=order)
            assert call(row, [a, b, both], [both], params=params(), pack=[1], parts=parts)["status"] == 0
            assert np.ascontiguousarray(both).tobytes() == apart.tobytes()


@pytest.mark.parametrize("row", rows("matmul_f32"), ids=row_id)
@pytest.mark.parametrize("seed", range(24))
def test_an_epilogue_runs_on_every_block(row: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    case = Case(rng, np.float32, shape, str(rng.choice(["none", "a", "b", "both", "cross", "one"])), seed % 7)
    a, b = swap_last(case.a, case.trans[0]), swap_last(case.b, case.trans[1])
    residual = rng.standard_normal(case.out_shape).astype(np.float32)
    scale = rng.standard_normal(case.out_shape[-1]).astype(np.float32)
    tile = program([F32] * 3, [("t", "mul_f32", "i0", "i1"), ("u", "add_f32", "t", "i2")], ["u"], first_operand=3)
    blob = params(*case.trans)
    for pack in ([], [1]):
        (plain,) = run(row, [a, b, case.c], [(case.out_shape, np.float32)], params=blob, pack=pack)
        want = plain * scale + residual
        inputs = [a, b, case.c, scale, place(residual, rng)]
        (got,) = run(row, inputs, [(case.out_shape, np.float32)], rng, params=blob, pack=pack, tile=tile)
        np.testing.assert_array_equal(got, want)
        both = np.array(residual)
        assert call(row, [*inputs[:4], both], [both], params=blob, pack=pack, tile=tile, parts=2)["status"] == 0
        np.testing.assert_array_equal(both, want)


PROGRAMS = {  # what is done in registers, and what looks like it
    "relu": [("t", "relu_f32", "i0")],
    "add": [("t", "add_f32", "i0", "i1")],
    "reversed": [("u", "add_f32", "i1", "i0"), ("t", "relu_f32", "u")],
    "relu first": [("u", "relu_f32", "i0"), ("t", "add_f32", "u", "i1")],
    "twice": [("u", "add_f32", "i0", "i0"), ("t", "add_f32", "u", "i1")],
}


@pytest.mark.parametrize("row", rows("matmul_f32"), ids=row_id)
@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize("has_c", [False, True])
@pytest.mark.parametrize("k", [20, 900])
def test_short_epilogues_are_exact(row: dict[str, Any], kind: str, has_c: bool, k: int) -> None:
    rng = np.random.default_rng(k)
    a, b, c = (rng.standard_normal(s).astype(np.float32) for s in [(3, 21, k), (k, 50), (50,)])
    a[1, 4, 3] = np.nan
    addend = rng.standard_normal((21, 1)).astype(np.float32)
    steps = PROGRAMS[kind]
    inputs = [a, b, c if has_c else None, *([] if kind == "relu" else [addend])]
    blob = params(alpha=0.5, beta=3.0)
    (plain,) = run(row, inputs[:3], [((3, 21, 50), np.float32)], params=blob, pack=[1])
    relu = np.where(plain < 0, np.float32(0), plain)
    total = plain + addend
    want = {"relu": relu, "add": total, "reversed": np.where(total < 0, np.float32(0), total),
            "relu first": relu + addend, "twice": plain + plain + addend}[kind]  # fmt: skip
    tile = program([F32] * (len(inputs) - 2), steps, ["t"], first_operand=3)
    for pack in ([], [1]):
        (got,) = run(row, inputs, [((3, 21, 50), np.float32)], rng, params=blob, pack=pack, tile=tile)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("row", rows("matmul_f32"), ids=row_id)
@pytest.mark.parametrize("function, immediates", [("silu_f32", []), ("gelu_f32", []), ("elu_f32", [0.7])])
@pytest.mark.parametrize("m, n, k", [(21, 50, 20), (3, 300, 40), (64, 192, 900), (1, 33, 7)])
def test_activations_are_those_of_tiles(
    row: dict[str, Any], function: str, immediates: list[float], m: int, n: int, k: int
) -> None:
    """Multiplied by one first, the same activation is a program over tiles."""
    rng = np.random.default_rng(k)
    a, b, c = (rng.standard_normal(s).astype(np.float32) for s in [(m, k), (k, n), (n,)])
    a[0, 3] = np.inf
    known, sources = [(v, F32) for v in immediates], [f"k{i}" for i in range(len(immediates))]
    alone = program([F32], [("t", function, "i0", *sources)], ["t"], known, 3)
    steps = [("s", "mul_f32", "i0", f"k{len(known)}"), ("t", function, "s", *sources)]
    spelt = program([F32], steps, ["t"], [*known, (1.0, F32)], 3)
    for pack in ([], [1]):
        for out in (np.zeros((m, n), np.float32), np.zeros((n, m), np.float32).T, np.zeros((m, n + 3), np.float32)):
            got, want = out[:, :n], np.zeros((m, n), np.float32)
            with np.errstate(invalid="ignore"):
                assert call(row, [a, b, c], [got], params=params(), pack=pack, tile=alone)["status"] == 0
                assert call(row, [a, b, c], [want], params=params(), pack=pack, tile=spelt)["status"] == 0
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("row", FLOAT_ROWS, ids=row_id)
def test_nan_and_infinity_stay_in_their_rows_and_columns(row: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    dtype = DTYPES[row["name"]][0]
    a, b = rng.standard_normal((20, 50)).astype(dtype), rng.standard_normal((50, 37)).astype(dtype)
    a[3, 5], a[7, 0], b[9, 36], b[49, 2] = np.nan, np.inf, -np.inf, np.nan
    with np.errstate(invalid="ignore"):
        want = a.astype(np.float64) @ b.astype(np.float64)
        size = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    for pack in ([], [1]):
        (got,) = run(row, [a, b], [((20, 37), dtype)], params=params(), pack=pack)
        assert_product(got, want, size, 50)


@pytest.mark.parametrize("row", FLOAT_ROWS, ids=row_id)
def test_reads_end_where_the_operands_end(row: dict[str, Any]) -> None:
    rng = np.random.default_rng(4)
    dtype = DTYPES[row["name"]][0]
    for m, n, k in [(1, 1, 1), (1, 33, 5), (3, 7, 9), (16, 40, 3), (29, 65, 17), (50, 3, 400)]:
        for ta, tb in [(0, 0), (1, 0), (0, 1), (1, 1)]:
            a, b, c = (rng.standard_normal(s).astype(dtype) for s in [(m, k), (k, n), (n,)])
            flipped = np.ascontiguousarray(swap_last(a, ta)), np.ascontiguousarray(swap_last(b, tb))
            with at_page_end(*flipped, c, np.zeros((m, n), dtype)) as (ga, gb, gc, out):
                for pack in ([], [1]):
                    assert call(row, [ga, gb, gc], [out], params=params(ta, tb), pack=pack)["status"] == 0
                    wide = a.astype(np.float64)
                    assert_product(np.array(out), wide @ b + c, np.abs(wide) @ np.abs(b) + np.abs(c), k + 1)


@pytest.mark.parametrize("row", rows("matmul_f32"), ids=row_id)
def test_shapes_that_contradict_the_rule_are_refused(row: dict[str, Any]) -> None:
    f = np.float32
    a, b = np.zeros((2, 3, 4), f), np.zeros((4, 5), f)
    for bad_a, bad_b, bad_c, out in [
        (a, b, None, (2, 3, 6)), (a, b[:3], None, (2, 3, 5)), (a, b, np.zeros(4, f), (2, 3, 5)),
        (a, np.zeros((3, 4, 5), f), None, (2, 3, 5)), (a, b, None, (3, 5)), (a[0, 0], b, None, (1, 5)),
    ]:  # fmt: skip
        result = call(row, [bad_a, bad_b, bad_c], [np.zeros(out, f)], params=params())
        assert result["bind_status"] == 2, result


@pytest.mark.parametrize("row", rows("matmul_f32"), ids=row_id)
def test_a_weight_is_packed_whatever_a_is(row: dict[str, Any]) -> None:
    rng = np.random.default_rng(5)
    b = place(rng.standard_normal((2, 40, 70)).astype(np.float32), rng)
    for m in (1, 2, 5, 16, 40):
        a = rng.standard_normal((3, 2, m, 40)).astype(np.float32)
        guard = Guarded((3, 2, m, 70), np.float32, rng)
        result = call(row, [a, b], [guard.view], params=params(), pack=[1])
        assert result["status"] == 0 and result["variant"] == "packed"
        guard.check()
        assert_product(np.array(guard.view), a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b), 40)


@pytest.mark.parametrize("row", rows("det"), ids=lambda r: f"tier{r['tier']}")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_det(row: dict, dtype: Any) -> None:
    rng = np.random.default_rng(4)
    for shape in ((1, 1), (3, 3), (2, 5, 4, 4), (7, 12, 12), (3, 0, 0), (0, 2, 2)):
        x = place(rng.standard_normal(shape).astype(dtype), rng)
        (got,) = run(row, [x], [(shape[:-2], dtype)], rng)
        want = np.linalg.det(x.astype(np.float64))
        np.testing.assert_allclose(got, want, rtol=2e-7 if dtype is np.float32 else 1e-12)
    singular = np.array([[[0, 1], [0, 2]], [[np.nan, 1], [1, 1]], [[0, 2], [3, 0]]], dtype)
    (got,) = run(row, [singular], [((3,), dtype)], rng)
    np.testing.assert_array_equal(got, [0, np.nan, -6])
    assert call(row, [np.zeros((2, 3), dtype)], [np.zeros((), dtype)])["bind_status"] == 2
