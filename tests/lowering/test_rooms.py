"""Scratch of several threads that would raise the peak."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut
from arenaut.frontend import import_model
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.problem import Facts
from arenaut.lowering.program import Lowered
from arenaut.lowering.rooms import LEAST, LEAST_NEAR, MOST, ROOM, share_room
from arenaut.lowering.winograd import FORM
from arenaut.native.target import current_target

TARGET = replace(current_target(1), l2_bytes=2 << 20, l3_bytes=32 << 20)


def chain(channels: int, size: int, *, wider: int = 0) -> onnx.ModelProto:
    """Two 3 x 3 convolutions. wider: between them are two of 1 x 1 taps, to so many channels and back."""
    rng = np.random.default_rng(0)
    dims = [(channels, channels, 3, 3), (channels, channels, 3, 3)]
    if wider:
        dims[1:1] = [(wider, channels, 1, 1), (channels, wider, 1, 1)]
    weights = [
        numpy_helper.from_array((rng.standard_normal(d) / np.sqrt(d[1] * 9)).astype(np.float32), f"w{i}")
        for i, d in enumerate(dims)
    ]
    nodes = [
        helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"], pads=[d[2] // 2] * 4) for i, d in enumerate(dims)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, size, size])
        for name in ("x0", f"x{len(dims)}")
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def rooms(model: onnx.ModelProto, threads: int) -> list[Any]:
    """Of the convolutions of 3 x 3 taps, which all are made to run in tiles."""
    target = replace(TARGET, threads=threads)
    lowered = lower_graph(import_model(model).graph, target)
    steps = [replace(s, params={**s.params, FORM: 4 if s.params["kernel"] == (3, 3) else 0}) for s in lowered.steps]
    return rooms_of(share_room(replace(lowered, steps=steps), target, {}, Facts()))


def rooms_of(lowered: Lowered) -> list[Any]:
    return [step.params.get(ROOM, 0) for step in lowered.steps if step.params.get(FORM, 0)]


def test_one_thread_takes_what_is_fastest() -> None:
    assert rooms(chain(64, 56), 1) == [0, 0]


def test_tiles_of_two_threads_are_smaller_where_they_raise_the_peak() -> None:
    assert rooms(chain(64, 28), 2) == [LEAST_NEAR, LEAST_NEAR]
    assert rooms(chain(256, 14), 2) == [LEAST, LEAST]  # filters that are read from farther away once a block


def test_where_there_is_room_they_stay_as_large() -> None:
    bare = 2 * 256 * 112 * 112 * 4  # what is live at the widest step, at least
    assert bare // 4 > 2 * MOST
    assert rooms(chain(64, 112, wider=256), 2) == [0, 0]


@pytest.mark.parametrize(("channels", "size"), [(64, 56), (128, 28)])
def test_results_have_the_same_bytes_for_any_room(channels: int, size: int) -> None:
    model = chain(channels, size)
    x = np.random.default_rng(1).standard_normal((1, channels, size, size)).astype(np.float32)
    loaded = [arenaut.load_onnx(model, threads=threads) for threads in (1, 2)]
    one, two = (each.run({"x0": x})["x2"] for each in loaded)
    limits = [rooms_of(each._built.lowered) for each in loaded]
    assert any(limits[1]) and not any(limits[0])
    np.testing.assert_array_equal(one, two)
