"""KServe's model server with a repository of arenaut's models: `arenaut serve`."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

from kserve import ModelServer
from kserve.model_server import app
from kserve.protocol.rest.server import RESTServer

from arenaut.serving.errors import RequestError
from arenaut.serving.repository import Repository
from arenaut.serving.rest import add_routes
from arenaut.serving.rpc import RpcServer

logger = logging.getLogger("arenaut.serving")


class Server(ModelServer):  # type: ignore[misc]
    """host: the addresses that are listened to. grace: seconds for requests that are under way when it is stopped.
    said: told of each thing that a person wants to know."""

    def __init__(
        self, repository: Repository, host: str, http_port: int, grpc_port: int | None, grace: int,
        said: Callable[[str], None],
    ) -> None:  # fmt: skip
        super().__init__(
            http_port=http_port, grpc_port=grpc_port or 0, workers=1, registered_models=repository,
            enable_grpc=grpc_port is not None, enable_latency_logging=False, grace_period=grace,
        )  # fmt: skip
        self._repository, self._host, self._said = repository, host, said
        self._stopping = False

    def serve(self) -> None:
        """Until SIGTERM or SIGINT; then what is under way is finished. Raises RequestError for a model that cannot be
        loaded, OSError for a port that is taken."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        asyncio.run(self._run())

    def _stop(self, number: int, frame: object) -> None:
        """For signals outside the time in which the HTTP server handles them itself."""
        self._stopping = True

    async def _run(self) -> None:
        add_routes(app, self._repository)
        http = RESTServer(
            app="kserve.model_server:app", data_plane=self.dataplane, http_port=self.http_port,
            model_repository_extension=self.model_repository_extension, grace_period=self.grace_period,
        )  # fmt: skip
        http.config.host = self._host
        http.config.access_log = False
        rpc = None
        if self.enable_grpc:
            limit = self._repository.engine.limits.request_bytes
            rpc = RpcServer(self._repository, self._host, self.grpc_port, limit)
            await rpc.start()
        loading = asyncio.create_task(self._load(http))
        try:
            await http.start()
        finally:
            self._said("stopping: requests under way are finished")
            if rpc is not None:
                await rpc.stop(self.grace_period)
            if not loading.done():
                loading.cancel()
            await asyncio.get_running_loop().run_in_executor(None, self._repository.engine.pool.close)
        if loading.done() and not loading.cancelled() and loading.exception() is not None:
            raise loading.exception() or AssertionError

    async def _load(self, http: RESTServer) -> None:
        """The port answers at once, that it is not ready; a model that cannot be loaded ends the server."""
        try:
            await self._repository.load_all()
        except BaseException:
            http._server.should_exit = True
            raise
        names = ", ".join(f"{n} ({', '.join(m.versions)})" for n, m in self._repository.models.items())
        rpc = f", gRPC on {self.grpc_port}" if self.enable_grpc else ""
        self._said(f"ready: {names} on http://{self._host}:{self.http_port}{rpc}")


__all__ = ["RequestError", "Server"]
