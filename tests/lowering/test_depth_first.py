"""Chains in slices: what they compute, what they save, and what must stay whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.lowering.depth_first import slice_bounds
from arenaut.lowering.families import FAMILIES
from bench.zoo import load_manifest, make_feeds
from tests.support.models import assert_close, assert_matches_ort
from tests.support.skeletons import load_skeleton

RNG = np.random.default_rng(5)
RTOL = 2e-5


def model_of(text: str, **weights: tuple[int, ...]) -> onnx.ModelProto:
    """The model with random weights of these shapes, scaled to keep activations near one."""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')
    for name, shape in weights.items():
        fan = int(np.prod(shape[1:] if len(shape) == 4 else shape[:1]))
        array = (RNG.standard_normal(shape) / np.sqrt(fan)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.checker.check_model(model)
    return model


def feeds_of(model: onnx.ModelProto) -> dict[str, Any]:
    made = {}
    for value in model.graph.input:
        shape = [d.dim_value or 70 for d in value.type.tensor_type.shape.dim]
        made[value.name] = RNG.standard_normal(shape).astype(np.float32)
    return made


MLP = """mlp (float[n, 128] x) => (float[n, 128] y) {
  h = MatMul (x, up)
  b = Add (h, lift)
  a = %s
  d = MatMul (a, down)
  s = Add (d, x)
  y = %s
}"""
MLP_WEIGHTS = {"up": (128, 1024), "lift": (1024,), "down": (1024, 128)}

GATED = """gated (float[n, 128] x) => (float[n, 128] y) {
  g = MatMul (x, gate)
  u = MatMul (x, up)
  i = Sigmoid (g)
  w = Mul (g, i)
  h = Mul (w, u)
  y = MatMul (h, down)
}"""
GATED_WEIGHTS = {"gate": (128, 1024), "up": (128, 1024), "down": (1024, 128)}

EXPAND = """expand (float[1, 16, 40, 40] x) => (float[1, 16, 40, 40] y) {
  e = Conv (x, w1, b1)
  r = Relu (e)
  d = Conv <group = 96, pads = [1, 1, 1, 1]> (r, w2)
  q = HardSwish (d)
  p = Conv (q, w3, b3)
  s = Add (p, x)
  y = Relu (s)
}"""
EXPAND_WEIGHTS = {"w1": (96, 16, 1, 1), "b1": (96,), "w2": (96, 1, 3, 3), "w3": (16, 96, 1, 1), "b3": (16,)}

PAIR = """pair (float[1, 3, 48, 48] x) => (float[1, 24, 24, 24] y) {
  c = Conv <pads = [1, 1, 1, 1]> (x, w1)
  r = Relu (c)
  m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)
  y = Conv <pads = [1, 1, 1, 1]> (m, w2)
}"""
PAIR_WEIGHTS = {"w1": (64, 3, 3, 3), "w2": (24, 64, 3, 3)}

ATTENTION = """heads (float[1, 96, 128] x) => (float[1, 96, 128] y) {
  qkv = MatMul (x, joint)
  q, k, v = Split <axis = 2, num_outputs = 3> (qkv)
  four = Constant <value_ints = [1, 96, 8, 16]> ()
  three = Constant <value_ints = [1, 96, 128]> ()
  q4 = Reshape (q, four)
  k4 = Reshape (k, four)
  v4 = Reshape (v, four)
  qh = Transpose <perm = [0, 2, 1, 3]> (q4)
  kt = Transpose <perm = [0, 2, 3, 1]> (k4)
  vh = Transpose <perm = [0, 2, 1, 3]> (v4)
  s = MatMul (qh, kt)
  quarter = Constant <value = float {0.25}> ()
  scaled = Mul (s, quarter)
  p = Softmax <axis = -1> (scaled)
  o = MatMul (p, vh)
  back = Transpose <perm = [0, 2, 1, 3]> (o)
  merged = Reshape (back, three)
  j = MatMul (merged, out)
  y = Add (x, j)
}"""
ATTENTION_WEIGHTS = {"joint": (128, 384), "out": (128, 128)}

# Both halves of what a depthwise convolution makes are wanted, each of its own half of what that reads.
SPLIT = """split (float[1, 16, 40, 40] x) => (float[1, 16, 40, 40] y) {
  e = Conv (x, w1)
  d = Conv <group = 192, pads = [1, 1, 1, 1]> (e, w2)
  p, q = Split <axis = 1, num_outputs = 2> (d)
  s = Sigmoid (p)
  g = Mul (s, q)
  y = Conv (g, w3)
}"""
SPLIT_WEIGHTS = {"w1": (192, 16, 1, 1), "w2": (192, 1, 3, 3), "w3": (16, 96, 1, 1)}

CASES = {
    "bias, gelu, residual": (MLP % ("Gelu (b)", "Identity (s)"), MLP_WEIGHTS),
    "an epilogue that is no sum": (MLP % ("Relu (b)", "Tanh (s)"), MLP_WEIGHTS),
    "gated": (GATED, GATED_WEIGHTS),
    "expand, depthwise, project": (EXPAND, EXPAND_WEIGHTS),
    "two convolutions and a pool": (PAIR, PAIR_WEIGHTS),
    "heads": (ATTENTION, ATTENTION_WEIGHTS),
    "halves of a depthwise": (SPLIT, SPLIT_WEIGHTS),
}


def narrowest(monkeypatch: pytest.MonkeyPatch, **widths: int) -> None:
    changed = {name: replace(FAMILIES[name], narrowest=width) for name, width in widths.items()}
    monkeypatch.setattr("arenaut.lowering.families.FAMILIES", {**FAMILIES, **changed})


@pytest.mark.parametrize("case", CASES)
def test_slices_compute_what_the_whole_does(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, weights = CASES[case]
    model = model_of(text, **weights)
    # The small models of a test would not be worth it.
    monkeypatch.setattr("arenaut.lowering.depth_first.WORTH_BYTES", 1)
    monkeypatch.setattr("arenaut.lowering.depth_first.SLOWEST", 1e9)
    narrowest(monkeypatch, MatMul=16, Conv=8)
    sliced = arenaut.load_onnx(model, threads=1, without=["bands"])
    whole = arenaut.load_onnx(model, threads=1, without=["slices", "bands"])
    feeds = feeds_of(model)
    outputs, reference = sliced.run(feeds), whole.run(feeds)
    assert_matches_ort(model, outputs, feeds, rtol=RTOL)
    assert_matches_ort(model, reference, feeds, rtol=RTOL)
    assert [chain.slices > 1 for chain in sliced.plan.chains] == [True]
    assert whole.plan.chains == ()
    if case == "heads":  # a head's results lie over its queries
        assert any(share.in_place and share.write.startswith("temp") for share in sliced.plan.sharing)
    assert sliced.plan.arena_bytes < whole.plan.arena_bytes
    two = arenaut.load_onnx(model, threads=2, without=["bands"]).run(feeds)
    stepped = arenaut.load_onnx(model, threads=1, without=["bands"], executor="interpreted")
    stepped_outputs = stepped.run(feeds)
    checked = arenaut.load_onnx(
        model, threads=1, without=["bands"], executor="interpreted", backends=("reference", "native")
    ).run(feeds)
    assert_matches_ort(model, checked, feeds, rtol=RTOL)
    for name in outputs:
        np.testing.assert_array_equal(two[name], outputs[name])
        np.testing.assert_array_equal(stepped_outputs[name], outputs[name])


def test_what_is_small_or_needed_whole_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    text, weights = CASES["bias, gelu, residual"]
    monkeypatch.setattr("arenaut.lowering.depth_first.WORTH_BYTES", 1 << 30)
    small = arenaut.load_onnx(model_of(text, **weights), threads=1)
    small.run(feeds_of(model_of(text, **weights)))
    assert small.plan.chains == ()  # too little to gain
    monkeypatch.setattr("arenaut.lowering.depth_first.WORTH_BYTES", 1)
    monkeypatch.setattr("arenaut.lowering.depth_first.SLOWEST", 1e9)
    seen = text.replace("=> (float[n, 128] y)", "=> (float[n, 128] y, float[n, 1024] a)")
    model = model_of(seen, **weights)
    shown = arenaut.load_onnx(model, threads=1)
    feeds = feeds_of(model)
    assert_matches_ort(model, shown.run(feeds), feeds, rtol=RTOL)
    assert shown.plan.chains == ()  # the hidden tensor is an output
    norm = text.replace("d = MatMul (a, down)", "z = Softmax (a)\n  d = MatMul (z, down)")
    model = model_of(norm, **weights)
    whole = arenaut.load_onnx(model, threads=1)
    assert_matches_ort(model, whole.run(feeds), feeds, rtol=RTOL)
    assert whole.plan.chains == ()  # a row of the hidden tensor is needed at once


def every_chain(candidates: Sequence[Any], profile: Any) -> list[tuple[Any, int]]:
    """As many chains as do not share steps, each in a number of slices that depends on where it stands."""
    chosen: list[tuple[Any, int]] = []
    taken: set[int] = set()
    for number, each in enumerate(candidates):
        if each.most > 1 and not each.steps & taken:
            taken |= each.steps
            chosen.append((each.chain, 2 + number % (each.most - 1)))
    return chosen


@pytest.mark.parametrize("name", ["minilm-l3", "mobilenet-v3-large", "transformer-block", "ppocr-rec", "resnet50"])
def test_real_graphs_with_every_chain_cut(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = load_manifest()[name]
    model, feeds = load_skeleton(name), make_feeds(entry, entry.bindings[-1], seed=1)
    whole = arenaut.load_onnx(model, threads=1, without=["slices", "bands"]).run(feeds)
    monkeypatch.setattr("arenaut.lowering.depth_first._choose", every_chain)
    for limit in ("WORTH_BYTES", "WORTH_SHARE"):
        monkeypatch.setattr(f"arenaut.lowering.depth_first.{limit}", -(10**12))
    monkeypatch.setattr("arenaut.lowering.depth_first.SLOWEST", 1e9)
    narrowest(monkeypatch, MatMul=8, Conv=4)
    sliced = arenaut.load_onnx(model, threads=2, without=["bands"])
    for output, got in sliced.run(feeds).items():
        assert_close(got, whole[output], rtol=1e-4, name=output)
    assert len(sliced.plan.chains) >= 2


@pytest.mark.parametrize(
    ("size", "slices", "unit"), [(3072, 8, 32), (768, 5, 64), (100, 3, 1), (96, 8, 16), (64, 8, 64)]
)
def test_bounds_cover_everything_once(size: int, slices: int, unit: int) -> None:
    bounds = slice_bounds(size, slices, unit)
    assert bounds[0] == 0 and bounds[-1] == size
    assert all(low < high for low, high in pairwise(bounds))
    assert all(bound % unit == 0 for bound in bounds[:-1]) and len(bounds) <= slices + 1


def test_a_bias_of_its_own_step_is_cut_with_the_heads() -> None:
    """Without the tile driver a joint projection and its bias are two steps; each of three wants its range of both."""
    name = "minilm-l3"
    entry = load_manifest()[name]
    model, feeds = load_skeleton(name), make_feeds(entry, entry.bindings[0], seed=1)
    whole, apart = (arenaut.load_onnx(model, threads=1, without=without) for without in (["slices"], ["tile driver"]))
    reference = whole.run(feeds)
    for output, got in apart.run(feeds).items():
        assert_close(got, reference[output], rtol=1e-4, name=output)
    assert apart.plan.chains
