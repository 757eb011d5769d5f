"""Chains in bands of rows: what they compute, what they save, and what must stay whole."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut
from arenaut.lowering.bands import Chain, Finder, bands_of
from arenaut.lowering.live import Profile
from bench.zoo import load_manifest, make_feeds
from tests.support.models import assert_close, assert_matches_ort
from tests.support.skeletons import load_skeleton

RTOL = 2e-5


def weights_of(model: onnx.ModelProto, **shapes: tuple[int, ...]) -> onnx.ModelProto:
    rng = np.random.default_rng(5)
    for name, shape in shapes.items():
        array = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.checker.check_model(model)
    return model


def model_of(text: str, **weights: tuple[int, ...]) -> onnx.ModelProto:
    return weights_of(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}'), **weights)


def feeds_of(model: onnx.ModelProto, **sizes: int) -> dict[str, Any]:
    rng, made = np.random.default_rng(3), {}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        made[value.name] = rng.standard_normal([d.dim_value or sizes[d.dim_param] for d in dims]).astype(np.float32)
    return made


def force(monkeypatch: pytest.MonkeyPatch, bands: int) -> None:
    """The longest chains that share no steps, all of them in so many bands."""

    def every_chain(finder: Finder, profile: Profile, env: Mapping[str, int]) -> list[tuple[Chain, int]]:
        chosen: list[tuple[Chain, int]] = []
        end = len(finder.lowered.steps) - 1
        while end > 0:
            chain = max(finder.chains(end, 12), key=lambda each: len(each.parts), default=None)
            if chain is not None:
                chosen.append((chain, bands))
                end = chain.parts[0]
            end -= 1
        return chosen

    monkeypatch.setattr("arenaut.lowering.band_choice._choose", every_chain)
    for limit in ("WORTH_BYTES", "LEAST_SAVING"):
        monkeypatch.setattr(f"arenaut.lowering.band_choice.{limit}", -(10**12))


STEM = """stem (float[n, 3, 57, 41] x) => (float[n, 32, 15, 11] y) {
  c = Conv <strides = [2, 2], pads = [3, 3, 3, 3]> (x, w1, b1)
  r = Relu (c)
  y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (r)
}"""
STEM_WEIGHTS = {"w1": (32, 3, 7, 7), "b1": (32,)}

EXPAND = """expand (float[n, 16, 37, 40] x) => (float[n, 16, 37, 40] y) {
  e = Conv (x, w1, b1)
  r = Relu (e)
  d = Conv <group = 48, pads = [1, 1, 1, 1]> (r, w2)
  q = HardSwish (d)
  p = Conv (q, w3, b3)
  s = Add (p, x)
  y = Relu (s)
}"""
EXPAND_WEIGHTS = {"w1": (48, 16, 1, 1), "b1": (48,), "w2": (48, 1, 3, 3), "w3": (16, 48, 1, 1), "b3": (16,)}

# Dilated, padded on one side more than on the other, and strides that skip rows.
UNEVEN = """uneven (float[n, 8, 61, 23] x) => (float[n, 8, 14, 12] y) {
  c = Conv <dilations = [3, 2], pads = [5, 1, 0, 3]> (x, w1)
  t = Tanh (c)
  d = Conv <auto_pad = "SAME_LOWER", strides = [2, 2], kernel_shape = [4, 4]> (t, w2)
  m = Sigmoid (d)
  y = Conv <strides = [2, 1]> (m, w3)
}"""
UNEVEN_WEIGHTS = {"w1": (16, 8, 3, 3), "w2": (8, 16, 4, 4), "w3": (8, 8, 1, 1)}

POOLS = """pools (float[n, 16, 43, 30] x) => (float[n, 16, 11, 8] y) {
  a = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], ceil_mode = 1,
                   count_include_pad = 1> (x)
  r = Relu (a)
  m = MaxPool <kernel_shape = [2, 2], dilations = [2, 2], pads = [1, 1, 1, 1]> (r)
  p = AveragePool <kernel_shape = [3, 2], strides = [2, 2], ceil_mode = 1, pads = [1, 0, 0, 0]> (m)
  y = Tanh (p)
}"""

# Winograd's tiles of both convolutions stay where the whole steps have them; their halves are read apart.
BASIC = """basic (float[n, 32, 45, 37] x) => (float[n, 16, 22, 18] y) {
  c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
  r = Relu (c)
  d = Conv <pads = [1, 1, 1, 1]> (r, w2)
  s = Add (d, x)
  k = Relu (s)
  u, v = Split <axis = 1, num_outputs = 2> (k)
  g = Mul (u, v)
  y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (g)
}"""
BASIC_WEIGHTS = {"w1": (32, 32, 3, 3), "b1": (32,), "w2": (32, 32, 3, 3)}

SOUND = """sound (float[n, 1, 997] x) => (float[n, 24, 123] y) {
  c = Conv <strides = [4]> (x, w1)
  g = Gelu (c)
  d = Conv <strides = [2], pads = [1, 1]> (g, w2)
  t = Tanh (d)
  y = Conv <group = 24, pads = [1, 1]> (t, w3)
}"""
SOUND_WEIGHTS = {"w1": (32, 1, 10), "w2": (24, 32, 3), "w3": (24, 1, 3)}

CASES = {
    "convolution and pool": (STEM, STEM_WEIGHTS),
    "expand, depthwise, project": (EXPAND, EXPAND_WEIGHTS),
    "dilations, uneven padding, rows skipped": (UNEVEN, UNEVEN_WEIGHTS),
    "pools": (POOLS, {}),
    "residual, Winograd, channels apart": (BASIC, BASIC_WEIGHTS),
    "one axis": (SOUND, SOUND_WEIGHTS),
}


@pytest.mark.parametrize("layout", ["channels-last", "planes"])
@pytest.mark.parametrize("case", CASES)
def test_bands_are_the_same_bytes(case: str, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, weights = CASES[case]
    model = model_of(text, **weights)
    rest = ["slices"] if layout == "channels-last" else ["slices", "layout"]
    whole = arenaut.load_onnx(model, threads=1, without=["bands", *rest])
    force(monkeypatch, 5)
    banded = arenaut.load_onnx(model, threads=1, without=rest)
    for images in (1, 3):
        feeds = feeds_of(model, n=images)
        outputs = banded.run(feeds)
        assert_matches_ort(model, outputs, feeds, rtol=RTOL)
        np.testing.assert_array_equal(outputs["y"], whole.run(feeds)["y"])
    if layout == "channels-last":
        for other in ({"threads": 2}, {"threads": 1, "executor": "interpreted"}):
            again = arenaut.load_onnx(model, without=rest, **other)
            np.testing.assert_array_equal(again.run(feeds)["y"], outputs["y"])
    assert banded.plan.chains and all(chain.by_rows and chain.slices == 5 for chain in banded.plan.chains)
    assert banded.plan.packed_weight_bytes == whole.plan.packed_weight_bytes
    assert not whole.plan.chains


@pytest.mark.parametrize("case", ["convolution and pool", "dilations, uneven padding, rows skipped", "one axis"])
def test_rows_that_a_run_decides(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Down to fewer rows than there are bands."""
    text, weights = CASES[case]
    lines = text.splitlines()
    known = lines[0].split("[n, ")[1].split("]")[0].split(", ")
    head = lines[0].replace(f", {known[1]}", ", h", 1)
    made = head.split("float[n, ")[2].split(", ")
    head = head[: head.index("=> (")] + f"=> (float[n, {made[0]}, k{', w' * (len(made) - 2)}] y) {{"
    text = "\n".join([head, *lines[1:]]).replace('auto_pad = "SAME_LOWER"', "pads = [1, 1, 2, 2]")
    model = model_of(text, **weights)
    whole = arenaut.load_onnx(model, threads=1, without=["bands", "slices"])
    force(monkeypatch, 4)
    banded = arenaut.load_onnx(model, threads=1, without=["slices"])
    least = 24 if case == "one axis" else 4
    none = {"convolution and pool": 0, "dilations, uneven padding, rows skipped": 1, "one axis": 9}[case]
    for rows in (least, least + 1, least + 3, 17 + least, 58, 131, none):
        feeds = feeds_of(model, n=2, h=rows)
        np.testing.assert_array_equal(banded.run(feeds)["y"], whole.run(feeds)["y"])
    assert [chain.by_rows for chain in banded.plan.chains] == [True]
    assert banded.run(feeds)["y"].size == 0  # fewer than a window covers


