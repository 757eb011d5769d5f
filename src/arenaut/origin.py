"""Where a model came from: what another process needs to load it again."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from arenaut.plain import dataclass

if TYPE_CHECKING:
    from arenaut.model import Model

_alive: weakref.WeakValueDictionary[Any, Model] = weakref.WeakValueDictionary()
_lock = threading.Lock()


@dataclass(frozen=True)
class Origin:
    """The arguments of a call of load_onnx. source: an absolute path, bytes, or a ModelProto."""

    source: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Any, options: Mapping[str, Any]) -> Origin:
        if isinstance(source, (str, os.PathLike)):
            source = os.path.abspath(os.fspath(source))
        return cls(source, dict(options))

    def reduced(self) -> tuple[Callable[..., Model], tuple[Any, ...]]:
        """For pickle: a function, and its arguments."""
        source = self.source
        if isinstance(source, (bytearray, memoryview)):
            source = bytes(source)
        elif hasattr(source, "SerializeToString"):
            source = source.SerializeToString()
        return _again, (source, dict(self.options))

    def remember(self, model: Model) -> None:
        """Whoever unpickles this origin while the model lives in this process gets the model itself."""
        key = _key(self.source, self.options)
        if key is not None:
            with _lock:
                _alive[key] = model


def _again(source: Any, options: Mapping[str, Any]) -> Model:
    key = _key(source, options)
    with _lock:
        found = None if key is None else _alive.get(key)
    if found is not None:
        return found
    from arenaut.loading import load_onnx

    model = load_onnx(source, **options)
    assert model._origin is not None
    model._origin.remember(model)
    return model


def _key(source: Any, options: Mapping[str, Any]) -> Any:
    """Equal for equal models; None where that is not told."""
    from hashlib import blake2b

    if options.get("revision") is not None:
        return None
    if isinstance(source, str):
        try:
            status = os.stat(source)
        except OSError:
            return None
        source = (source, status.st_mtime_ns, status.st_size)
    elif hasattr(source, "SerializeToString"):
        source = blake2b(source.SerializeToString(), digest_size=16).digest()
    else:
        source = blake2b(source, digest_size=16).digest()
    return source, repr(sorted(options.items()))
