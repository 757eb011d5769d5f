"""Tensors in every encoding, read like onnx's own reader reads them, and mapped where that is promised."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from arenaut.frontend import import_model
from arenaut.frontend.blobs import ExternalFiles
from arenaut.frontend.weights import Weights
from arenaut.ir import DType
from arenaut.ir.errors import InvalidModelError, UnsupportedError
from tests.support.importing import Array, model_of, random, run_graph, tensor_info

WEIGHTS = Weights({}, ExternalFiles())
NUMERIC = [d for d in DType if d is not DType.STRING]


def bits_of(array: Any) -> tuple[Any, ...]:
    array = np.asarray(array)
    return (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("dtype", NUMERIC, ids=lambda d: d.short)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 5), (2, 0, 3)], ids=str)
def test_raw_data(dtype: DType, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).integers(0, 3 if dtype in (DType.UINT2, DType.BOOL) else 2, shape)
    array = np.asarray(values).astype(dtype.numpy)
    proto = numpy_helper.from_array(array, "t")
    assert bits_of(WEIGHTS.array(proto)) == bits_of(numpy_helper.to_array(proto)) == bits_of(array)


@pytest.mark.parametrize("dtype", NUMERIC, ids=lambda d: d.short)
def test_typed_fields(dtype: DType) -> None:
    plain = [0, 1, 1, 0, 1]
    proto = helper.make_tensor("t", int(dtype), [5], plain)
    assert not proto.HasField("raw_data")
    assert bits_of(WEIGHTS.array(proto)) == bits_of(numpy_helper.to_array(proto))


@given(st.lists(st.integers(-8, 7), max_size=9), st.lists(st.integers(0, 15), max_size=9), st.lists(st.integers(-2, 1)))
def test_packed_integers(signed: list[int], unsigned: list[int], tiny: list[int]) -> None:
    for dtype, values in ((TensorProto.INT4, signed), (TensorProto.UINT4, unsigned), (TensorProto.INT2, tiny)):
        proto = helper.make_tensor("t", dtype, [len(values)], values)
        assert WEIGHTS.array(proto).astype(int).tolist() == values
        raw = numpy_helper.from_array(WEIGHTS.array(proto))
        assert WEIGHTS.array(raw).astype(int).tolist() == values


def test_strings_keep_every_byte() -> None:
    proto = TensorProto(name="t", data_type=TensorProto.STRING, dims=[2, 2])
    proto.string_data.extend([b"plain", "é".encode(), b"", b"\xff\xfe"])
    array = WEIGHTS.array(proto)
    assert array.shape == (2, 2) and array[0, 1] == "é"
    assert [s.encode("utf-8", "surrogateescape") for s in array.reshape(-1)] == list(proto.string_data)


def test_bytes_that_are_no_bool_count_as_true() -> None:
    proto = TensorProto(name="t", data_type=TensorProto.BOOL, dims=[3], raw_data=b"\x00\x02\x01")
    assert WEIGHTS.array(proto).view(np.uint8).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (TensorProto(name="t", data_type=1, dims=[3], raw_data=b"\0" * 8), "f32\\[3\\], which takes 12 bytes, but 8"),
        (TensorProto(name="t", data_type=1, dims=[1 << 40, 1 << 40], raw_data=b"\0" * 8), "takes"),
        (TensorProto(name="t", data_type=1, dims=[3], float_data=[1.0]), "needs 3 entries of float_data, but 1"),
        (TensorProto(name="t", data_type=22, dims=[3], int32_data=[1]), "needs 2 entries"),
        (TensorProto(name="t", data_type=8, dims=[2], string_data=[b"a"]), "needs 2 strings, but 1"),
        (TensorProto(name="t", data_type=8, dims=[2], raw_data=b"ab"), "forbids"),
        (TensorProto(name="t", data_type=1, dims=[-1], raw_data=b""), "negative"),
        (TensorProto(name="t", data_type=99, dims=[1], raw_data=b"a"), "element type 99"),
        (TensorProto(name="t", dims=[1], raw_data=b"a"), "element type 0"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_damaged_tensors_are_errors(proto: TensorProto, message: str) -> None:
    with pytest.raises(InvalidModelError, match=message):
        WEIGHTS.array(proto)


def test_segments_are_refused() -> None:
    proto = TensorProto(name="t", data_type=1, dims=[1], raw_data=b"\0" * 4)
    proto.segment.begin = 0
    with pytest.raises(UnsupportedError, match="segments"):
        WEIGHTS.array(proto)


def sparse(values: Array, indices: Array, dims: list[int]) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(
        numpy_helper.from_array(values, "s"), numpy_helper.from_array(np.asarray(indices, np.int64), "i"), dims
    )


def test_sparse_initialisers_become_dense() -> None:
    values = np.array([1.5, 2.5], np.float32)
    dense = np.zeros((3, 4), np.float32)
    dense[0, 3], dense[2, 1] = values
    for indices in ([3, 9], [[0, 3], [2, 1]]):
        model = model_of([helper.make_node("Add", ["x", "s"], ["y"])], [tensor_info("x", [3, 4])], ["y"])
        model.graph.sparse_initializer.append(sparse(values, np.array(indices), [3, 4]))
        x = random(3, 4)
        np.testing.assert_array_equal(run_graph(import_model(model).graph, {"x": x})[0], x + dense)


@pytest.mark.parametrize("indices", [[3, 12], [-1, 3], [[0, 3], [3, 1]], [[0, 3]], [1]])
def test_sparse_indices_outside_are_errors(indices: Any) -> None:
    with pytest.raises(InvalidModelError, match="indices"):
        WEIGHTS.dense(sparse(np.array([1.5, 2.5], np.float32), np.array(indices), [3, 4]))


# -- mapping -------------------------------------------------------------------------------------------------------


def weighted_model(count: int, dtype: Any = np.float32) -> tuple[onnx.ModelProto, list[Array]]:
    """A chain of products whose weights lie in initialisers, Constant nodes, a body and a sparse tensor's values."""
    weights = [(random(64, 64, seed=i) * 50).astype(dtype) for i in range(count)]
    nodes = []
    for i, array in enumerate(weights):
        if i % 2:
            nodes.append(helper.make_node("Constant", [], [f"w{i}"], value=numpy_helper.from_array(array)))
        nodes.append(helper.make_node("Add", [f"y{i}", f"w{i}"], [f"y{i + 1}"]))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inner = helper.make_graph(
        [helper.make_node("Identity", ["inside"], ["then_out"])], "then", [],
        [tensor_info("then_out", [64, 64], kind)], [numpy_helper.from_array(weights[0], "inside")],
    )  # fmt: skip
    other = helper.make_graph([helper.make_node("Identity", ["y0"], ["else_out"])], "else", [],
                              [tensor_info("else_out", [64, 64], kind)])  # fmt: skip
    nodes.append(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=other))
    kept = {f"w{i}": a for i, a in enumerate(weights) if i % 2 == 0} | {"c": np.array(True)}
    infos = [tensor_info("y0", [64, 64], kind)]
    outputs = [tensor_info(f"y{count}", [64, 64], kind), tensor_info("z", [64, 64], kind)]
    return model_of(nodes, infos, outputs, kept), weights


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_all_ways_to_give_a_model_read_the_same_weights(tmp_path: Path, dtype: Any) -> None:
    model, weights = weighted_model(6, dtype)
    data = model.SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    for source in (model, data, bytearray(data), memoryview(data), path, str(path)):
        imported = import_model(source)
        found = {v.name: v.constant for v in imported.graph.constants()}
        for i, array in enumerate(weights):
            assert bits_of(found[f"w{i}"]) == bits_of(array)
        assert any(bits_of(a) == bits_of(weights[0]) for n, a in found.items() if n.endswith("inside"))


