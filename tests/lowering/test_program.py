"""The lowered program as plain data."""

from __future__ import annotations

from arenaut.ir.dtypes import DType
from arenaut.lowering.program import LoweredStep, Segment, StepKind, host_place
from tests.support.lowering import lowered


def test_operands_are_inputs_then_outputs_with_absent_ones() -> None:
    program = lowered("t (float[4, 6] x) => (float[4, 6] y) { y = Softmax (x) }")
    (step,) = program.steps
    assert step.operands() == [*step.inputs, *step.outputs] and step.outputs == program.outputs


def test_an_object_of_the_host_has_a_place_without_dims() -> None:
    place = host_place(3, DType.STRING)
    assert (place.buffer, place.dims, place.strides) == (3, (), ())


def test_a_program_names_what_its_steps_belong_to() -> None:
    program = lowered("t (float[4] x, bool c) => (float[4] y) { y = If (c) <then_branch = a () => (float[4] p) "
                      "{ p = Exp (x) }, else_branch = b () => (float[4] q) { q = Neg (x) }> }")  # fmt: skip
    (step,) = [s for s in program.steps if s.kind is StepKind.IF]
    assert isinstance(step, LoweredStep) and [len(b.steps) for b in step.bodies] == [1, 1]
    assert [b.steps[0].node.op for b in step.bodies] == ["Exp", "Neg"]
    assert {b.segment for b in program.buffers} <= {Segment.INPUT, Segment.OUTPUT, Segment.ARENA}
