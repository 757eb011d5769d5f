"""How much memory a run of each peer takes, measured from outside, in a process of its own.

What counts is what a plan of ours counts: intermediates, kernel scratch and outputs. Inputs, weights and prepacked
weights do not. Buffers that a peer's kernels take from the C heap behind their allocator's back are not seen.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from arenaut.measure.engines import Feeds, require, version_of
from arenaut.measure.process import malloc_in_use
from arenaut.measure.worker import Worker

if TYPE_CHECKING:
    from arenaut.measure.ort_capi import OrtLibrary, OrtSession, OrtSetting


@dataclass(frozen=True)
class PeerMemory:
    """Memory of one warm run of one engine at one setting. All sizes in bytes."""

    engine: str
    version: str
    setting: str
    peak_bytes: int
    """The most in use at once during a warm run, above what was live before it: intermediates, scratch, outputs."""
    output_bytes: int
    """The part of it that the outputs take."""
    lower_bound_bytes: int | None = None
    """The least that any placement of the same buffers in the same order needs, where the engine can say."""
    first_run_bytes: int | None = None
    """The peak of the very first run, where the engine plans only afterwards."""
    planned_bytes: int | None = None
    """The block for intermediates that the engine planned and allocated in one piece, where it did so."""


@dataclass(frozen=True)
class OrtMemory:
    """ONNX Runtime at its defaults, at the setting with the smallest peak, and at every setting that was measured."""

    default: PeerMemory
    best: PeerMemory
    measured: tuple[PeerMemory, ...]
    skipped: tuple[str, ...]
    """Why a setting could not be measured, one sentence each; empty when all four were."""


def ort_memory(model: Path, feeds: Feeds, *, threads: int = 1) -> OrtMemory:
    """Measures ONNX Runtime's memory through an allocator that counts its exact requests.

    Peak in use during the third run of a session minus what was live after the session was created, for each of
    enable_mem_reuse x enable_mem_pattern with all graph optimisations. Raises PeerMissingError without onnxruntime,
    WorkerError when the model or the feeds are refused at the default setting.
    """
    require("onnxruntime")
    with Worker("arenaut.measure.memory:OrtProbe") as worker:
        measured, skipped = worker.call("measure", model, dict(feeds), threads)
    return OrtMemory(measured[0], min(measured, key=lambda each: each.peak_bytes), tuple(measured), tuple(skipped))


class OrtProbe:
    """The child's side of `ort_memory`."""

    def __init__(self) -> None:
        from arenaut.measure.ort_capi import OrtLibrary

        self._library = OrtLibrary()

    def measure(self, model: Path, feeds: Feeds, threads: int) -> tuple[list[PeerMemory], list[str]]:
        """Every setting, the default first; a setting other than the default may fail with a reason."""
        from arenaut.measure.ort_capi import OrtError, OrtSetting

        measured = [self._at(OrtSetting(), model, feeds, threads)]
        skipped = []
        for setting in (OrtSetting(True, False), OrtSetting(False, True), OrtSetting(False, False)):
            try:
                measured.append(self._at(setting, model, feeds, threads))
            except OrtError as error:
                skipped.append(f"{setting}: {error}")
        return measured, skipped

    def _at(self, setting: OrtSetting, model: Path, feeds: Feeds, threads: int) -> PeerMemory:
        from arenaut.measure.ort_capi import OrtSession

        session = OrtSession(self._library, model, setting, threads)
        try:
            created = self._library.counter.live
            first, _, _ = _observe(self._library, session, feeds, created)
            _observe(self._library, session, feeds, created)
            warm, outputs, events = _observe(self._library, session, feeds, created)
        finally:
            session.close()
        planned = _planned_block(events) if setting.mem_pattern else None
        return PeerMemory(
            "onnxruntime",
            self._library.version,
            str(setting),
            warm,
            outputs,
            first_run_bytes=first,
            planned_bytes=planned,
        )


def _observe(
    library: OrtLibrary, session: OrtSession, feeds: Mapping[str, np.ndarray[Any, Any]], created: int
) -> tuple[int, int, list[int]]:
    """Peak above `created`, bytes that the outputs hold, and the run's allocation events."""
    counter = library.counter
    before = counter.live
    outputs = session.run(feeds)
    peak, held, events = counter.peak - created, counter.live - before, list(counter.events)
    for value in outputs:
        library.release("Value", value)
    return peak, held, events


