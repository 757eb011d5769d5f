"""The bench of integer products: its models run, and its page says what was measured."""

from __future__ import annotations

import numpy as np
import pytest

import arenaut
from bench.gemm import Size
from bench.qgemm import TABLES, Result, document, lines_of, model_of


@pytest.mark.parametrize("name", TABLES)
def test_models_are_products(name: str) -> None:
    table = TABLES[name]
    model, a, bytes_of_b = model_of(table, Size(3, 32, 64), np.random.default_rng(0))
    (y,) = arenaut.load_onnx(model).run(a).values()
    assert y.shape == (3, 32) and np.abs(y.astype(np.float64)).max() > 0
    assert bytes_of_b == (64 * 32 if table.bits is None else 64 * 32 // 2 + 2 * 32 * 4)


def test_rows_name_their_limit() -> None:
    table = TABLES["vnni"]
    one = Result(Size(1, 1024, 1024), 2e11, 0.9, 1e11)
    many = Result(Size(128, 1024, 1024), 8e11, 0.85, 4e11)
    lines = lines_of(table, [one, many])
    assert lines[4] == "| 1 | 1024 | 1024 | 200 |  | 90 | 100 | 2.00 |"
    assert lines[5] == "| 128 | 1024 | 1024 | 800 | 85 |  | 400 | 2.00 |"
    assert "features vnni, one thread" in document([lines], "a machine", "vnni", 9)
