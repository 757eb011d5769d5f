"""Looks through a whole model before anything is built, to list at once every op that is not supported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from arenaut.frontend.contrib.refused import REASONS
from arenaut.frontend.functions import function_key
from arenaut.frontend.handlers import HANDLERS
from arenaut.frontend.messages import check_text
from arenaut.frontend.structure import bodies_of, label, normal_domain
from arenaut.ir.errors import InvalidModelError, UnsupportedError
from arenaut.ir.schemas import newest_opset, newest_signature, signature
from arenaut.plain import dataclass


@dataclass
class _Problem:
    reason: str
    nodes: list[str] = field(default_factory=list)


def check_supported(model: Any, opsets: Mapping[str, int]) -> None:
    """Raises UnsupportedError naming every op, with domain, opset, nodes and what to do, that the model uses and that
    has neither a schema nor a function. The model's IR version is no reason to refuse it."""
    check_text(opsets)
    functions = {function_key(f): f for f in model.functions}
    too_new = [
        f"{domain or 'ai.onnx'} {version} (newest known: {newest_opset(domain)})"
        for domain, version in sorted(opsets.items())
        if 0 < newest_opset(domain) < version
    ]
    if too_new:
        raise UnsupportedError(
            f"the model's opset is newer than arenaut knows: {', '.join(too_new)}. "
            "Update arenaut, or export for an older opset"
        )
    problems: dict[tuple[str, str, int], _Problem] = {}
    reasons: dict[tuple[str, str, int | None], str] = {}
    for node, in_force in _all_nodes(model.graph, opsets, functions):
        check_text([node.op_type, node.domain, node.name, *node.input, *node.output])
        domain = normal_domain(node.domain)
        key = (domain, node.op_type, getattr(node, "overload", ""))
        if key in functions:
            continue
        if not node.op_type:
            raise InvalidModelError(f"{label(node)} names no op. The file is damaged")
        version = in_force.get(domain)
        asked = (domain, node.op_type, version)
        if asked not in reasons:
            reasons[asked] = _reason(*asked)
        reason = reasons[asked]
        if reason:
            problem = problems.setdefault((domain, node.op_type, version or 0), _Problem(reason))
            problem.nodes.append(node.name or next((o for o in node.output if o), "?"))
    if problems:
        raise UnsupportedError(_message(problems))


def _reason(domain: str, op: str, version: int | None) -> str:
    """Why an op cannot be run; empty when it can."""
    handled = (domain, op) in HANDLERS
    if (domain, op) in REASONS:
        return REASONS[domain, op]
    if newest_opset(domain) == 0 and not handled:
        return "unknown domain and no function of that name in the model; ship the op as a model-local function"
    if version is None:
        return f"the model does not import the domain; add {domain or 'ai.onnx'} to its opset_import"
    if handled:
        return ""
    if version < 1:
        return "the opset version must be at least 1; export the model again"
    if signature(domain, op, version) is not None:
        return ""
    if newest_signature(domain, op) is not None:
        return "the op is newer than the opset the model states; export for a newer opset"
    return "no op of that name in the standard; export it as standard ops or as a model-local function"


def _all_nodes(
    graph: Any, opsets: Mapping[str, int], functions: Mapping[Any, Any]
) -> Iterator[tuple[Any, Mapping[str, int]]]:
    """Every node that would be run, in bodies and called functions too, with the opsets in force there."""
    pending: list[tuple[Any, Mapping[str, int]]] = [(node, opsets) for node in reversed(graph.node)]
    called: set[Any] = set()
    while pending:
        node, in_force = pending.pop()
        yield node, in_force
        for _, body in bodies_of(node):
            pending.extend((inner, in_force) for inner in reversed(body.node))
        if not functions:
            continue
        key = (normal_domain(node.domain), node.op_type, getattr(node, "overload", ""))
        if key in functions and key not in called:
            called.add(key)
            function = functions[key]
            own = {normal_domain(o.domain): o.version for o in function.opset_import} or opsets
            pending.extend((inner, own) for inner in reversed(function.node))


def _message(problems: Mapping[tuple[str, str, int], _Problem]) -> str:
    lines = [f"{len(problems)} op{'s' if len(problems) > 1 else ''} of the model cannot be run:"]
    for (domain, op, version), problem in sorted(problems.items()):
        shown = ", ".join(f"'{n}'" for n in problem.nodes[:5])
        more = f" and {len(problem.nodes) - 5} more" if len(problem.nodes) > 5 else ""
        lines.append(
            f"  {op} (domain {domain or 'ai.onnx'}, opset {version or 'not stated'}), {len(problem.nodes)} "
            f"node{'s' if len(problem.nodes) > 1 else ''} ({shown}{more}): {problem.reason}"
        )
    return "\n".join(lines)
