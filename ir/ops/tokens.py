"""Text as tokens and as hashes: ops of onnxruntime that converters of text pipelines write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import numpy as np

from arenaut.ir.attribute_values import bytes_of, text_of
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ExecutionError
from arenaut.ir.graph import MICROSOFT_DOMAIN, Array, Node
from arenaut.ir.ops.support.common import filled_up, kept_for, tensor_like
from arenaut.ir.ops.support.re2 import python_pattern
from arenaut.ir.record import Infer, OpRecord, Reg, Sample, TileBuilder
from arenaut.ir.types import TensorType, Type

EXTENSIONS_DOMAIN = "ai.onnx.contrib"
START, END = "\x02", "\x03"  # what marks the tokens of a text


# -- Tokenizer -----------------------------------------------------------------------------------------------------


def _tokenizer_infer(context: Infer) -> Sequence[Type]:
    shape = context.shape(0)
    if len(shape) not in (1, 2):
        raise context.fail(f"X has shape {shape}, expected [C] or [N, C]")
    if shape[-1] == 0:
        return [TensorType(DType.STRING, shape)]
    return [TensorType(DType.STRING, (*shape, context.fresh(0, len(shape))))]


def why_no_tokens(node: Node) -> str | None:
    """What is wrong with the attributes of a Tokenizer; None where they are good."""
    separators, expression = node.attr("separators") or (), node.text("tokenexp")
    if bool(separators) == bool(expression):
        return "one of its attributes separators and tokenexp must be stated, and not both"
    least = int(node.attr("mincharnum"))
    if least < 1:
        return f"its attribute mincharnum is {least}, expected at least 1"
    if _by_characters(node) and least > 1:
        return f"its attribute mincharnum is {least}, but it makes a token of every character"
    for pattern in [expression] if expression else map(text_of, separators):
        try:
            _compiled(pattern)
        except re.error as error:
            return f"the regular expression {pattern!r} is not known here: {error}"
    return None


def _by_characters(node: Node) -> bool:
    separators = [text_of(s) for s in node.attr("separators") or ()]
    return node.text("tokenexp") == "." or separators == [""]


Find = Callable[[str, int], "tuple[int, int] | None"]


def _expression(pattern: str) -> tuple[re.Pattern[str], Any]:
    """The expression as Python has it, and what it is made of."""
    translated = python_pattern(pattern)
    # ASCII bounds words; without bounds the flag would keep other letters from being compared in either case.
    found = re.compile(translated, re.ASCII if re.search(r"\\[bB]", translated) else 0)
    return found, parser.parse(translated)


@lru_cache(maxsize=64)
def _plain(pattern: str) -> re.Pattern[str] | None:
    """The expression, where all of its matches that Python finds one after the other are those of `_compiled`: none is
    empty, the first is the longest, and no group is told apart."""
    found, parsed = _expression(pattern)
    return found if parsed.getwidth()[0] > 0 and _takes_most(parsed) else None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> Find:
    """The leftmost match from a place on, and of those that begin there the longest, as RE2 is asked for it."""
    found, parsed = _expression(pattern)
    greedy = _takes_most(parsed)

    def find(text: str, start: int) -> tuple[int, int] | None:
        match = found.search(text, start)
        if match is None:
            return None
        begin, end = match.span()
        if not greedy:
            longer = (e for e in range(len(text), end, -1) if found.fullmatch(text, begin, e))
            end = next(longer, end)
        return begin, end

    return find


def _takes_most(parsed: Any) -> bool:
    """Whether the first match of a backtracking search is the longest: nothing to choose but one number of repeats."""
    repeats = 0
    for code, argument in parsed:
        if code in (codes.LITERAL, codes.NOT_LITERAL, codes.ANY, codes.IN, codes.AT, codes.CATEGORY):
            continue
        if code is not codes.MAX_REPEAT or len(argument[2]) != 1 or not _takes_most(argument[2]):
            return False
        repeats += argument[0] != argument[1]
    return repeats <= 1


def _after(begin: int, end: int) -> int:
    """Where the search goes on: at least a character further."""
    return end if end > begin else begin + 1


def _matches(text: str, find: Find, least: int) -> Iterator[str]:
    at = 0
    while at <= len(text) and (found := find(text, at)) is not None:
        begin, end = found
        if end - begin >= least:
            yield text[begin:end]
        at = _after(begin, end if end - begin >= least else begin)


def _between(text: str, find: Find, least: int) -> Iterator[str]:
    at = 0
    while at <= len(text):
        found = find(text, at)
        begin, end = (len(text), len(text)) if found is None else found
        if begin - at >= least:
            yield text[at:begin]
        at = len(text) + 1 if found is None else _after(begin, end)


def _tokens(node: Node) -> Callable[[str], list[str]]:
    if _by_characters(node):
        return list
    least, expression = int(node.attr("mincharnum")), node.text("tokenexp")
    if expression:
        plain = _plain(expression) if least == 1 else None
        if plain is not None:
            return plain.findall
        whole = _compiled(expression)
        return lambda text: list(_matches(text, whole, least))
    patterns = [text_of(s) for s in node.attr("separators")]
    if least == 1 and all(len(p) == 1 and _is_literal(p) for p in patterns):
        return _at_characters(patterns)
    separators = [_splitter(p, least) for p in patterns]
    if len(separators) == 1:
        return separators[0]

    def split(text: str) -> list[str]:
        parts = [text]
        for pieces in separators:
            parts = [piece for part in parts for piece in pieces(part)]
        return parts

    return split


def _is_literal(pattern: str) -> bool:
    return re.escape(pattern) == pattern or pattern == " "


def _at_characters(characters: Sequence[str]) -> Callable[[str], list[str]]:
    """What lies between any of these characters, where that is not empty."""
    first, *others = characters

    def split(text: str) -> list[str]:
        for character in others:
            text = text.replace(character, first)
        pieces = text.split(first)
        return list(filter(None, pieces)) if "" in pieces else pieces

    return split


def _splitter(pattern: str, least: int) -> Callable[[str], list[str]]:
    """What lies between the matches, of at least so many characters."""
    plain = _plain(pattern)
    if plain is None:
        find = _compiled(pattern)
        return lambda text: list(_between(text, find, least))
    literal = (len(pattern) == 1 and re.escape(pattern) == pattern) or pattern == " "
    if literal and least == 1:
        return lambda text: list(filter(None, text.split(pattern)))
    return lambda text: [piece for piece in plain.split(text) if len(piece) >= least]


def _tokenizer_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Tokens along a new last axis, filled up; none at all where no text has any."""
    x = np.asarray(inputs[0])
    tokens, pad, mark = kept_for(node, _tokenizing)
    rows = list(map(tokens, map(text_of, x.reshape(-1).tolist())))
    if mark and any(rows):
        rows = [[START, *row, END] for row in rows]
    out = filled_up(rows, x.shape, pad)
    return [out.reshape(x.shape) if x.shape[-1] == 0 and _is_static(node) else out]


