from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.ir.graph import Array
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.transpose_as_product import transpose_as_product
from tests.support.models import ort_outputs
from tests.support.rewriting import Rewritten, rewrite
from tests.support.rowcall import available_tiers

RNG = np.random.default_rng(8)
F32, U8, I8 = np.float32, np.uint8, np.int8
CONSTANTS = {
    "s": F32(0.02), "z": U8(120), "t": F32(0.01), "i": I8(3), "each": RNG.uniform(0.01, 0.02, 5).astype(F32),
    "zs": RNG.integers(-9, 9, 5).astype(I8), "k2": RNG.integers(-128, 128, (3, 5, 2, 2)).astype(I8),
    "k4": RNG.integers(-128, 128, (3, 5, 4, 4)).astype(I8), "k3": RNG.integers(-128, 128, (3, 5, 3, 3)).astype(I8),
    "row": RNG.standard_normal(5).astype(F32), "count": RNG.integers(-900, 900, 5).astype(np.int32),
    "rows": RNG.uniform(0.01, 0.02, 3).astype(F32), "u": F32(0.1), "v": U8(130),
}  # fmt: skip
CONSTANTS["unit"] = CONSTANTS["s"] * CONSTANTS["each"]
X = "a = DequantizeLinear(x, s, z) "
SINGLE, EACH = "b = DequantizeLinear(%s, t, i) ", "b = DequantizeLinear <axis = 1> (%s, each, zs) "
BIAS = "d = DequantizeLinear <axis = 0> (count, unit) "
TWO = "<strides = [2, 2]>"
PADDED = "<strides = [2, 2], pads = [1, 2, 1, 0]>"
RAISED = (
    X + EACH % "k2" + BIAS + f"y = ConvTranspose {TWO} (a, b, d)",
    X + SINGLE % "k2" + f"y = ConvTranspose {TWO} (a, b, row)",
    X + SINGLE % "k4" + f"y = ConvTranspose {TWO} (a, b)",
    X + EACH % "k4" + f"y = ConvTranspose {PADDED} (a, b, row)",
    X + EACH % "k3" + "y = ConvTranspose <strides = [3, 3], pads = [0, 1, 0, 0]> (a, b)",
    X + SINGLE % "k3" + "y = ConvTranspose (a, b)",
)  # fmt: skip
LEFT = {
    X + EACH % "k3" + f"y = ConvTranspose {TWO} (a, b)": "no multiple",
    X + EACH % "k4" + "y = ConvTranspose <strides = [2, 4]> (a, b)": "no multiple",
    X + EACH % "k4" + "y = ConvTranspose <strides = [2, 2], dilations = [2, 2]> (a, b)": "no multiple",
    X + EACH % "k2" + "y = ConvTranspose <strides = [2, 2], output_padding = [1, 1]> (a, b)": "no known part",
    X + "b = DequantizeLinear <axis = 0> (k2, rows) " + f"y = ConvTranspose {TWO} (a, b)": "one scale a channel",
    X + "b = Cast <to = 1> (k2) " + f"y = ConvTranspose {TWO} (a, b)": None,
}


def model(body: str, result: str = "float") -> onnx.ModelProto:
    graph = onnx.parser.parse_graph(f"t (uint8[2,3,5,6] x) => ({result}[a,b,c,d] y) {{ {body} }}")
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in CONSTANTS.items() if n in read)
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


FEEDS = {"x": RNG.integers(0, 256, (2, 3, 5, 6)).astype(U8)}


def run(body: str) -> Rewritten:
    return rewrite(model(body), transpose_as_product, eliminate_dead_code, feeds=FEEDS, rtol=2e-6, plain=True)


@pytest.mark.parametrize("body", RAISED)
def test_raised(body: str) -> None:
    ops = run(body).ops
    assert "ConvTranspose" not in ops and {"Conv", "DepthToSpace"} <= set(ops)


