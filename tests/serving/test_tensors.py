"""Tensors of the Open Inference Protocol, there and back; what is wrong is refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from arenaut.inputs import TensorInfo
from arenaut.serving import tensors
from arenaut.serving.errors import RequestError

ARRAYS = {
    "BOOL": np.array([[True, False]]),
    "UINT64": np.array([0, 2**64 - 1], np.uint64),
    "INT64": np.array([-(2**63), 2**63 - 1]),
    "INT8": np.array([-128, 127], np.int8),
    "UINT16": np.array([0, 65535], np.uint16),
    "FP16": np.array([0.1, -65504], np.float16),
    "BF16": np.array([0.1, -3e38], ml_dtypes.bfloat16),
    "FP32": np.array([0.1, 3e38], np.float32),
    "FP64": np.array([0.1, 1e300]),
    "BYTES": np.array(["", "grün", "\udcff"], object),
}


@pytest.mark.parametrize("datatype", ARRAYS)
def test_binary_tensors_come_back(datatype: str) -> None:
    array = ARRAYS[datatype]
    again = tensors.from_binary("x", datatype, array.shape, tensors.to_binary(array))
    assert again.dtype == array.dtype and np.array_equal(again, array)


@pytest.mark.parametrize("datatype", [d for d in ARRAYS if d != "BYTES"])
def test_json_tensors_come_back(datatype: str) -> None:
    array = ARRAYS[datatype]
    sent = json.loads(json.dumps(tensors.to_values(array)))
    again = tensors.from_values("x", datatype, array.shape, sent)
    assert again.dtype == array.dtype and np.array_equal(again, array)


def test_nested_lists_are_as_good_as_flat_ones() -> None:
    nested = tensors.from_values("x", "INT32", [2, 2], [[1, 2], [3, 4]])
    assert np.array_equal(nested, tensors.from_values("x", "INT32", [2, 2], [1, 2, 3, 4]))


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "says"),
    [
        ("FP32", [2], [1], "takes 2 values"),
        ("FP32", [2], "ab", "data is no list"),
        ("FP32", [1], [None], "'None' is no FP32"),
        ("FP32", [2], [[1], 2], "data is no list"),
        ("INT64", [1], [1.5], "'1.5' is no INT64"),
        ("INT64", [1], [True], "'True' is no INT64"),
        ("INT8", [1], [300], "not all values are INT8"),
        ("UINT64", [1], [-1], "not all values are UINT64"),
        ("BOOL", [1], [2], "'2' is no BOOL"),
        ("BYTES", [1], [1], "BYTES are strings"),
        ("FP8", [1], [1], "'FP8' is none of BOOL"),
        (None, [1], [1], "None is none of"),
        ("FP32", [-1], [1], "list of sizes"),
        ("FP32", [True], [1], "list of sizes"),
        ("FP32", "1", [1], "list of sizes"),
        ("FP32", [1] * 100, [1], "list of sizes"),
    ],
)
def test_wrong_values_are_refused(datatype: Any, shape: Any, data: Any, says: str) -> None:
    with pytest.raises(RequestError, match="input 'x'") as caught:
        tensors.from_values("x", datatype, shape, data)
    assert says in str(caught.value) and caught.value.status == 400


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "says"),
    [
        ("FP32", [2], b"1234", "takes 8 bytes, and 4 were sent"),
        ("FP32", [2**40, 2**40], b"1234", "bytes"),
        ("BOOL", [1], b"\2", "a byte 0 or 1"),
        ("BYTES", [1], b"\1\0\0", "3 bytes are not 1 strings"),
        ("BYTES", [1], b"\xff\xff\xff\xff", "reaches beyond"),
        ("BYTES", [2], b"\0\0\0\0", "1 strings were sent"),
        ("BYTES", [0], b"\0\0\0\0", "are not 0 strings"),
    ],
)
def test_wrong_bytes_are_refused(datatype: str, shape: Any, data: bytes, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        tensors.from_binary("x", datatype, shape, data)
    assert says in str(caught.value) and caught.value.status == 400


@pytest.mark.parametrize(
    "document",
    [
        [], {}, {"inputs": {}}, {"inputs": [1]}, {"inputs": [{"name": 1}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}] * 2},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": "4"}}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "parameters": []}]},
        {"inputs": [], "outputs": [{}]}, {"inputs": [], "outputs": {"name": "y"}}, {"inputs": [], "parameters": [1]},
        {"inputs": [], "parameters": {"timeout": "soon"}},
    ],
)  # fmt: skip
def test_documents_that_are_no_requests_are_refused(document: Any) -> None:
    with pytest.raises(RequestError) as caught:
        tensors.parse(document, memoryview(b""))
    assert caught.value.status == 400


def test_a_request_says_what_it_wants() -> None:
    asked = tensors.parse({
        "id": "7", "parameters": {"timeout": 2500, "binary_data_output": True},
        "inputs": [{"name": "x", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}}],
        "outputs": [{"name": "y"}, {"name": "z", "parameters": {"binary_data": False}}],
    }, memoryview(b"\1\0\2\0"))  # fmt: skip
    assert asked.feeds["x"].tolist() == [1, 2] and asked.outputs == ("y", "z") and asked.timeout == 0.0025
    assert asked.binary == {"z": False} and asked.binary_else and asked.id == "7"


def test_types_have_the_names_of_the_protocol() -> None:
    assert tensors.datatype_of(TensorInfo("x", "bfloat16", (1,))) == "BF16"
    assert tensors.datatype_of(TensorInfo("x", "float8_e4m3fn", (1,))) is None
    assert tensors.described(TensorInfo("x", "string", ("n", 3))) == {
        "name": "x",
        "datatype": "BYTES",
        "shape": [-1, 3],
    }
