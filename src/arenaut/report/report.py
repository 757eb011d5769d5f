"""`arenaut report` as data: everything the page, the text and the JSON document say about one model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arenaut.inputs import TensorInfo
from arenaut.ir.graph import Graph
from arenaut.loading import load_onnx
from arenaut.lowering.outline import op_label
from arenaut.measure.engines import ENGINES, Feeds, PeerMissingError, require
from arenaut.measure.memory import PeerMemory, engine_memory
from arenaut.measure.process import machine
from arenaut.measure.render import one_line, plain, time_text
from arenaut.measure.speed import bench
from arenaut.measure.subjects import Subject
from arenaut.measure.worker import WorkerError
from arenaut.model import control_bodies, count_nodes
from arenaut.results.picture import memory_picture
from arenaut.results.plan import Plan
from arenaut.results.profile import StepProfile
from arenaut.results.text import shown

TEXT_WIDTH = 80
ROUNDS = 5
"""Turns that engines take when their times are compared."""
SMALL_SHARE = 1e-3
TORCH = "torch"
"""A peer whose memory can be measured, though it does not run ONNX files."""


@dataclass(frozen=True)
class EngineTime:
    """The median time of a run of one engine. ratio: its time over arenaut's."""

    engine: str
    version: str
    microseconds: float
    ratio: float


@dataclass(frozen=True)
class Cost:
    """What the steps of one op or one kernel take together."""

    name: str
    microseconds: float
    flops: int
    steps: int


@dataclass(frozen=True)
class Report:
    """One model at one binding. Sizes in bytes. steps: in the order they run, as `plan.order` is.

    stored_ops, optimised_ops: how many nodes of each op there are, bodies of control flow included; a fused node
    stands under the ops it joins. inputs, outputs: with the shapes that they had. times: of arenaut and of every peer
    that ran, empty where no peer was asked for. missing: why a peer has no figure, one sentence each.
    """

    model: str
    binding: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    threads: int
    machine: str
    stored_nodes: int
    optimised_nodes: int
    stored_ops: Mapping[str, int]
    optimised_ops: Mapping[str, int]
    plan: Plan
    steps: tuple[StepProfile, ...]
    peers: tuple[PeerMemory, ...]
    times: tuple[EngineTime, ...]
    missing: tuple[str, ...]

    @property
    def total_microseconds(self) -> float:
        return sum(step.microseconds for step in self.steps)


def make_report(subject: Subject, peers: Sequence[str], *, threads: int | None = None, repeat: int = 10) -> Report:
    """Loads, runs and profiles the subject on random feeds, and measures the memory of each peer on the same feeds.

    A peer that is missing or fails is noted, not raised. Raises ArenautError for a model that does not run.
    """
    model = load_onnx(subject.path, threads=threads, shapes=subject.binding)
    feeds = subject.make_feeds(0)
    outputs = model.run(dict(feeds))
    steps = model.profile(dict(feeds), repeat=repeat).steps
    measured: list[PeerMemory] = []
    missing: list[str] = []
    for peer in peers:
        try:
            measured += peer_memory(peer, subject, feeds, model.threads)
        except (PeerMissingError, WorkerError) as error:
            missing.append(one_line(str(error)))
    times, failed = _times(subject, [peer for peer in peers if _runs_files(peer)], model.threads)
    missing += [line for line in failed if line not in missing]
    stored, optimised = _stored_ops(subject.path), _ops(model.graph)
    return Report(
        model=subject.name,
        binding=dict(subject.binding),
        inputs=tuple(_resolved(each, feeds) for each in model.inputs),
        outputs=tuple(_resolved(each, outputs) for each in model.outputs),
        threads=model.threads,
        machine=machine(),
        stored_nodes=model.stored_nodes,
        optimised_nodes=count_nodes(model.graph),
        stored_ops=stored,
        optimised_ops=optimised,
        plan=model.plan,
        steps=steps,
        peers=tuple(measured),
        times=times,
        missing=tuple(missing),
    )


