"""Side-by-side speed: engines take turns, each in its own process on the same cores, on the same feeds.

In every round each engine runs one slot while the others are stopped. A slot begins with one untimed run, which
brings caches and threads back, and then times run after run, each on other data than the one before. The order of
the engines turns from round to round. Ratios are formed within a round, so that a drift of the machine cancels.
A round in which other work kept a slot's threads off their cores for more than 5 % of its time does not count, and is
played again, at most as often as rounds were asked for; where fewer than half of these remain, no interval is given.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenaut.measure.compare import Difference, difference
from arenaut.measure.engines import Engine, EngineSpec, Feeds, require, version_of
from arenaut.measure.process import choose_cores, lost_seconds, peak_resident_bytes, pin, resident_bytes
from arenaut.measure.stats import PairedRatio, paired_ratio, quiet_rounds
from arenaut.measure.worker import Worker, WorkerError

_FIRST_MODEL: Final = Path(__file__).parents[1] / "data" / "digits.onnx"
_POOL_RUNS: Final = 8
_POOL_BYTES: Final = 64 << 20
_SLOT_RUNS: Final = 2000


@dataclass(frozen=True)
class EngineResult:
    """One engine on one model. Times in seconds, sizes in bytes; `error` says why the rest is missing."""

    engine: str
    version: str
    settings: str
    error: str | None = None
    load_seconds: float = math.nan
    first_run_seconds: float = math.nan
    rounds: tuple[float, ...] = ()
    """The median time of a run in each round."""
    best_seconds: float = math.nan
    """The fastest single run."""
    runs: int = 0
    resident_before_load: int | None = None
    resident_peak: int | None = None
    """Largest resident set of the engine's process, interpreter, libraries and feeds included."""
    difference: Difference | None = None
    """Its outputs against those of the result's `reference`, on the same feeds."""

    @property
    def median_seconds(self) -> float:
        """Median over rounds of the time of a run."""
        return statistics.median(self.rounds) if self.rounds else math.nan


@dataclass(frozen=True)
class SpeedResult:
    """All engines on one model at one thread count. The first engine asked for is the subject of the ratios."""

    model: str
    threads: int
    cores: tuple[int, ...] | None
    """The cores that every engine was pinned to; None where the system cannot pin."""
    engines: tuple[EngineResult, ...]
    ratios: dict[str, PairedRatio] = field(default_factory=dict)
    """By peer: its time over the subject's. Above 1 the subject is faster."""
    reference: str | None = None
    """The engine whose outputs the others are compared with: onnxruntime if it ran, else the first peer that did."""
    lost_rounds: int = 0
    """Rounds that do not count, because other work took their cores."""
    disturbed: bool = False
    """Other work took the cores in so many rounds that all count, and no ratio has an interval."""


@dataclass(frozen=True)
class Slot:
    """One turn of an engine. Seconds of single runs, and the share of the turn that its threads waited for cores."""

    times: list[float]
    lost: float


