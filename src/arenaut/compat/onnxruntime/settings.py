"""What holds for all sessions of a process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from operator import index
from typing import Any

from arenaut.compat.onnxruntime.notes import no_effect

# Threads of sessions that share a pool (SessionOptions.use_per_session_threads = False); 0: all.
threads = 0

_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def set_global_thread_pool_sizes(intra_op_num_threads: int, inter_op_num_threads: int) -> None:
    global threads
    threads = index(intra_op_num_threads)


def set_default_logger_severity(severity: int) -> None:
    """0 (everything) to 4 (fatal): the level of the logger "arenaut"."""
    if not 0 <= index(severity) < len(_LEVELS):
        raise RuntimeError("Invalid logging severity. Expected 0 to 4")
    logging.getLogger("arenaut").setLevel(_LEVELS[index(severity)])


def set_default_logger_verbosity(verbosity: int) -> None:
    """There are no levels below the severity."""


def set_default_logger_callback(callback: Callable[..., Any] | None, *args: Any) -> None:
    no_effect("set_default_logger_callback", 'add a handler to logging.getLogger("arenaut")')


def set_seed(seed: int) -> None:
    index(seed)
    no_effect("set_seed", "random ops take their seed from the model")


def disable_telemetry_events() -> None:
    """There are none."""


def enable_telemetry_events() -> None:
    """There are none, and none are sent."""


def create_and_register_allocator(*args: Any) -> None:
    no_effect("create_and_register_allocator", "arenaut plans its memory")


def create_and_register_allocator_v2(*args: Any) -> None:
    no_effect("create_and_register_allocator_v2", "arenaut plans its memory")
