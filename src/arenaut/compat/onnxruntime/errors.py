"""onnxruntime's exceptions, under their names, and which of them an error of arenaut is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from arenaut.errors import (
    ArenautError,
    ExecutionError,
    InputError,
    InvalidModelError,
    MemoryLimitError,
    NotAModelError,
    OptionError,
    UnsupportedError,
)

MODULE = "onnxruntime.capi.onnxruntime_pybind11_state"

# Name of the class, code and text of the status that its messages begin with.
_STATUSES = (
    ("Fail", 1, "FAIL"),
    ("InvalidArgument", 2, "INVALID_ARGUMENT"),
    ("NoSuchFile", 3, "NO_SUCHFILE"),
    ("NoModel", 4, "NO_MODEL"),
    ("EngineError", 5, "ENGINE_ERROR"),
    ("RuntimeException", 6, "RUNTIME_EXCEPTION"),
    ("InvalidProtobuf", 7, "INVALID_PROTOBUF"),
    ("ModelLoaded", 8, "MODEL_LOADED"),
    ("NotImplemented", 9, "NOT_IMPLEMENTED"),
    ("InvalidGraph", 10, "INVALID_GRAPH"),
    ("EPFail", 11, "EP_FAIL"),
    ("ModelLoadCanceled", 12, "MODEL_LOAD_CANCELED"),
    ("ModelRequiresCompilation", 13, "MODEL_REQUIRES_COMPILATION"),
    ("NotFound", 14, "NOT_FOUND"),
    ("DeviceReset", 15, "DEVICE_RESET"),
)


class StatusError(Exception):
    """Base of onnxruntime's exceptions here."""

    code = 0
    status = ""

    @classmethod
    def of(cls, text: object) -> StatusError:
        """The exception with a message as onnxruntime words it."""
        return cls(f"[ONNXRuntimeError] : {cls.code} : {cls.status} : {text}")


def _exception(name: str, code: int, status: str) -> type[StatusError]:
    return type(name, (StatusError,), {"__module__": MODULE, "code": code, "status": status})


EXCEPTIONS = {name: _exception(name, code, status) for name, code, status in _STATUSES}
Fail = EXCEPTIONS["Fail"]
InvalidArgument = EXCEPTIONS["InvalidArgument"]
NoSuchFile = EXCEPTIONS["NoSuchFile"]
NoModel = EXCEPTIONS["NoModel"]
EngineError = EXCEPTIONS["EngineError"]
RuntimeException = EXCEPTIONS["RuntimeException"]
InvalidProtobuf = EXCEPTIONS["InvalidProtobuf"]
ModelLoaded = EXCEPTIONS["ModelLoaded"]
NotImplemented_ = EXCEPTIONS["NotImplemented"]
InvalidGraph = EXCEPTIONS["InvalidGraph"]
EPFail = EXCEPTIONS["EPFail"]
ModelLoadCanceled = EXCEPTIONS["ModelLoadCanceled"]
ModelRequiresCompilation = EXCEPTIONS["ModelRequiresCompilation"]
NotFound = EXCEPTIONS["NotFound"]
DeviceReset = EXCEPTIONS["DeviceReset"]

# (class of arenaut's error, what its message says, onnxruntime's exception); the first that fits is it.
_MEANINGS: tuple[tuple[type[BaseException], str, type[StatusError]], ...] = (
    (FileNotFoundError, "", NoSuchFile),
    (NotAModelError, "", InvalidProtobuf),
    (UnsupportedError, "no op of that name", InvalidGraph),
    (UnsupportedError, "", Fail),
    (InvalidModelError, "which is no input, no initialiser", InvalidArgument),
    (InvalidModelError, "no ONNX model", InvalidArgument),
    (InvalidModelError, ", the type of '", Fail),  # two operands that must be of one type
    (InvalidModelError, ", expected tensor(", InvalidGraph),
    (InputError, "", InvalidArgument),
    (OptionError, "", InvalidArgument),
    (ExecutionError, "index is out of range", InvalidArgument),
    (MemoryLimitError, "", RuntimeException),
    (ArenautError, "", Fail),
    (OSError, "", Fail),
)


def raise_as_onnxruntime(error: BaseException) -> NoReturn:
    """Raises what onnxruntime raises where arenaut raised this, with arenaut's message and itself as the cause."""
    for kind, text, exception in _MEANINGS:
        if isinstance(error, kind) and text in str(error):
            raise exception.of(error) from error
    raise error


@contextmanager
def as_onnxruntime() -> Iterator[None]:
    """Errors of arenaut in this block leave it as onnxruntime's."""
    try:
        yield
    except (ArenautError, OSError) as error:
        raise_as_onnxruntime(error)


def refusal(what: str, instead: str) -> StatusError:
    """What is raised for a part of onnxruntime's interface that arenaut does not have."""
    return NotImplemented_.of(f"{what} is not part of arenaut: {instead}")
