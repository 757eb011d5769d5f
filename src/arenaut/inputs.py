"""What callers hand to a model, checked against its inputs: names, element types, ranks, sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.dlpack import bfloat16_of
from arenaut.ir.attribute_values import text_of
from arenaut.ir.dim_text import readable
from arenaut.ir.dims import Expr
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import InputError, SizeConflictError
from arenaut.ir.graph import Array, Value
from arenaut.ir.types import TensorType, Type
from arenaut.plain import cached_property, dataclass

MOST_SHOWN = 5  # defaults that are named in a line of text


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model. shape: ints and names of symbolic dims; None when the rank is not known."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None

    def __str__(self) -> str:
        dims = "*" if self.shape is None else ", ".join(str(d) for d in self.shape)
        return f"{self.name}: {self.dtype}[{dims}]"


class Inputs:
    """The inputs of a model, in order: `values` by their `names` in the file. defaults: inputs of the file that a run
    need not be given, and their types, asked for when they are first looked at."""

    def __init__(
        self, names: Sequence[str], values: Sequence[Value],
        defaults: Callable[[], Sequence[tuple[str, Type | None]]] = tuple,
    ) -> None:  # fmt: skip
        self.names = tuple(names)
        self.values = tuple(values)
        self._ask_defaults = defaults

    @cached_property
    def defaults(self) -> dict[str, Type | None]:
        return dict(self._ask_defaults())

    @property
    def described(self) -> list[TensorInfo]:
        return [tensor_info(n, v.type) for n, v in zip(self.names, self.values, strict=True)]

    def by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
        """What a run was called with, by name. Raises InputError."""
        if len(args) == 2 and isinstance(args[1], Mapping) and (args[0] is None or isinstance(args[0], (list, tuple))):
            raise InputError(
                "run(names, feeds) is how onnxruntime's sessions are called: write model.run(feeds), or "
                "model.run(feeds, outputs=names) for some of the outputs; arenaut.InferenceSession takes it as it is"
            )
        if len(args) == 1 and not kwargs and isinstance(args[0], Mapping):
            return args[0]
        if len(args) > len(self.names):
            raise InputError(f"{len(args)} positional inputs, but the model has {self.signature()}")
        positional = dict(zip(self.names, args, strict=False))
        twice = sorted(positional.keys() & kwargs.keys())
        if twice:
            raise InputError(f"inputs given twice: {', '.join(twice)}")
        return {**positional, **kwargs}

    def fed_defaults(self, feeds: Mapping[str, Any]) -> list[str]:
        """The defaults that these feeds override."""
        return [n for n in self.defaults if n in feeds] if len(feeds) > len(self.names) else []

    def arrays(self, feeds: Mapping[str, Any]) -> list[Any]:
        """One array (or object, where an input is no tensor) an input, in order. Raises InputError."""
        self._check_names(feeds)
        return [self._checked(i, feeds) for i in range(len(self.names))]

    def _check_names(self, feeds: Mapping[str, Any]) -> None:
        if len(feeds) != len(self.names) or any(n not in feeds for n in self.names):
            missing = [n for n in self.names if n not in feeds]
            unknown = [str(n) for n in feeds if n not in self.names]
            parts = [f"missing {', '.join(missing)}"] if missing else []
            parts += [f"unknown {', '.join(unknown)}"] if unknown else []
            raise InputError(f"wrong input names: {'; '.join(parts)}. The model has {self.signature()}")

    def signature(self) -> str:
        text = "inputs " + (", ".join(str(i) for i in self.described) or "(none)")
        shown = list(self.defaults)[:MOST_SHOWN]
        if not shown:
            return text
        return f"{text}; with defaults {', '.join(shown)}{' ...' if len(shown) < len(self.defaults) else ''}"

    def _checked(self, index: int, feeds: Mapping[str, Any]) -> Any:
        name = self.names[index]
        given = feeds[name]
        t = self.values[index].type
        if not isinstance(t, TensorType):
            return given
        array = as_tensor(given, name, t)
        if t.shape is not None:
            self._check_shape(name, t, array.shape)
        return array

    def _check_shape(self, name: str, t: TensorType, shape: tuple[int, ...]) -> None:
        assert t.shape is not None
        if len(shape) != len(t.shape):
            raise InputError(f"input '{name}': expected rank {len(t.shape)} {_dims_text(t)}, got shape {shape}")
        for axis, (got, want) in enumerate(zip(shape, t.shape, strict=True)):
            if isinstance(want, int) and got != want:
                raise InputError(
                    f"input '{name}': expected {want} at axis {axis} of shape {_dims_text(t)}, got shape {shape}"
                )

    @cached_property
    def _shared_symbols(self) -> list[tuple[str, list[tuple[int, int]]]]:
        """Symbols that stand at several input axes: (name, [(input, axis)])."""
        places: dict[str, list[tuple[int, int]]] = {}
        for i, value in enumerate(self.values):
            for axis, d in enumerate(value.shape if value.has_shape else ()):
                if isinstance(d, Expr):
                    places.setdefault(str(d), []).append((i, axis))
        return [(name, at) for name, at in places.items() if len(at) > 1]

    def check_symbols(self, inputs: Sequence[Any]) -> None:
        """Raises InputError where one symbolic dim has several sizes."""
        for name, places in self._shared_symbols:
            sizes = [inputs[i].shape[axis] for i, axis in places]
            if len(set(sizes)) > 1:
                where = ", ".join(
                    f"'{self.names[i]}' axis {axis} is {n}" for (i, axis), n in zip(places, sizes, strict=True)
                )
                raise SizeConflictError(f"the dim '{name}' must be the same everywhere: {where}")


def _dims_text(t: TensorType) -> str:
    return "[" + ", ".join(readable(d) for d in t.shape or ()) + "]"


def as_tensor(given: Any, name: str, t: TensorType) -> Array:
    """What was fed to the input `name`, as an array of its type; of any shape.

    Arrays (numpy's, and what has DLPack, `__array__`, `__array_interface__` or a buffer) keep their type and memory;
    lists and Python's numbers take the model's type. Raises InputError.
    """
    if given is None:
        raise InputError(f"input '{name}' is None: expected {tensor_info(name, t)}")
    array = given if isinstance(given, np.ndarray) else _as_array(given, name, t.dtype)
    if t.dtype is DType.STRING:
        return _text(array, name)
    want = t.dtype.numpy
    if array.dtype != want and array.dtype.newbyteorder("=") != want:
        raise InputError(f"input '{name}': expected dtype {want}, got {array.dtype}; convert it with .astype('{want}')")
    return array


def _as_array(given: Any, name: str, dtype: DType) -> Array:
    if dtype is not DType.STRING and isinstance(given, (bytes, bytearray)):
        return np.frombuffer(given, np.uint8)
    try:
        if isinstance(given, np.generic):
            same_kind = dtype is not DType.STRING and np.can_cast(given.dtype, dtype.numpy, "same_kind")
            return np.asarray(given, dtype.numpy if same_kind else None)
        narrow = bfloat16_of(given) if dtype is DType.BFLOAT16 else None
        if narrow is not None:
            return narrow
        if hasattr(given, "__array__") or hasattr(given, "__array_interface__") or isinstance(given, memoryview):
            return np.asarray(given)
        if hasattr(given, "__dlpack__"):
            return np.from_dlpack(given)
        if not isinstance(given, (list, tuple, range, int, float, complex, str)):
            shown: Array = np.asarray(memoryview(given))
            return shown
        return np.array(given, object if dtype is DType.STRING else dtype.numpy)
    except (TypeError, ValueError, OverflowError, RuntimeError, BufferError) as error:
        raise InputError(
            f"input '{name}': a {type(given).__name__} that is no tensor of {dtype.short}: {error}"
        ) from error


def _text(array: Array, name: str) -> Array:
    """Strings as an array of str; bytes are UTF-8."""
    if array.dtype.kind not in "OUST":
        raise InputError(f"input '{name}': expected strings, got {array.dtype}")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "surrogateescape")
    elif array.dtype.kind == "O" and not set(map(type, array.flat)) <= {str}:
        text = np.empty(array.size, object)
        text[:] = [text_of(s) for s in array.flat]
        array = text.reshape(array.shape)
    objects: Array = array.astype(object)
    return objects


def tensor_info(name: str, t: Type | None) -> TensorInfo:
    """What callers are told of an input or output of this type."""
    if not isinstance(t, TensorType):
        return TensorInfo(name, str(t), None)
    shape = None if t.shape is None else tuple(d if isinstance(d, int) else readable(d) for d in t.shape)
    return TensorInfo(name, str(t.dtype.numpy) if t.dtype is not DType.STRING else "string", shape)
