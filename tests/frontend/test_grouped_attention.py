"""GroupQueryAttention as onnxruntime's decoders have it, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import arenaut
from arenaut.errors import UnsupportedError
from tests.support.importing import model_of, random, run_ort, tensor_info

MICROSOFT = "com.microsoft"
HEADS, GROUPS, SIZE = 4, 2, 16
COS, SIN = random(32, SIZE // 2, seed=8), random(32, SIZE // 2, seed=9)


def grouped(packed: bool = False, past: bool = True, bias: bool = False, **attributes: Any) -> onnx.ModelProto:
    rotary = bool(attributes.get("do_rotary"))
    names = ["q", "" if packed else "k", "" if packed else "v", "past_k" if past else "", "past_v" if past else "",
             "seqlens", "total", *(["cos", "sin"] if rotary else ["", ""]), "", "bias" if bias else ""]  # fmt: skip
    while names[-1] == "":
        names.pop()
    node = helper.make_node("GroupQueryAttention", names, ["y", "present_k", "present_v"], domain=MICROSOFT,
                            num_heads=HEADS, kv_num_heads=GROUPS, **attributes)  # fmt: skip
    width = (HEADS + 2 * GROUPS if packed else HEADS) * SIZE
    infos = [tensor_info("q", ["b", "s", width])]
    infos += [] if packed else [tensor_info(n, ["b", "s", GROUPS * SIZE]) for n in "kv"]
    infos += [tensor_info(n, ["b", GROUPS, "p", SIZE]) for n in ("past_k", "past_v") if past]
    infos += [tensor_info("seqlens", ["b"], TensorProto.INT32), tensor_info("total", [1], TensorProto.INT32)]
    infos += [tensor_info("bias", [1, 1, "s", "t"])] if bias else []
    constants = {"cos": COS, "sin": SIN} if rotary else {}
    return model_of([node], infos, ["y", "present_k", "present_v"], constants, opset=20, ir_version=9,
                    domains={MICROSOFT: 1})  # fmt: skip


def feeds_of(model: onnx.ModelProto, batch: int, new: int, past: int, held: list[int] | None = None) -> dict[str, Any]:
    sizes = {"b": batch, "s": new, "p": past, "t": new + past}
    feeds: dict[str, Any] = {}
    for at, info in enumerate(model.graph.input):
        dims = [d.dim_value or sizes.get(d.dim_param, 1) for d in info.type.tensor_type.shape.dim]
        feeds[info.name] = random(*dims, seed=at)
    feeds["seqlens"] = np.array(held or [past + new - 1] * batch, np.int32)
    feeds["total"] = np.array([max(feeds["seqlens"]) + 1], np.int32)
    return feeds


def check(model: onnx.ModelProto, feeds: dict[str, Any]) -> None:
    want = run_ort(model, feeds)
    for got, expected in zip(arenaut.load_onnx(model).run(feeds).values(), want, strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "attributes",
    [{}, {"do_rotary": 1}, {"do_rotary": 1, "rotary_interleaved": 1}, {"scale": 0.3}, {"softcap": 2.0},
     {"local_window_size": 3}],
    ids=str,
)  # fmt: skip
def test_a_prompt_and_the_tokens_after_it(attributes: dict[str, Any], packed: bool) -> None:
    model = grouped(packed, **attributes)
    check(model, feeds_of(model, 2, 5, 0))
    check(model, feeds_of(model, 2, 1, 6))
    check(model, feeds_of(model, 1, 3, 4))


def test_without_a_cache_to_begin_with() -> None:
    model = grouped(past=False, do_rotary=1)
    check(model, feeds_of(model, 2, 6, 0))


def test_samples_of_different_lengths_share_a_batch() -> None:
    """Their caches are as long as the longest; each one's new token goes where its own ends."""
    model = grouped(do_rotary=1)
    feeds = feeds_of(model, 2, 1, 6, held=[6, 3])
    want, got = run_ort(model, feeds), list(arenaut.load_onnx(model).run(feeds).values())
    np.testing.assert_allclose(got[0], want[0], rtol=1e-4, atol=1e-5)
    for a, b in zip(got[1:], want[1:], strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(a[1, :, :4], b[1, :, :4], rtol=1e-5, atol=1e-6)


def test_a_bias_on_the_scores() -> None:
    model = grouped(bias=True)
    check(model, feeds_of(model, 1, 4, 0))


def test_what_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="smooth_softmax is 1"):
        arenaut.load_onnx(grouped(smooth_softmax=1))
