"""Which ops of the official cases run through Python: exactly those on the list."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from arenaut import onnx_backend as backend
from tests.conformance.cases import Case, cases
from tests.conformance.known import FAILURES
from tests.conformance.lowered import all_steps, in_python, python_reason, with_constant_arguments
from tests.support.in_python import AT_RUN_TIME, HOST_CALLS


def hosted(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Op and reason of each node of the optimised model that runs through Python."""
    built = backend.prepare(model, threads=1, optimize_memory="fast").model._built
    for node in in_python(list(all_steps(built.lowered))):
        yield f"{node.domain}.{node.op}" if node.domain else node.op, python_reason(node)


def light_cases() -> list[Case]:
    return [c for c in cases() if c.suite != "real" and c.name not in FAILURES]


def test_host_calls_are_those_on_the_list() -> None:
    reasons: dict[str, set[str]] = {}
    at_run_time: dict[str, set[str]] = {}
    for case in light_cases():
        model = with_constant_arguments(case)
        for op, reason in hosted(model):
            reasons.setdefault(op, set()).add(reason)
        if len(model.graph.input) < len(case.model().graph.input):
            for op, reason in hosted(case.model()):
                at_run_time.setdefault(op, set()).add(reason)
    found = {op: ", ".join(sorted(r)) for op, r in reasons.items()}
    late = {op: ", ".join(sorted(left)) for op, r in at_run_time.items() if (left := r - reasons.get(op, set()))}
    assert found == HOST_CALLS
    assert late == AT_RUN_TIME
