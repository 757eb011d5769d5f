"""load_onnx of a compiled file: opened, or its original compiled anew where it is not for this machine or version."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from arenaut.compiled.container import CompiledFile
from arenaut.compiled.opened import open_compiled
from arenaut.compiled.origin import PLAIN_REVISION, Original, kept_options, no_original, original_of
from arenaut.ir.errors import OptionError, StaleFileError, memory_errors
from arenaut.options import bytes_of, threads_of
from arenaut.origin import Origin

if TYPE_CHECKING:
    from arenaut.frontend.blobs import ExternalFiles
    from arenaut.ir.target import Target
    from arenaut.model import Model

# Loads a model from its own file: source, the other arguments of load_onnx, files that stand for external ones.
Load = Callable[[Any, Mapping[str, Any], "ExternalFiles | None"], "Model"]
# Options that a compiled file takes. Of backends and verify none is asked unless it is compiled anew.
_TAKEN = ("threads", "max_memory", "backends", "verify", "cache", "limits")


def open_file(path: str, given: Mapping[str, Any], load: Load) -> Model:
    """given: the arguments of load_onnx. Raises CompiledFileError, and MemoryLimitError where
    the file cannot be mapped for want of memory."""
    plain = {"executor": "compiled", "isa": None, **PLAIN_GIVEN}
    wrong = [name for name, value in plain.items() if name not in _TAKEN and _plainly(given[name]) != value]
    if wrong:
        raise OptionError(f"{', '.join(wrong)}: options of a compiled file are those it was compiled with")
    threads, limit = threads_of(given["threads"]), bytes_of("max_memory", given["max_memory"])

    def anew(original: Original) -> Model:
        return load(*_anew(original, given))

    def reload(purpose: str) -> Model:
        original = original_of(file)
        if original is None:
            raise no_original(path, purpose)
        return anew(original)

    with memory_errors(f"opening '{path}'"):
        file = CompiledFile(path)
        whole = given["verify"] == "full"
        try:
            return open_compiled(file, reload, threads=threads, max_memory=limit, check_weights=whole)
        except StaleFileError:
            original = original_of(file)
            if original is None:
                raise
            return anew(original)


def load_through(source: Any, folder: str, given: Mapping[str, Any], target: Target, load: Load) -> Model:
    """A model by way of a cache folder: of a path, or of bytes. Others, and what is changed while it is read, load as
    usual. Raises CacheError."""
    from arenaut.compiled.cache import through_cache

    revision = given["revision"]
    path = os.path.abspath(source) if isinstance(source, (str, os.PathLike)) else source
    changed = revision is not None and bool(revision.initializers)
    if not isinstance(path, (str, bytes)) or changed or given["executor"] != "compiled":
        return load(source, given, None)

    def opened(stored: str) -> Model:
        model = open_file(stored, {**given, **PLAIN_GIVEN, "isa": None}, load)
        model._origin = Origin.of(source, given)
        return model

    return through_cache(path, folder, kept_options(given), target, lambda: load(source, given, None), opened)


# The arguments of load_onnx that are compiled in, where nobody says otherwise.
PLAIN_GIVEN: Mapping[str, Any] = {
    "optimize": True, "optimize_memory": "default", "shapes": None, "stop_after": None, "exact_conv": False,
    "winograd_limit": None, "precision": "stored", "weights": "stored", "without": None, "revision": None,
    "state": None, "cache_precision": "stored",
}  # fmt: skip


def _plainly(value: Any) -> Any:
    """No names and no sizes are as good as none."""
    return None if isinstance(value, (Mapping, tuple, list, set, frozenset)) and not value else value


def _anew(original: Original, given: Mapping[str, Any]) -> tuple[Any, dict[str, Any], ExternalFiles | None]:
    """The arguments of Load for an original, with the threads and the limit that are asked for now."""
    from arenaut.frontend import Revision
    from arenaut.frontend.blobs import HeldFiles

    options = dict(original.options)
    revision = Revision(**{name: options.pop(name) for name in PLAIN_REVISION})
    threads = options["threads"] if given["threads"] is None else given["threads"]
    now = {**given, **options, "threads": threads, "revision": revision}
    return original.source, now, None if original.external is None else HeldFiles(original.external)
