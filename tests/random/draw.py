"""Draws one-op models. Decisions, sizes and data come from separate streams, so that the same decisions can be drawn
again at other sizes."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper

T = TypeVar("T")
# Sizes: nothing, one, odd ones, whole vectors and one more, and beyond what the planner takes for typical.
SIZES = (1, 1, 2, 2, 3, 3, 4, 5, 5, 7, 8, 9, 13, 16, 17, 31, 33, 64, 67, 130, 257, 600)
MOST_ELEMENTS = 1 << 12
WORDS = ("", "a", "bc", "Wort", "ärger", "a b", "naïve café", "42", "nan", "the the")
FLOATS = frozenset(("float", "double", "float16", "bfloat16"))
INTEGERS = frozenset(f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32, 64))


class Size(int):
    """A size that may differ from binding to binding, with the name of the symbolic dim."""

    name: str

    def __new__(cls, value: int, name: str) -> Size:
        self = super().__new__(cls, value)
        self.name = name
        return self


@dataclass
class Feed:
    """An input of the node. dims keep the names of sizes; constant: how often it is an initialiser."""

    name: str
    dims: tuple[int, ...]
    array: Any
    constant: float


Values = Callable[[np.random.Generator, tuple[int, ...], np.dtype[Any]], np.ndarray]


def numpy_type(name: str) -> np.dtype[Any]:
    """Of a type as schemas write it, without tensor()."""
    if name == "string":
        return np.dtype(object)
    return helper.tensor_dtype_to_np_dtype(element_type(name))


def element_type(name: str) -> int:
    return int(getattr(TensorProto, {"string": "STRING"}.get(name, name.upper())))


def plain(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Everyday values, half of them with few bits so that ties and equal values occur."""
    if dtype.kind == "O":
        return np.array([WORDS[i] for i in rng.integers(0, len(WORDS), int(np.prod(shape)))], object).reshape(shape)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if rng.random() < 0.25 and info.bits < 64:
            return rng.integers(info.min, info.max + 1, shape).astype(dtype)
        return rng.integers(max(info.min, -9), 10, shape).astype(dtype)
    if dtype.name in ("int4", "uint4", "int2", "uint2"):
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind == "c":
        return (rng.normal(0, 2, shape) + 1j * rng.normal(0, 2, shape)).astype(dtype)
    if dtype.name == "float8_e8m0fnu":
        return np.exp2(rng.integers(-3, 4, shape)).astype(dtype)
    values = rng.normal(0, 2, shape)
    return (np.round(values * 4) / 4 if rng.random() < 0.5 else values).astype(dtype)


def between(low: float, high: float) -> Values:
    """Uniform; integers include both ends."""

    def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        if dtype.kind in "iu":
            return rng.integers(int(max(low, np.iinfo(dtype).min)), int(high) + 1, shape).astype(dtype)
        return rng.uniform(low, high, shape).astype(dtype)

    return values