def _resolved(info: TensorInfo, values: Mapping[str, Any]) -> str:
    """Name, type and the shape that the value had; as declared where it is no tensor."""
    value = values.get(info.name)
    if not isinstance(value, np.ndarray):
        return str(info)
    return f"{info.name}: {info.dtype}[{', '.join(map(str, value.shape))}]"


def _runs_files(peer: str) -> bool:
    """Whether the peer is installed and takes ONNX files."""
    try:
        return peer in ENGINES and require(peer).loads_files
    except PeerMissingError:
        return False


def _times(subject: Subject, peers: Sequence[str], threads: int) -> tuple[tuple[EngineTime, ...], tuple[str, ...]]:
    """Times of arenaut and the peers in turns, and why a peer has none."""
    if not peers:
        return (), ()
    found = bench(subject.path, subject.make_feeds, ["arenaut", *peers], threads=threads, rounds=ROUNDS)
    ran = [each for each in found.engines if each.error is None]
    times = tuple(
        EngineTime(
            each.engine,
            each.version,
            each.median_seconds * 1e6,
            1.0 if each.engine == "arenaut" else found.ratios[each.engine].median,
        )
        for each in ran
        if each.engine == "arenaut" or each.engine in found.ratios
    )
    return times, tuple(one_line(each.error) for each in found.engines if each.error is not None)


def costs(steps: Sequence[StepProfile], name_of: Callable[[StepProfile], str]) -> list[Cost]:
    """Totals of steps under the same name, the most time first."""
    found: dict[str, list[StepProfile]] = {}
    for step in steps:
        found.setdefault(name_of(step), []).append(step)
    totals = [
        Cost(n, sum(s.microseconds for s in own), sum(s.flops for s in own), len(own)) for n, own in found.items()
    ]
    return sorted(totals, key=lambda cost: -cost.microseconds)


def split_small(
    steps: Sequence[StepProfile], total: float
) -> tuple[list[tuple[int, StepProfile]], list[tuple[int, StepProfile]]]:
    """Steps with their positions, the slowest first, and those under SMALL_SHARE of the total, such as steps that only
    compute shapes. One alone is not worth a line of its own, so it stays."""
    ordered = sorted(enumerate(steps), key=lambda each: -each[1].microseconds)
    large = [each for each in ordered if each[1].microseconds >= SMALL_SHARE * total]
    small = ordered[len(large) :]
    return (ordered, []) if len(small) < 2 else (large, small)


def peer_memory(peer: str, subject: Subject, feeds: Feeds, threads: int) -> list[PeerMemory]:
    """The memory of one peer; raises PeerMissingError with a sentence where it has none to show."""
    if peer == TORCH:
        module = subject.torch_memory(threads)
        if module is None:
            raise PeerMissingError("torch: only models that the zoo exports from torch modules can be measured")
        return [module]
    require(peer)
    found = engine_memory(peer, subject.path, feeds, threads=threads)
    if not found:
        raise PeerMissingError(f"{peer}: its memory cannot be measured")
    return found


def _stored_ops(path: Path) -> dict[str, int]:
    from arenaut.frontend import import_model

    return _ops(import_model(path).graph)


def _ops(graph: Graph) -> dict[str, int]:
    """Nodes per op, most frequent first."""
    return dict(Counter(_labels(graph)).most_common())


