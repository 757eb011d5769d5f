"""Runs a case and says what differs."""

from __future__ import annotations

import random
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import arenaut
from arenaut.errors import ArenautError
from tests.random.cases import Case, Facts
from tests.random.compare import ROUNDING, Allowance, allowance, constants, difference, for_onnxruntime, magnitude
from tests.random.known import BOTH, explained, may_ask, open_fault
from tests.random.oracles import Answer, by_onnxruntime, by_reference

TIMEOUT = 75.0  # seconds for a run: only what hangs, on a machine however loaded
CHAIN_SCALE = 1e-4  # of the largest magnitude: chains of float32 ops


@dataclass
class Outcome:
    """findings: differences that nothing explains. answered: how many oracles gave something to compare with."""

    findings: list[str] = field(default_factory=list)
    explained: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    answered: int = 0
    refused: str = ""  # what arenaut said
    details: list[str] = field(default_factory=list)  # what is open, in full

    @property
    def word(self) -> str:
        if self.findings:
            return "differs"
        if self.open:
            return "open"
        if not self.answered:
            return "refused by all" if self.refused else "only arenaut"
        return "same" if self.answered > 1 else "one oracle"


@dataclass
class Got:
    label: str
    outputs: list[Any] | None
    error: str = ""
    fault: bool = False  # an exception that is no ArenautError


def check(case: Case, seed: str) -> Outcome:
    rng = random.Random(seed + "/check")
    allowed = _allowed(case)
    inexact = not allowed.exact
    silent = [Answer(None, "not asked")] * len(case.runs)
    asked = may_ask("onnxruntime", case.facts)
    answers = {
        "onnxruntime": by_onnxruntime(case.model, case.runs, inexact) if asked else silent,
        "reference": by_reference(case.model, case.runs, inexact),
    }
    outcome = Outcome(answered=sum(all(a.outputs is not None for a in given) for given in answers.values()))
    optimised = run_all(case, "optimised", outcome, twice=True, threads=1)
    kinds = [optimised, run_all(case, "as stored", outcome, optimize=False, threads=1)]
    if rng.random() < 0.3:
        parallel = run_all(case, "two threads", outcome, threads=2)
        _same_bytes(optimised, parallel, "one thread and two threads", outcome)
    for results in kinds:
        for index, got in enumerate(results):
            facts = case.facts[index if index < len(case.facts) else 0]
            _judge(case, index, facts, got, answers, allowed, outcome)
    return outcome


def _allowed(case: Case) -> Allowance:
    if case.kind == "op":
        return allowance(case.model, case.runs[0])
    return Allowance(False, 64, CHAIN_SCALE / float(np.finfo(np.float32).eps))


def run_all(case: Case, label: str, outcome: Outcome, *, twice: bool = False, **options: Any) -> list[Got]:
    """The results of all runs of one loaded model."""
    try:
        model = arenaut.load_onnx(case.model, **options)
    except Exception as error:
        return [_failed(label + ", load", error)] * len(case.runs)
    results = []
    for index, feeds in enumerate(case.runs):
        try:
            outputs = list(model.run(feeds, timeout=TIMEOUT).values())
            if twice:
                again = Got("", list(model.run(feeds, timeout=TIMEOUT).values()))
                _same_bytes([Got("", outputs)], [again], f"{label}, run {index}, first and again", outcome)
        except Exception as error:
            results.append(_failed(f"{label}, run {index}", error))
        else:
            results.append(Got(f"{label}, run {index}", outputs))
    return results


def _failed(label: str, error: Exception) -> Got:
    fault = not isinstance(error, ArenautError) or "fault of arenaut" in str(error)
    text = f"{type(error).__name__}: {error}"
    if fault:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text += f" [{where.filename.rsplit('/', 1)[-1]}:{where.lineno}]"
    return Got(label, None, text[:400], fault)


def _same_bytes(first: Sequence[Got], second: Sequence[Got], what: str, outcome: Outcome) -> None:
    for a, b in zip(first, second, strict=True):
        if (a.outputs is None) != (b.outputs is None):
            outcome.findings.append(f"{what}: {a.error or 'runs'} / {b.error or 'runs'}")
        elif a.outputs is not None and b.outputs is not None and _bytes(a.outputs) != _bytes(b.outputs):
            outcome.findings.append(f"{what}: results differ")


def _bytes(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_bytes(v) for v in value]
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tolist() if value.dtype == object else value.tobytes())
    return repr(value)


def _judge(
    case: Case,
    index: int,
    facts: Facts,
    got: Got,
    answers: Mapping[str, Sequence[Answer]],
    allowed: Allowance,
    outcome: Outcome,
) -> None:
    given = {name: a[index] for name, a in answers.items() if a[index].outputs is not None}
    if got.outputs is None:
        outcome.refused = outcome.refused or got.error
        counted = [n for n, a in given.items() if not explained(n, facts, "answers", False)]
        text = f"{got.label}: {'fault' if got.fault else 'refused'} ({' and '.join(counted)} answer): {got.error}"
        if got.fault or counted:
            _file(outcome, case, facts, text)
        return
    feeds = [*case.runs[index].values(), *constants(case.model)]
    texts: dict[str, str] = {}
    for name, answer in given.items():
        assert answer.outputs is not None
        scale = magnitude([*feeds, *answer.outputs])
        rule = for_onnxruntime(allowed) if name == "onnxruntime" else allowed
        texts[name] = difference(got.outputs, answer.outputs, rule, scale, wide=answer.wide)
    agreed = len(given) > 1 and all(texts.values()) and _agree(given, allowed, feeds)
    for name, text in texts.items():
        if not text:
            continue
        outputs, wide, scale = given[name].outputs, given[name].wide, magnitude([*feeds, *(given[name].outputs or ())])
        rounding = text.startswith("wrong") and not difference(
            got.outputs, outputs, ROUNDING, max(scale, 1.0), wide=wide
        )
        text += "".join(f" ({n} agrees)" for n, t in texts.items() if not t) + " (the oracles agree)" * agreed
        reason = explained(BOTH if agreed and not rounding else name, facts, text, rounding)
        if reason:
            outcome.explained.append(f"{name}: {reason}")
        else:
            _file(outcome, case, facts, f"{got.label}, against {name}: {text}")


def _agree(given: Mapping[str, Answer], allowed: Allowance, feeds: Sequence[Any]) -> bool:
    """Whether both oracles say the same: then neither has an error of its own."""
    a, b = given["onnxruntime"], given["reference"]
    scale = magnitude([*feeds, *(b.outputs or ())])
    return not difference(a.outputs, b.outputs, for_onnxruntime(allowed), scale, wide=True)


def _file(outcome: Outcome, case: Case, facts: Facts, text: str) -> None:
    reason = open_fault(facts, text)
    if reason:
        outcome.open.append(reason)
        outcome.details.append(text)
    else:
        outcome.findings.append(text)