class EngineRunner:
    """The child's side: loads one engine and runs its slots."""

    def __init__(self, spec: EngineSpec, cores: tuple[int, ...] | None) -> None:
        pin(cores)
        self._cores = cores
        self._spec = spec
        self._engine: Engine | None = None
        self._pool: list[dict[str, np.ndarray[Any, Any]]] = []
        self._next = 0

    def load(self, model: Path, threads: int) -> tuple[float, int | None]:
        """Seconds that loading took and the resident set before it.

        The demo's model is loaded before it: what an engine imports and sets up once a process is not counted.
        """
        __import__(self._spec.module)
        if self._spec.loads_files:
            self._spec.load(_FIRST_MODEL, threads)
        before = resident_bytes()
        start = time.perf_counter()
        self._engine = self._spec.load(model, threads)
        return time.perf_counter() - start, before

    def first_run(self, pool: list[dict[str, np.ndarray[Any, Any]]]) -> tuple[float, dict[str, np.ndarray[Any, Any]]]:
        """Takes over the feeds, makes the first run on the first of them; its seconds and outputs."""
        self._pool = pool
        start = time.perf_counter()
        outputs = self._loaded().run(pool[0])
        return time.perf_counter() - start, outputs

    def slot(self, seconds: float) -> Slot:
        """One untimed run, then the times of single runs until `seconds` are spent, at least two."""
        run, pool = self._loaded().run, self._pool
        clock = time.perf_counter_ns
        times: list[int] = []
        run(self._feeds())
        gc.collect()
        gc.disable()
        lost = lost_seconds(self._cores)
        begun = clock()
        try:
            end = begun + int(seconds * 1e9)
            while len(times) < 2 or (clock() < end and len(times) < _SLOT_RUNS):
                feeds = pool[self._next % len(pool)]
                self._next += 1
                start = clock()
                outputs = run(feeds)
                times.append(clock() - start)
                del outputs
        finally:
            gc.enable()
        spent = (clock() - begun) / 1e9 * len(self._cores or (0,))
        return Slot([each / 1e9 for each in times], (lost_seconds(self._cores) - lost) / spent)

    def peak(self) -> int:
        """Peak resident set so far."""
        return peak_resident_bytes()

    def _feeds(self) -> dict[str, np.ndarray[Any, Any]]:
        self._next += 1
        return self._pool[(self._next - 1) % len(self._pool)]

    def _loaded(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("no model is loaded")
        return self._engine


@dataclass
class _Contender:
    """An engine's process and what has been measured of it so far."""

    name: str
    worker: Worker
    load_seconds: float
    first_run_seconds: float
    resident_before_load: int | None
    outputs: dict[str, np.ndarray[Any, Any]]
    rounds: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    best: float = math.inf
    runs: int = 0


def feed_pool(make_feeds: Callable[[int], Feeds], seed: int = 0) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Up to eight sets of feeds from consecutive seeds, fewer (but two at least) when they exceed 64 MiB together."""
    first = dict(make_feeds(seed))
    size = sum(array.nbytes for array in first.values())
    count = max(2, min(_POOL_RUNS, _POOL_BYTES // max(size, 1)))
    return [first] + [dict(make_feeds(seed + index)) for index in range(1, count)]


def bench(
    model: Path,
    make_feeds: Callable[[int], Feeds],
    engines: Sequence[str],
    *,
    threads: int = 1,
    rounds: int = 15,
    slot_seconds: float = 0.1,
    name: str | None = None,
    on_step: Callable[[str], None] | None = None,
) -> SpeedResult:
    """Times `engines` side by side on one model file.

    `make_feeds(seed)` gives one set of feeds; sets are made before anything is timed. An engine that is missing,
    refuses the model or dies is reported with its reason and drops out; the others go on. `on_step` is told what
    happens: once per engine loaded, once per round. Raises ValueError when `threads` exceeds the usable cores.
    """
    if rounds < 1 or threads < 1:
        raise ValueError(f"rounds and threads must be at least 1, not {rounds} and {threads}")
    cores = choose_cores(threads)
    pool = feed_pool(make_feeds)
    tell = on_step or (lambda _: None)
    failed: dict[str, str] = {}
    contenders: dict[str, _Contender] = {}
    with ExitStack() as stack:
        for engine in engines:
            tell(f"loading {engine}")
            started = _attempt(failed, engine, partial(_start, engine, model, threads, cores, pool, stack))
            if started is not None:
                started.worker.pause()
                contenders[engine] = started
        kept: list[int] = []
        disturbed = False
        for played in range(1, 2 * rounds + 1):
            tell(f"round {len(kept) + 1} of {rounds}")
            _play_round(_rotated(list(contenders.values()), played - 1), slot_seconds, failed)
            for gone in failed.keys() & contenders.keys():
                del contenders[gone]
            if not contenders:
                break
            worst = [max(shares) for shares in zip(*(each.lost for each in contenders.values()), strict=True)]
            kept, disturbed = quiet_rounds(worst, rounds)
            if len(kept) >= rounds and not disturbed:
                break
        reference = next((each for each in ("onnxruntime", *engines[1:], *engines[:1]) if each in contenders), None)
        results = [
            _finish(contenders[engine], kept, contenders[reference], failed)
            if engine in contenders and reference is not None
            else _failure(engine, failed[engine])
            for engine in engines
        ]
    ran = {result.engine: result.rounds for result in results if result.error is None}
    subject = engines[0]
    ratios = {
        peer: paired_ratio(ran[subject], ran[peer], disturbed) for peer in ran if subject in ran and peer != subject
    }
    left_out = played - len(kept)
    return SpeedResult(name or model.stem, threads, cores, tuple(results), ratios, reference, left_out, disturbed)


def _attempt(failed: dict[str, str], engine: str, action: Callable[[], Any]) -> Any:
    """The action's result, or None after noting why this engine drops out."""
    try:
        return action()
    except (WorkerError, ImportError) as error:
        failed[engine] = str(error).strip() or type(error).__name__
        return None


def _start(
    engine: str,
    model: Path,
    threads: int,
    cores: tuple[int, ...] | None,
    pool: list[dict[str, np.ndarray[Any, Any]]],
    stack: ExitStack,
) -> _Contender:
    worker = stack.enter_context(Worker("arenaut.measure.speed:EngineRunner", require(engine), cores))
    load_seconds, before = worker.call("load", model, threads)
    first_seconds, outputs = worker.call("first_run", pool)
    return _Contender(engine, worker, load_seconds, first_seconds, before, outputs)


def _rotated(contenders: list[_Contender], by: int) -> list[_Contender]:
    shift = by % len(contenders) if contenders else 0
    return contenders[shift:] + contenders[:shift]


def _play_round(contenders: Iterable[_Contender], slot_seconds: float, failed: dict[str, str]) -> None:
    for contender in contenders:
        slot = _attempt(failed, contender.name, partial(contender.worker.call, "slot", slot_seconds))
        contender.worker.pause()
        if slot is not None:
            contender.rounds.append(statistics.median(slot.times))
            contender.lost.append(slot.lost)
            contender.best = min(contender.best, *slot.times)
            contender.runs += len(slot.times)


def _finish(contender: _Contender, kept: Sequence[int], reference: _Contender, failed: dict[str, str]) -> EngineResult:
    peak = _attempt(failed, contender.name, partial(contender.worker.call, "peak"))
    if peak is None:
        return _failure(contender.name, failed[contender.name])
    try:
        apart = None if contender is reference else difference(reference.outputs, contender.outputs)
    except ValueError as error:
        return _failure(contender.name, f"its outputs cannot be compared: {error}")
    return EngineResult(
        engine=contender.name,
        version=version_of(contender.name),
        settings=require(contender.name).settings,
        load_seconds=contender.load_seconds,
        first_run_seconds=contender.first_run_seconds,
        rounds=tuple(contender.rounds[index] for index in kept),
        best_seconds=contender.best,
        runs=contender.runs,
        resident_before_load=contender.resident_before_load,
        resident_peak=peak,
        difference=apart,
    )


def _failure(engine: str, reason: str) -> EngineResult:
    try:
        version, settings = version_of(engine), require(engine).settings
    except ImportError:
        version, settings = "not installed", ""
    return EngineResult(engine, version, settings, error=reason)
