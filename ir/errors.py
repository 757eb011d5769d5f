"""Errors raised while a model is understood. Messages name node, op, tensor, expected and actual, and what to do."""

from __future__ import annotations

import errno


class ArenautError(Exception):
    """Base of every error arenaut raises on purpose."""


class ModelError(ArenautError):
    """The model is not one that can be run: malformed, contradictory or out of what is supported."""


class InvalidModelError(ModelError):
    """Not ONNX, truncated, cyclic, duplicate names, or against the standard."""


class NotAModelError(InvalidModelError):
    """Bytes that are no ONNX model at all: empty, cut short, or in another format."""


class UnsupportedError(ModelError):
    """Ops, domains, versions or types that arenaut does not know; lists all of them at once."""


class ModelLimitError(InvalidModelError):
    """A model that holds more, or takes longer to load, than `load_onnx(limits=...)` allows."""


class ShapeError(ModelError):
    """Types or shapes that contradict an op's rule."""


class ExternalDataError(ModelError):
    """External tensor data that is missing, too short, or outside the model's folder."""


class InputError(ArenautError):
    """A feed of run() with a wrong name, dtype, rank or shape; sizes for memory() with wrong names or values."""


class OptionError(ArenautError, TypeError, ValueError):
    """An option of load_onnx, run or profile with a type or a value that it does not take."""


class SizeConflictError(InputError):
    """One symbolic dim has several sizes among the feeds of a run."""


class MemoryLimitError(ArenautError):
    """A plan needs more than max_memory allows; raised before anything is allocated."""


class ExecutionError(ArenautError):
    """A step failed while running: an index out of range, a division by zero, a cancelled run."""


class RunTimeoutError(ExecutionError, TimeoutError):
    """A run was stopped because its timeout had passed."""


class StateError(ArenautError):
    """A state that is full, in use by another run, of another model or batch, or asked for what it does not hold."""


class CompiledFileError(ArenautError):
    """A compiled file that is damaged, or that does not hold what is asked of it."""


class StaleFileError(CompiledFileError):
    """A compiled file of another version of arenaut, or for a machine that has more than this one."""


class CacheError(ArenautError):
    """A folder of compiled files that belongs to somebody else, or that others may write."""


class InternalError(ArenautError):
    """A fault of arenaut itself, that this model or feed brought to light: please report it."""


class UnknownError(Exception):
    """A rule asked for something that is not known before running: the answer comes later, or never. No error."""


class UnknownRankError(UnknownError):
    """A rule asked for the dims of a value whose rank, or whose kind, is not known before running."""


class RuleError(Exception):
    """What a model states, or a run feeds, is not what an op allows. Whoever asked the rule knows the node, and makes
    an error of arenaut of it; any other exception that escapes a rule is a fault of the rule."""


def _wants_memory(error: BaseException | None) -> bool:
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


class memory_errors:
    """Want of memory in this block as an error of arenaut. what: begins the message."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if _wants_memory(error):
            raise MemoryLimitError(f"{self._what}: this machine has not the memory for it: {error}") from error


class blamed_on:
    """What escapes from work on a model, as an error that says whose fault it is. what: its text begins the message.

    Errors of arenaut, of files and of missing packages pass. RuleError and nesting without end become `model`; want of
    memory becomes MemoryLimitError; all the rest becomes InternalError.
    """

    def __init__(self, model: type[ArenautError], what: object) -> None:
        self._model = model
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            blamed = _blamed(self._model, self._what, error)
            if blamed is not None:
                raise blamed from error


def _blamed(model: type[ArenautError], what: object, error: Exception) -> ArenautError | None:
    """The error that takes the place of this one; None where it passes."""
    if _wants_memory(error) or isinstance(error, BufferError):  # natively, a buffer is not described without
        return MemoryLimitError(f"{what}: this machine has not the memory for it: {error}")
    if isinstance(error, (ArenautError, ImportError, OSError)):
        return None
    if isinstance(error, RuleError):
        return model(
            f"{what}: {error}. Check the model with onnx.checker.check_model(model, full_check=True); if that accepts "
            "it, please report it"
        )
    if isinstance(error, RecursionError):
        return model(f"{what}: it is nested too deeply")
    return InternalError(
        f"{what}: a fault of arenaut, not of the model: {error!r}. Please report it, with the model "
        "if you can share it; load_onnx(..., optimize=False) may get around it"
    )
