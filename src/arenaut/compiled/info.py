"""What a model's file said of itself, in a compiled file."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from arenaut.compiled.container import CompiledFile
from arenaut.compiled.tables import DAMAGES, damaged, number, text

if TYPE_CHECKING:
    from arenaut.frontend import ModelInfo


def info_section(info: ModelInfo) -> bytes:
    return json.dumps(asdict(info), separators=(",", ":")).encode()


def stored_info(file: CompiledFile) -> ModelInfo:
    """Raises CompiledFileError for a damaged file."""
    from arenaut.frontend import ModelInfo

    try:
        given = json.loads(bytes(file.section("info")))
        words = {
            name: text(given[name]) for name in ("graph", "producer", "producer_version", "domain", "doc", "graph_doc")
        }
        return ModelInfo(
            **words,
            version=number(given["version"]),
            ir_version=number(given["ir_version"]),
            opsets={text(k): number(v) for k, v in given["opsets"].items()},
            metadata={text(k): text(v) for k, v in given["metadata"].items()},
            shapes={text(k): None if v is None else tuple([_dim(d) for d in v]) for k, v in given["shapes"].items()},
        )
    except DAMAGES as error:
        raise damaged(file.path, "what the model said of itself", error) from None


def _dim(given: Any) -> int | str | None:
    return given if given is None or isinstance(given, str) else number(given)
