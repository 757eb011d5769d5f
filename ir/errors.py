"""Errors raised while a model is understood. Messages name node, op, tensor, expected and actual, and what to do."""

from __future__ import annotations


class ArenautError(Exception):
    """Base of every error arenaut raises on purpose."""


class ModelError(ArenautError):
    """The model is not one that can be run: malformed, contradictory or out of what is supported."""


class InvalidModelError(ModelError):
    """Not ONNX, truncated, cyclic, duplicate names, or against the standard."""


class UnsupportedError(ModelError):
    """Ops, domains, versions or types that arenaut does not know; lists all of them at once."""


class ShapeError(ModelError):
    """Types or shapes that contradict an op's rule."""


class ExternalDataError(ModelError):
    """External tensor data that is missing, too short, or outside the model's folder."""


class InputError(ArenautError):
    """A feed of run() with a wrong name, dtype, rank or shape; sizes for memory() with wrong names or values."""


class MemoryLimitError(ArenautError):
    """A plan needs more than max_memory allows; raised before anything is allocated."""


class ExecutionError(ArenautError):
    """A step failed while running: an index out of range, a division by zero, a cancelled run."""


class RunTimeoutError(ExecutionError, TimeoutError):
    """A run was stopped because its timeout had passed."""


# What the rules of an op raise when a model breaks a condition that no rule names: an attribute outside its values, a
# rank that does not fit, a number that is too large.
RULE_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
