"""The op records, collected from the family modules. There is no other list of ops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType, ModuleType

from arenaut.ir.errors import UnsupportedError
from arenaut.ir.graph import ARENAUT_DOMAIN, Node
from arenaut.ir.record import OpRecord

# The modules that hold records, each in a tuple RECORDS.
FAMILIES = (
    "activation",
    "alignment",
    "attention",
    "block_matmul",
    "byte_means",
    "byte_rows",
    "cast",
    "constant",
    "control",
    "conv",
    "einsum",
    "elementwise",
    "fused",
    "gather",
    "half_conv",
    "half_matmul",
    "indexing",
    "integer_products",
    "logical",
    "loss",
    "linear_models",
    "matmul",
    "ml",
    "norm",
    "pool",
    "quantize",
    "recurrent",
    "reduce",
    "roi_pool",
    "resize",
    "sequence",
    "shape",
    "signal",
    "slicing",
    "softmax",
    "text",
    "tokens",
    "svm",
    "trees",
    "vision",
)


def _families() -> list[ModuleType]:
    return [import_module(f"arenaut.ir.ops.{name}") for name in FAMILIES]


@cache
def all_records() -> Mapping[tuple[str, str], OpRecord]:
    """Every written record by (domain, op). A module holds its records in RECORDS."""
    table: dict[tuple[str, str], OpRecord] = {}
    for module in _families():
        for record in module.RECORDS:
            if record.key in table:
                raise ValueError(f"two records for {record.key}")
            table[record.key] = record
    return MappingProxyType(table)


_added: dict[tuple[str, str], OpRecord] = {}


def add_records(records: Iterable[OpRecord]) -> None:
    """Records of ops that another room says in the ops of this one."""
    _added.update({record.key: record for record in records})


def find_record(domain: str, op: str) -> OpRecord | None:
    """The written record, else one that asks onnx itself (schema, shape inference, reference evaluator), else None."""
    record = all_records().get((domain, op)) or _added.get((domain, op))
    if record is None:
        from arenaut.ir.ops.support.fallback import reference_record

        record = reference_record(domain, op)
    return record


_asked: dict[tuple[str, str], OpRecord] = {}  # what `record_of` found before


def record_of(node: Node) -> OpRecord:
    """The record of a node's op. Raises UnsupportedError when nothing knows the op."""
    record = _asked.get((node.domain, node.op))
    if record is None:
        record = find_record(node.domain, node.op)
        if record is None:
            raise UnsupportedError(f"{node}: no op of that name is known")
        _asked[node.domain, node.op] = record
    return record


def is_elementwise(node: Node) -> bool:
    """Whether the node is tile instructions with one result of known rank. Fused nodes are not: they have many."""
    one = node.domain != ARENAUT_DOMAIN and len(node.outputs) == 1 and node.output.has_shape
    return one and record_of(node).is_elementwise(node)


def held_in_register(node: Node) -> bool:
    """Whether a register of a tile program holds of an elementwise node's result what memory would, or what its readers
    make the same of: limits are numbers of its type, so that to round before them or after is one."""
    dtype = node.output.dtype
    if dtype.compute is dtype or record_of(node).narrows:
        return True
    users = [user for user, _ in node.output.uses]
    return dtype.is_float and bool(users) and all(_limits(user) for user in users)


def _limits(node: Node) -> bool:
    rule = record_of(node).clips
    return rule is not None and rule(node) is not None
