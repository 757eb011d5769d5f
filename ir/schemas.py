"""What the standard's schemas say: versions, signatures, attribute defaults. Read-only look-ups, cached.

They are read from ir/schemas.jsonl, which `python -m arenaut.ir.schemas` writes from the installed onnx: a line of JSON
for each op, parsed when that op is first asked for. So a model loads without importing onnx.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from arenaut.plain import cached_property, dataclass

TABLE = os.path.join(os.path.dirname(__file__), "schemas.jsonl")


@dataclass(frozen=True)
class Parameter:
    """A formal input or output. option: "single", "optional", "variadic" (its last, repeated) or "mixed" (repeated with
    types of its own). types: what it may be, as the schemas write types; type_name: parameters of one type name have
    one type."""

    name: str
    option: str
    types: tuple[str, ...]
    type_name: str

    @cached_property
    def allowed(self) -> frozenset[str]:
        """The types that an operand may have: an optional parameter also takes what it would hold."""
        held = [t[len("optional(") : -1] for t in self.types if t.startswith("optional(")]
        return frozenset([*self.types, *held])


@dataclass(frozen=True)
class Signature:
    """What a node must look like at one version of its op."""

    since_version: int
    inputs: tuple[int, int]  # fewest and most
    outputs: tuple[int, int]
    input_parameters: tuple[Parameter, ...]
    output_parameters: tuple[Parameter, ...]
    attribute_types: Mapping[str, int]
    required_attributes: tuple[str, ...]
    defaults: Mapping[str, Any]

    def input_parameter(self, place: int) -> Parameter | None:
        """What the input at this place is; the last one repeats."""
        return self.input_parameters[min(place, len(self.input_parameters) - 1)] if self.input_parameters else None


@dataclass(frozen=True)
class _Table:
    """newest: version by domain. type_lists: what parameters name by index. ops: the line of each op."""

    newest: Mapping[str, int]
    type_lists: Sequence[Sequence[str]]
    ops: Mapping[tuple[str, str], str]


def _lines() -> list[str]:
    with open(TABLE, encoding="utf-8") as file:
        return file.read().splitlines()


@cache
def _table() -> _Table:
    newest, type_lists, *lines = _lines()
    ops: dict[tuple[str, str], str] = {}
    for line in lines:
        domain, op, versions = line.split("\t", 2)
        ops[domain, op] = versions
    return _Table(json.loads(newest), json.loads(type_lists), ops)


@cache
def _versions(domain: str, op: str) -> tuple[Signature, ...]:
    """The op's versions, oldest first. One that withdraws it is left out, unless it is the first that there is."""
    line = _table().ops.get((domain, op))
    stored = [] if line is None else json.loads(line)
    return tuple(_signature(v) for i, v in enumerate(stored) if i == 0 or not v["withdrawn"])


def _signature(stored: Mapping[str, Any]) -> Signature:
    lists = _table().type_lists
    inputs, outputs = (
        tuple(Parameter(name, option, tuple(lists[types]), kind) for name, option, types, kind in stored[side])
        for side in ("in", "out")
    )
    return Signature(
        since_version=stored["since"],
        inputs=tuple(stored["inputs"]),
        outputs=tuple(stored["outputs"]),
        input_parameters=inputs,
        output_parameters=outputs,
        attribute_types=MappingProxyType({name: kind for name, (kind, _) in stored["attributes"].items()}),
        required_attributes=tuple(name for name, (_, required) in stored["attributes"].items() if required),
        defaults=MappingProxyType({name: _plain(value) for name, value in stored["defaults"].items()}),
    )


def newest_opset(domain: str) -> int:
    """The newest version of a standard domain that arenaut knows; 0 for other domains."""
    return _table().newest.get(domain, 0)


@cache
def signature(domain: str, op: str, opset: int) -> Signature | None:
    """The signature in force at an opset of the op's domain, None when there is no such op yet. An op that the standard
    withdrew keeps its last meaning."""
    return next((s for s in reversed(_versions(domain, op)) if s.since_version <= opset), None)


