"""Strings. Text tensors are object arrays on the host: these ops have evaluators only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array, Node
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import broadcast_shapes, tensor_like
from arenaut.ir.record import Infer, OpRecord, Sample
from arenaut.ir.types import TensorType, Type


def _words(*words: str) -> Array:
    return np.array(words, object)


def _attribute(node: Node, name: str, default: str = "") -> str:
    value = node.attr(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)


def _strings(node: Node, name: str) -> list[str]:
    return [s.decode() if isinstance(s, bytes) else str(s) for s in node.attr(name) or ()]


def _mapped(function: Any, x: Array, dtype: Any) -> Array:
    """function of every element; 0-d and empty arrays keep their shape."""
    flat = [function(str(s)) for s in x.reshape(-1)]
    out = np.empty(len(flat), dtype)
    out[:] = flat
    return np.asarray(out.reshape(x.shape))


# -- StringConcat, RegexFullMatch, StringSplit ---------------------------------------------------------------------


def _concat_infer(context: Infer) -> Sequence[Type]:
    types = [tensor_like(context, i) for i in (0, 1)]
    shapes = [t.shape for t in types if t.shape is not None]
    return [TensorType(DType.STRING, broadcast_shapes(context, shapes) if len(shapes) == 2 else None)]


def _concat_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    a, b = np.broadcast_arrays(*(np.asarray(x, object) for x in inputs))
    out = np.empty(a.shape, object)
    out.reshape(-1)[:] = [str(x) + str(y) for x, y in zip(a.reshape(-1), b.reshape(-1), strict=True)]
    return [out]


def _match_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    pattern = re.compile(_attribute(node, "pattern"))
    return [_mapped(lambda s: pattern.fullmatch(s) is not None, np.asarray(inputs[0]), np.bool_)]


def _split_infer(context: Infer) -> Sequence[Type]:
    shape = tensor_like(context).shape
    pieces = None if shape is None else (*shape, context.fresh(0, len(shape)))
    return [TensorType(DType.STRING, pieces), TensorType(DType.INT64, shape)][: len(context.node.outputs)]


def _split_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Pieces between delimiters (or runs of blanks), filled up with empty strings; and how many each has."""
    x, limit = np.asarray(inputs[0]), node.attr("maxsplit")
    delimiter = _attribute(node, "delimiter") or None
    split = [str(s).split(delimiter, -1 if limit is None else int(limit)) for s in x.reshape(-1)]
    widest = max(map(len, split), default=0)
    pieces = np.empty((len(split), widest), object)
    for row, found in zip(pieces, split, strict=True):
        row[:] = found + [""] * (widest - len(found))
    counts = np.array([len(s) for s in split], np.int64).reshape(x.shape)
    return [pieces.reshape(*x.shape, widest), counts][: len(node.outputs)]


# -- StringNormalizer ----------------------------------------------------------------------------------------------


def _normalizer_infer(context: Infer) -> Sequence[Type]:
    shape = context.shape(0)
    if len(shape) not in (1, 2) or (len(shape) == 2 and isinstance(shape[0], int) and shape[0] != 1):
        raise context.fail(f"X has shape {shape}, expected [C] or [1, C]")
    if not _stopwords(context.node):
        return [TensorType(DType.STRING, shape)]
    return [TensorType(DType.STRING, (*shape[:-1], context.fresh(0, len(shape) - 1)))]


def _stopwords(node: Node) -> list[str]:
    return _strings(node, "stopwords")


