"""The models of a server, by name, loaded and unloaded while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from kserve import ModelRepository

from arenaut.serving import metrics
from arenaut.serving.engine import Engine
from arenaut.serving.errors import UNKNOWN, RequestError
from arenaut.serving.folders import models_at
from arenaut.serving.runtime import Runtime


class Repository(ModelRepository):  # type: ignore[misc]
    """paths: see models_at. options, sizes: of every model, see Runtime."""

    models: dict[str, Runtime]

    def __init__(
        self, paths: Sequence[str], engine: Engine, options: Mapping[str, Any], sizes: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.paths = tuple(paths)
        self.engine, self._options, self._sizes = engine, options, sizes
        self.warm = False
        self._changing = asyncio.Lock()
        metrics.QUEUE.set_function(lambda: engine.under_way)
        metrics.WORKERS.set_function(lambda: engine.pool.alive)
        metrics.RESTARTS.set_function(lambda: engine.pool.restarts)

    @property
    def ready(self) -> bool:
        """All that is to be served is loaded and warm, and somebody is there to run it."""
        return self.warm and self.engine.pool.alive > 0 and all(m.ready for m in self.models.values())

    async def load_all(self) -> None:
        """Raises RequestError for the first model that cannot be loaded."""
        for name in models_at(self.paths):
            await self.load(name)
        self.warm = True

    async def load(self, name: str) -> None:
        """Loads a model of the paths, or what is new of one that is loaded. Raises RequestError."""
        async with self._changing:
            runtime = self.models.get(name)
            if runtime is None:
                path = self.on_disk().get(name)
                if path is None:
                    raise RequestError(UNKNOWN, f"no model '{name}' in {', '.join(self.paths)}")
                runtime = Runtime(name, path, options=self._options, sizes=self._sizes, engine=self.engine)
            await runtime.reload()
            self.models[name] = runtime

    async def unload_model(self, name: str) -> None:
        """Returns once its requests are done. Raises RequestError."""
        runtime = self.find(name)
        del self.models[name]
        await runtime.stopped()

    def find(self, name: str) -> Runtime:
        """Raises RequestError."""
        runtime = self.models.get(name)
        if runtime is None:
            have = ", ".join(self.models) or "none"
            raise RequestError(UNKNOWN, f"no model '{name}' is loaded. There are {have}")
        return runtime

    def on_disk(self) -> dict[str, str]:
        try:
            return models_at(self.paths)
        except (OSError, ValueError):
            return {}

    def index(self) -> list[dict[str, str]]:
        """Every model and version, loaded or not."""
        listed = [
            {"name": name, "version": version, "state": "READY", "reason": ""}
            for name, runtime in self.models.items()
            for version in runtime.versions
        ]
        listed += [
            {"name": name, "version": "", "state": "UNAVAILABLE", "reason": "not loaded"}
            for name in self.on_disk()
            if name not in self.models
        ]
        return listed
