"""Products: of matrices, of bytes, of weights in blocks, attention, recurrent layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.grids.case import Case, blob, noise, types

Row = Mapping[str, Any]


def _product(row: Row, name: str, m: int, n: int, k: int, batch: int = 1, trans_b: bool = False, pack: bool = True,
             tail: int = 1) -> Case:  # fmt: skip
    """tail: absent operands after A and B."""
    (a, b, *_), _ = types(row)
    out = np.int32 if row["family"] == "QMatMul" else a
    lead = [] if pack else [batch]
    operands = [noise((batch, m, k), a), noise([*lead, *((n, k) if trans_b else (k, n))], b)]
    more = {"QMatMul": {}, "HalfMatMul": {"alpha": 1.0, "beta": 1.0, "rounded": 1}}
    scales = more.get(row["family"], {"alpha": 1.0, "beta": 1.0})
    return Case(f"{name} {batch}x{m}x{n}x{k}{'' if pack else ', B not packed'}", [*operands, *[None] * tail],
                [np.zeros((batch, m, n), out)], blob(row, trans_b=int(trans_b), **scales),
                2.0 * batch * m * n * k, (1,) if pack else ())  # fmt: skip


def matmul(row: Row) -> Iterator[Case]:
    """f32: squares, layers of transformers, heads. Other types are not made for models: two sizes."""
    if types(row)[0][0] is not np.float32:
        for size in (128, 512):
            yield _product(row, "square", size, size, size)
        return
    for size in (64, 128, 256, 512, 1024):
        yield _product(row, "square", size, size, size)
        yield _product(row, "square", size, size, size, pack=False)
    for m in (1, 2, 4, 8, 14, 32, 128, 512):
        yield _product(row, "bert ffn", m, 3072, 768)
        yield _product(row, "bert out", m, 768, 3072)
    yield _product(row, "gpt2 head", 1, 50257, 768)
    for seq in (128, 512):
        yield _product(row, "scores", seq, seq, 64, 12, trans_b=True, pack=False)
        yield _product(row, "weighted values", seq, 64, seq, 12, pack=False)
    yield _product(row, "scores, one query", 1, 512, 64, 12, trans_b=True, pack=False)


def half_matmul(row: Row) -> Iterator[Case]:
    """Rounded to bfloat16."""
    for m in (1, 16, 128, 512):
        yield _product(row, "square", m, 1024, 1024)
        yield _product(row, "bert ffn", m, 3072, 768)


def qmatmul(row: Row) -> Iterator[Case]:
    for m in (1, 16, 128, 512):
        yield _product(row, "square", m, 1024, 1024, tail=5)
        yield _product(row, "bert ffn", m, 3072, 768, tail=5)
    yield _product(row, "square", 128, 1024, 1024, pack=False, tail=5)


def block_matmul(row: Row) -> Iterator[Case]:
    """Weights of 4 bits in blocks of 32, computed in f32 (accuracy 0) and as bytes (4)."""
    for accuracy in (0, 4):
        for m in (1, 16, 128):
            n, k, block = 1024, 1024, 32
            b = noise((n, k // block, block // 2), np.uint8)
            scales = np.full((n, k // block), 0.01, np.float32)
            params = blob(row, bits=4, block=block, k=k, n=n, accuracy=accuracy)
            yield Case(f"accuracy {accuracy} {m}x{n}x{k}", [noise((m, k)), b, scales, None],
                       [np.zeros((m, n), np.float32)], params, 2.0 * m * n * k, (1, 2))  # fmt: skip


def attention(row: Row) -> Iterator[Case]:
    rounded = {"rounded": 1} if row["family"] == "HalfAttention" else {}
    for batch, heads, queries, keys, depth, causal in ((1, 12, 128, 128, 64, 0), (1, 12, 512, 512, 64, 1),
                                                       (1, 6, 197, 197, 64, 0), (1, 6, 1500, 1500, 64, 0),
                                                       (64, 3, 49, 49, 32, 0), (1, 12, 1, 512, 64, 0)):  # fmt: skip
        q, k, v = noise((batch, heads, queries, depth)), *(noise((batch, heads, keys, depth)) for _ in range(2))
        share = 0.5 if causal else 1.0
        yield Case(f"{batch}x{heads} heads, {queries} x {keys} x {depth}{' causal' if causal else ''}",
                   [q, k, v, None], [np.zeros_like(q)], blob(row, scale=depth**-0.5, causal=causal, **rounded),
                   4.0 * q.size * keys * share)  # fmt: skip


def recurrent(row: Row) -> Iterator[Case]:
    """LSTM layers after their input product."""
    for directions, steps, batch, hidden in ((1, 64, 1, 256), (2, 64, 1, 256), (1, 32, 8, 512)):
        x, r = noise((directions, steps, batch, 4 * hidden)), noise((directions, 4 * hidden, hidden))
        state = (directions, batch, hidden)
        outputs = [np.zeros((steps, directions, batch, hidden), np.float32), np.zeros(state, np.float32),
                   np.zeros(state, np.float32)]  # fmt: skip
        params = blob(row, cell=3, activation=[0, 1, 1] * 2)
        yield Case(f"lstm {directions}x{steps} steps, {batch} x {hidden}", [x, 0.05 * r, *[None] * 5], outputs, params,
                   8.0 * directions * steps * batch * hidden * hidden, (1,))  # fmt: skip


def det(row: Row) -> Iterator[Case]:
    dtype = types(row)[0][0]
    for count, n in ((1024, 3), (64, 32)):
        yield Case(f"{count} of {n}x{n}", [noise((count, n, n), dtype)], [np.zeros(count, dtype)])


PRODUCTS = {"MatMul": matmul, "HalfMatMul": half_matmul, "QMatMul": qmatmul, "BlockMatMul": block_matmul,
            "Attention": attention, "HalfAttention": attention, "Recurrent": recurrent,
            "Det": det}  # fmt: skip
