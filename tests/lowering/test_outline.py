"""What is told of a program: plain data that says the same as the lowered objects it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import arenaut
from arenaut.ir.dims import Sizes
from arenaut.lowering.outline import Outline, outline_of
from arenaut.lowering.problem import problem_of
from tests.support.models import parse

NET = """agraph (float[batch, 4, 6] x) => (float[batch, 4, 6] y, int64[3, n] found) {
    a = Exp (x)  b, c = Split <axis = 1, num_outputs = 2> (a)  d = Mul (b, c)  y = Concat <axis = 1> (d, c)
    found = NonZero (y) }"""


@pytest.fixture(scope="module")
def built() -> Any:
    return arenaut.load_onnx(parse(NET), threads=1)._built


@pytest.fixture(scope="module")
def outline(built: Any) -> Outline:
    return outline_of(built.lowered, built.plan, built.step_order, built.shares)


def test_steps_stand_in_the_order_of_the_run(built: Any, outline: Outline) -> None:
    assert [s.index for s in outline.steps] == built.step_order
    for step in outline.steps:
        lowered = built.lowered.steps[step.index]
        assert step.op == lowered.node.op and step.title == (lowered.node.name or lowered.node.op)
        assert step.kernel == (lowered.row.name if lowered.row is not None else lowered.kind.name.lower())
        assert step.decides == bool(lowered.sets)


def test_the_problem_is_that_of_the_lowered_program(built: Any, outline: Outline) -> None:
    sizes = Sizes({"batch": 5}, guess=lambda name: 7)
    scratch = [64 * i for i in range(len(outline.steps))]
    by_index = [0] * len(scratch)
    for index, size in zip(built.step_order, scratch, strict=True):
        by_index[index] = size
    want = problem_of(built.lowered, sizes, by_index)[0]
    got = outline.problem(sizes, scratch)
    assert [(b.size, b.kind, b.known_after) for b in got.buffers] == [
        (b.size, b.kind, b.known_after) for b in want.buffers
    ]
    assert [(s.reads, s.writes, s.after, s.scratch_bytes) for s in got.steps] == [
        (s.reads, s.writes, s.after, s.scratch_bytes) for s in want.steps
    ]
    assert [[(o.write, o.read, o.offset, o.keeps) for o in s.shares] for s in got.steps] == [
        [(o.write, o.read, o.offset, o.keeps) for o in s.shares] for s in want.steps
    ]


def test_sizes_that_steps_decide_are_named_with_their_limit(outline: Outline) -> None:
    assert [late.node for late in outline.late if late.limit is not None]
    env = Sizes({"batch": 2}, guess=lambda name: 1)
    from arenaut.ir.dims import evaluate

    assert [evaluate(late.limit, env) for late in outline.late if late.limit is not None] == [2 * 4 * 6]


def test_classes_and_views_name_buffers(built: Any, outline: Outline) -> None:
    assert [c.members for c in outline.classes] == [
        tuple(m.buffer for m in region.members) for region in built.plan.classes
    ]
    names = {b.name for b in outline.buffers}
    assert outline.views and all(v.of in names for v in outline.views)
    assert np.sum([b.segment == 3 for b in outline.buffers]) >= 1
