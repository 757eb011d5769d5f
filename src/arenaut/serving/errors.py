"""Why a request is refused, as numbers of HTTP."""

from __future__ import annotations

from arenaut import errors
from arenaut.measure.worker import WorkerError

BAD, UNKNOWN, TOO_LARGE, NOT_TAKEN, TOO_MANY, FAULT, NOT_READY, TOO_LATE = 400, 404, 413, 415, 429, 500, 503, 504

# The first class that an error is of decides.
_STATUS: tuple[tuple[type[errors.ArenautError], int], ...] = (
    (errors.InternalError, FAULT),
    (errors.RunTimeoutError, TOO_LATE),
    (errors.MemoryLimitError, TOO_LARGE),
    (errors.ArenautError, BAD),
)


class RequestError(Exception):
    """A request that is not answered with results. status: of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def of_worker(error: WorkerError) -> RequestError:
    """What a process of the pool raised: arenaut's own sentence, or a fault."""
    kind = getattr(errors, error.kind, None)
    if isinstance(kind, type) and issubclass(kind, errors.ArenautError):
        return RequestError(next(status for base, status in _STATUS if issubclass(kind, base)), str(error))
    if error.kind in ("died", "timeout"):
        return RequestError(FAULT, f"every process that ran this request ended: {error}")
    return RequestError(FAULT, f"{error.kind}: {error}")
