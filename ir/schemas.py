"""What onnx's own schemas say: versions, signatures, attribute defaults. Read-only look-ups, cached.

onnx is imported when something is first looked up, never before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any


@cache
def newest_opset(domain: str) -> int:
    """The newest version of a standard domain that the installed onnx knows; 0 for other domains."""
    from onnx import defs

    if domain == "":
        return int(defs.onnx_opset_version())
    return max((int(s.since_version) for s in defs.get_all_schemas_with_history() if s.domain == domain), default=0)


@cache
def schema_at(domain: str, op: str, opset: int) -> Any | None:
    """The schema in force at an opset of the op's domain, None when there is no such op yet. An op that the standard
    withdrew keeps its last meaning."""
    from onnx import defs

    try:
        schema = defs.get_schema(op, max_inclusive_version=opset, domain=domain)
    except defs.SchemaError:
        return None
    earlier = schema_at(domain, op, schema.since_version - 1) if schema.deprecated else None
    return earlier or schema


def newest_schema(domain: str, op: str) -> Any | None:
    """The schema that the graph's ops follow, None when onnx does not know the op."""
    return schema_at(domain, op, newest_opset(domain))


@cache
def last_opset(domain: str, op: str) -> int:
    """The newest version of the domain that still has the op."""
    from onnx import defs

    newest = newest_opset(domain)
    live = newest_schema(domain, op)
    if live is None:
        return newest
    stated = defs.get_schema(op, max_inclusive_version=newest, domain=domain)
    return int(stated.since_version) - 1 if stated.since_version > live.since_version else newest


@dataclass(frozen=True)
class Signature:
    """What a node must look like: read off a schema once, since each look at a schema copies it out of C++."""

    since_version: int
    inputs: tuple[int, int]  # fewest and most
    outputs: tuple[int, int]
    required_inputs: tuple[tuple[int, str], ...]  # place and name of those that may not be empty
    attribute_types: Mapping[str, int]
    required_attributes: tuple[str, ...]


@cache
def signature(domain: str, op: str, opset: int) -> Signature | None:
    """The signature of an op at an opset of its domain, None when there is no such op yet."""
    schema = schema_at(domain, op, opset)
    if schema is None:
        return None
    single = type(schema.inputs[0].option).Single if schema.inputs else None
    attributes = schema.attributes
    return Signature(
        since_version=schema.since_version,
        inputs=(schema.min_input, schema.max_input),
        outputs=(schema.min_output, schema.max_output),
        required_inputs=tuple((i, p.name) for i, p in enumerate(schema.inputs) if p.option == single),
        attribute_types=MappingProxyType({name: int(a.type) for name, a in attributes.items()}),
        required_attributes=tuple(name for name, a in attributes.items() if a.required),
    )


@cache
def versions(domain: str, op: str) -> tuple[int, ...]:
    """The opsets at which the op was introduced or changed, oldest first."""
    found: list[int] = []
    schema = newest_schema(domain, op)
    while schema is not None:
        found.append(schema.since_version)
        schema = schema_at(domain, op, schema.since_version - 1)
    return tuple(reversed(found))


@cache
def default_attributes(domain: str, op: str, opset: int) -> Mapping[str, Any]:
    """Attribute defaults at an opset, as the IR holds them. Attributes without a default are absent."""
    schema = schema_at(domain, op, opset)
    if schema is None:
        return MappingProxyType({})
    from onnx import helper

    filled = {
        name: helper.get_attribute_value(attribute.default_value)
        for name, attribute in schema.attributes.items()
        if attribute.default_value.name
    }
    return MappingProxyType({name: _plain(value) for name, value in filled.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return tuple(_plain(v) for v in value) if isinstance(value, (list, tuple)) else value
