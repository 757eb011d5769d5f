"""Every setting that is no argument: environment variables, and the logger."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

CACHE_VARIABLE = "ARENAUT_CACHE"

# What each variable does. docs/guide/configuration.md shows this table.
VARIABLES: Mapping[str, str] = {
    CACHE_VARIABLE: "a folder in which compiled models are kept, or 1 for the user's own",
    "ARENAUT_CACHE_BYTES": "how large that folder may grow; 4294967296 where it is not set",
    "ARENAUT_ISA_MAX": "the highest instruction set that is used: baseline, v3 (AVX2) or v4 (AVX-512)",
    "ARENAUT_ISA_WITHOUT": "features of the processor that are left out, separated by commas: amx,vnni,...",
    "ARENAUT_VERIFY": "how much of a graph is checked after each optimisation pass: off, structure, types or full",
}


def inform(text: str, *values: Any) -> None:
    """INFO of the logger "arenaut": models that are loaded."""
    _log("info", text, *values)


def detail(text: str, *values: Any) -> None:
    """DEBUG of the logger "arenaut": programs that are made for new sizes."""
    _log("debug", text, *values)


def _log(level: str, text: str, *values: Any) -> None:
    """Silent by default; where nobody has imported logging, nobody listens, and it is not imported for that."""
    logging = sys.modules.get("logging")
    if logging is not None:
        logger = logging.getLogger("arenaut")
        if not any(isinstance(h, logging.NullHandler) for h in logger.handlers):
            logger.addHandler(logging.NullHandler())
        getattr(logger, level)(text, *values)


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
