"""N-grams counted as numbers, text told apart by dicts, and what random ops draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import arenaut
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.evaluate import evaluate_node
from arenaut.ir.graph import Graph, Node
from arenaut.ir.types import TensorType
from tests.support.models import parse


def node(op: str, *inputs: np.ndarray, outputs: int = 1, **attributes: Any) -> Node:
    graph = Graph()
    values = [graph.add_input(f"x{i}", TensorType(dtype_of(x), x.shape)) for i, x in enumerate(inputs)]
    return graph.add(op, values, attributes, outputs=outputs)


def evaluated(op: str, *inputs: np.ndarray, outputs: int = 1, **attributes: Any) -> list[Any]:
    return list(evaluate_node(node(op, *inputs, outputs=outputs, **attributes), list(inputs)))


def counted(x: np.ndarray, pool: dict[tuple[Any, ...], int], sizes: range, skips: int, columns: int) -> np.ndarray:
    out = np.zeros((len(x), columns), np.float32)
    for row, line in enumerate(x.tolist()):
        for size in sizes:
            for step in range(1, 2 if size == 1 else skips + 2):
                for at in range(len(line) - (size - 1) * step):
                    place = pool.get(tuple(line[at : at + (size - 1) * step + 1 : step]))
                    if place is not None:
                        out[row, place] += 1
    return out


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("long", [1, 3, 40])  # n-grams of 40 elements are numbers of more than 64 bits
@pytest.mark.parametrize("skips", [0, 2, 10**9])
def test_n_grams(text: bool, long: int, skips: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, (6, 60))
    grams = [(0,), (3,), (7,), *(tuple(x[i % 6, i : i + long].tolist()) for i in range(4) if long > 1)]
    grams = sorted(dict.fromkeys(grams), key=len)
    sizes = sorted({len(g) for g in grams})
    starts, at = [], 0
    for size in range(1, max(sizes) + 1):
        starts.append(at)
        at += sum(len(g) for g in grams if len(g) == size)
    flat: list[Any] = [element for gram in grams for element in gram]
    places = list(range(len(grams)))[::-1]
    pool = dict(zip(grams, places, strict=True))
    if text:
        pool, x = {tuple(map(str, g)): p for g, p in pool.items()}, x.astype(str).astype(object)
    key = {"pool_strings": tuple(map(str, flat))} if text else {"pool_int64s": tuple(flat)}
    weights = tuple(float(w) for w in rng.uniform(0.5, 2, len(grams)))
    want = counted(x, pool, range(1, max(sizes) + 1), min(skips, 60), len(grams))
    for mode in ("TF", "IDF", "TFIDF"):
        (got,) = evaluated(
            "TfIdfVectorizer", x, mode=mode, min_gram_length=1, max_gram_length=max(sizes), max_skip_count=skips,
            ngram_counts=tuple(starts), ngram_indexes=tuple(places), weights=weights, **key,
        )  # fmt: skip
        by = np.array(weights, np.float32)[np.argsort(places)]
        expected = {"TF": want, "IDF": np.where(want > 0, by, 0), "TFIDF": want * by}[mode]
        np.testing.assert_array_equal(got, expected.astype(np.float32))


@pytest.mark.parametrize("ordered", [0, 1])
def test_unique_words(ordered: int) -> None:
    words = np.array([["b", "a", "ü"], ["a", "", "b"]], object)
    values, first, inverse, counts = evaluated("Unique", words, outputs=4, sorted=ordered)
    assert values.tolist() == (["", "a", "b", "ü"] if ordered else ["b", "a", "ü", ""])
    assert first.tolist() == ([4, 1, 0, 2] if ordered else [0, 1, 2, 4])
    assert [values[i] for i in inverse] == words.reshape(-1).tolist()
    assert counts.tolist() == ([1, 2, 2, 1] if ordered else [2, 2, 1, 1])
    assert [a.size for a in evaluated("Unique", words[:, :0], outputs=4)] == [0, 0, 0, 0]


@pytest.mark.parametrize("dtype", [DType.FLOAT, DType.DOUBLE, DType.FLOAT16])
def test_draws_have_their_moments(dtype: DType) -> None:
    like = np.zeros((200, 100), dtype.numpy)
    (uniform,) = evaluated("RandomUniformLike", like, low=-3.0, high=5.0)
    (normal,) = evaluated("RandomNormalLike", like, mean=2.0, scale=0.5)
    (chance,) = evaluated("Bernoulli", np.full_like(like, 0.3))
    for drawn in (uniform, normal, chance):
        assert drawn.shape == like.shape and drawn.dtype == like.dtype
    wide = [a.astype(np.float64) for a in (uniform, normal, chance)]
    assert wide[0].min() >= -3 and wide[0].max() <= 5 and abs(wide[0].mean() - 1) < 0.1
    assert abs(wide[1].mean() - 2) < 0.03 and abs(wide[1].std() - 0.5) < 0.03
    assert set(wide[2].ravel()) == {0, 1} and abs(wide[2].mean() - 0.3) < 0.03


def test_a_seed_fixes_draws() -> None:
    for op, more in [("RandomUniform", {}), ("RandomNormal", {"dtype": int(DType.DOUBLE)})]:
        first, again, other = (evaluated(op, shape=(3, 4), seed=s, **more)[0] for s in (1.5, 1.5, 2.0))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()
        assert (evaluated(op, shape=(3, 4), **more)[0] != evaluated(op, shape=(3, 4), **more)[0]).any()


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike"])
@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.uint8])
def test_draws_of_types_that_no_kernel_draws(op: str, dtype: type) -> None:
    name = np.dtype(dtype).name
    model = parse(f"g ({name}[40] x) => ({name}[40] y) {{ y = {op} (x) }}")
    (drawn,) = arenaut.load_onnx(model).run({"x": np.zeros(40, dtype)}).values()
    assert drawn.dtype == dtype and drawn.shape == (40,)