def _planned_block(events: list[int]) -> int | None:
    """The size of the block that a warm run allocates before its first node, if there is one.

    It is requested first and given back last, when the run's frame is torn down; outputs outlive the run, and
    buffers of single nodes go back earlier.
    """
    if events and events[0] > 0 and events[-1] == -events[0]:
        return events[0]
    return None


def openvino_memory(model: Path, feeds: Feeds, *, threads: int = 1) -> PeerMemory:
    """Measures OpenVINO's memory at fp32: the block that `release_memory()` frees after a warm run, plus outputs.

    Raises PeerMissingError without openvino, WorkerError when the model is refused or malloc's balance is unknown.
    """
    require("openvino")
    with Worker("arenaut.measure.memory:OpenVinoProbe") as worker:
        result: PeerMemory = worker.call("measure", model, dict(feeds), threads)
    return result


class OpenVinoProbe:
    """The child's side of `openvino_memory`."""

    def measure(self, model: Path, feeds: Feeds, threads: int) -> PeerMemory:
        """Compiles the model for fp32, runs it warm and weighs what it lets go of."""
        from arenaut.measure.engines import OpenVinoEngine

        engine = OpenVinoEngine(model, threads)
        released, output_bytes = 0, 0
        for _ in range(3):
            outputs = engine.run(feeds)
            output_bytes = _size_of(outputs)
            del outputs
            gc.collect()
            before = malloc_in_use()
            if before is None:
                raise RuntimeError("malloc's balance is not known on this system (it needs glibc 2.33 or newer)")
            engine.compiled.release_memory()
            released = before - (malloc_in_use() or 0)
        setting = "INFERENCE_PRECISION_HINT=f32"
        return PeerMemory("openvino", version_of("openvino"), setting, released + output_bytes, output_bytes)


def arenaut_memory(model: Path, feeds: Feeds, *, threads: int = 1) -> PeerMemory:
    """What arenaut's plan says a run takes; raises WorkerError when the model is refused."""
    with Worker("arenaut.measure.memory:ArenautProbe") as worker:
        result: PeerMemory = worker.call("measure", model, dict(feeds), threads)
    return result


class ArenautProbe:
    """The child's side of `arenaut_memory`."""

    def measure(self, model: Path, feeds: Feeds, threads: int) -> PeerMemory:
        """Runs the model once, which binds its shapes, and reads the plan of that binding."""
        from arenaut.measure.engines import ArenautEngine

        engine = ArenautEngine(model, threads)
        output_bytes = _size_of(engine.run(feeds))
        plan = engine.model.plan
        peak, bound = int(plan.arena_bytes), int(plan.lower_bound_bytes)
        return PeerMemory("arenaut", version_of("arenaut"), "its plan", peak, output_bytes, lower_bound_bytes=bound)


def _size_of(outputs: Feeds) -> int:
    """Bytes of all arrays, one that stands under several names counted once; sequences and maps are not counted."""
    arrays = (value for value in outputs.values() if isinstance(value, np.ndarray))
    return sum({id(array): array.nbytes for array in arrays}.values())


def _ort_settings(model: Path, feeds: Feeds, threads: int) -> list[PeerMemory]:
    measured = ort_memory(model, feeds, threads=threads)
    return [measured.default] if measured.best is measured.default else [measured.default, measured.best]


_PROBES: Final[Mapping[str, Callable[[Path, Feeds, int], list[PeerMemory]]]] = {
    "arenaut": lambda model, feeds, threads: [arenaut_memory(model, feeds, threads=threads)],
    "onnxruntime": _ort_settings,
    "openvino": lambda model, feeds, threads: [openvino_memory(model, feeds, threads=threads)],
}


def engine_memory(engine: str, model: Path, feeds: Feeds, *, threads: int = 1) -> list[PeerMemory]:
    """The memory of a run: one entry, or two (default, then best) where settings make a difference.

    Empty for an engine whose memory cannot be measured. Raises what the engine's own function raises.
    """
    probe = _PROBES.get(engine)
    return probe(model, feeds, threads) if probe is not None else []
