"""Ray Serve: models as a deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ray import serve

from arenaut.compiled.cache import cache_folder
from arenaut.errors import ArenautError, RunTimeoutError
from arenaut.pool.compiling import compile_first
from arenaut.pool.models import MODELS, Models
from arenaut.serving.folders import models_at, versions_at

Feeds = Mapping[str, Any]


def deployment(
    path: str, *, batch: int = 1, wait: float = 0.002, models_per_replica: int = 8, threads: int = 1,
    timeout: float = 60.0, cache: str | bool = True, options: Mapping[str, Any] | None = None, **ray_options: Any,
) -> Any:  # fmt: skip
    """An application for `serve.run`: `serve.run(arenaut.ray.deployment("bert.onnx", batch=8))`.

    path        a model, or a folder of models as `arenaut serve` takes it, readable on every node. Of several, a
                request names its model by the header serve_multiplexed_model_id, or by
                handle.options(multiplexed_model_id=...).
    batch       rows that requests of a model are joined to, where axis 0 of all inputs and outputs is the same open dim
                and the model computes row by row; 1 for none joined. wait: seconds that one may wait for others.
    models_per_replica    that a replica holds at a time; the least recently used goes.
    threads     of a run, and CPUs of a replica. timeout: seconds of a run. options: of load_onnx.
    ray_options           of serve.deployment: num_replicas, autoscaling_config, max_ongoing_requests, ...

    Handles call `infer.remote(feeds)` with arrays by name and get outputs by name. HTTP takes the body of the Open
    Inference Protocol v2, in JSON or binary, at the application's route.
    """
    models = models_at([path])
    actor = {"num_cpus": threads, **ray_options.pop("ray_actor_options", {})}

    class Replica(_Replica):
        @serve.multiplexed(max_num_models_per_replica=models_per_replica)  # type: ignore[untyped-decorator]
        async def hold(self, name: str) -> _Held:
            return await self._loaded(name)

        @serve.batch(max_batch_size=batch, batch_wait_timeout_s=wait)  # type: ignore[untyped-decorator]
        async def joined(self, asked: list[Any]) -> list[Any]:
            return await self._run_all(asked)

    made = serve.deployment(Replica, ray_actor_options=actor, **{"name": "arenaut", **ray_options})
    return made.bind(models, threads, timeout, cache, dict(options or {}))


class _Replica:
    """One process of the deployment."""

    def __init__(
        self, models: Mapping[str, str], threads: int, timeout: float, cache: str | bool, options: Mapping[str, Any]
    ) -> None:
        self._paths, self._threads, self._timeout = models, threads, timeout
        self._folder, self._options = cache_folder(cache), options
        self._models = Models(threads, self._folder)
        self._faces: dict[str, Any] = {}
        if len(models) == 1:
            self._open(next(iter(models)))  # ready only when it is warm

    async def infer(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> dict[str, Any]:
        """The outputs by name. Raises arenaut's errors, KeyError for a model that there is not."""
        name = serve.get_multiplexed_model_id() or next(iter(self._paths))
        if name not in self._paths:
            raise KeyError(f"there is no model '{name}'. There are {', '.join(self._paths)}")
        if len(self._paths) > 1:
            await self.hold(name)
        result = await self.joined((name, dict(feeds), tuple(outputs) if outputs else None))
        if isinstance(result, Exception):
            raise result
        return dict(result)

    async def hold(self, name: str) -> _Held:
        """Loads a model, and lets others go where there are too many."""
        raise NotImplementedError

    async def joined(self, asked: Any) -> Any:
        """The outputs of (model, feeds, outputs asked for), or an error; asked together with others."""
        raise NotImplementedError

    async def __call__(self, request: Any) -> Any:
        """A request over HTTP."""
        from starlette.responses import JSONResponse

        from arenaut.serving import wire
        from arenaut.serving.errors import BAD, FAULT, TOO_LATE, UNKNOWN, RequestError

        try:
            asked = wire.parsed(memoryview(await request.body()), request.headers.get(wire.HEADER_LENGTH))
            results = await self.infer(asked.feeds, asked.outputs)
            return wire.response(asked, serve.get_multiplexed_model_id() or next(iter(self._paths)), "1", results)
        except (RequestError, ArenautError, KeyError) as error:
            known = {RequestError: getattr(error, "status", FAULT), KeyError: UNKNOWN, RunTimeoutError: TOO_LATE}
            status = next((s for kind, s in known.items() if isinstance(error, kind)), BAD)
            text = error.args[0] if isinstance(error, KeyError) else str(error)
            return JSONResponse({"error": text}, status)

    async def _loaded(self, name: str) -> _Held:
        await asyncio.get_running_loop().run_in_executor(None, self._open, name)
        return _Held(self._models, name)

    def _open(self, name: str) -> None:
        path = list(versions_at(self._paths[name]).values())[-1]
        if self._folder is not None:
            compile_first(MODELS, self._threads, self._folder, path, self._options)
        self._models.load(name, path, self._options)
        self._faces[name], _ = self._models.warm(name, {}, (1,))

    async def _run_all(self, asked: list[tuple[str, Feeds, Any]]) -> list[Any]:
        return await asyncio.get_running_loop().run_in_executor(None, self._run_joined, asked)

    def _run_joined(self, asked: list[tuple[str, Feeds, Any]]) -> list[Any]:
        from arenaut.batch.joined import run_joined

        results: list[Any] = [None] * len(asked)
        groups: dict[Any, list[int]] = {}
        for i, (name, _, outputs) in enumerate(asked):
            groups.setdefault((name, outputs), []).append(i)
        for (name, outputs), members in groups.items():

            def run(feeds: Feeds, name: str = name, outputs: Any = outputs) -> dict[str, Any]:
                return self._models.run(name, feeds, outputs, self._timeout)[0]

            joins = self._faces[name].rows_are_axis_0
            for i, result in zip(members, run_joined(run, [asked[i][1] for i in members], joins), strict=True):
                results[i] = result
        return results


class _Held:
    """A model that a replica holds until Ray drops it."""

    def __init__(self, models: Models, name: str) -> None:
        self._models, self._name = models, name

    def __del__(self) -> None:
        self._models.unload(self._name)
