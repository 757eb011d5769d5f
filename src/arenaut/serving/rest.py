"""The Open Inference Protocol v2 over HTTP, as routes of KServe's application.

They stand before KServe's own of the same paths, which know neither versions nor BF16, turn binary tensors into lists,
and are ready before the models are. Everything else of the application is KServe's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from arenaut.serving import tensors
from arenaut.serving.batching import Outputs
from arenaut.serving.errors import BAD, NOT_READY, NOT_TAKEN, TOO_LARGE, RequestError
from arenaut.serving.repository import Repository
from arenaut.serving.runtime import Served

HEADER_LENGTH = "inference-header-content-length"
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
        asked = _parsed(body, request.headers.get(HEADER_LENGTH))
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
        return _response(asked, served, results)


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


def _parsed(body: memoryview, json_length: str | None) -> tensors.Request:
    length = len(body)
    if json_length is not None:
        if not json_length.isdigit() or int(json_length) > length:
            raise RequestError(BAD, f"{HEADER_LENGTH} is {json_length!r}, of a body of {length} bytes")
        length = int(json_length)
    try:
        document = orjson.loads(body[:length])
    except orjson.JSONDecodeError as error:
        raise RequestError(BAD, f"the request is no JSON: {error}") from None
    return tensors.parse(document, body[length:])


async def _hung_up(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _response(asked: tensors.Request, served: Served, results: Outputs) -> Response:
    outputs, tail = [], []
    for name, array in results.items():
        output: dict[str, Any] = {"name": name, "datatype": tensors.named(array, name), "shape": list(array.shape)}
        if asked.binary.get(name, asked.binary_else):
            tail.append(tensors.to_binary(array))
            output["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            output["data"] = tensors.to_values(array)
        outputs.append(output)
    document = {"model_name": served.name, "model_version": served.version, "id": asked.id, "outputs": outputs}
    head = orjson.dumps(document)
    if not tail:
        return Response(head, media_type="application/json")
    headers = {HEADER_LENGTH: str(len(head))}
    return Response(b"".join([head, *tail]), headers=headers, media_type="application/octet-stream")