def test_what_others_read_or_windows_span_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, 3)
    shown = STEM.replace("=> (float[n, 32, 15, 11] y)", "=> (float[n, 32, 15, 11] y, float[n, 32, 29, 21] r)")
    model = model_of(shown, **STEM_WEIGHTS)
    outputs = arenaut.load_onnx(model, threads=1)
    feeds = feeds_of(model, n=1)
    assert_matches_ort(model, outputs.run(feeds), feeds, rtol=RTOL)
    assert outputs.plan.chains == ()  # what lies between is an output
    normed = STEM.replace("r = Relu (c)", "z = Softmax <axis = 2> (c)\n  r = Relu (z)")
    model = model_of(normed, **STEM_WEIGHTS)
    banded = arenaut.load_onnx(model, threads=1)
    assert_matches_ort(model, banded.run(feeds), feeds, rtol=RTOL)
    assert all("c" not in chain.steps for chain in banded.plan.chains)  # every row of it is needed at once


@pytest.mark.parametrize(("rows", "bands", "unit"), [(56, 4, 1), (57, 4, 4), (5, 6, 1), (30, 4, 8), (1, 2, 1)])
def test_bands_cover_every_row_once(rows: int, bands: int, unit: int) -> None:
    found = bands_of(rows, bands, unit)
    assert [low for low, _ in found] == [0, *(high for _, high in found[:-1])] and found[-1][1] == rows
    assert all(low < high and low % unit == 0 for low, high in found) and len(found) <= bands  # type: ignore[operator]


