"""Dims as people write them."""

from __future__ import annotations

import pytest

from arenaut.ir.dim_text import readable
from arenaut.ir.dims import Dim, ceildiv, floordiv, maximum, minimum, symbol

h, w = symbol("h"), symbol("w")


@pytest.mark.parametrize("dim, text", [
    (5, "5"), (h, "h"), (h + 1, "h + 1"), (h - 1, "h - 1"), (2 * h, "2*h"), (h * w, "h*w"), (h * h, "h^2"),
    (floordiv(h, 8), "h/8"), (floordiv(h - 1, 2) + 1, "(h + 1)/2"), (floordiv(floordiv(h, 2), w), "(h/2)/w"),
    (2 * floordiv(h, 2), "2*(h/2)"), (h % 4, "h%4"), (ceildiv(h, 3), "ceil(h/3)"), (maximum(h, 1), "max(h, 1)"),
    (minimum(h, w), "min(h, w)"), (-h, "-h"), (h - w, "h - w"), (3 - h, "-h + 3"),
    ((h + 1) * (w + 1), "h*w + h + w + 1"), (floordiv(h - 2, 2) + 1, "h/2"),
])  # fmt: skip
def test_notation(dim: Dim, text: str) -> None:
    assert readable(dim) in (text, text.replace("(h/2)/w", "h/2/w"))


def test_long_dims_are_left_out() -> None:
    d: Dim = h
    for i in range(40):
        d = floordiv(d * w + i, 2) + maximum(d, i)
    assert readable(d) == "..." and len(readable(floordiv(h + w, 2), 5)) <= 5
