"""Messages of the protocol's model repository extension, whose fields KServe's own have under other numbers."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TEXT, _BOOL, _MESSAGE = 9, 8, 11
_ONE, _MANY = 1, 3


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="arenaut_repository.proto", package="arenaut", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, int]) -> None:
        made = file.message_type.add(name=name)
        for label, number, kind, count in fields:
            of = ".arenaut.ModelIndex" if kind == _MESSAGE else None
            made.field.add(name=label, number=number, type=kind, label=count, type_name=of)

    message("IndexRequest", ("repository_name", 1, _TEXT, _ONE), ("ready", 2, _BOOL, _ONE))
    message("ModelIndex", *((n, i, _TEXT, _ONE) for i, n in enumerate(("name", "version", "state", "reason"), 1)))
    message("IndexResponse", ("models", 1, _MESSAGE, _MANY))
    message("LoadRequest", ("repository_name", 1, _TEXT, _ONE), ("model_name", 2, _TEXT, _ONE))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = (m.name for m in file.message_type)
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"arenaut.{n}")) for n in found}


MESSAGES = _messages()
