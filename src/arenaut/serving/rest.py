"""The Open Inference Protocol v2 over HTTP, as routes of KServe's application.

They stand before KServe's own of the same paths, which know neither versions nor BF16, turn binary tensors into lists,
and are ready before the models are. Everything else of the application is KServe's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from arenaut.serving import tensors, wire
from arenaut.serving.errors import NOT_READY, NOT_TAKEN, TOO_LARGE, RequestError
from arenaut.serving.repository import Repository

_HUNG_UP = 499  # nobody reads this answer

Answer = Callable[..., Awaitable[Response]]


def add_routes(app: FastAPI, repository: Repository) -> None:
    """Puts them before all others."""
    router = APIRouter(prefix="/v2", default_response_class=JSONResponse)
    routes = Routes(repository)

    def add(path: str, answer: Answer, method: str) -> None:
        router.add_api_route(path, answer, methods=[method], response_model=None)

    add("/health/ready", routes.ready, "GET")
    for model in ("/models/{name}", "/models/{name}/versions/{version}"):
        add(model, routes.metadata, "GET")
        add(f"{model}/ready", routes.model_ready, "GET")
        add(f"{model}/infer", routes.infer, "POST")
    add("/repository/index", routes.index, "POST")
    add("/repository/models/{name}/load", routes.load, "POST")
    add("/repository/models/{name}/unload", routes.unload, "POST")
    app.include_router(router)
    app.add_exception_handler(RequestError, _refused)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return JSONResponse({"error": str(error)}, error.status)


class Routes:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def ready(self) -> Response:
        if not self._repository.ready:
            raise RequestError(NOT_READY, "not all models are loaded and warm")
        return JSONResponse({"ready": True})

    async def metadata(self, name: str, version: str | None = None) -> Response:
        return JSONResponse(metadata_of(self._repository, name, version))

    async def model_ready(self, name: str, version: str | None = None) -> Response:
        self._repository.find(name).version(version)
        return JSONResponse({"name": name, "ready": True})

    async def index(self) -> Response:
        return JSONResponse(self._repository.index())

    async def load(self, name: str) -> Response:
        await self._repository.load(name)
        return JSONResponse({"name": name, "load": True})

    async def unload(self, name: str) -> Response:
        await self._repository.unload_model(name)
        return JSONResponse({"name": name, "unload": True})

    async def infer(self, request: Request, name: str, version: str | None = None) -> Response:
        runtime = self._repository.find(name)
        try:
            body = await _body(request, runtime.engine_used.limits.request_bytes)
        except ClientDisconnect:
            return Response(status_code=_HUNG_UP)
        asked = wire.parsed(body, request.headers.get(wire.HEADER_LENGTH))
        running = asyncio.ensure_future(runtime.infer(asked, version))
        gone = asyncio.ensure_future(_hung_up(request))
        try:
            await asyncio.wait((running, gone), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                running.cancel()
                return Response(status_code=_HUNG_UP)
            served, results = running.result()
        finally:
            gone.cancel()
        return wire.response(asked, name, served.version, results)


def metadata_of(repository: Repository, name: str, version: str | None) -> dict[str, Any]:
    """Raises RequestError."""
    runtime = repository.find(name)
    face = runtime.version(version).face
    return {
        "name": name, "versions": list(runtime.versions), "platform": "arenaut",
        "inputs": [tensors.described(i) for i in face.inputs],
        "outputs": [tensors.described(o) for o in face.outputs if tensors.datatype_of(o) is not None],
    }  # fmt: skip


async def _body(request: Request, most: int) -> memoryview:
    """Raises RequestError for more bytes than are taken, as soon as that is known."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RequestError(NOT_TAKEN, f"content-encoding {encoding}: send the body as it is")
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise RequestError(TOO_LARGE, f"a body of {said} bytes, and this server takes {most}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RequestError(TOO_LARGE, f"a body of more than {most} bytes, which is what this server takes")
    return memoryview(body)


async def _hung_up(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
