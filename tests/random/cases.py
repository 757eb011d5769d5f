"""Cases: a model, and the feeds of several runs of it. A seed and a number give one case, always the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.random import contrib, control, elementwise, ml, products, shapes, windows
from tests.random.draw import TEMPLATES, Draw, Feed

OLDEST_OPSET = 7
BINDINGS = 3
_ROOMS = (contrib, control, elementwise, ml, products, shapes, windows)
ML_WITH_OPSET = 21


@dataclass(frozen=True)
class Facts:
    """What is known of the node of a one-op case in one run, for those who judge it."""

    op: str
    domain: str = ""
    opset: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    inputs: Sequence[Any] = ()  # arrays; None where absent
    style: str = ""

    def attr(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def dtype(self, index: int) -> str:
        return str(self.inputs[index].dtype.name) if self.has(index) else ""

    def rank(self, index: int) -> int:
        return int(self.inputs[index].ndim) if self.has(index) else -1

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def some_empty(self) -> bool:
        return any(x is not None and 0 in x.shape for x in self.inputs)

    @property
    def unknown_rank(self) -> bool:
        return self.style in ("unknown", "computed")


@dataclass
class Case:
    kind: str  # "op" or "chain"
    name: str  # of the op, or of the chain's last fragment
    style: str
    model: onnx.ModelProto
    runs: list[dict[str, Any]]
    facts: list[Facts]  # one a run


@cache
def _versions() -> dict[tuple[str, str], tuple[list[int], set[int]]]:
    """The opsets at which ops of onnx changed, and those at which they were withdrawn."""
    found: dict[tuple[str, str], tuple[list[int], set[int]]] = {}
    for schema in sorted(onnx.defs.get_all_schemas_with_history(), key=lambda s: int(s.since_version)):
        starts, gone = found.setdefault((schema.domain, schema.name), ([], set()))
        starts.append(int(schema.since_version))
        if schema.deprecated:
            gone.add(int(schema.since_version))
    return found


@cache
def opsets(domain: str, op: str) -> list[tuple[int, int]]:
    """From and to which opset each version of an op holds, at least OLDEST_OPSET; not where it is withdrawn."""
    if domain not in ("", "ai.onnx.ml"):
        return [(1, 1)]
    starts, gone = _versions()[domain, op]
    newest = onnx.defs.onnx_opset_version() if not domain else 5
    oldest = OLDEST_OPSET if not domain else 1
    ends = [n - 1 for n in starts[1:]] + [newest]
    entry = TEMPLATES[domain, op]
    spans = [(max(a, oldest, entry.oldest), b) for a, b in zip(starts, ends, strict=True) if a not in gone]
    return [(a, b) for a, b in spans if a <= b]


def one_op(seed: int, index: int, only: str | None = None) -> Case:
    """Case `index` among those of one op; only: of that op."""
    assert _ROOMS
    key = f"{seed}/{index}" + (f"/{only}" if only else "")
    rng = random.Random(key)
    names = sorted(k for k in TEMPLATES if (only is None or k[1] == only) and opsets(*k))
    domain, op = rng.choice(names)
    spans = opsets(domain, op)
    low, high = spans[-1] if rng.random() < 0.4 else rng.choice(spans)
    opset = rng.randint(low, high)
    draws = [Draw(key, op, domain, opset, b) for b in range(BINDINGS)]
    for d in draws:
        TEMPLATES[domain, op].template(d)
    return _assemble(rng, draws)


def _assemble(rng: random.Random, draws: Sequence[Draw]) -> Case:
    first, node = draws[0], draws[0].node()
    style = rng.choice(["fixed"] * 4 + ["named"] * 5 + ["anonymous", "unknown", "unknown", "computed"])
    alike = [d for d in draws if d.node() == node and _types(d) == _types(first)] if style != "fixed" else [first]
    constant = [f is not None and rng.random() < f.constant for f in first.feeds]
    feeds = [[d.feeds[i] for d in alike] for i in range(len(first.feeds))]
    if any(c and not _may_repeat(f) for c, f in zip(constant, feeds, strict=True)):
        alike, feeds = alike[:1], [f[:1] for f in feeds]
    infos, initialisers, before = [], [], []
    runs: list[dict[str, Any]] = [{} for _ in alike]
    for same, is_constant in zip(feeds, constant, strict=True):
        head = same[0]
        if head is None:
            continue
        if is_constant:
            initialisers.append(tensor_of(head.array, head.name))
            continue
        arrays = [f.array for f in same if f is not None]
        kind = element_kind(head.array)
        if style == "computed" and _may_be_reshaped(head.array, first) and not any(0 in a.shape for a in arrays):
            raw, shape = head.name + "_raw", head.name + "_shape"
            infos.append(helper.make_tensor_value_info(raw, kind, [None]))
            infos.append(helper.make_tensor_value_info(shape, TensorProto.INT64, [None]))
            before.append(helper.make_node("Reshape", [raw, shape], [head.name]))
            for run, array in zip(runs, arrays, strict=True):
                run[raw], run[shape] = array.reshape(-1), np.array(array.shape, np.int64)
            continue
        infos.append(helper.make_tensor_value_info(head.name, kind, _declared(style, same)))
        for run, array in zip(runs, arrays, strict=True):
            run[head.name] = array
    outputs = [onnx.ValueInfoProto(name=n) for n in node.output]
    graph = helper.make_graph([*before, node], "g", infos, outputs, initialisers)
    model = helper.make_model(graph, opset_imports=_imports(first), ir_version=10)
    facts = [
        Facts(first.op, first.domain, first.opset, first.attributes, _arrays(same, constant, run), style)
        for run, same in enumerate([[f[i] for f in feeds] for i in range(len(alike))])
    ]
    return Case("op", first.op, style, model, runs, facts)


def _types(d: Draw) -> list[Any]:
    return [None if f is None else f.array.dtype for f in d.feeds]


def _may_be_reshaped(array: Any, d: Draw) -> bool:
    """Whether Reshape at the model's opset takes the element type."""
    if not array.ndim:
        return False
    opset = ML_WITH_OPSET if d.domain else d.opset
    schema = onnx.defs.get_schema("Reshape", max_inclusive_version=opset, domain="")
    name = TensorProto.DataType.Name(element_kind(array)).lower()
    return any(f"tensor({name})" in c.allowed_type_strs for c in schema.type_constraints)


