"""Strings. Text tensors are object arrays on the host: these ops have evaluators only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from arenaut.ir.attribute_values import text_of
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ExecutionError
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import broadcast_shapes, filled_up, kept_for, tensor_like
from arenaut.ir.ops.support.re2 import python_pattern
from arenaut.ir.record import Build, Infer, Lower, NoRowError, OpRecord, Param, Sample
from arenaut.ir.types import TensorType, Type
from arenaut.plain import dataclass


def _words(*words: str) -> Array:
    return np.array(words, object)


def _strings(node: Node, name: str) -> list[str]:
    return [text_of(s) for s in node.attr(name) or ()]


# -- StringConcat, RegexFullMatch, StringSplit ---------------------------------------------------------------------


def _concat_infer(context: Infer) -> Sequence[Type]:
    types = [tensor_like(context, i) for i in (0, 1)]
    shapes = [t.shape for t in types if t.shape is not None]
    return [TensorType(DType.STRING, broadcast_shapes(context, shapes) if len(shapes) == 2 else None)]


def _concat_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    a, b = (np.asarray(x, object) for x in inputs)
    if a.shape != b.shape:
        a, b = np.broadcast_arrays(a, b)
    joined = list(map(str.__add__, a.reshape(-1).tolist(), b.reshape(-1).tolist()))
    return [np.array(joined, object).reshape(a.shape)]


def _match_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, matches = np.asarray(inputs[0]), kept_for(node, _full_match)
    texts = x.reshape(-1).tolist()
    known = {text: matches(text) is not None for text in set(texts)}  # columns of text repeat a few
    return [np.array([known[text] for text in texts], np.bool_).reshape(x.shape)]


def _full_match(node: Node) -> Callable[[str], Any]:
    """Patterns are RE2's. Raises ExecutionError for what is none."""
    try:
        return re.compile(python_pattern(node.text("pattern"))).fullmatch
    except (re.error, OverflowError, RecursionError) as error:
        raise ExecutionError(f"{node}: its pattern cannot be read: {error}") from None


def _split_infer(context: Infer) -> Sequence[Type]:
    shape = tensor_like(context).shape
    pieces = None if shape is None else (*shape, context.fresh(0, len(shape)))
    return [TensorType(DType.STRING, pieces), TensorType(DType.INT64, shape)][: len(context.node.outputs)]


def _split_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Pieces between delimiters (or runs of blanks), filled up with empty strings; and how many each has."""
    x, (delimiter, most) = np.asarray(inputs[0]), kept_for(node, _delimiting)
    split = [s.split(delimiter, most) for s in x.reshape(-1).tolist()]
    counts = np.array(list(map(len, split)), np.int64).reshape(x.shape)
    return [filled_up(split, x.shape, ""), counts][: len(node.outputs)]


def _split_direct(node: Node) -> tuple[str, tuple[Any, ...]]:
    return "split", _delimiting(node)


def _delimiting(node: Node) -> tuple[str | None, int]:
    limit = node.attr("maxsplit")
    return node.text("delimiter") or None, -1 if limit is None else int(limit)


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
    case = {"LOWER": str.lower, "UPPER": str.upper}.get(node.text("case_change_action", "NONE"), str)
    stops = _stopwords(node)
    exact = bool(node.attr("is_case_sensitive", 0))
    refused = set(stops) if exact else {s.lower() for s in stops}
    kept = [str(s) for s in x.reshape(-1) if (str(s) if exact else str(s).lower()) not in refused]
    changed = [case(s) for s in kept] if kept or not stops else [""]
    return [np.array(changed, object).reshape(*x.shape[:-1], len(changed))]


# -- TfIdfVectorizer -----------------------------------------------------------------------------------------------


def _tfidf_infer(context: Infer) -> Sequence[Type]:
    shape = context.shape(0)
    places = [int(i) for i in context.node.attr("ngram_indexes", ())]
    _check_grams(context, places)
    return [TensorType(DType.FLOAT, (*shape[:-1], max(places, default=-1) + 1))]


def _check_grams(context: Infer, places: Sequence[int]) -> None:
    """Each n-gram of the pool is whole and has a place; each place is one, and has a weight where there are any."""
    node = context.node
    items, weights = len(node.attr("pool_strings") or node.attr("pool_int64s") or ()), node.attr("weights") or ()
    starts = [int(i) for i in node.attr("ngram_counts", ())]
    spans = list(zip(starts, [*starts[1:], items], strict=True)) if starts else []
    if not starts or any(not 0 <= begin <= end or (end - begin) % size for size, (begin, end) in enumerate(spans, 1)):
        raise context.fail(f"ngram_counts {starts} do not divide a pool of {items} into n-grams")
    grams = sum((end - begin) // size for size, (begin, end) in enumerate(spans, 1))
    if grams > len(places) or min(places, default=0) < 0 or (len(weights) and len(weights) != len(places)):
        raise context.fail(f"{grams} n-grams have {len(places)} ngram_indexes and {len(weights)} weights")


def _pool(node: Node) -> dict[tuple[Any, ...], int]:
    """n-gram -> its place in the pool. ngram_counts[n - 1] is where the n-grams begin."""
    items: list[Any] = _strings(node, "pool_strings") or [int(i) for i in node.attr("pool_int64s") or ()]
    starts = [int(i) for i in node.attr("ngram_counts")]
    found: dict[tuple[Any, ...], int] = {}
    for size, (begin, end) in enumerate(zip(starts, [*starts[1:], len(items)], strict=True), 1):
        for at in range(begin, end, size):
            found[tuple(items[at : at + size])] = len(found)
    return found


@dataclass(frozen=True)
class _Vocabulary:
    """A pool of n-grams as numbers. An element's number is its place among the pool's sorted elements, from 1 on, 0 for
    all others; an n-gram's is that of its elements as digits. codes: by size, sorted, with the output of each."""

    elements: Array | dict[str, int]
    base: int
    codes: Mapping[int, tuple[Array, Array]]
    places: Array
    weights: Array

    def numbers(self, x: Array) -> Array:
        if isinstance(self.elements, dict):
            get = self.elements.get
            return np.asarray(np.array([get(v, 0) for v in x.reshape(-1).tolist()], np.int64).reshape(x.shape))
        wide = x.astype(np.int64)
        if not self.elements.size:
            return np.zeros_like(wide)
        at = np.minimum(np.searchsorted(self.elements, wide), self.elements.size - 1)
        return np.asarray(np.where(self.elements[at] == wide, at + 1, 0))


