"""The backends there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from arenaut import _native
from arenaut.backends.cblas import CblasBackend
from arenaut.backends.reference import ReferenceBackend
from arenaut.lowering.build import Built
from arenaut.lowering.program import LoweredStep


class NativeBackend:
    """The step as the compiled executor runs it."""

    name = "native"

    def run_step(self, built: Built, run: _native.Run, step: LoweredStep) -> bool:
        return run.step()


Backend = NativeBackend | ReferenceBackend | CblasBackend

BACKENDS: dict[str, Callable[[], Backend]] = {
    "native": NativeBackend,
    "reference": ReferenceBackend,
    "cblas": CblasBackend,
}


def resolve_backends(names: Sequence[str]) -> list[Backend]:
    """Backends by name, in the order in which each step tries them."""
    unknown = [n for n in names if n not in BACKENDS]
    if unknown:
        raise ValueError(f"unknown backends {unknown}; there are {sorted(BACKENDS)}")
    return [BACKENDS[n]() for n in names]
