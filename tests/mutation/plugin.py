"""A pytest plugin: the mutant that ARENAUT_MUTANT names takes its function's place before any test is collected."""

from __future__ import annotations

import os

import pytest

from tests.mutation.mutants import all_mutants, apply


def pytest_configure(config: pytest.Config) -> None:
    wanted = os.environ["ARENAUT_MUTANT"]
    import arenaut.loading
    import arenaut.passes.pipeline
    import arenaut.planner.plan  # noqa: F401

    apply(next(m for m in all_mutants() if m.name == wanted))