def newest_signature(domain: str, op: str) -> Signature | None:
    """The signature that the graph's ops follow, None when the standard has no such op."""
    return signature(domain, op, newest_opset(domain))


def last_opset(domain: str, op: str) -> int:
    """The newest version of the domain that still has the op."""
    line = _table().ops.get((domain, op))
    *earlier, last = json.loads(line) if line is not None else [{"withdrawn": False}]
    return int(last["since"]) - 1 if earlier and last["withdrawn"] else newest_opset(domain)


def versions(domain: str, op: str) -> tuple[int, ...]:
    """The opsets at which the op was introduced or changed, oldest first."""
    return tuple(s.since_version for s in _versions(domain, op))


def default_attributes(domain: str, op: str, opset: int) -> Mapping[str, Any]:
    """Attribute defaults at an opset, as the IR holds them. Attributes without a default are absent."""
    found = signature(domain, op, opset)
    return MappingProxyType({}) if found is None else found.defaults


def onnx_schema(domain: str, op: str, opset: int | None = None) -> Any | None:
    """onnx's own schema object at an opset (None: the newest), for what only it can do; imports onnx."""
    from onnx import defs

    found = signature(domain, op, newest_opset(domain) if opset is None else opset)
    return None if found is None else defs.get_schema(op, max_inclusive_version=found.since_version, domain=domain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return tuple(_plain(v) for v in value) if isinstance(value, (list, tuple)) else value


# -- writing the table ---------------------------------------------------------------------------------------------


def table_of_onnx() -> list[str]:
    """The lines of the table, from the installed onnx."""
    from onnx import defs

    by_op: dict[tuple[str, str], list[Any]] = {}
    for schema in defs.get_all_schemas_with_history():
        by_op.setdefault((schema.domain, schema.name), []).append(schema)
    newest = {
        domain: max(s.since_version for (d, _), versions in by_op.items() if d == domain for s in versions)
        for domain in sorted({d for d, _ in by_op})
    }
    newest[""] = defs.onnx_opset_version()
    numbers: dict[tuple[str, ...], int] = {}
    lines = []
    for (domain, op), found in sorted(by_op.items()):
        stored = [_stored(s, numbers) for s in sorted(found, key=lambda s: int(s.since_version))]
        lines.append(f"{domain}\t{op}\t{_compact(stored)}")
    return [json.dumps(newest), _compact(list(numbers)), *lines]


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _stored(schema: Any, numbers: dict[tuple[str, ...], int]) -> dict[str, Any]:
    """A schema as the table holds it; numbers: the type lists so far, to which it adds its own."""
    from onnx import helper

    constraints = {c.type_param_str: tuple(sorted(c.allowed_type_strs)) for c in schema.type_constraints}

    def parameter(p: Any) -> list[Any]:
        types = constraints.get(p.type_str, (p.type_str,))
        option = p.option.name.lower() if p.is_homogeneous else "mixed"
        return [p.name, option, numbers.setdefault(types, len(numbers)), p.type_str]

    return {
        "since": schema.since_version,
        "withdrawn": schema.deprecated,
        "inputs": [schema.min_input, schema.max_input],
        "outputs": [schema.min_output, schema.max_output],
        "in": [parameter(p) for p in schema.inputs],
        "out": [parameter(p) for p in schema.outputs],
        "attributes": {n: [int(a.type.value), bool(a.required)] for n, a in sorted(schema.attributes.items())},
        "defaults": {
            name: _plain(helper.get_attribute_value(a.default_value))
            for name, a in sorted(schema.attributes.items())
            if a.default_value.name
        },
    }


if __name__ == "__main__":
    with open(TABLE, "w", encoding="utf-8") as table:
        table.write("\n".join(table_of_onnx()) + "\n")
