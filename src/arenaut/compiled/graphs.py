"""The optimised graph of a compiled file: stored as ONNX, without its large weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from arenaut.compiled.container import CompiledFile
from arenaut.compiled.tables import DAMAGES, damaged
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ArenautError, ModelError
from arenaut.ir.graph import ARENAUT_DOMAIN, Array, Graph
from arenaut.ir.types import TensorType
from arenaut.released import constant_values

if TYPE_CHECKING:
    from arenaut.model import Model

# Constants of at least this many bytes are left out.
LEFT_OUT_BYTES = 4096
PREFIX = "constant "


def graph_section(model: Model) -> bytes:
    """The graph as ONNX. What is left out is named by its number among the graph's constants."""
    from arenaut.frontend.export import absent_tensor, tensor_proto, to_model_proto

    graph = model.graph.copy()
    numbers: dict[int, int] = {}
    kept: list[Array] = []  # identities stay true while the arrays live
    inside = {id(v) for body in _fused(graph) for v in constant_values(body)}
    for number, value in enumerate(constant_values(graph)):
        t = value.type
        if id(value) in inside or not isinstance(t, TensorType) or t.shape is None:
            continue
        shape = tuple([d for d in t.shape if isinstance(d, int)])
        size = t.dtype.itemsize * math.prod(shape)
        if len(shape) == len(t.shape) and t.dtype is not DType.STRING and size >= LEFT_OUT_BYTES:
            array = np.broadcast_to(np.zeros((), t.dtype.numpy), shape)
            value.constant = array
            kept.append(array)
            numbers[id(array)] = number

    def store(array: Array, name: str) -> object:
        number = numbers.get(id(array))
        return tensor_proto(array, name) if number is None else absent_tensor(array, name, f"{PREFIX}{number}")

    proto = to_model_proto(graph, input_names=model._inputs.names, output_names=model._output_names, store=store)
    data: bytes = proto.SerializeToString()
    return data


def _fused(graph: Graph) -> list[Graph]:
    """Bodies of nodes that become functions."""
    found: list[Graph] = []
    for node in graph.nodes:
        for _, body in node.bodies():
            found += [body] if node.domain == ARENAUT_DOMAIN else _fused(body)
    return found


def stored_graph(file: CompiledFile, whole: Callable[[], Graph]) -> Graph:
    """The graph of a compiled file. whole: an equal one with all its weights, asked for when somebody looks at one that
    is left out. Raises CompiledFileError."""
    from arenaut.frontend import import_model
    from arenaut.frontend.blobs import HeldFiles

    absent: dict[int, int] = {}  # address -> number among the constants

    def placeholder(location: str, dtype: np.dtype[Any], count: int) -> Array:
        number = int(location.removeprefix(PREFIX))
        array = np.broadcast_to(np.zeros((), dtype), (count,))
        absent[_address(array)] = number
        return array

    try:
        held = HeldFiles({}, placeholder)
        graph = import_model(file.section("graph"), held=held).graph
    except (*DAMAGES, ModelError) as error:
        raise damaged(file.path, "its graph", error) from None
    made: dict[int, Array | None] = {}

    def weight(number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        if not made:
            made.update(enumerate([v.constant for v in constant_values(whole())]))
        array = made.get(number)
        if array is None or array.shape != shape or array.dtype != dtype:
            raise ArenautError(f"'{file.path}': the original model has other weights than the compiled one")
        return array

    for value in constant_values(graph):
        array = value.constant
        if array is not None and _address(array) in absent:
            value.release(partial(weight, absent[_address(array)], array.shape, array.dtype))
    return graph


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