def _vocabulary(node: Node) -> _Vocabulary:
    pool = _pool(node)
    places = np.array([int(i) for i in node.attr("ngram_indexes")], np.int64)
    weights = np.array([float(w) for w in node.attr("weights") or [1.0] * len(places)], np.float32)
    known = sorted({element for gram in pool for element in gram})
    number = {element: i for i, element in enumerate(known, 1)}
    base, by_size = len(known) + 1, dict[int, dict[int, int]]()
    for gram, place in pool.items():
        code = reduce(lambda sum_, element: sum_ * base + number[element], gram, 0)
        by_size.setdefault(len(gram), {})[code] = int(places[place])
    codes = {}
    for size, found in by_size.items():
        kind = np.int64 if base**size < 2**62 else object  # of any length
        ordered = sorted(found)
        codes[size] = (np.array(ordered, kind), np.array([found[c] for c in ordered], np.int64))
    elements: Any = number if node.attr("pool_strings") else np.array(known, np.int64)
    return _Vocabulary(elements, base, codes, places, weights)


def _grams_of(numbers: Array, size: int, steps: int, kind: Any, base: int) -> Iterator[Array]:
    """The codes of all n-grams of the rows, for each distance of their elements; single elements once."""
    length = numbers.shape[1]
    wide = numbers.astype(kind, copy=False)
    for step in range(1, min(1 if size == 1 else steps, max(length - 1, 1)) + 1):
        count = length - (size - 1) * step
        if count <= 0:
            return
        code = wide[:, :count]
        for k in range(1, size):
            code = code * base + wide[:, k * step : k * step + count]
        yield code


def _tfidf_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    vocabulary = kept_for(node, _vocabulary)
    places, weights = vocabulary.places, vocabulary.weights
    smallest, largest, skips = (int(node.attr(n)) for n in ("min_gram_length", "max_gram_length", "max_skip_count"))
    columns = int(places.max(initial=-1)) + 1
    numbers = vocabulary.numbers(x).reshape(int(np.prod(x.shape[:-1], dtype=np.int64)), x.shape[-1])
    rows = len(numbers)
    totals = np.zeros(rows * columns, np.int64)
    for size, (codes, found) in vocabulary.codes.items():
        if not smallest <= size <= largest:
            continue
        for code in _grams_of(numbers, size, skips + 1, codes.dtype, vocabulary.base):
            at = np.minimum(np.searchsorted(codes, code), codes.size - 1)
            row, position = np.nonzero(codes[at] == code)
            totals += np.bincount(row * columns + found[at[row, position]], minlength=totals.size)
    out = totals.reshape(rows, columns).astype(np.float32)
    mode = node.text("mode")
    if mode != "TF":
        for index, place in enumerate(places.tolist()) if len(set(places.tolist())) != len(places) else ():
            out[:, place] = _weighted(mode, out[:, place], weights[index])
        if len(set(places.tolist())) == len(places):
            out[:, places] = _weighted(mode, out[:, places], weights)
    return [out.reshape(*x.shape[:-1], columns)]


