"""The errors arenaut raises on purpose; every message says what is wrong and what to do."""

from arenaut.ir.errors import (
    ArenautError,
    ExecutionError,
    ExternalDataError,
    InputError,
    InternalError,
    InvalidModelError,
    MemoryLimitError,
    ModelError,
    NotAModelError,
    OptionError,
    RunTimeoutError,
    ShapeError,
    SizeConflictError,
    UnsupportedError,
)

__all__ = [
    "ArenautError",
    "ExecutionError",
    "ExternalDataError",
    "InputError",
    "InternalError",
    "InvalidModelError",
    "MemoryLimitError",
    "ModelError",
    "NotAModelError",
    "OptionError",
    "RunTimeoutError",
    "ShapeError",
    "SizeConflictError",
    "UnsupportedError",
]
