"""Random feeds for any model file, from what it declares about its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


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