def _tokenizer_direct(node: Node) -> tuple[str, tuple[Any, ...]]:
    tokens, pad, mark = _tokenizing(node)
    return "tokens", (tokens, pad, *((START, END) if mark else (None, None)))


def _tokenizing(node: Node) -> tuple[Callable[[str], list[str]], str, bool]:
    return _tokens(node), node.text("pad_value"), bool(node.attr("mark"))


def _is_static(node: Node) -> bool:
    """Whether an empty axis was known of when the output's rank was decided."""
    t = None if not node.outputs or node.outputs[0] is None else node.outputs[0].type
    return isinstance(t, TensorType) and t.shape is not None and t.shape[-1] == 0


def _tokenizer_samples() -> Iterator[Sample]:
    x = np.array(["Hello World", "I love  computer science !", "", "grüße, x-ray"], object)
    base = {"mark": 0, "mincharnum": 1, "pad_value": "#"}
    for chosen in (
        {"separators": (" ",)}, {"separators": (" ", ","), "mark": 1}, {"separators": ("",)},
        {"separators": (" ",), "mincharnum": 2}, {"tokenexp": "[a-zA-Z]+"}, {"tokenexp": ".", "mark": 1},
        {"tokenexp": "l|lo|[a-z]+ "},
    ):  # fmt: skip
        yield Sample((x,), {**base, **chosen})
        yield Sample((x.reshape(2, 2),), {**base, **chosen})


# -- MurmurHash3 ---------------------------------------------------------------------------------------------------

_C1, _C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)


def _rotate(x: Array, by: int) -> Array:
    return np.asarray((x << np.uint32(by)) | (x >> np.uint32(32 - by)))


def _murmur(blocks: Array, tails: Array, length: Array, seed: int) -> Array:
    """MurmurHash3_x86_32 of rows: blocks [n, k] of words, the bytes after them as words, lengths in bytes."""
    h = np.full(len(blocks), seed, np.uint32)
    for column in blocks.T:
        h = _rotate(h ^ (_rotate(column * _C1, 15) * _C2), 13) * np.uint32(5) + np.uint32(0xE6546B64)
    h = h ^ (_rotate(tails * _C1, 15) * _C2) ^ length
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return np.asarray(h ^ (h >> np.uint32(16)))