def _arrays(feeds: Sequence[Feed | None], constant: Sequence[bool], run: int) -> list[Any]:
    return [None if f is None else f.array for f in feeds]


def _may_repeat(feeds: Sequence[Feed | None]) -> bool:
    """Whether the first binding's array serves all bindings as an initialiser: floats that no size decides."""
    arrays = [f.array for f in feeds if f is not None]
    head = arrays[0]
    if any(a.shape != head.shape for a in arrays):
        return False
    if all(np.array_equal(a, head) for a in arrays):
        return True
    if head.dtype.kind != "f":
        return False
    for feed in feeds:
        assert feed is not None
        feed.array = head
    return True


def _declared(style: str, feeds: Sequence[Feed | None]) -> list[int | str | None] | None:
    dims = [f.dims for f in feeds if f is not None]
    if style in ("unknown", "computed"):
        return None
    declared: list[int | str | None] = []
    for sizes in zip(*dims, strict=True):
        name = getattr(sizes[0], "name", None)
        if style == "named" and name:
            declared.append(name)
        elif len(set(sizes)) == 1 and (style != "anonymous" or not name):
            declared.append(int(sizes[0]))
        else:
            declared.append(None)
    return declared


def _imports(d: Draw) -> list[onnx.OperatorSetIdProto]:
    if not d.domain:
        return [helper.make_opsetid("", d.opset)]
    return [helper.make_opsetid("", ML_WITH_OPSET), helper.make_opsetid(d.domain, d.opset)]


def element_kind(array: Any) -> int:
    if array.dtype == object:
        return int(TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def tensor_of(array: Any, name: str) -> onnx.TensorProto:
    if array.dtype == object:
        return helper.make_tensor(name, TensorProto.STRING, array.shape, [s.encode() for s in array.flat])
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
