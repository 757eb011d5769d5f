"""Every setting that is no argument: environment variables, and the logger."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

# What each variable does. docs/guide/configuration.md shows this table.
VARIABLES: Mapping[str, str] = {
    "ARENAUT_CACHE": "a folder in which compiled models are kept, or 1 for the user's own",
    "ARENAUT_CACHE_BYTES": "how large that folder may grow; 4294967296 where it is not set",
    "ARENAUT_ISA_MAX": "the highest instruction set that is used: baseline, v3 (AVX2) or v4 (AVX-512)",
    "ARENAUT_ISA_WITHOUT": "features of the processor that are left out, separated by commas: amx,vnni,...",
    "ARENAUT_VERIFY": "how much of a graph is checked after each optimisation pass: off, structure, types or full",
}

# "arenaut": INFO for models that are loaded, DEBUG for programs that are made for new sizes. Silent by default.
logger = logging.getLogger("arenaut")
logger.addHandler(logging.NullHandler())


def variable(name: str) -> str | None:
    """The value of one of VARIABLES; None where it is not set."""
    assert name in VARIABLES, name
    return os.environ.get(name)


def user_cache() -> str:
    """The folder for what programs of this user keep to be quicker."""
    return os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")


def settings() -> dict[str, str]:
    """The variables that are set, with their values."""
    return {name: value for name in VARIABLES if (value := os.environ.get(name)) is not None}