def test_weights_of_a_file_are_read_only_views_where_they_are_aligned(tmp_path: Path) -> None:
    model, weights = weighted_model(6, np.int8)
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    large = [
        v.constant for v in import_model(path).graph.constants() if v.constant is not None and v.constant.ndim == 2
    ]
    assert len(large) == len(weights) + 1
    assert not any(a.flags.owndata or a.flags.writeable for a in large)
    given = model.SerializeToString()
    assert not any(a.flags.owndata for a in (v.constant for v in import_model(given).graph.constants())
                   if a is not None and a.ndim == 2)  # fmt: skip


def test_loading_holds_each_weight_once(tmp_path: Path) -> None:
    model, weights = weighted_model(16)
    node = helper.make_node("Constant", [], ["big"], value=numpy_helper.from_array(random(1024, 1024)))
    model.graph.node.extend([node, helper.make_node("Identity", ["big"], ["out"])])
    model.graph.output.append(tensor_info("out"))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    del model, node
    import_model(path)  # imports and caches
    tracemalloc.start()
    imported = import_model(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = 4 * 1024 * 1024 + sum(w.nbytes for w in weights)
    assert peak < held + 700_000
    assert len(imported.graph.constants()) > 16


def test_arrays_are_aligned_wherever_the_file_puts_them(tmp_path: Path) -> None:
    array = random(64, 64)
    for shift in range(8):
        model = model_of(
            [helper.make_node("Add", ["x", "w"], ["y"])], [tensor_info("x", [64, 64])], ["y"], {"w": array}
        )
        model.producer_name = "p" * (shift + 1)
        path = tmp_path / f"{shift}.onnx"
        onnx.save(model, path)
        for source in (path, path.read_bytes()):
            found = import_model(source).graph.constants()[0].constant
            assert found is not None and found.flags.aligned and not found.flags.writeable
            np.testing.assert_array_equal(found, array)
