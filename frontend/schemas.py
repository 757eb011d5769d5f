"""What onnx's own schemas say: versions, signatures, attribute defaults. Read-only look-ups, cached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import onnx
from onnx import defs

DOMAIN_ALIASES: Mapping[str, str] = MappingProxyType({"ai.onnx": ""})


def normal_domain(domain: str) -> str:
    """The one name of a domain: "ai.onnx" is written ""."""
    return DOMAIN_ALIASES.get(domain, domain)


@cache
def newest_opset(domain: str) -> int:
    """The newest version of a standard domain that the installed onnx knows; 0 for other domains."""
    known = onnx.helper.OP_SET_ID_VERSION_MAP
    label = domain or "ai.onnx"
    return max((version for (name, version) in known if name == label), default=0)


@cache
def schema_at(domain: str, op: str, opset: int) -> defs.OpSchema | None:
    """The schema in force at an opset of the op's domain, None when there is no such op yet. An op that the standard
    withdrew keeps its last meaning."""
    try:
        schema = defs.get_schema(op, max_inclusive_version=opset, domain=domain)
    except defs.SchemaError:
        return None
    earlier = schema_at(domain, op, schema.since_version - 1) if schema.deprecated else None
    return earlier or schema


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
    single = defs.OpSchema.FormalParameterOption.Single
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
    schema = schema_at(domain, op, newest_opset(domain))
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
    filled = {
        name: onnx.helper.get_attribute_value(attribute.default_value)
        for name, attribute in schema.attributes.items()
        if attribute.default_value.name
    }
    return MappingProxyType({name: _plain(value) for name, value in filled.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return tuple(_plain(v) for v in value) if isinstance(value, (list, tuple)) else value