class _Drawn:
    """A random network of windows and elementwise steps, with residuals and halves."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.arrays = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.axes = self.rng.choice([1, 2, 2, 2])
        self.shape = [self.rng.choice([1, 2]), self.rng.choice([4, 16]), *self.rng.choices(range(20, 50), k=self.axes)]
        self.start = list(self.shape)
        self.last = "x"
        self.seen: list[tuple[str, list[int]]] = []

    def op(self, op: str, *inputs: str, **attributes: Any) -> None:
        self.last = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [self.last], **attributes))

    def windows(self) -> dict[str, Any]:
        while True:
            kernel = [self.rng.choice([1, 2, 3, 3, 5]) for _ in range(self.axes)]
            steps = [self.rng.choice([1, 1, 1, 2, 3]) for _ in range(self.axes)]
            dilations = [self.rng.choice([1, 1, 2]) for _ in range(self.axes)]
            pads = [self.rng.randrange(k) for k in kernel * 2]
            sizes = [
                (n + pads[i] + pads[self.axes + i] - (kernel[i] - 1) * dilations[i] - 1) // steps[i] + 1
                for i, n in enumerate(self.shape[2:])
            ]
            if all(n > 3 for n in sizes):
                self.shape[2:] = sizes
                return {"kernel_shape": kernel, "strides": steps, "dilations": dilations, "pads": pads}

    def convolution(self) -> None:
        found = self.windows()
        group = self.shape[1] if self.rng.random() < 0.4 else 1
        out = group if group > 1 else self.rng.choice([4, 16, 32])
        shape = (out, self.shape[1] // group, *found["kernel_shape"])
        weight = (self.arrays.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        self.constants.append(numpy_helper.from_array(weight, f"w{len(self.nodes)}"))
        self.shape[1] = out
        self.op("Conv", self.last, self.constants[-1].name, group=group, **found)

    def pool(self) -> None:
        self.op(self.rng.choice(["MaxPool", "AveragePool"]), self.last, **self.windows())

    def unary(self) -> None:
        self.op(self.rng.choice(["Relu", "Tanh", "Sigmoid"]), self.last)

    def residual(self) -> None:
        fits = [name for name, shape in self.seen if shape == self.shape and name != self.last]
        self.op("Add", self.last, self.rng.choice(fits or [self.last]))

    def model(self) -> onnx.ModelProto:
        for _ in range(self.rng.randint(4, 9)):
            self.seen.append((self.last, list(self.shape)))
            self.rng.choice([self.convolution, self.convolution, self.pool, self.unary, self.residual])()
        kind = TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes, "drawn", [helper.make_tensor_value_info("x", kind, ["n", *self.start[1:]])],
            [helper.make_tensor_value_info(self.last, kind, ["n", *self.shape[1:]])], self.constants,
        )  # fmt: skip
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_random_networks_are_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = 0
    for seed in range(10):
        drawn = _Drawn(seed)
        model = drawn.model()
        feeds = feeds_of(model, n=drawn.start[0])
        whole = arenaut.load_onnx(model, threads=1, without=["bands", "slices"]).run(feeds)
        with monkeypatch.context() as patched:
            force(patched, 2 + seed % 4)
            banded = arenaut.load_onnx(model, threads=1, without=["slices"])
            for name, got in banded.run(feeds).items():
                np.testing.assert_array_equal(got, whole[name], err_msg=f"seed {seed}")
        found += len(banded.plan.chains)
    assert found > 5


def test_a_real_graph_with_every_chain_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "mobilenet-v3-large"
    entry = load_manifest()[name]
    model, feeds = load_skeleton(name), make_feeds(entry, entry.bindings[-1], seed=1)
    whole = arenaut.load_onnx(model, threads=1, without=["slices", "bands"]).run(feeds)
    force(monkeypatch, 3)
    banded = arenaut.load_onnx(model, threads=2)
    for output, got in banded.run(feeds).items():
        assert_close(got, whole[output], rtol=1e-4, name=output)
    assert sum(chain.by_rows for chain in banded.plan.chains) >= 2


DEEP = """deep (float[n, 1, samples] x) => (float[n, 16, k] y) {
  a = Conv <strides = [5]> (x, w1)
  b = Conv <strides = [4]> (a, w2)
  c = Tanh (b)
  y = Conv <strides = [4]> (c, w2)
}"""


def test_sizes_that_leave_no_row_where_they_are_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program is planned for 64 samples, of which three convolutions leave nothing."""
    model = model_of(DEEP, w1=(16, 1, 10), w2=(16, 16, 8))
    feeds = feeds_of(model, n=1, samples=4000)
    whole = arenaut.load_onnx(model, threads=1, without=["bands"]).run(feeds)
    np.testing.assert_array_equal(arenaut.load_onnx(model, threads=1).run(feeds)["y"], whole["y"])
    force(monkeypatch, 4)
    np.testing.assert_array_equal(arenaut.load_onnx(model, threads=1).run(feeds)["y"], whole["y"])