def _labels(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        yield op_label(node)
        for body in control_bodies(node):
            yield from _labels(body)


def report_data(report: Report) -> dict[str, Any]:
    """The report as plain data for JSON."""
    data: dict[str, Any] = plain(report)
    data["plan"] |= {"shared": report.plan.shared, "live_bytes": list(report.plan.live_bytes)}
    for step, facts in zip(report.steps, data["steps"], strict=True):
        facts["gflops"] = step.gflops
    return data


def size_text(count: int) -> str:
    """Bytes in the unit that keeps the number short."""
    if count < 1024:
        return f"{count} B"
    size, unit = (count / 1024, "KiB") if count < 2**20 else (count / 2**20, "MiB")
    return f"{size:,.2f} {unit}" if size < 10 else f"{size:,.1f} {unit}"


def memory_rows(report: Report) -> list[tuple[str, str, str, int]]:
    """(engine, version, setting, bytes of a run) of arenaut and every peer measured."""
    peers = [(peer.engine, peer.version, peer.setting, peer.peak_bytes) for peer in report.peers]
    return [("arenaut", "", "its plan", report.plan.arena_bytes), *peers]


def ratio_to_plan(report: Report, size: int) -> str:
    """How many times arenaut's memory `size` is."""
    return f"{size / report.plan.arena_bytes:.2f}x" if report.plan.arena_bytes else "-"


def report_text(report: Report) -> str:
    """The report for a terminal, at most TEXT_WIDTH columns wide."""
    lines = [shown(line, TEXT_WIDTH) for line in _summary(report)]
    lines += ["", *memory_picture(report.plan).splitlines(), "", "largest buffers"]
    largest = sorted((b for b in report.plan.blocks if not b.scratch), key=lambda b: -b.bytes)[:8]
    for block in largest:
        lives = f"{block.first:>4}-{block.last:<4}"
        lines.append(f"{size_text(block.bytes):>12}  {lives} {shown(block.op, 16):16}  {shown(block.name, 38)}")
    lines += ["", "time by op"]
    for cost in costs(report.steps, lambda step: step.op)[:6]:
        share = 100 * cost.microseconds / (report.total_microseconds or 1.0)
        lines.append(f"{cost.microseconds:10.1f} us {share:5.1f} %  {cost.steps:4} x {shown(cost.name, 44)}")
    lines += ["", f"slowest of {len(report.steps)} steps, {time_text(report.total_microseconds)} in all"]
    for step in sorted(report.steps, key=lambda s: -s.microseconds)[:8]:
        share = 100 * step.microseconds / (report.total_microseconds or 1.0)
        rate = f"{step.gflops:7.1f} GFLOP/s" if step.flops else " " * 15
        lines.append(f"{step.microseconds:10.1f} us {share:5.1f} % {rate}  {shown(step.name, 38)}")
    return "\n".join(lines)


def _summary(report: Report) -> Iterator[str]:
    plan = report.plan
    sizes = ", ".join(f"{name}={size}" for name, size in report.binding.items())
    yield f"{report.model}{f' ({sizes})' if sizes else ''}, {report.threads} thread(s)"
    yield f"nodes   {report.stored_nodes} stored, {report.optimised_nodes} optimised, {len(report.steps)} steps"
    yield f"memory  {size_text(plan.arena_bytes)} a run, lower bound {size_text(plan.lower_bound_bytes)}"
    yield f"        arena {size_text(plan.intermediate_bytes)}, outputs {size_text(plan.output_bytes)}" + (
        f", bodies {size_text(plan.body_bytes)}" if plan.body_bytes else ""
    )
    yield (
        f"        scratch up to {size_text(plan.scratch_bytes)}; packed weights {size_text(plan.packed_weight_bytes)}"
        + (f", of which for Winograd {size_text(plan.winograd_bytes)}" if plan.winograd_bytes else "")
    )
    yield f"        {plan.shared} pairs of buffers share memory, {len(plan.views)} tensors are views"
    if plan.guests:
        yield f"        {len(plan.guests)} buffers lie in outputs that are not written yet"
    for chain in plan.chains:
        made = f"{size_text(chain.slice_bytes)} of {size_text(chain.hidden_bytes)} at a time"
        yield f"{'bands ' if chain.by_rows else 'slices'}  {chain.slices} of {shown(chain.product, 36)}: {made}"
    for engine, version, setting, size in memory_rows(report)[1:]:
        yield f"{size_text(size):>12} {ratio_to_plan(report, size):>7}  {engine} {version}, {setting}"
    for time in report.times:
        yield f"{time_text(time.microseconds):>12} {time.ratio:6.2f}x  {time.engine} {time.version}, a run"
    yield from report.missing
