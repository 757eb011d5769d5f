"""Random feeds for any model file, from what it declares about its inputs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arenaut.inputs import TensorInfo


@dataclass(frozen=True)
class InputSpec:
    """A graph input that must be fed. A dim is a size, a symbol's name, or "" where the model says nothing."""

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int | str, ...]


def declared_inputs(model: Path) -> list[InputSpec]:
    """The inputs of an ONNX file that no initialiser provides. Weights stored outside the file are not read.

    Raises ValueError for an input that is no tensor.
    """
    import onnx

    graph = onnx.load(model, load_external_data=False).graph
    stored = {tensor.name for tensor in graph.initializer} | {tensor.values.name for tensor in graph.sparse_initializer}
    specs = []
    for value in graph.input:
        if value.name in stored:
            continue
        if value.type.WhichOneof("value") != "tensor_type":
            kind = value.type.WhichOneof("value") or "value of unknown type"
            raise ValueError(f"input {value.name!r} is a {kind}; random feeds are made for tensors only")
        tensor = value.type.tensor_type
        dims = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in tensor.shape.dim)
        specs.append(InputSpec(value.name, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), dims))
    return specs


def random_feeds(
    specs: list[InputSpec], shapes: Mapping[str, int], seed: int, *, default: int = 1
) -> dict[str, np.ndarray[Any, Any]]:
    """Feeds for `specs`: symbols take their size from `shapes`, then `default`.

    Floats are standard normal; integers are 0 or 1, which are valid as ids, masks and lengths alike; booleans are
    fair coins, strings short words. The same seed gives the same arrays.
    """
    rng = np.random.default_rng(seed)
    feeds = {}
    for spec in specs:
        shape = tuple(dim if isinstance(dim, int) else shapes.get(dim, default) for dim in spec.dims)
        feeds[spec.name] = _random_array(rng, shape, spec.dtype)
    return feeds


def sizes_given(texts: Sequence[str], inputs: Sequence[TensorInfo]) -> dict[str, int | tuple[int, ...]]:
    """Sizes of symbolic dims from texts "name=size", and shapes of inputs of any rank from "name=4x3".

    Raises ValueError for what is neither, and for names that the model does not have, with the nearest one."""
    dims = list(dict.fromkeys(d for i in inputs for d in i.shape or () if isinstance(d, str)))
    known = [*dims, *(i.name for i in inputs if i.shape is None)]
    sizes: dict[str, int | tuple[int, ...]] = {}
    for text in texts:
        name, _, size = text.partition("=")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean '{near[0]}'?" if near else "."
            raise ValueError(f"the model has no symbolic dim '{name}'{hint} It has {', '.join(known) or 'none'}")
        numbers = size.split("x")
        if not all(n.isdigit() for n in numbers) or (name in dims and len(numbers) > 1):
            raise ValueError(f"'{text}' is no size: write {name}={'8' if name in dims else '1x3x8x8'}")
        sizes[name] = int(size) if name in dims else tuple(int(n) for n in numbers)
    return sizes


def feeds_for(
    inputs: Sequence[TensorInfo], sizes: Mapping[str, int | tuple[int, ...]], seed: int = 0
) -> tuple[dict[str, np.ndarray[Any, Any]], list[str]]:
    """Random feeds for a loaded model, and the dims that had to count 1. Raises ValueError for an input that is no
    tensor, or of a rank that is not known."""
    specs, open_dims = [], []
    for info in inputs:
        shape = info.shape if info.shape is not None else sizes.get(info.name)
        if not isinstance(shape, tuple):
            raise ValueError(
                f"the rank of input '{info.name}' is not known: say --shape {info.name}=1x3x8x8 or the like"
            )
        dtype = np.dtype(object if info.dtype == "string" else info.dtype)
        dims = tuple(d if isinstance(d, int) else sizes.get(d, d) for d in shape)
        open_dims += [d for d in dims if isinstance(d, str)]
        specs.append(InputSpec(info.name, dtype, tuple(d for d in dims if not isinstance(d, tuple))))
    return random_feeds(specs, {}, seed), list(dict.fromkeys(open_dims))


def _random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype.kind in "iu":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "OUS":
        return rng.choice(np.array(["a", "bc", "def"], dtype=object), shape)
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)
