from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.ir.dtypes import DType
from arenaut.ir.place import Place, dense_strides, ordered_strides
from arenaut.passes.choose_layouts import channels_last, choose_layouts, order_of
from tests.support.models import assert_matches_ort
from tests.support.rewriting import TARGET, Rewritten, draw, rewrite

WEIGHTS = {
    "W": (16, 3, 3, 3), "V": (16, 16, 3, 3), "P": (16, 16, 1, 1), "D": (16, 1, 3, 3), "few": (4, 3, 3, 3),
    "back": (16, 8, 2, 2), "wide": (24, 32, 1, 1), "mid": (24, 24, 1, 1), "line": (16, 3, 5), "fc": (10, 256),
}  # fmt: skip
PADS = "pads = [1, 1, 1, 1]"


def model_of(body: str, head: str = "t (float[b,3,8,8] x) => (y)") -> onnx.ModelProto:
    """The nodes with those of the weights above that they name, drawn at random."""
    names = [n for n in WEIGHTS if any(mark in body for mark in (f"{n})", f"{n},"))]
    declared = ", ".join(f"float[{','.join(map(str, WEIGHTS[n]))}] {n}" for n in names)
    text = head.replace("=> (y)", "=> (float y)") + f"\n<{declared}>\n{{ {body} }}"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')
    del model.graph.initializer[:]
    model.graph.initializer.extend(
        numpy_helper.from_array((draw(*WEIGHTS[n], seed=i) * 0.1).astype(np.float32), n) for i, n in enumerate(names)
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def laid_out(body: str, head: str = "t (float[b,3,8,8] x) => (y)", shape: tuple[int, ...] = (2, 3, 8, 8)) -> Rewritten:
    return rewrite(model_of(body, head), choose_layouts, feeds={"x": draw(*shape)}, rtol=1e-5)


def orders(result: Rewritten) -> dict[str, tuple[int, ...] | None]:
    return {v.name: v.order for n in result.graph.nodes for v in n.outputs if v is not None}


def run(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> arenaut.Model:
    """Runs it optimised; the result must be that of onnxruntime."""
    loaded = arenaut.load_onnx(model, threads=1)
    assert_matches_ort(model, loaded.run(dict(feeds)), feeds, rtol=1e-5)
    return loaded


def kernels(model: arenaut.Model) -> list[str]:
    return [s.row.family for s in model._built.lowered.steps if s.row is not None]


LAST = channels_last(4)


@pytest.mark.parametrize(("body", "last"), [
    (f"a = Conv <{PADS}> (x, W) y = Relu(a)", "ay"),
    (f"a = Conv <{PADS}> (x, W) b = MaxPool <kernel_shape = [2, 2]> (a) c = Add(b, b) y = AveragePool"
     " <kernel_shape = [2, 2]> (c)", "abcy"),
    (f"a = Conv <{PADS}> (x, W) b = Sigmoid(a) c = Mul(a, b) y = Conv <{PADS}> (c, V)", "abcy"),
    (f"a = Conv <{PADS}> (x, W) b = Conv <{PADS}> (a, V) y = Concat <axis = 1> (a, b)", "aby"),
    (f"a = Conv <{PADS}> (x, W) y = ConvTranspose <strides = [2, 2]> (a, back)", "ay"),
])  # fmt: skip
def test_regions_of_convolutions_have_channels_innermost(body: str, last: str) -> None:
    result = laid_out(body)
    found = orders(result)
    assert result.fired == {"channels_last"}
    assert {name for name, order in found.items() if order == LAST} == set(last)


def test_three_dims_and_five() -> None:
    assert orders(laid_out("a = Conv(x, line) y = Relu(a)", "t (float[b,3,n] x) => (y)", (2, 3, 9)))["y"] == (0, 2, 1)
    volume = "t (float[b,16,n,m,k] x) => (y)"
    assert orders(laid_out("y = MaxPool <kernel_shape = [2, 2, 2]> (x)", volume, (1, 16, 4, 5, 6)))["y"] == (
        0, 2, 3, 4, 1,
    )  # fmt: skip


@pytest.mark.parametrize(("body", "reason"), [
    (f"a = Conv <{PADS}> (x, few) y = Relu(a)", "too few channels"),
    ("a = MaxPool <kernel_shape = [2, 2]> (x) y = Relu(a)", "too few channels"),
    ("a = Relu(x) y = Sigmoid(a)", None),
    ("a = GlobalAveragePool(x) y = Mul(x, a)", None),
])  # fmt: skip
def test_what_has_nothing_to_gain_stays_as_it_is_numbered(body: str, reason: str | None) -> None:
    result = laid_out(body)
    assert not result.fired
    assert all(order is None for order in orders(result).values())
    assert reason is None or any(reason in r for r in result.reasons("channels_last"))


def test_views_pass_the_layout_on() -> None:
    """The NHWC form of a channels-last tensor is dense, and what works on it follows."""
    result = laid_out(f"a = Conv <{PADS}> (x, W) n = Transpose <perm = [0, 2, 3, 1]> (a) r = Relu(n)"
                      f" b = Transpose <perm = [0, 3, 1, 2]> (r) y = Conv <{PADS}> (b, V)")  # fmt: skip
    found = orders(result)
    assert found["a"] == found["y"] == LAST
    assert found["r"] is None  # [N, H, W, C] as numbered


def test_orders_of_places() -> None:
    def place(dims: tuple[int, ...], strides: tuple[int, ...]) -> Place:
        return Place(0, DType.FLOAT, dims, strides)

    assert order_of(place((2, 3, 4, 5), dense_strides((2, 3, 4, 5)))) == (0, 1, 2, 3)
    assert order_of(place((1, 3, 4, 5), ordered_strides((1, 3, 4, 5), LAST))) == LAST
    assert order_of(place((2, 3, 4, 1), ordered_strides((2, 3, 4, 1), LAST))) == LAST
    assert order_of(place((2, 3, 4, 5), (0, 1, 15, 3))) == (0, 2, 3, 1)


FEEDS = {"x": draw(1, 3, 8, 8)}


def test_parts_of_a_concat_are_made_inside_it() -> None:
    body = f"a = Conv <{PADS}> (x, W) r = Relu(a) b = Conv <{PADS}> (r, V) c = Conv(r, P) d = Concat <axis = 1> (b, c)"
    loaded = run(model_of(f"{body} y = Conv(d, wide)"), FEEDS)
    assert kernels(loaded) == ["Conv"] * 4
    assert run(model_of(f"{body} y = Conv(d, wide)"), {"x": draw(3, 3, 8, 8)}) is not None


def test_a_part_that_is_an_input_is_copied_and_a_part_used_twice_too() -> None:
    body = f"a = Conv <{PADS}> (x, W) d = Concat <axis = 1> (a, a) y = Conv(d, wide)"
    assert kernels(run(model_of(body), FEEDS)).count("Copy") == 1  # one of the two
    body = f"a = Conv <{PADS}> (x, W) d = Concat <axis = 1> (a, z) y = Conv(d, wide)"
    head = "t (float[b,3,8,8] x, float[b,16,8,8] z) => (y)"
    assert kernels(run(model_of(body, head), {**FEEDS, "z": draw(1, 16, 8, 8)})).count("Copy") == 1


def test_concats_of_concats_and_their_other_readers() -> None:
    """As in densely connected blocks: every part is read by itself and as part of each whole."""
    body = (f"a = Conv <{PADS}> (x, W) b = Relu(a) c = Conv <{PADS}> (b, V) d = Concat <axis = 1> (b, c)"
            " e = Sigmoid(d) f = Conv(c, P) g = Concat <axis = 1> (d, f) h = Concat <axis = 1> (e, g)"
            " y = ReduceMean <keepdims = 0, noop_with_empty_axes = 1> (h, two)")  # fmt: skip
    model = model_of(body)
    model.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), "two"))
    run(model, {"x": draw(2, 3, 8, 8)})