def _hashes_of_texts(texts: Sequence[bytes], seed: int) -> Array:
    """Texts of as many whole words are hashed together."""
    out = np.empty(len(texts), np.uint32)
    together: dict[int, list[int]] = {}
    for i, text in enumerate(texts):
        together.setdefault(len(text) // 4, []).append(i)
    for words, at in together.items():
        raw = b"".join([texts[i].ljust(4 * words + 4, b"\0") for i in at])
        table = np.frombuffer(raw, "<u4").astype(np.uint32).reshape(len(at), words + 1)
        lengths = np.array([len(texts[i]) for i in at], np.uint32)
        out[at] = _murmur(table[:, :-1], table[:, -1], lengths, seed)
    return out


def _hash_infer(context: Infer) -> Sequence[Type]:
    return [TensorType(DType.UINT32 if context.node.attr("positive", 1) else DType.INT32, tensor_like(context).shape)]


def _hash_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, seed = np.asarray(inputs[0]), int(node.attr("seed", 0)) & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        if x.dtype.kind in "OUS":
            hashes = _hashes_of_texts([bytes_of(s) for s in x.reshape(-1).tolist()], seed)
        else:
            words = np.ascontiguousarray(x).reshape(-1).view(np.uint32).reshape(x.size, x.dtype.itemsize // 4)
            none, length = np.zeros(x.size, np.uint32), np.full(x.size, x.dtype.itemsize, np.uint32)
            hashes = _murmur(words, none, length, seed)
    return [hashes.view(np.uint32 if node.attr("positive", 1) else np.int32).reshape(x.shape)]


def _hash_tile(builder: TileBuilder, node: Node, registers: Sequence[Reg | None]) -> Sequence[Reg]:
    (x,), seed = registers, builder.imm(int(node.attr("seed", 0)) & 0xFFFFFFFF, DType.INT64)
    assert x is not None
    if node.operand(0).dtype is DType.UINT32:  # held in 64 bits
        x = builder.cast(x, DType.INT32)
    result = builder.op("murmur", x, seed)
    return [result if node.output.dtype is DType.UINT32 else builder.cast(result, DType.INT32)]


def _hash_samples() -> Iterator[Sample]:
    words = np.array(["", "a", "ab", "abc", "abcd", "grüße", "a longer text"], object)
    for chosen in ({}, {"positive": 0}, {"seed": 42}):
        yield Sample((words,), chosen)
        for dtype in (np.int32, np.int64, np.float32, np.float64, np.uint32, np.uint64):
            yield Sample((np.arange(-3, 3).reshape(2, 3).astype(dtype),), chosen)


# -- StringSplit of onnxruntime-extensions -------------------------------------------------------------------------


def _pieces_infer(context: Infer) -> Sequence[Type]:
    count = context.fresh(1, 0)
    types = (TensorType(DType.INT64, (count, 2)), TensorType(DType.STRING, (count,)), TensorType(DType.INT64, (2,)))
    return types[: len(context.node.outputs)]


def _pieces_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """The pieces between delimiters as a sparse matrix, a row a text: places, pieces, shape."""
    x, delimiter = np.asarray(inputs[0]), text_of(np.asarray(inputs[1]).reshape(-1)[0])
    skips = bool(np.asarray(inputs[2]).reshape(-1)[0]) if len(inputs) > 2 and inputs[2] is not None else True
    if x.ndim != 1:
        raise ExecutionError(f"{node}: input 0 must be a vector, got shape {x.shape}")
    rows = [list(text_of(s)) if not delimiter else text_of(s).split(delimiter) for s in x]
    rows = [[piece for piece in row if piece or not skips] for row in rows]
    places = [(r, c) for r, row in enumerate(rows) for c in range(len(row))]
    pieces = np.array([piece for row in rows for piece in row], object)
    shape = np.array([len(rows), max(map(len, rows), default=0)], np.int64)
    return [np.array(places, np.int64).reshape(-1, 2), pieces, shape]


def _pieces_samples() -> Iterator[Sample]:
    x = np.array(["a;b", "", ";c;;d"], object)
    for skips in (True, False):
        yield Sample((x, np.array([";"], object), np.array([skips])), {}, 3)


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Tokenizer", domain=MICROSOFT_DOMAIN, infer=_tokenizer_infer, evaluate=_tokenizer_evaluate,
        direct=_tokenizer_direct, samples=_tokenizer_samples,
    ),
    OpRecord(
        op="MurmurHash3", domain=MICROSOFT_DOMAIN, infer=_hash_infer, evaluate=_hash_evaluate, tile=_hash_tile,
        samples=_hash_samples,
    ),
    OpRecord(
        op="StringSplit", domain=EXTENSIONS_DOMAIN, infer=_pieces_infer, evaluate=_pieces_evaluate,
        samples=_pieces_samples,
    ),
)  # fmt: skip