@pytest.mark.parametrize("body", LEFT)
def test_left_alone(body: str) -> None:
    result = run(body)
    assert "ConvTranspose" in result.ops
    assert LEFT[body] is None or any(str(LEFT[body]) in e.reason for e in result.events if not e.fired), result.events


@pytest.mark.parametrize(("channels", "filters"), [(0, 2), (3, 0), (0, 0)])
def test_no_channels_or_filters(channels: int, filters: int) -> None:
    text = (
        f"t (uint8[1,{channels},3,3] x) => (float[a,b,c,d] y) {{ {X} {SINGLE % 'k'} y = ConvTranspose {TWO} (a, b) }}"
    )
    graph = onnx.parser.parse_graph(text.replace("(k, t, i)", "(k, s, z)"))
    empty = np.zeros((channels, filters, 2, 2), U8)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in
                             (("k", empty), ("s", CONSTANTS["s"]), ("z", CONSTANTS["z"])))  # fmt: skip
    whole = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])
    y = arenaut.load_onnx(whole).run({"x": np.zeros((1, channels, 3, 3), U8)})["y"]
    assert y.shape == (1, filters, 6, 6) and not y.any()


def sums(w: Array, zero: Array, step: int) -> Array:
    """Of int64, in the order of the definition: every input is spread by the kernel."""
    x = FEEDS["x"].astype(np.int64) - 120
    weights = w.astype(np.int64) - zero.reshape(1, -1, 1, 1)
    height, width = ((n - 1) * step + w.shape[2] for n in x.shape[2:])
    out = np.zeros((2, 5, height, width), np.int64)
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            part = np.einsum("nc,cohw->nohw", x[:, :, i, j], weights)
            out[:, :, i * step : i * step + w.shape[2], j * step : j * step + w.shape[3]] += part
    return out


@pytest.mark.parametrize("isa", [None, *available_tiers()])
@pytest.mark.parametrize(("kernel", "step"), [("k2", 2), ("k4", 2), ("k3", 3)])
def test_sums_are_exact_on_every_tier(isa: str | None, kernel: str, step: int) -> None:
    """Requantised once, from exact sums: every byte."""
    body = X + EACH % kernel + BIAS + f"m = ConvTranspose <strides = [{step}, {step}]> (a, b, d) "
    body += "y = QuantizeLinear(m, u, v)"
    loaded = arenaut.load_onnx(model(body, "uint8"), isa=isa)
    got = loaded.run(dict(FEEDS))["y"]
    total = sums(CONSTANTS[kernel], CONSTANTS["zs"], step) + CONSTANTS["count"].reshape(1, -1, 1, 1)
    scale = (CONSTANTS["s"] * CONSTANTS["each"] / CONSTANTS["u"]).astype(F32).reshape(1, -1, 1, 1)
    want = np.clip(np.rint(total.astype(F32) * scale) + 130, 0, 255).astype(U8)
    np.testing.assert_array_equal(got, want)
    assert "conv_transpose_f32" not in [each.kernel for each in loaded.profile(dict(FEEDS), repeat=1).steps]
    assert len(np.unique(got)) > 100


# -- few channels in floats -----------------------------------------------------------------------------------------

NARROW = (
    ("2,6,9", "6,1,16", "<strides = [8]>"), ("2,6,9", "6,3,4", "<strides = [2], pads = [1, 1]>"),
    ("2,6,9", "6,2,7", "<strides = [4], pads = [3, 0], output_padding = [1]>"), ("1,4,5,6", "4,1,4,4", PADDED),
    ("1,4,5,6", "4,8,3,3", "<strides = [2, 2], pads = [1, 1, 1, 1], output_padding = [1, 1]>"),
    ("2,4,5,6", "4,3,4,2", "<strides = [2, 2]>"), ("1,4,5,6", "4,2,5,5", '<strides = [3, 3], auto_pad = "SAME_UPPER">'),
)  # fmt: skip
WIDE = (
    ("1,4,5,6", "4,9,4,4", "<strides = [2, 2]>"), ("1,4,5,6", "4,2,2,2", "<strides = [2, 2]>"),
    ("1,4,5,6", "4,2,4,4", "<strides = [2, 2], group = 2>"), ("1,4,5,6", "4,2,3,3", ""),
    ("1,4,5,6", "4,2,4,4", "<strides = [2, 4]>"), ("1,4,5,6", "4,2,1,1", "<strides = [2, 2]>"),
)  # fmt: skip