FLAT = """flat (float[n, 960] x) => (float[n, 8, 10, 6] y) {
  t = Tanh (x)
  dims = Constant <value_ints = [-1, 4, 20, 12]> ()
  r = Reshape (t, dims)
  s = Add (r, r)
  y = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (s, w)
}"""


def test_rows_of_what_was_made_in_another_shape_are_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, 3)
    model = model_of(FLAT, w=(8, 4, 3, 3))
    feeds = feeds_of(model, n=2)
    for without in ([], ["tile driver"]):
        assert_matches_ort(model, arenaut.load_onnx(model, threads=1, without=without).run(feeds), feeds, rtol=RTOL)


QUANTISED = """quantised (uint8[n, 8, 41, 30] x) => (uint8[n, 16, 10, 15] y) {
  s = Constant <value = float {0.05}> ()
  z = Constant <value = uint8 {120}> ()
  u = Constant <value = int8 {0}> ()
  c = QLinearConv <pads = [1, 1, 1, 1], strides = [2, 1]> (x, s, z, w1, s, u, s, z)
  m = MaxPool <kernel_shape = [3, 2], strides = [1, 2]> (c)
  d = QLinearConv <group = 16, pads = [1, 1, 0, 1]> (m, s, z, w2, s, u, s, z)
  y = QLinearConv <strides = [2, 1]> (d, s, z, w3, s, u, s, z)
}"""


def test_bytes_in_bands_are_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{QUANTISED}')
    rng = np.random.default_rng(1)
    for name, shape in {"w1": (16, 8, 3, 3), "w2": (16, 1, 3, 3), "w3": (16, 16, 1, 1)}.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.integers(-20, 20, shape).astype(np.int8), name))
    feeds = {"x": rng.integers(0, 255, (2, 8, 41, 30)).astype(np.uint8)}
    whole = arenaut.load_onnx(model, threads=1, without=["bands"]).run(feeds)
    force(monkeypatch, 3)
    banded = arenaut.load_onnx(model, threads=1)
    np.testing.assert_array_equal(banded.run(feeds)["y"], whole["y"])
    assert len(set(whole["y"].ravel())) > 20
    assert any(len(chain.steps) == 3 for chain in banded.plan.chains)
