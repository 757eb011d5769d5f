"""Ops of onnxruntime's optimiser, against onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import helper

from arenaut.frontend import import_model
from arenaut.ir.errors import InvalidModelError, UnsupportedError
from tests.support.importing import Array, compare, model_of, random, run_graph, run_ort, tensor_info

X = random(2, 3, 8)
ROW, ROW2, ROW3 = random(8, seed=1), random(8, seed=2), random(8, seed=3)
IMAGE, FILTERS, BIAS = random(1, 2, 6, 6), random(4, 2, 3, 3), random(4)

CASES: Sequence[tuple[str, Sequence[Array | None], Mapping[str, Any]]] = (
    ("Gelu", [X], {}),
    ("BiasGelu", [X, ROW], {}),
    ("FastGelu", [X], {}),
    ("FastGelu", [X, ROW], {}),
    ("QuickGelu", [X], {}),
    ("QuickGelu", [X], {"alpha": 0.75}),
    ("FusedMatMul", [X, random(2, 8, 4)], {"alpha": 0.5}),
    ("FusedMatMul", [X, random(2, 4, 8)], {"transB": 1}),
    ("FusedMatMul", [random(2, 8, 3), random(2, 8, 4)], {"transA": 1}),
    ("FusedMatMul", [random(3, 2, 8), random(8, 2, 4)], {"transBatchA": 1, "transBatchB": 1}),
    ("FusedMatMul", [random(8, 2, 3), random(4, 2, 8)],
     {"transBatchA": 1, "transA": 1, "transBatchB": 1, "transB": 1, "alpha": 2.0}),
    ("FusedGemm", [random(3, 8), random(4, 8), random(4)], {"transB": 1, "alpha": 0.5, "activation": "Relu"}),
    ("FusedGemm", [random(3, 8), random(8, 4), random(4)], {"activation": "LeakyRelu", "activation_alpha": 0.3}),
    ("FusedConv", [IMAGE, FILTERS, BIAS], {"activation": "Relu", "pads": [1, 1, 1, 1]}),
    ("FusedConv", [IMAGE, FILTERS, BIAS, random(1, 4, 4, 4)], {"activation": "Relu"}),
    ("FusedConv", [IMAGE, FILTERS], {"activation": "Clip", "activation_params": [-0.5, 0.5], "strides": [2, 2]}),
    ("FusedConv", [IMAGE, FILTERS], {"activation": "LeakyRelu", "activation_params": [0.2]}),
    ("FusedConv", [IMAGE, FILTERS], {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]}),
    ("SkipLayerNormalization", [X, X[::-1].copy(), ROW, ROW2, ROW3], {"epsilon": 1e-5}),
    ("SkipLayerNormalization", [X, X[::-1].copy(), ROW, ROW2], {}),
    ("SkipLayerNormalization", [X, X[::-1].copy(), ROW], {}),
    ("SkipSimplifiedLayerNormalization", [X, X[::-1].copy(), ROW, ROW3], {"epsilon": 1e-5}),
    ("SkipSimplifiedLayerNormalization", [X, X[::-1].copy(), ROW], {}),
)  # fmt: skip


def model_with(
    op: str, inputs: Sequence[Array | None], attributes: Mapping[str, Any], domain: str, outputs: int
) -> Any:
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    wanted = ["y"] if outputs == 1 else ["y", "", "", "sum"]
    node = helper.make_node(op, names, wanted, domain=domain, **attributes)
    infos = [tensor_info(n, x.shape) for n, x in zip(names, inputs, strict=True) if x is not None]
    domains = {"com.microsoft": 1}
    return model_of([node], infos, [w for w in wanted if w], opset=20, ir_version=9, domains=domains)


@pytest.mark.parametrize(("op", "inputs", "attributes"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_as_onnxruntime(op: str, inputs: Any, attributes: Any) -> None:
    model = model_with(op, inputs, attributes, "com.microsoft", 4 if op.startswith("Skip") else 1)
    feeds = {f"x{i}": x for i, x in enumerate(inputs)}
    graph = import_model(model).graph
    assert {n.domain for n in graph.nodes} == {""}
    compare(run_graph(graph, feeds), run_ort(model, feeds), 2e-5)


def test_the_one_in_the_standard_domain() -> None:
    model = model_with("SimplifiedLayerNormalization", [X, ROW], {"axis": -1, "epsilon": 1e-3}, "", 1)
    graph = import_model(model).graph
    assert [n.op for n in graph.nodes] == ["RMSNormalization"]
    expected = X / np.sqrt((X**2).mean(-1, keepdims=True) + 1e-3) * ROW
    compare(run_graph(graph, {"x0": X, "x1": ROW}), [expected], 1e-5)


def test_unknown_attributes_counts_and_training_outputs_are_refused() -> None:
    with pytest.raises(InvalidModelError, match="no attribute beta"):
        import_model(model_with("Gelu", [X], {"beta": 1.0}, "com.microsoft", 1))
    with pytest.raises(InvalidModelError, match="has 2 inputs"):
        import_model(model_with("Gelu", [X, X], {}, "com.microsoft", 1))
    model = model_with("SkipLayerNormalization", [X, X, ROW], {}, "com.microsoft", 4)
    model.graph.node[0].output[1] = "mean"
    with pytest.raises(UnsupportedError, match="training"):
        import_model(model)


def test_the_domain_must_be_imported() -> None:
    model = model_with("Gelu", [X], {}, "com.microsoft", 1)
    del model.opset_import[1:]
    with pytest.raises(UnsupportedError, match="does not import the domain"):
        import_model(model)
