"""docs/SUPPORTED_OPS.md: what every op of the standard becomes, found by lowering it. Write it anew with

python -m tests.conformance.supported_ops
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from arenaut.frontend import import_model
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.errors import ArenautError
from arenaut.ir.graph import Graph, Node
from arenaut.ir.ops import all_records
from arenaut.ir.ops.support.fallback import reference_has
from arenaut.ir.record import OpRecord, Sample
from arenaut.ir.schemas import newest_opset
from arenaut.ir.types import TensorType
from arenaut.lowering.program import LoweredStep, StepKind
from tests.conformance.cases import Case, cases
from tests.conformance.known import FAILURES, RANDOM
from tests.conformance.lowered import in_python, lower_plainly, python_reason, with_constant_arguments
from tests.support.records import node_of

FILE = Path(__file__).parents[2] / "docs" / "SUPPORTED_OPS.md"
DOMAINS = ("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training")
CONTROL = {StepKind.IF, StepKind.LOOP, StepKind.SCAN}
MAX_RETYPED = 6  # samples that are tried in each element type

HEAD = """\
# Supported ops

Written by `python -m tests.conformance.supported_ops`, and held to it by a test: do not edit.

Every op of the newest opset of each standard domain. Older opsets are upgraded to it when a model is read, so the same
table serves them. *How it runs* is what the op became in its samples and official test cases, with no other op to fuse
with: **view** (no step: another way to look at the same memory), **elementwise** (a tile program, which joins its
neighbours), **kernel** (the families of rows it calls), **as** (the ops it decomposes into), **control flow** (a step
that runs planned bodies), **constant** (gone when the model is read), **Python** (its evaluator; in brackets for which
element types, for *text*, for *objects* such as sequences and optionals, where a *rank* is known only at run time, or
for *some* attributes). *Native types* are element types of the first input for which it runs without Python. *Official
cases* counts the cases of ONNX's conformance suite in which the op appears and that pass, optimised and as stored;
cases that expect the draws of numpy's random generator are not counted. The suite is that of onnx {version}.
"""


@dataclass
class Support:
    """What is known of one op."""

    domain: str
    op: str
    since: int
    schema: Any
    forms: set[str] = field(default_factory=set)
    kernels: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)
    native: set[DType] = field(default_factory=set)
    python: set[DType] = field(default_factory=set)
    python_reasons: set[str] = field(default_factory=set)

    def note(self, graph: Graph, node: Node, dtype: DType | None) -> None:
        """Lowers the graph, whose only node this is."""
        record = all_records().get((self.domain, self.op))
        steps = lower_plainly(graph)
        hosted = in_python(steps)
        if hosted:
            self.python_reasons |= {python_reason(n) for n in hosted}
            if dtype is not None:
                self.python.add(dtype)
            return
        if node not in graph.nodes:
            self.parts |= {n.op for n in graph.nodes}
        elif record is not None:
            self._note_steps(record, steps)
        if dtype is not None:
            self.native.add(dtype)

    def _note_steps(self, record: OpRecord, steps: Sequence[LoweredStep]) -> None:
        if any(step.kind in CONTROL for step in steps):
            self.forms.add("control flow")
            return
        called = {step.row.family for step in steps if step.row is not None}
        if record.view is not None and called <= {"Copy"}:
            self.forms.add("view")
        elif record.tile is not None:
            self.forms.add("elementwise")
        else:  # tiles convert narrow types before and after
            self.kernels |= called - {"Tile"} or called

    def how(self) -> str:
        found = [f for f in ("view", "elementwise") if f in self.forms]
        found += [f"kernel {', '.join(sorted(self.kernels))}"] if self.kernels else []
        found += [f"as {', '.join(sorted(self.parts))}"] if self.parts else []
        found += ["control flow"] if "control flow" in self.forms else []
        if "constant" in self.forms:
            return "constant"
        if self.python_reasons or not found:
            found.append(self._python(bool(found)))
        return "; ".join(found)

    def _python(self, partly: bool) -> str:
        if not self.python_reasons and not _has_evaluator(self.domain, self.op):
            return "not supported"
        types = sorted(self.python - self.native - {DType.STRING})
        reasons = sorted(self.python_reasons - {"kernel"}) if partly else []
        if partly and "kernel" in self.python_reasons:
            reasons = [*(t.short for t in types), *reasons] if types else ["some", *reasons]
        return f"Python ({', '.join(reasons)})" if reasons else "Python"


def _has_evaluator(domain: str, op: str) -> bool:
    record = all_records().get((domain, op))
    return (record is not None and record.evaluate is not None) or reference_has(Node(op, [], [], domain=domain))


def standard_ops() -> dict[tuple[str, str], Support]:
    schemas = sorted(
        (s for s in onnx.defs.get_all_schemas() if not s.deprecated and s.domain in DOMAINS),
        key=lambda s: (DOMAINS.index(s.domain), s.name),
    )
    return {(s.domain, s.name): Support(s.domain, s.name, s.since_version, s) for s in schemas}


def survey() -> dict[tuple[str, str], Support]:
    """Lowers every sample and every official case of one node."""
    table = standard_ops()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # numpy, in folding and casts
        for record in all_records().values():
            if record.key in table and record.samples is not None:
                _survey_samples(table[record.key], record, list(record.samples()))
            elif record.key in table and not record.deterministic:
                _survey_samples(table[record.key], record, [_drawn(table[record.key])])
        for case in cases():
            if case.suite == "node":
                _survey_case(table, case)
    return table


def _drawn(support: Support) -> Sample:
    """Of an op whose results have nothing to be compared with."""
    inputs = tuple(np.full((2, 3), 0.5, np.float32) for _ in support.schema.inputs)
    return Sample(inputs, {} if inputs else {"shape": (2, 3)})


def _survey_samples(support: Support, record: OpRecord, samples: Sequence[Sample]) -> None:
    for sample in samples:
        _try(support, record, sample)
    allowed = {c.type_param_str: c.allowed_type_strs for c in support.schema.type_constraints}
    for sample in samples[:MAX_RETYPED]:
        first = next((i for i, x in enumerate(sample.inputs) if x is not None), None)
        if first is None:
            continue
        variable = _formal(support, first)
        for text in allowed.get(variable, ()):
            dtype = _dtype(text)
            if dtype is not None and dtype is not DType.STRING and dtype not in support.native:
                _try(support, record, _retyped(support, sample, variable, dtype))


def _formal(support: Support, index: int) -> str:
    formals = support.schema.inputs
    return str(formals[min(index, len(formals) - 1)].type_str)


def _dtype(text: str) -> DType | None:
    name = text.removeprefix("tensor(").removesuffix(")").upper()
    return DType[name] if text.startswith("tensor(") and name in DType.__members__ else None


def _retyped(support: Support, sample: Sample, variable: str, dtype: DType) -> Sample | None:
    """The sample with every input of one type variable in another element type; None where numpy cannot."""
    inputs = []
    for index, x in enumerate(sample.inputs):
        if x is not None and _formal(support, index) == variable:
            try:
                x = np.asarray(x, np.float32).astype(dtype.numpy) if x.dtype.kind == "V" else x.astype(dtype.numpy)
            except (TypeError, ValueError):
                return None
        inputs.append(x)
    return replace(sample, inputs=tuple(inputs))


def _try(support: Support, record: OpRecord, sample: Sample | None) -> None:
    if sample is None:
        return
    try:
        node, _ = node_of(record, sample)
    except ArenautError:
        return
    graph = node.graph
    assert isinstance(graph, Graph)
    graph.outputs = [v for v in node.outputs if v is not None]
    first = next((x for x in sample.inputs if x is not None), None)
    dtype = node.outputs[0].dtype if first is None and node.outputs[0] is not None else None
    support.note(graph, node, dtype if first is None else dtype_of(first))


def _survey_case(table: dict[tuple[str, str], Support], case: Case) -> None:
    if len(case.model().graph.node) != 1:
        return
    try:
        graph = import_model(with_constant_arguments(case)).graph
    except ArenautError:
        return
    only = case.model().graph.node[0]
    if not graph.nodes:
        table[only.domain, only.op_type].forms.add("constant")
    if len(graph.nodes) != 1 or graph.nodes[0].key not in table:
        return
    node = graph.nodes[0]
    values = [*(v for v in node.inputs if v is not None), *(v for v in node.outputs if v is not None)]
    t = values[0].type
    try:
        table[node.key].note(graph, node, t.dtype if isinstance(t, TensorType) else None)
    except ArenautError:
        return


def case_counts() -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """By op: the official cases in which it appears, and those of them that pass."""
    total: Counter[tuple[str, str]] = Counter()
    passed: Counter[tuple[str, str]] = Counter()
    for case in cases():
        if case.name in RANDOM:
            continue
        model = case.model()
        found = {(n.domain if n.domain != "ai.onnx" else "", n.op_type) for n in _nodes(model)}
        total.update(found)
        if case.name not in FAILURES:
            passed.update(found)
    return total, passed


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    pending = [*model.graph.node, *(n for f in model.functions for n in f.node)]
    while pending:
        node = pending.pop()
        yield node
        for attribute in node.attribute:
            pending += [n for body in (attribute.g, *attribute.graphs) for n in body.node]


def page() -> str:
    table = survey()
    total, passed = case_counts()
    lines = [HEAD.format(version=onnx.__version__)]
    for domain in DOMAINS:
        rows = [s for s in table.values() if s.domain == domain]
        lines += [f"## {domain or 'ai.onnx'} {newest_opset(domain)}", ""]
        lines += ["| op | since | how it runs | native types | official cases |", "|---|--:|---|---|--:|"]
        for s in rows:
            key = (s.domain, s.op)
            types = " ".join(d.short for d in sorted(s.native)) or "-"
            count = f"{passed[key]} of {total[key]}" if total[key] else "-"
            lines.append(f"| {s.op} | {s.since} | {s.how()} | {types} | {count} |")
        lines.append("")
    return "\n".join([*lines, *_contrib()])


def _contrib() -> list[str]:
    """Ops outside the standard that are said in standard ops when a model is read."""
    from arenaut.frontend.contrib import HANDLERS
    from arenaut.frontend.contrib.refused import REASONS

    found: dict[str, list[str]] = {}
    for domain, op in sorted(HANDLERS):
        found.setdefault(domain or "ai.onnx, where the model's opset does not have them", []).append(op)
    lines = ["## Ops of onnxruntime", "", "What its tools and skl2onnx write, read as standard ops or evaluated:", ""]
    lines += [*(f"- {domain}: {', '.join(ops)}" for domain, ops in sorted(found.items())), ""]
    reasons: dict[str, list[str]] = {}
    for (domain, op), reason in sorted(REASONS.items()):
        reasons.setdefault(reason, []).append(op if domain == "com.microsoft" else f"{domain}.{op}")
    lines += ["Refused, of com.microsoft where no other domain is named:", ""]
    return [*lines, *(f"- {', '.join(ops)}: {reason}" for reason, ops in reasons.items()), ""]


if __name__ == "__main__":
    FILE.write_text(page())
