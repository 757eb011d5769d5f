"""What a table of ops outside the standard states of each, and how such an op is read. onnx has no schemas for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from arenaut.frontend.nodes import convert_attributes
from arenaut.frontend.scope import Scope
from arenaut.frontend.spec import Spec
from arenaut.frontend.structure import label
from arenaut.ir import DType, Value
from arenaut.ir.errors import InvalidModelError
from arenaut.ir.record import Build
from arenaut.plain import dataclass

MICROSOFT = "com.microsoft"

Outputs = Sequence["Value | None"]


@dataclass(frozen=True)
class ContribOp:
    """rule: the node's outputs in standard ops; it raises UnknownError where a rank that it needs is not known.
    defaults: every attribute it may have; None: required or optional. dtypes: of the outputs where the rule cannot
    tell, or the input that has the same one; the last stands for all that follow."""

    rule: Callable[[Build, Spec], Outputs]
    inputs: tuple[int, int]  # fewest and most
    defaults: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1
    dtypes: tuple[int | DType, ...] = (0,)


def contrib_spec(op: ContribOp, scope: Scope, proto: Any) -> Spec:
    """The node, checked against what the table states of it."""
    stated = convert_attributes(scope, proto)
    unknown = sorted(set(stated) - set(op.defaults))
    if unknown:
        raise InvalidModelError(f"{label(proto)}: it has no attribute {', '.join(unknown)} that arenaut knows of")
    inputs = scope.operands(label(proto), proto.input)
    if not op.inputs[0] <= len(inputs) <= op.inputs[1] or len(proto.output) > op.outputs:
        raise InvalidModelError(
            f"{label(proto)} has {len(inputs)} inputs and {len(proto.output)} outputs, expected "
            f"{op.inputs[0]} to {op.inputs[1]} inputs and at most {op.outputs} outputs"
        )
    return Spec(
        op=proto.op_type, domain=proto.domain, version=1, name=proto.name or next((o for o in proto.output if o), ""),
        inputs=inputs, wanted=tuple(bool(o) for o in proto.output), attributes={**op.defaults, **stated},
    )  # fmt: skip