def _normalizer_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Drops stop words, then changes case; an empty result is one empty string."""
    x = np.asarray(inputs[0])
    case = {"LOWER": str.lower, "UPPER": str.upper}.get(_attribute(node, "case_change_action", "NONE"), str)
    stops = _stopwords(node)
    exact = bool(node.attr("is_case_sensitive", 0))
    refused = set(stops) if exact else {s.lower() for s in stops}
    kept = [str(s) for s in x.reshape(-1) if (str(s) if exact else str(s).lower()) not in refused]
    changed = [case(s) for s in kept] if kept or not stops else [""]
    return [np.array(changed, object).reshape(*x.shape[:-1], len(changed))]


# -- TfIdfVectorizer -----------------------------------------------------------------------------------------------


def _tfidf_infer(context: Infer) -> Sequence[Type]:
    shape, node = context.shape(0), context.node
    columns = max((int(i) for i in node.attr("ngram_indexes", ())), default=-1) + 1
    return [TensorType(DType.FLOAT, (*shape[:-1], columns))]


def _pool(node: Node) -> dict[tuple[Any, ...], int]:
    """n-gram -> its place in the pool. ngram_counts[n - 1] is where the n-grams begin."""
    items: list[Any] = _strings(node, "pool_strings") or [int(i) for i in node.attr("pool_int64s") or ()]
    starts = [int(i) for i in node.attr("ngram_counts")]
    found: dict[tuple[Any, ...], int] = {}
    for size, (begin, end) in enumerate(zip(starts, [*starts[1:], len(items)], strict=True), 1):
        for at in range(begin, end, size):
            found[tuple(items[at : at + size])] = len(found)
    return found


def _grams(row: Sequence[Any], smallest: int, largest: int, skips: int) -> Iterator[tuple[Any, ...]]:
    """Every n-gram of the row, its elements up to `skips` others apart; single elements once."""
    for size in range(smallest, largest + 1):
        for step in range(1, (1 if size == 1 else skips + 1) + 1):
            for start in range(len(row) - (size - 1) * step):
                yield tuple(row[start : start + (size - 1) * step + 1 : step])


def _tfidf_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    pool, places = _pool(node), [int(i) for i in node.attr("ngram_indexes")]
    weights = [float(w) for w in node.attr("weights") or [1.0] * len(places)]
    bounds = (int(node.attr(n)) for n in ("min_gram_length", "max_gram_length", "max_skip_count"))
    smallest, largest, skips = bounds
    mode = _attribute(node, "mode")
    out = np.zeros((*x.shape[:-1], max(places, default=-1) + 1), np.float32)
    for row, counts in zip(x.reshape(-1, x.shape[-1]), out.reshape(-1, out.shape[-1]), strict=True):
        values = [str(v) for v in row] if x.dtype.kind in "OUS" else [int(v) for v in row]
        for gram in _grams(values, smallest, largest, skips):
            place = pool.get(gram)
            if place is not None:
                counts[places[place]] += 1
        for index, place in enumerate(places):
            if mode == "IDF":
                counts[place] = weights[index] if counts[place] > 0 else 0
            elif mode == "TFIDF":
                counts[place] *= weights[index]
    return [out]


# -- samples -------------------------------------------------------------------------------------------------------


def _concat_samples() -> Iterator[Sample]:
    for a, b in (((2, 3), (2, 3)), ((2, 1), (3,)), ((), (4,)), ((0, 2), (2,))):
        yield Sample((samples.draw(a, DType.STRING), samples.draw(b, DType.STRING, seed=1)))


def _match_samples() -> Iterator[Sample]:
    x = _words("www.google.com", "abc@x.org", "", "zürich")
    for pattern in (r"www\.[\w.-]+\.\bcom\b", r"\w*", ".+@.+"):
        yield Sample((x,), {"pattern": pattern})
        yield Sample((x.reshape(2, 2),), {"pattern": pattern})


def _split_samples() -> Iterator[Sample]:
    x = _words("hello world", " a  b c ", "", "x,y,,z")
    for chosen in ({}, {"delimiter": ","}, {"maxsplit": 1}, {"delimiter": " ", "maxsplit": 2}):
        yield Sample((x,), chosen, 2)
        yield Sample((x.reshape(2, 2),), chosen, 2)


def _normalizer_samples() -> Iterator[Sample]:
    x = _words("Monday", "tuesday", "WEDNESDAY", "monday")
    for chosen in (
        {"case_change_action": "UPPER"},
        {"case_change_action": "LOWER", "is_case_sensitive": 1, "stopwords": ("monday",)},
        {"case_change_action": "LOWER", "stopwords": ("monday",)},
        {"case_change_action": "UPPER", "is_case_sensitive": 1, "stopwords": tuple(x)},
        {"is_case_sensitive": 1, "stopwords": ("tuesday",)},
    ):
        yield Sample((x,), chosen)
        yield Sample((x.reshape(1, 4),), chosen)


def _tfidf_samples() -> Iterator[Sample]:
    base: dict[str, tuple[Any, ...]] = {
        "ngram_counts": (0, 4), "ngram_indexes": (0, 1, 2, 3, 4, 5, 6), "pool_int64s": (2, 3, 5, 4, 5, 6, 7, 8, 6, 7),
        "weights": (0.5, 2.0, 1.0, 1.5, 3.0, 0.25, 1.25),
    }  # fmt: skip
    rows = np.array([[1, 1, 3, 3, 3, 7], [8, 6, 7, 5, 6, 8]], np.int32)
    for mode in ("TF", "IDF", "TFIDF"):
        for smallest, largest, skips in ((1, 2, 0), (2, 2, 0), (2, 2, 5), (1, 2, 3)):
            bounds = {"min_gram_length": smallest, "max_gram_length": largest, "max_skip_count": skips, "mode": mode}
            yield Sample((rows,), {**base, **bounds})
            yield Sample((rows[0],), {**base, **bounds})
    names = {k: v for k, v in base.items() if k != "pool_int64s"}
    names["pool_strings"] = tuple(str(i) for i in base["pool_int64s"])
    bounds = {"min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 1, "mode": "TF"}
    yield Sample((_words(*(str(i) for i in rows[1])),), {**names, **bounds})


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(op="StringConcat", infer=_concat_infer, evaluate=_concat_evaluate, samples=_concat_samples),
    OpRecord(
        op="RegexFullMatch", infer=lambda context: [TensorType(DType.BOOL, tensor_like(context).shape)],
        evaluate=_match_evaluate, samples=_match_samples,
    ),
    OpRecord(op="StringSplit", infer=_split_infer, evaluate=_split_evaluate, samples=_split_samples),
    OpRecord(
        op="StringNormalizer", infer=_normalizer_infer, evaluate=_normalizer_evaluate, samples=_normalizer_samples
    ),
    OpRecord(op="TfIdfVectorizer", infer=_tfidf_infer, evaluate=_tfidf_evaluate, samples=_tfidf_samples),
)  # fmt: skip
