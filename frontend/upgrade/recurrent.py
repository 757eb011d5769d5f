"""Recurrent ops of the first opsets, and Scan while it still had a batch axis."""

from __future__ import annotations

from types import MappingProxyType

from arenaut.frontend.builder import FilledBuilder
from arenaut.frontend.spec import Outcome, Spec
from arenaut.frontend.upgrade.common import Rules, drop, for_ops
from arenaut.ir import Graph, TensorType, Type
from arenaut.ir.record import Build


def _direction_spelt(build: Build, spec: Spec) -> Outcome:
    """The default of the first GRU was misspelt."""
    return spec.without(direction="forward") if spec.attr("direction") == "foward" else spec


def _scan_per_sample(build: Build, spec: Spec) -> Outcome:
    """Scan-8 ran once per sample of a batch at axis 0: a Scan over the batch, whose body is the Scan over time."""
    if spec.input(0) is not None:
        raise spec.unsupported("its input sequence_lens has no form in later opsets; pad with a mask instead")
    captures = spec.attr("captures", 0)
    operands = [spec.operand(i) for i in range(1, len(spec.inputs))]
    batched = len(operands) - captures
    body = Graph("per_sample")
    for index, value in enumerate(operands):
        body.add_input(f"in{index}", _sample_of(value.type) if index < batched else value.type)
    directions = spec.attr("directions")
    settings = {"scan_input_directions": directions} if directions else {}
    results = FilledBuilder(body).ops(
        "Scan", *body.inputs, outputs=len(spec.wanted), body=spec.attr("body"), captures=captures,
        num_scan_inputs=spec.attr("num_scan_inputs"), **settings,
    )  # fmt: skip
    body.outputs = results if isinstance(results, list) else [results]
    return spec.change(
        version=9,
        inputs=tuple(operands),
        attributes={"body": body, "num_scan_inputs": batched, "captures": captures},
    )


def _sample_of(t: Type | None) -> Type | None:
    """The type of one sample of a batch."""
    return TensorType(t.dtype, t.shape[1:]) if isinstance(t, TensorType) and t.shape is not None else t


RULES: Rules = MappingProxyType(
    {
        ("", "GRU", 1): _direction_spelt,
        # Whether Y is made is told by whether the node lists it.
        **for_ops(("LSTM", "RNN"), 1, drop("output_sequence")),
        ("", "GRU", 3): drop("output_sequence"),
        ("", "Scan", 8): _scan_per_sample,
    }
)
