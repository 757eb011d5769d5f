"""Opset upgrade: one rule per (op, version) whose meaning changed in the next version, and a reason for every other.

A node starts at the version its model names, with the defaults of that version written out, and climbs step by step to
the newest. So each change of the standard is written once, in the family file of its ops.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType, ModuleType

from arenaut.frontend.spec import Outcome, Rule, Spec
from arenaut.ir.record import Build
from arenaut.ir.schemas import versions

Step = tuple[str, str, int]  # domain, op, the version whose meaning the next one changed


def _families() -> list[ModuleType]:
    from arenaut.frontend.upgrade import arithmetic, layout, ml, normalization, recurrent, reduction, resize

    return [arithmetic, layout, ml, normalization, recurrent, reduction, resize]


@cache
def rules() -> Mapping[Step, Rule]:
    """Every upgrade rule. A family holds its own in RULES."""
    table: dict[Step, Rule] = {}
    for module in _families():
        for step, rule in module.RULES.items():
            if step in table:
                raise ValueError(f"two upgrade rules for {step}")
            table[step] = rule
    return MappingProxyType(table)


@cache
def canonical_forms() -> Mapping[tuple[str, str], Rule]:
    """Rules for nodes of the newest version that can say one thing in two ways. A family holds its own in CANONICAL."""
    table: dict[tuple[str, str], Rule] = {}
    for module in _families():
        table.update(getattr(module, "CANONICAL", {}))
    return MappingProxyType(table)


@cache
def _next_rule(domain: str, op: str, version: int) -> tuple[int, int]:
    """From a version on, the first one with a rule and the one after it; the newest version and 0 when none follows.

    Raises LookupError for a step that has neither a rule nor a reason why it needs none.
    """
    from arenaut.frontend.upgrade.unchanged import unchanged

    chain = [version, *(v for v in versions(domain, op) if v > version)]
    for old, new in zip(chain, [*chain[1:], 0], strict=True):
        if (domain, op, old) in rules():
            return old, new
        if new and (domain, op, old) not in unchanged():
            raise LookupError(str(new))
    return chain[-1], 0


def upgrade(build: Build, spec: Spec) -> Outcome:
    """The node as the newest opset says it, or the values that stand for its outputs.

    Raises UnsupportedError for a version step that this table does not know: a newer onnx changed the op.
    """
    while True:
        try:
            version, following = _next_rule(spec.domain, spec.op, spec.version)
        except LookupError as error:
            raise spec.unsupported(
                f"opset {error} changed this op in a way that this arenaut does not know. Update arenaut"
            ) from None
        rule = rules().get((spec.domain, spec.op, version))
        if rule is None:
            break
        outcome = rule(build, spec)
        if not isinstance(outcome, Spec):
            return outcome
        stays = outcome.op == spec.op and outcome.version == spec.version
        spec = outcome.change(version=following) if stays else outcome
    canonical = canonical_forms().get((spec.domain, spec.op))
    return spec if canonical is None else canonical(build, spec)
