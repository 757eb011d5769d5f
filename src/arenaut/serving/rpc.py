"""The Open Inference Protocol v2 over gRPC: KServe's servicer with versions, BF16 and the repository extension."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.servicer import InferenceServicer

from arenaut.serving import tensors
from arenaut.serving.batching import Outputs
from arenaut.serving.errors import BAD, NOT_READY, TOO_LARGE, TOO_LATE, TOO_MANY, UNKNOWN, RequestError
from arenaut.serving.protobuf import MESSAGES
from arenaut.serving.repository import Repository
from arenaut.serving.rest import metadata_of

SERVICE = "inference.GRPCInferenceService"
_CODES = {
    BAD: grpc.StatusCode.INVALID_ARGUMENT, UNKNOWN: grpc.StatusCode.NOT_FOUND,
    TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED, TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    NOT_READY: grpc.StatusCode.UNAVAILABLE, TOO_LATE: grpc.StatusCode.DEADLINE_EXCEEDED,
}  # fmt: skip
_CONTENTS = {
    "BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


class Servicer(InferenceServicer):  # type: ignore[misc]
    def __init__(self, repository: Repository) -> None:
        super().__init__(None, None)
        self._repository = repository

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return pb.ServerReadyResponse(ready=self._repository.ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        from arenaut import __version__

        return pb.ServerMetadataResponse(name="arenaut", version=__version__, extensions=["model_repository"])

    async def ModelReady(self, request: Any, context: Any) -> Any:
        try:
            self._repository.find(request.name).version(request.version)
        except RequestError:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        try:
            return pb.ModelMetadataResponse(**metadata_of(self._repository, request.name, request.version))
        except RequestError as error:
            await _abort(context, error)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        try:
            asked = _parsed(request, context)
            served, results = await self._repository.find(request.model_name).infer(asked, request.model_version)
            return _response(request, served.version, results)
        except RequestError as error:
            await _abort(context, error)

    async def index(self, request: Any, context: Any) -> Any:
        listed = [m for m in self._repository.index() if not request.ready or m["state"] == "READY"]
        return MESSAGES["IndexResponse"](models=listed)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        name = _model_name(request)
        try:
            await self._repository.load(name)
        except RequestError as error:
            await _abort(context, error)
        return pb.RepositoryModelLoadResponse(model_name=name, isLoaded=True)

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        name = _model_name(request)
        try:
            await self._repository.unload_model(name)
        except RequestError as error:
            await _abort(context, error)
        return pb.RepositoryModelUnloadResponse(model_name=name, isUnloaded=True)


def _model_name(request: Any) -> str:
    """The protocol has the repository's name where KServe's clients put the model's."""
    said = MESSAGES["LoadRequest"].FromString(request.SerializeToString())
    name: str = said.model_name or said.repository_name
    return name


async def _abort(context: Any, error: RequestError) -> None:
    await context.abort(_CODES.get(error.status, grpc.StatusCode.INTERNAL), str(error))


def _parsed(request: Any, context: Any) -> tensors.Request:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError(BAD, f"{len(request.inputs)} inputs, and raw_input_contents of {len(raw)}")
    feeds: dict[str, Any] = {}
    for i, item in enumerate(request.inputs):
        if item.name in feeds:
            raise RequestError(BAD, f"input '{item.name}' is sent twice")
        if raw:
            feeds[item.name] = tensors.from_binary(item.name, item.datatype, item.shape, raw[i])
            continue
        where = _CONTENTS.get(item.datatype.upper())
        if where is None:
            raise RequestError(BAD, f"input '{item.name}': {item.datatype} goes into raw_input_contents")
        values = list(getattr(item.contents, where))
        feeds[item.name] = tensors.from_values(item.name, item.datatype, item.shape, values)
    said = request.parameters["timeout"].int64_param if "timeout" in request.parameters else None
    limits = [t for t in (tensors.timeout_of(said), context.time_remaining()) if t is not None]
    names = tuple(dict.fromkeys(o.name for o in request.outputs)) or None
    return tensors.Request(feeds, names, request.id, min(limits, default=None))


def _response(request: Any, version: str, results: Outputs) -> Any:
    made = pb.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
    for name, array in results.items():
        made.outputs.add(name=name, datatype=tensors.named(array, name), shape=array.shape)
        made.raw_output_contents.append(tensors.to_binary(array))
    return made


class RpcServer:
    """Of the repository; most: bytes of a request."""

    def __init__(self, repository: Repository, host: str, port: int, most: int) -> None:
        options = [("grpc.max_receive_message_length", most), ("grpc.max_send_message_length", -1)]
        self._server = grpc.aio.server(ThreadPoolExecutor(max_workers=1), options=options)
        servicer = Servicer(repository)
        self._server.add_generic_rpc_handlers((_extension(servicer),))
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        self.port = self._server.add_insecure_port(f"{host}:{port}")

    async def start(self) -> None:
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Requests under way are finished, at most so many seconds; new ones are refused."""
        await self._server.stop(grace)


def _extension(servicer: Servicer) -> Any:
    """What KServe's service has no method for."""
    index = grpc.unary_unary_rpc_method_handler(
        servicer.index, MESSAGES["IndexRequest"].FromString, lambda message: message.SerializeToString()
    )
    return grpc.method_handlers_generic_handler(SERVICE, {"RepositoryIndex": index})