def floats(x: str, w: str, attributes: str, sizes: str = "") -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The weights and a bias are constants; sizes: of x as the model declares it."""
    shape = [int(n) for n in w.split(",")]
    group = 2 if "group" in attributes else 1
    graph = onnx.parser.parse_graph(
        f"t (float[{sizes or x}] x) => (float y) {{ y = ConvTranspose {attributes} (x, w, b) }}"
    )
    weights = RNG.standard_normal(shape).astype(F32), RNG.standard_normal(shape[1] * group).astype(F32)
    graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(weights, "wb", strict=True))
    made = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])
    return made, {"x": RNG.standard_normal([int(n) for n in x.split(",")]).astype(F32)}


@pytest.mark.parametrize("case", NARROW)
def test_few_channels_are_made_by_phases(case: tuple[str, str, str]) -> None:
    graph, feeds = floats(*case)
    result = rewrite(graph, transpose_as_product, eliminate_dead_code, feeds=feeds, rtol=1e-5, plain=True)
    assert "ConvTranspose" not in result.ops and "Conv" in result.ops


@pytest.mark.parametrize("case", WIDE)
def test_other_floats_stay(case: tuple[str, str, str]) -> None:
    graph, feeds = floats(*case)
    result = rewrite(graph, transpose_as_product, eliminate_dead_code, feeds=feeds, rtol=1e-5, plain=True)
    assert "ConvTranspose" in result.ops


@pytest.mark.parametrize("sizes", [(2, 9), (1, 1), (0, 4), (3, 0)])
def test_few_channels_at_sizes_found_at_run_time(sizes: tuple[int, int]) -> None:
    graph, _ = floats("1,6,9", "6,1,16", "<strides = [8], pads = [4, 4]>", "n,6,t")
    x = RNG.standard_normal((sizes[0], 6, sizes[1])).astype(F32)
    y = arenaut.load_onnx(graph).run({"x": x})["y"]
    assert y.shape == (sizes[0], 1, 8 * sizes[1])
    np.testing.assert_allclose(y, arenaut.load_onnx(graph, optimize=False).run({"x": x})["y"], rtol=2e-5, atol=2e-5)


def test_bytes_of_unknown_rank() -> None:
    made = model(f"{X} {SINGLE % 'k2'} y = ConvTranspose {TWO} (a, b)")
    made.graph.input[0].type.tensor_type.ClearField("shape")
    y = arenaut.load_onnx(made).run(FEEDS)["y"]
    np.testing.assert_allclose(y, ort_outputs(made, FEEDS, plain=True)[0], rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("unknown", ["x", "w"])
def test_operands_of_unknown_rank(unknown: str) -> None:
    graph = onnx.parser.parse_graph(
        "t (float[1,4,5] x, float[4,2,4] w) => (float[a,b,c] y) { y = ConvTranspose <strides = [2]> (x, w) }"
    )
    for given in graph.input:
        if given.name == unknown:
            given.type.tensor_type.ClearField("shape")
    made = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])
    feeds = {"x": RNG.standard_normal((1, 4, 5)).astype(F32), "w": RNG.standard_normal((4, 2, 4)).astype(F32)}
    y = arenaut.load_onnx(made).run(feeds)["y"]
    np.testing.assert_allclose(y, ort_outputs(made, feeds, plain=True)[0], rtol=1e-5, atol=1e-6)
