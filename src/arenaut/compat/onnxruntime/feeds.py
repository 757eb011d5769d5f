"""Feeds of a run, taken and refused as onnxruntime takes and refuses them.

Beyond it, Python's numbers and numpy's scalars are taken for tensors of rank 0. For one of those onnxruntime takes a
tensor of any shape; here one element is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.compat.onnxruntime.errors import Fail, InvalidArgument
from arenaut.compat.onnxruntime.nodes import NodeArg
from arenaut.compat.onnxruntime.values import OrtValue
from arenaut.errors import InputError
from arenaut.inputs import as_tensor
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.types import TensorType, Type, onnx_text

_SCALARS = (bool, int, float, complex, np.generic)


def check_given(inputs: Sequence[NodeArg], given: Mapping[str, Any]) -> None:
    """Raises ValueError where a required input is missing."""
    missing = [i.name for i in inputs if i.name not in given and not i.type.startswith("optional")]
    if missing:
        raise ValueError(f"Required inputs ({missing}) are missing from input feed ({list(given)}).")


def converted(
    types: Mapping[str, Type | None], args: Mapping[str, NodeArg], feeds: Mapping[str, Any]
) -> dict[str, Any]:
    """Feeds as a model of arenaut takes them. types and args: of every input, defaults included."""
    out = {}
    for name, given in feeds.items():
        if name not in types:
            raise InvalidArgument.of(f"Invalid input name: {name}")
        value = given._value if isinstance(given, OrtValue) else given
        t = types[name]
        out[name] = _tensor(value, name, t, args[name]) if isinstance(t, TensorType) else value
    for name, t in types.items():
        if name not in out and not isinstance(t, TensorType):
            out[name] = None  # an optional that was left out
    return out


def _tensor(given: Any, name: str, t: TensorType, arg: NodeArg) -> Any:
    if given is None:
        raise Fail.of(f"the input '{name}' is None, but a tensor: expected {arg.type} {arg.shape}")
    if isinstance(given, np.ndarray):
        _check_type(given, t)
    elif isinstance(given, dict):
        if not given:
            raise RuntimeError("Size of dictionary is empty, unable to run the prediction.")
        raise InvalidArgument.of(f"Unexpected input data type for '{name}'. Actual: a map , expected: ({onnx_text(t)})")
    elif not isinstance(given, (list, *_SCALARS)):
        if hasattr(given, "__iter__") or hasattr(given, "__getitem__"):
            raise RuntimeError(f"Input must be a list of dictionaries or a single numpy array for input '{name}'.")
        raise RuntimeError(f"Unable to handle object of type {type(given)}")
    try:
        array = as_tensor(given, name, t)
    except InputError as error:
        if isinstance(given, list):
            raise RuntimeError("Could not create tensor from given input list") from error
        raise InvalidArgument.of(error) from error
    _check_shape(array.shape, name, arg)
    return array.reshape(()) if t.shape == () and array.size == 1 else array


def _check_type(array: np.ndarray[Any, Any], t: TensorType) -> None:
    text = array.dtype.kind in "OUST"
    if (t.dtype is DType.STRING) == text and (text or array.dtype.newbyteorder("=") == t.dtype.numpy):
        return
    if text:
        actual = DType.STRING
    else:
        try:
            actual = dtype_of(array.dtype.newbyteorder("="))
        except (KeyError, ValueError, TypeError):
            raise RuntimeError(f"Numpy_type {array.dtype} can't be converted to MLDataType.") from None
    raise InvalidArgument.of(
        f"Unexpected input data type. Actual: ({onnx_text(TensorType(actual, None))}) , expected: ({onnx_text(t)})"
    )


def _check_shape(shape: tuple[int, ...], name: str, arg: NodeArg) -> None:
    if not arg.shape:  # unknown, or a scalar
        return
    if len(shape) != len(arg.shape):
        raise InvalidArgument.of(
            f"Invalid rank for input: {name} Got: {len(shape)} Expected: {len(arg.shape)} Please fix either the "
            "inputs/outputs or the model."
        )
    wrong = [
        f" index: {axis} Got: {got} Expected: {want}\n"
        for axis, (got, want) in enumerate(zip(shape, arg.shape, strict=True))
        if isinstance(want, int) and got != want
    ]
    if wrong:
        raise InvalidArgument.of(
            f"Got invalid dimensions for input: {name} for the following indices\n{''.join(wrong)} Please fix either "
            "the inputs/outputs or the model."
        )