def test_a_memory_peak_is_not_raised_for_a_concat() -> None:
    """A skip connection that waits while larger tensors come and go keeps its own memory."""
    large = (
        "t = ConvTranspose <strides = [2, 2]> (s, back) q = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (t)"
    )
    small = "e = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (q)"
    body = f"i = Conv <{PADS}> (x, W) s = Relu(i) {large} {small} d = Concat <axis = 1> (s, e) y = Conv(d, mid)"
    found = kernels(run(model_of(body), FEEDS))
    assert found.count("Copy") == 1  # the small part is made in place


def test_channels_are_shuffled_by_one_copy() -> None:
    body = (f"a = Conv <{PADS}> (x, W) r = Reshape(a, split) t = Transpose <perm = [0, 2, 1, 3, 4]> (r)"
            f" f = Reshape(t, whole) y = Conv <{PADS}, group = 16> (f, D)")  # fmt: skip
    model = model_of(body)
    for name, dims in (("split", (0, 4, 4, 8, 8)), ("whole", (0, 16, 8, 8))):
        model.graph.initializer.append(numpy_helper.from_array(np.array(dims, np.int64), name))
    assert kernels(run(model, {"x": draw(3, 3, 8, 8)})) == ["Conv", "Copy", "Conv"]


def test_transposes_of_a_channels_last_model_cost_nothing() -> None:
    body = (f"c = Transpose <perm = [0, 3, 1, 2]> (x) a = Conv <{PADS}> (c, W) n = Transpose <perm = [0, 2, 3, 1]> (a)"
            f" r = Relu(n) m = Transpose <perm = [0, 3, 1, 2]> (r) b = Conv <{PADS}> (m, V)"
            " y = Transpose <perm = [0, 2, 3, 1]> (b)")  # fmt: skip
    found = kernels(run(model_of(body, "t (float[b,8,8,3] x) => (y)"), {"x": draw(2, 8, 8, 3)}))
    assert set(found) <= {"Conv", "Tile"}


def test_flattening_orders_channels_first_again() -> None:
    body = f"a = Conv <{PADS}> (x, W) p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a) f = Flatten(p)"
    found = kernels(run(model_of(f"{body} y = Gemm <transB = 1> (f, fc)"), {"x": draw(2, 3, 8, 8)}))
    assert found == ["Conv", "MaxPool", "Copy", "MatMul"]


@pytest.mark.parametrize("spatial", [(8, 8), (5, 9), (1, 6), (1, 1)])
@pytest.mark.parametrize("batch", [1, 3])
def test_symbolic_sizes(spatial: tuple[int, int], batch: int) -> None:
    body = (f"a = Conv <{PADS}> (x, W) r = Relu(a) b = Conv <{PADS}, group = 16> (r, D) g = GlobalAveragePool(b)"
            " s = Conv(g, P) h = HardSigmoid(s) m = Mul(b, h) d = Concat <axis = 1> (m, r) y = Conv(d, wide)"
            )  # fmt: skip
    run(model_of(body, "t (float[b,3,h,w_] x) => (y)"), {"x": draw(batch, 3, *spatial)})


def test_the_pass_is_the_last_that_changes_the_graph() -> None:
    from arenaut.passes import DEFAULT_PIPELINE

    assert DEFAULT_PIPELINE[-1].run is choose_layouts
    assert TARGET.tier == 0
