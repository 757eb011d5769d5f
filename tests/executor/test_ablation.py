"""Optimisations that can be left out, and the CBLAS backend: same results, and what is left out does not happen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut
from arenaut.ir.target import OPTIMISATIONS
from arenaut.passes import DEFAULT_PIPELINE
from tests.support.models import parse

NETWORK = """network (float[2, 4, 12, 12] x) => (float[2, 6] y)
<float[8, 4, 3, 3] w = {%s}, float[8] scale = {%s}, float[8] shift = {%s}, float[8, 6] v = {%s}> {
  zero = Constant <value = float[8] {0, 0, 0, 0, 0, 0, 0, 0}> ()
  one = Constant <value = float[8] {1, 1, 1, 1, 1, 1, 1, 1}> ()
  c = Conv <pads = [1, 1, 1, 1]> (x, w)
  n = BatchNormalization (c, scale, shift, zero, one)
  h = Relu (n)
  s = Sigmoid (h)
  g = Mul (h, s)
  axes = Constant <value_ints = [2, 3]> ()
  m = ReduceMean <keepdims = 0> (g, axes)
  p = MatMul (m, v)
  left, right = Split <axis = 1, num_outputs = 2> (p)
  turned = Concat <axis = 1> (right, left)
  y = Tanh (turned)
}"""


def numbers(count: int, seed: int) -> str:
    return ", ".join(f"{v:.4f}" for v in np.random.default_rng(seed).standard_normal(count))


@pytest.fixture(scope="module")
def network() -> Any:
    return parse(NETWORK % (numbers(288, 1), numbers(8, 2), numbers(8, 3), numbers(48, 4)))


X = np.random.default_rng(5).standard_normal((2, 4, 12, 12)).astype(np.float32)


def test_weights_in_blocks_that_are_not_packed() -> None:
    draw = np.random.default_rng(3)
    nodes = [helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=64, N=24, bits=4,
                              block_size=32)]  # fmt: skip
    weights = {"w": draw.integers(0, 256, (24, 2, 16)).astype(np.uint8), "s": draw.random(48).astype(np.float32)}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 24])],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    )
    x = draw.standard_normal((3, 64)).astype(np.float32)
    want = arenaut.load_onnx(model).run({"x": x})["y"]
    loose = arenaut.load_onnx(model, without=["packing"]).run({"x": x})["y"]
    np.testing.assert_allclose(loose, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("name", OPTIMISATIONS)
def test_leaving_one_out_changes_no_result(network: Any, name: str) -> None:
    want = arenaut.load_onnx(network).run(X)["y"]
    np.testing.assert_allclose(arenaut.load_onnx(network, without=[name]).run(X)["y"], want, rtol=1e-4, atol=1e-5)


def test_what_is_left_out_does_not_happen(network: Any) -> None:
    whole = arenaut.load_onnx(network)
    assert any(step.pack for step in whole._built.lowered.steps)
    assert not any(step.pack for step in arenaut.load_onnx(network, without=["packing"])._built.lowered.steps)
    assert arenaut.load_onnx(network, without=["in-place"])._built.shares == []
    copies = [sum(step.row is not None and step.row.family == "Copy" for step in m._built.lowered.steps)
              for m in (whole, arenaut.load_onnx(network, without=["views"]))]  # fmt: skip
    assert copies[0] < copies[1]
    for name in ("fusion", "tile driver"):
        assert len(arenaut.load_onnx(network, without=[name]).graph.nodes) > len(whole.graph.nodes), name


def test_every_part_is_an_optimisation(network: Any) -> None:
    parts = {p.part for p in DEFAULT_PIPELINE} - {""}
    assert parts and parts <= set(OPTIMISATIONS)
    with pytest.raises(ValueError, match=r"without=.*nothing"):
        arenaut.load_onnx(network, without=["nothing"])


def test_the_cblas_backend_agrees(network: Any) -> None:
    pytest.importorskip("scipy_openblas32")
    from arenaut.backends.cblas import product

    rng = np.random.default_rng(6)
    for left, right in [((3, 7), (7, 5)), ((2, 1, 4, 9), (3, 9, 8)), ((4, 0), (0, 3))]:
        a, b = (rng.standard_normal(s).astype(np.float32) for s in (left, right))
        np.testing.assert_allclose(product(a, b), np.matmul(a.astype(float), b.astype(float)), rtol=1e-4, atol=1e-5)
    plain = arenaut.load_onnx(network, without=["tile driver"]).run(X)["y"]
    model = arenaut.load_onnx(network, executor="interpreted", backends=("cblas", "native"), without=["tile driver"])
    np.testing.assert_allclose(model.run(X)["y"], plain, rtol=1e-4, atol=1e-5)


def test_a_missing_openblas_says_what_to_install(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from arenaut.backends import cblas

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(cblas, "import_module", absent)
    cblas._sgemm.cache_clear()
    with pytest.raises(cblas.CblasMissingError, match="pip install scipy-openblas32"):
        arenaut.load_onnx(network, executor="interpreted", backends=("cblas", "native"))
    cblas._sgemm.cache_clear()