def nonzero(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    values = plain(rng, shape, dtype)
    values = np.where(values == np.zeros((), dtype), np.ones((), dtype), values)
    return values


def edges(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """NaN, infinities, zeros of both signs, the largest numbers and small ones; not below the smallest normal one."""
    if dtype.kind not in "f" and dtype.name != "bfloat16":
        return plain(rng, shape, dtype)
    largest = float(np.finfo(np.float32).max) if dtype.name != "float16" else 65504.0
    some = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, largest, -largest, 1e-3, 100.0, -100.0]
    with np.errstate(over="ignore"):
        return rng.choice(np.array(some), shape).astype(dtype)


def given(array: Any) -> Values:
    return lambda rng, shape, dtype: np.asarray(array).astype(dtype).reshape(shape)


class Draw:
    """What a template draws its op with. Decisions never look at sizes, so `binding` alone changes the sizes."""

    def __init__(self, seed: str, op: str, domain: str, opset: int, binding: int) -> None:
        self.rng = random.Random(seed)
        self.binding = binding
        self.seed = seed
        self._sizes = random.Random(f"{seed}/sizes/{binding}")
        self.data = np.random.default_rng(zlib.crc32(f"{seed}/data/{binding}".encode()))
        self.op, self.domain, self.opset = op, domain, opset
        self.schema = None
        if domain in ("", "ai.onnx.ml"):
            self.schema = onnx.defs.get_schema(op, max_inclusive_version=opset, domain=domain)
        self._types: dict[str, str] = {}
        self._room = MOST_ELEMENTS
        self._count = 0
        self.feeds: list[Feed | None] = []
        self.attributes: dict[str, Any] = {}
        self.output_count = 1
        self.edges = self.rng.random() < 0.08

    # -- decisions ---------------------------------------------------------------------------------------------

    def choice(self, options: Sequence[T]) -> T:
        return self.rng.choice(options)

    def chance(self, p: float = 0.5) -> bool:
        return self.rng.random() < p

    def fixed(self, low: int, high: int) -> int:
        """A number that is the same at all bindings."""
        return self.rng.randint(low, high)

    def rank(self, low: int = 0, high: int = 5) -> int:
        return self.rng.choice([r for r in (0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5) if low <= r <= high])

    def axis(self, rank: int, extra: int = 0) -> int:
        """In [-rank, rank), more so where extra dims are made."""
        rank += extra
        return self.rng.randrange(-rank, rank) if rank else 0

    def axes(self, rank: int, least: int = 0) -> list[int]:
        count = self.rng.randint(min(least, rank), rank)
        return [a - rank if self.chance(0.3) else a for a in self.rng.sample(range(rank), count)]

    # -- sizes -------------------------------------------------------------------------------------------------

    def size(self, low: int = 0, high: int = 600) -> Size:
        self._count += 1
        zero = self._sizes.random() < 0.06
        fitting = [s for s in SIZES if max(low, 1) <= s <= max(low, min(high, self._room))]
        value = 0 if zero and low == 0 else self._sizes.choice(fitting or [max(low, 1)])
        self._room = max(1, self._room // max(1, value))
        return Size(value, f"s{self._count}")

    def shape(self, rank: int, low: int = 0) -> tuple[int, ...]:
        return tuple(self.size(low) if self.chance(0.9) else 1 for _ in range(rank))

    # -- the node ----------------------------------------------------------------------------------------------

    def has_input(self, name: str) -> bool:
        return self.schema is None or any(i.name == name for i in self.schema.inputs)

    def has_attr(self, name: str) -> bool:
        return self.schema is None or name in self.schema.attributes

    def allowed(self, type_name: str) -> list[str]:
        """Element types that the schema allows for a type variable."""
        assert self.schema is not None
        for constraint in self.schema.type_constraints:
            if constraint.type_param_str == type_name:
                texts = constraint.allowed_type_strs
                return [t[7:-1] for t in texts if t.startswith("tensor(")]
        return [type_name[7:-1]]

    def dtype(self, formal: int | str, among: Sequence[str] | None = None) -> str:
        """The type of an input: float half of the time, else any that the schema allows."""
        if self.schema is None:
            return "float" if among is None else self.choice(list(among))
        index = formal if isinstance(formal, int) else [i.name for i in self.schema.inputs].index(formal)
        variable = self.schema.inputs[min(index, len(self.schema.inputs) - 1)].type_str
        if variable not in self._types:
            options = [t for t in self.allowed(variable) if among is None or t in among]
            common = [t for t in options if t in ("float", "int64", "bool")]
            self._types[variable] = self.choice(common if common and self.chance(0.55) else options)
        return self._types[variable]

    def input(
        self,
        name: str,
        dims: Sequence[int],
        values: Values = plain,
        *,
        dtype: str | None = None,
        constant: float = 0.12,
        among: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Adds the next input, if the op has it at this opset. Schemas name inputs differently over time: the place
        counts. dtype: where there is no schema, or another choice than its variable's."""
        index = len(self.feeds)
        dtype = dtype or self.dtype(index, among)
        array = np.asarray(values(self.data, tuple(int(n) for n in dims), numpy_type(dtype)))
        self.feeds.append(Feed(f"x{index}", tuple(dims), array, constant))
        return array

    def shaping(self, name: str, numbers: Sequence[int], dtype: str = "int64", constant: float = 0.7) -> None:
        """An input of numbers that shapes depend on: mostly an initialiser."""
        self.input(name, (len(numbers),), given(np.array(numbers, np.int64)), dtype=dtype, constant=constant)

    def absent(self) -> None:
        self.feeds.append(None)

    def attr(self, name: str, value: Any) -> None:
        if self.has_attr(name) and value is not None:
            self.attributes[name] = value

    def outputs(self, most: int) -> None:
        """Some of so many outputs."""
        self.output_count = self.rng.randint(1, most)

    def node(self) -> onnx.NodeProto:
        feeds = list(self.feeds)
        while feeds and feeds[-1] is None:
            feeds.pop()
        names = ["" if f is None else f.name for f in feeds]
        attributes = {k: _plain(v) for k, v in self.attributes.items()}
        outputs = [f"y{i}" for i in range(self.output_count)]
        return helper.make_node(self.op, names, outputs, name="node", domain=self.domain, **attributes)


def _plain(value: Any) -> Any:
    if isinstance(value, Size):
        return int(value)
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


Template = Callable[[Draw], None]


@dataclass(frozen=True)
class Entry:
    template: Template
    domain: str
    oldest: int = 1  # opset before which the template does not draw
    kinds: frozenset[str] = field(default_factory=frozenset)


TEMPLATES: dict[tuple[str, str], Entry] = {}


def template(*ops: str, domain: str = "", oldest: int = 1) -> Callable[[Template], Template]:
    def register(function: Template) -> Template:
        for op in ops:
            assert (domain, op) not in TEMPLATES, op
            TEMPLATES[domain, op] = Entry(function, domain, oldest)
        return function

    return register