# At the numbers of the C enumeration.
GRAM_MODES = ("TF", "IDF", "TFIDF")
_MOST_GRAM = 16
_MOST_SKIPS = 1 << 40  # no row is longer


def _tfidf_decompose(build: Build, node: Node) -> Sequence[Value]:
    """Text as the numbers of its words in the vocabulary, whose n-grams a kernel counts."""
    x, pool = node.operand(0), _strings(node, "pool_strings")
    if x.dtype is not DType.STRING or not pool:
        raise NoRowError("no text")
    words = sorted(set(pool))
    counted = {k: v for k, v in node.attributes.items() if k != "pool_strings"}
    numbers = build.op(
        "LabelEncoder", x, domain="ai.onnx.ml", keys_strings=tuple(words), values_int64s=tuple(range(len(words))),
        default_int64=-1,
    )  # fmt: skip
    number = {word: i for i, word in enumerate(words)}
    return [build.op("TfIdfVectorizer", numbers, **counted, pool_int64s=tuple(number[w] for w in pool))]


def _tfidf_lower(lower: Lower, node: Node) -> None:
    vocabulary, mode = _vocabulary(node), node.text("mode")
    smallest, largest, skips = (int(node.attr(n)) for n in ("min_gram_length", "max_gram_length", "max_skip_count"))
    codes, places = vocabulary.codes, vocabulary.places
    if not isinstance(vocabulary.elements, np.ndarray) or max([largest, *codes]) > _MOST_GRAM or mode not in GRAM_MODES:
        raise NoRowError("text, or n-grams that are too long")
    if any(found.dtype == object for found, _ in codes.values()) or len(set(places.tolist())) < len(places):
        raise NoRowError("codes of more than 64 bits, or n-grams that share a place")
    columns = int(places.max(initial=-1)) + 1
    weights = np.zeros(columns, np.float32)
    weights[places] = vocabulary.weights
    none = np.zeros(0, np.int64)
    sides = [codes.get(size, (none, none)) for size in range(1, _MOST_GRAM + 1)]
    begin = [0, *np.cumsum([len(found) for found, _ in sides]).tolist()]
    params: dict[str, Param] = {
        "mode": GRAM_MODES.index(mode), "smallest": smallest, "largest": largest, "steps": min(skips, _MOST_SKIPS) + 1,
        "base": vocabulary.base, "begin": begin,
    }  # fmt: skip
    table = (vocabulary.elements, *(np.concatenate([side[i] for side in sides]) for i in (0, 1)), weights)
    x = lower.read(node.operand(0))
    if not x.rank or not 1 <= smallest <= largest or skips < 0:
        raise NoRowError("no rows, or no n-grams")
    lower.call("GramCounts", [x, *(lower.constant(t) for t in table)], [lower.write(node.output)], params)


def _weighted(mode: str, counts: Array, weights: Any) -> Array:
    return np.asarray(np.where(counts > 0, weights, np.float32(0)) if mode == "IDF" else counts * weights)


# -- samples -------------------------------------------------------------------------------------------------------


def _concat_samples() -> Iterator[Sample]:
    for a, b in (((2, 3), (2, 3)), ((2, 1), (3,)), ((), (4,)), ((0, 2), (2,))):
        yield Sample((samples.draw(a, DType.STRING), samples.draw(b, DType.STRING, seed=1)))


def _match_samples() -> Iterator[Sample]:
    x = _words("www.google.com", "abc@x.org", "", "zurich")  # RE2's \w is of ASCII, the reference evaluator's is not
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
    OpRecord(
        op="StringSplit", infer=_split_infer, evaluate=_split_evaluate, direct=_split_direct, samples=_split_samples
    ),
    OpRecord(
        op="StringNormalizer", infer=_normalizer_infer, evaluate=_normalizer_evaluate, samples=_normalizer_samples
    ),
    OpRecord(
        op="TfIdfVectorizer", infer=_tfidf_infer, evaluate=_tfidf_evaluate, lower=_tfidf_lower,
        decompose=_tfidf_decompose, samples=_tfidf_samples,
    ),
)  # fmt: skip
