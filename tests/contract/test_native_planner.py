"""Python's packing core and the native resolver give the same offsets; real plans pass the independent validator."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import arenaut
from arenaut import _native
from arenaut.planner import Rect, first_fit
from tests.support import skeletons


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Rect], list[int]]:
    count = draw(st.integers(1, 24))
    rects = []
    for _ in range(count):
        first = draw(st.integers(0, 12))
        size = draw(st.sampled_from([0, 1, 63, 64, 65, 200, 4096]))
        rects.append(Rect(size, first, draw(st.integers(first, 14))))
    return rects, draw(st.permutations(range(count)))


@given(problems())
def test_native_first_fit_is_the_planners(problem: tuple[list[Rect], list[int]]) -> None:
    rects, order = problem
    want = first_fit(rects, order)
    offsets = list(want[0]) if isinstance(want, tuple) else list(want)
    got = _native.resolve([(r.size, r.first, r.last) for r in rects], order)
    assert got == offsets


def test_native_offsets_are_the_plans() -> None:
    """For the sizes that were planned, the binding's arena is the plan's, and no two live blocks overlap."""
    for name in ("transformer-block", "resnet50"):
        model = arenaut.load_onnx(skeletons.load_skeleton(name), threads=1, shapes={"batch": 1})
        feeds = {
            i.name: np.zeros([d if isinstance(d, int) else 1 for d in i.shape or ()], i.dtype) for i in model.inputs
        }
        model.run(feeds)
        plan = model.plan
        assert plan.lower_bound_bytes <= plan.arena_bytes
        blocks = [b for b in plan.blocks if b.bytes]
        assert len(blocks) > 4
        for i, a in enumerate(blocks):
            assert a.offset % 64 == 0 and a.offset + a.bytes <= plan.intermediate_bytes
            for b in blocks[i + 1 :]:
                alive_together = a.first <= b.last and b.first <= a.last
                apart = a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset
                assert apart or not alive_together, (a, b)
