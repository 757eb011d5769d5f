"""Weights once: packed forms replace what nobody reads as stored, and what was let go comes back when asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut
from arenaut.errors import ArenautError
from arenaut.ir import DType
from arenaut.ir.graph import Value, _Released
from arenaut.ir.place import Place
from arenaut.lowering.weights import dense_copy
from arenaut.released import constant_values

Array = np.ndarray[Any, Any]


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def model_of(
    nodes: list[onnx.NodeProto], weights: dict[str, Array], outputs: list[str], *, shift: int = 0, inputs: Any = None
) -> onnx.ModelProto:
    """shift: bytes by which everything in the file moves."""
    inputs = inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 128])]
    graph = helper.make_graph(
        nodes, "g" + "x" * shift, inputs, [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def products(shift: int = 0) -> tuple[onnx.ModelProto, Callable[[Array], Array]]:
    """Two products, one through a transpose, and one table that a Gather and a product read."""
    a, b, table = random(128, 256), random(192, 256, seed=1), random(300, 192, seed=2)
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Transpose", ["b"], ["bt"], perm=[1, 0]),
        helper.make_node("MatMul", ["h", "bt"], ["i"]),
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Add", ["i", "rows"], ["s"]),
        helper.make_node("Transpose", ["table"], ["tt"], perm=[1, 0]),
        helper.make_node("MatMul", ["s", "tt"], ["y"]),
    ]
    weights = {"a": a, "b": b, "table": table}
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 128]),
        helper.make_tensor_value_info("ids", TensorProto.INT64, [3]),
    ]
    model = model_of(nodes, weights, ["y"], shift=shift, inputs=inputs)

    def expected(x: Array) -> Array:
        wide = [w.astype(np.float64) for w in (a, b, table)]
        return ((x.astype(np.float64) @ wide[0]) @ wide[1].T + wide[2][:3]) @ wide[2].T

    return model, expected


def check(model: arenaut.Model, expected: Callable[[Array], Array]) -> None:
    x = random(3, 128, seed=9)
    got = model.run({"x": x, "ids": np.arange(3)})["y"]
    want = expected(x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("shift", range(5))
@pytest.mark.parametrize("optimize", [True, False])
def test_files_of_any_alignment(tmp_path: Path, shift: int, optimize: bool) -> None:
    model, expected = products(shift)
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    check(arenaut.load_onnx(path, optimize=optimize), expected)
    check(arenaut.load_onnx(path.read_bytes(), optimize=optimize), expected)


@pytest.mark.parametrize("kind", ["path", "bytes", "proto", "external"])
def test_saving_after_packing(tmp_path: Path, kind: str) -> None:
    proto, expected = products()
    path = tmp_path / "m.onnx"
    onnx.save(proto, path, save_as_external_data=kind == "external", location="m.data", size_threshold=64)
    proto = onnx.load(path)
    source = {"bytes": path.read_bytes(), "proto": proto}.get(kind, path)
    model = arenaut.load_onnx(source)
    check(model, expected)
    if kind in ("path", "external"):  # moved since: what is mapped stays
        path.rename(tmp_path / "elsewhere.onnx")
    model.save_onnx(tmp_path / "saved.onnx")
    check(arenaut.load_onnx(tmp_path / "saved.onnx"), expected)
    assert not any(is_released(value) and not held(model, value) for value in constant_values(model.graph))


def is_released(value: Value) -> bool:
    """Whether its array was let go, to be made anew by whoever asks."""
    return isinstance(value._constant, _Released)


def held(model: arenaut.Model, value: Any) -> bool:
    """A released constant comes back with the type that it has."""
    array = value.constant
    return tuple(array.shape) == value.shape and array.dtype == value.dtype.numpy


def test_arrays_that_packed_forms_replace_are_let_go() -> None:
    proto, expected = products()
    model = arenaut.load_onnx(proto)
    by_name = {v.name: v for v in constant_values(model.graph)}
    assert is_released(by_name["a"])
    assert not is_released(by_name["table"])  # the Gather reads it
    np.testing.assert_array_equal(by_name["a"].constant, random(128, 256))
    check(model, expected)
    model.trim()
    assert is_released(by_name["a"])


def test_a_model_that_was_changed_since_is_noticed() -> None:
    proto, _ = products()
    model = arenaut.load_onnx(proto)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(random(128, 255), "a"))
    with pytest.raises(ArenautError):
        _ = next(v for v in constant_values(model.graph) if v.name == "a").constant


def test_running_never_asks_for_what_was_let_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model, expected = products()
    loaded = arenaut.load_onnx(model)
    monkeypatch.setattr(loaded._constants, "_again", lambda: pytest.fail("asked for released constants"))
    check(loaded, expected)
    assert loaded.plan.packed_weight_bytes and repr(loaded)
    loaded.profile({"x": random(3, 128), "ids": np.arange(3)}, repeat=1)


def test_equal_initialisers_are_packed_once() -> None:
    """Also those that two branches of an If hold."""
    w = random(128, 128)
    nodes = [helper.make_node("MatMul", ["x", "w1"], ["h"]), helper.make_node("MatMul", ["h", "w2"], ["y"])]
    model = arenaut.load_onnx(model_of(nodes, {"w1": w, "w2": w.copy()}, ["y"]))
    one = arenaut.load_onnx(model_of(nodes[:1], {"w1": w}, ["h"]))
    model.run({"x": random(2, 128)}), one.run({"x": random(2, 128)})
    assert model.plan.packed_weight_bytes == one.plan.packed_weight_bytes


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_resident_memory_of_a_load(tmp_path: Path, external: bool, transposed: bool) -> None:
    """After loading at most 1.2 times the weights and 20 MB, while loading at most 1.6 times and 40 MB."""
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Array] = {}
    for i in range(24):
        source = "x" if i == 0 else f"y{i - 1}"
        weights[f"w{i}"] = np.full((1024, 1024), 0.001 * i, np.float32)
        if transposed:
            nodes.append(helper.make_node("Transpose", [f"w{i}"], [f"t{i}"], perm=[1, 0]))
        nodes.append(helper.make_node("MatMul", [source, f"t{i}" if transposed else f"w{i}"], [f"y{i}"]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1024])]
    model = model_of(nodes, weights, ["y23"], shift=1, inputs=inputs)
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=external, location="m.data")
    code = (
        "import sys, gc, arenaut, pathlib\n"
        "from arenaut.measure.process import resident_bytes, peak_resident_bytes\n"
        "arenaut.load_onnx(pathlib.Path(arenaut.__file__).parent / 'data' / 'digits.onnx'); gc.collect()\n"
        "pathlib.Path('/proc/self/clear_refs').write_text('5'); before = resident_bytes()\n"
        "model = arenaut.load_onnx(sys.argv[1])\n"
        "print(resident_bytes() - before, peak_resident_bytes() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    grown, peak = map(int, done.stdout.split())
    total = sum(w.nbytes for w in weights.values())
    assert grown <= 1.2 * total + 20e6
    assert peak <= 1.6 * total + 40e6


READ_TWICE = {
    "Add": [("Add", ["x", "w"])],
    "Where": [("Greater", ["x", "w"]), ("Where", ["t0", "x", "w"])],
    "Concat": [("Concat", ["x", "w"])],
    "ScatterND": [("ScatterND", ["w", "at", "rows"]), ("Add", ["t0", "x"])],
    "GatherElements": [("GatherElements", ["w", "order"]), ("Add", ["t0", "x"])],
    "Identity": [("Identity", ["w"]), ("Concat", ["x", "t0"])],
}


@pytest.mark.parametrize("shift", range(5))
@pytest.mark.parametrize("name", sorted(READ_TWICE))
def test_a_weight_that_is_packed_and_read_may_lie_anywhere_in_its_file(name: str, shift: int, tmp_path: Path) -> None:
    """What is read is an aligned copy then, what is packed is the same weight still: it is no address that names it."""
    attributes = {"Concat": {"axis": 0}, "GatherElements": {"axis": 0}}
    chain = READ_TWICE[name]
    nodes = [helper.make_node(op, inputs, [f"t{i}"], **attributes.get(op, {})) for i, (op, inputs) in enumerate(chain)]
    nodes.append(helper.make_node("MatMul", [f"t{len(chain) - 1}", "w"], ["y"]))
    weights = {"w": random(128, 128), "rows": random(1, 128, seed=1)}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [128, 128])]
    model = model_of(nodes, weights, ["y"], shift=shift, inputs=inputs)
    for key, array in (("at", np.array([[3]])), ("order", np.arange(128 * 128).reshape(128, 128) % 128)):
        model.graph.initializer.append(numpy_helper.from_array(array, key))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    feeds = {"x": random(128, 128, seed=2)}
    want = arenaut.load_onnx(model, without={"packing"}, optimize=False).run(feeds)["y"]
    for source in (path, path.read_bytes()):
        got = arenaut.load_onnx(source).run(feeds)["y"]
        np.testing.assert_allclose(got, want, atol=1e-3)


def test_a_turned_constant_is_made_dense_in_the_order_that_is_read() -> None:
    """Its copy kept the order of memory: a recurrent layer over a constant of layout 1 could not be lowered."""
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    place = Place(0, DType.FLOAT, (3, 2, 4), (4, 12, 1))
    copied = dense_copy(x, place)
    assert copied is not None and copied.flags.c_contiguous
    np.testing.assert_array_equal(copied, x.transpose(1, 0, 2))
