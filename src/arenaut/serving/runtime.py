"""The model class that KServe's model server serves: one name, its versions, and what requests make of them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InferenceError, InvalidInput, ModelNotFound

from arenaut.measure.worker import WorkerError
from arenaut.plain import dataclass
from arenaut.pool.models import Face
from arenaut.serving import metrics, tensors
from arenaut.serving.batching import Outputs
from arenaut.serving.engine import Engine
from arenaut.serving.errors import BAD, FAULT, NOT_READY, UNKNOWN, RequestError
from arenaut.serving.folders import Versions, stamp_of, versions_at

_DRAIN_SECONDS = 0.05  # between looks at whether a version that is going still has requests


@dataclass
class Served:
    """A version that is loaded and warm. stamp: of its file. requests: under way."""

    name: str
    version: str
    key: str
    face: Face
    stamp: tuple[Any, ...]
    requests: int = 0

    def ran(self, rows: int, seconds: float, arena_bytes: int) -> None:
        metrics.RUN_SECONDS.labels(self.name, self.version).observe(seconds)
        metrics.BATCH_ROWS.labels(self.name, self.version).observe(rows)
        metrics.ARENA_BYTES.labels(self.name, self.version).set(arena_bytes)

    def check(self) -> None:
        """Raises ValueError for inputs that requests cannot send."""
        for info in self.face.inputs:
            if tensors.datatype_of(info) is None:
                raise ValueError(f"input '{info}': the protocol has no name for this type, so that nobody can send it")


class Runtime(Model):  # type: ignore[misc]
    """A model for `kserve.ModelServer().start([Runtime("digits", "digits.onnx", batch=8)])`.

    path: a file, or a folder of versions (1/, 2/, ...) with a file each; the highest is the one that answers where a
    request names none. options: of load_onnx. sizes: of open dims, for the first runs. engine: one that several models
    share; else the other arguments make one, see Engine.
    """

    def __init__(
        self, name: str, path: str, *, options: Mapping[str, Any] | None = None, sizes: Mapping[str, int] | None = None,
        engine: Engine | None = None, **engine_options: Any,
    ) -> None:  # fmt: skip
        super().__init__(name)
        self.path = path
        self.options, self.sizes = dict(options or {}), dict(sizes or {})
        self._engine = engine
        self._engine_options = engine_options
        self.versions: dict[str, Served] = {}
        self._changing = asyncio.Lock()
        self._old: set[asyncio.Task[None]] = set()

    @property
    def engine_used(self) -> Engine:
        if self._engine is None:
            self._engine = Engine(**self._engine_options)
        return self._engine

    # -- loading -----------------------------------------------------------------------------------------------

    def load(self) -> bool:
        """Loads what the path holds; for a server that does so before it starts."""
        if not self.ready:
            self._take(self._loaded(versions_at(self.path)), {})
        return bool(self.ready)

    def start(self) -> None:
        self.load()

    async def reload(self) -> None:
        """What is new or changed on disk is loaded, then takes over; what is gone goes once its requests are done.
        Raises RequestError, and nothing changes then."""
        async with self._changing:
            try:
                found = versions_at(self.path)
                kept = {v: s for v, s in self.versions.items() if v in found and stamp_of(found[v]) == s.stamp}
                fresh = {v: path for v, path in found.items() if v not in kept}
                made = await asyncio.get_running_loop().run_in_executor(None, self._loaded, fresh)
            except WorkerError as error:
                raise RequestError(BAD, f"{error.kind}: {error}") from None
            except (OSError, ValueError) as error:
                raise RequestError(BAD, str(error)) from None
            gone = [s for s in self.versions.values() if s not in kept.values()]
            self._take(made, kept)
            self._let_go(gone)

    async def stopped(self) -> None:
        """Not served any more; returns when its requests are done."""
        async with self._changing:
            self.ready = False
            gone = list(self.versions.values())
            self.versions = {}
            self._let_go(gone)
            if self._old:
                await asyncio.wait(self._old)

    def stop(self) -> None:
        self.ready = False

    def _loaded(self, found: Versions) -> dict[str, Served]:
        made: dict[str, Served] = {}
        for version, path in found.items():
            stamp = stamp_of(path)
            key, face = self.engine_used.load(path, self.options, self.sizes)
            served = Served(self.name, version, key, face, stamp)
            made[version] = served
            try:
                served.check()
            except ValueError:
                for each in made.values():
                    self.engine_used.pool.unload(each.key)
                raise
        return made

    def _take(self, made: Mapping[str, Served], kept: Mapping[str, Served]) -> None:
        versions = {**kept, **made}
        self.versions = {v: versions[v] for v in sorted(versions, key=int)}
        self.ready = bool(self.versions)
        for served in made.values():
            metrics.WEIGHT_BYTES.labels(self.name, served.version).set(served.face.weight_bytes)
            metrics.ARENA_BYTES.labels(self.name, served.version).set(served.face.arena_bytes)

    def _let_go(self, gone: list[Served]) -> None:
        for served in gone:
            task = asyncio.get_running_loop().create_task(self._drained(served))
            self._old.add(task)
            task.add_done_callback(self._old.discard)

    async def _drained(self, served: Served) -> None:
        while served.requests:
            await asyncio.sleep(_DRAIN_SECONDS)
        self.engine_used.pool.unload(served.key)
        if served.version not in self.versions:
            with suppress(KeyError):
                metrics.forget(self.name, served.version)

    # -- requests ----------------------------------------------------------------------------------------------

    def version(self, version: str | None) -> Served:
        """Raises RequestError."""
        if not self.ready:
            raise RequestError(NOT_READY, f"model '{self.name}' is not ready")
        if not version:
            return next(reversed(self.versions.values()))
        if version not in self.versions:
            have = ", ".join(self.versions)
            raise RequestError(UNKNOWN, f"model '{self.name}' has no version '{version}'. It has {have}")
        return self.versions[version]

    async def infer(self, request: tensors.Request, version: str | None = None) -> tuple[Served, Outputs]:
        """The version that ran, and its outputs by name. Raises RequestError."""
        served = self.version(version)
        begun, status = time.perf_counter(), 499
        served.requests += 1
        try:
            results = await self.engine_used.run(
                served.key, served.face, request.feeds, request.outputs, request.timeout, served
            )
            status = 200
        except RequestError as error:
            status = error.status
            raise
        finally:
            served.requests -= 1
            metrics.REQUESTS.labels(self.name, served.version, str(status)).inc()
            metrics.REQUEST_SECONDS.labels(self.name, served.version).observe(time.perf_counter() - begun)
        return served, results

    # -- KServe's own way --------------------------------------------------------------------------------------

    def get_input_types(self) -> list[dict[str, Any]]:
        return [tensors.described(i) for i in self.version(None).face.inputs]

    def get_output_types(self) -> list[dict[str, Any]]:
        return [tensors.described(o) for o in self.version(None).face.outputs]

    async def predict(
        self, payload: Any, headers: Mapping[str, str] | None = None, response_headers: Any = None
    ) -> InferResponse:
        """For servers that hand over requests as KServe's own objects."""
        if not isinstance(payload, InferRequest):
            raise InvalidInput("this model speaks the Open Inference Protocol v2: POST /v2/models/NAME/infer")
        try:
            feeds = {i.name: _array(i) for i in payload.inputs}
            asked = tuple(o.name for o in payload.request_outputs) if payload.request_outputs else None
            request = tensors.Request(feeds, asked, str(payload.id or ""))
            served, results = await self.infer(request, payload.model_version)
            outputs = [_output(name, array) for name, array in results.items()]
        except RequestError as error:
            if error.status == UNKNOWN:
                raise ModelNotFound(f"{self.name}: {error}") from None
            raise (InvalidInput(str(error)) if error.status < FAULT else InferenceError(str(error))) from None
        return InferResponse(
            payload.id or str(uuid.uuid4()), self.name, outputs, served.version,
            use_binary_outputs=payload.use_binary_outputs, requested_outputs=payload.request_outputs,
        )  # fmt: skip


def _array(given: InferInput) -> Any:
    raw = getattr(given, "_raw_data", None)
    if raw is not None:
        return tensors.from_binary(given.name, given.datatype, given.shape, raw)
    return tensors.from_values(given.name, given.datatype, given.shape, given.data)


def _output(name: str, array: Any) -> InferOutput:
    made = InferOutput(name, list(getattr(array, "shape", ())), tensors.named(array, name))
    made.data = tensors.to_values(array)
    return made
