"""The reference backend: a step's node computed by its record's evaluator, on numpy."""

from __future__ import annotations

import numpy as np

from arenaut import _native
from arenaut.ir.evaluate import evaluate_node
from arenaut.ir.graph import Value
from arenaut.lowering.build import Built
from arenaut.lowering.program import LoweredStep, StepKind
from arenaut.native.arrays import from_native, to_native


class ReferenceBackend:
    """Runs steps that are a whole node: those that make all the outputs of their node in one step."""

    name = "reference"

    def run_step(self, built: Built, run: _native.Run, step: LoweredStep) -> bool:
        outputs = [v for v in step.node.outputs if v is not None]
        made = {id(p) for p in step.outputs}
        whole = step.kind is StepKind.KERNEL and all(
            any(id(built.places.get(id(v))) == m for m in made) for v in outputs
        )
        if not whole or any(v is not None and id(v) not in built.value_ids for v in step.node.inputs):
            return run.step()
        inputs = [None if v is None else read_input(built, run, v) for v in step.node.inputs]
        results = evaluate_node(step.node, inputs)
        run.step()
        for value, result in zip(step.node.outputs, results, strict=False):
            if value is not None:
                run.write(built.value_ids[id(value)], to_native(np.asarray(result, value.dtype.numpy)))
        return True


def read_input(built: Built, run: _native.Run, value: Value) -> object:
    """The value as the run has it: a constant, or a copy of what lies at its place."""
    if value.constant is not None:
        return value.constant
    return from_native(np.asarray(run.read(built.value_ids[id(value)])), value.dtype)
