"""Requests and answers of the Open Inference Protocol v2 as bodies of HTTP: JSON, and binary tensors after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from arenaut.serving import tensors
from arenaut.serving.errors import BAD, RequestError

HEADER_LENGTH = "inference-header-content-length"


def parsed(body: memoryview, json_length: str | None) -> tensors.Request:
    """json_length: the header of that name. Raises RequestError."""
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


def response(asked: tensors.Request, model: str, version: str, results: Mapping[str, Any]) -> Response:
    """Raises RequestError for an output that the protocol has no name for."""
    outputs, tail = [], []
    for name, array in results.items():
        output: dict[str, Any] = {"name": name, "datatype": tensors.named(array, name), "shape": list(array.shape)}
        if asked.binary.get(name, asked.binary_else):
            tail.append(tensors.to_binary(array))
            output["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            output["data"] = tensors.to_values(array)
        outputs.append(output)
    head = orjson.dumps({"model_name": model, "model_version": version, "id": asked.id, "outputs": outputs})
    if not tail:
        return Response(head, media_type="application/json")
    headers = {HEADER_LENGTH: str(len(head))}
    return Response(b"".join([head, *tail]), headers=headers, media_type="application/octet-stream")
