"""The zoo as a finder of `arenaut bench` and `arenaut report`, and PyTorch as one of their engines.

Importing this module registers both. The package itself knows nothing of the zoo, so that a command that runs in
somebody's folder executes nothing of that folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from arenaut.measure.engines import EngineSpec, register_engine
from arenaut.measure.subjects import Subject, SubjectError, file_subject, find_subjects, register_finder
from bench import zoo
from bench.torch_memory import torch_memory

if TYPE_CHECKING:
    from rich.progress import Progress

TAG_OF_NO_NAMES = "bench"


def zoo_subjects(names: Sequence[str], shapes: Mapping[str, int]) -> list[Subject]:
    """Models by name, family or tag; they are fetched when they are not in the cache yet, with a progress bar."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            return [zoo_subject(entry, shapes, progress) for entry in zoo.select(names or [TAG_OF_NO_NAMES])]
    except zoo.ZooError as error:
        raise SubjectError(str(error)) from error


def zoo_subject(entry: zoo.ZooEntry, shapes: Mapping[str, int], progress: Progress | None = None) -> Subject:
    binding = {symbol: shapes.get(symbol, size) for symbol, size in entry.bindings[0].items()}
    return Subject(
        entry.name,
        entry.family,
        zoo.ensure(entry, progress),
        lambda seed: zoo.make_feeds(entry, binding, seed),
        binding,
        lambda threads: torch_memory(entry, binding, threads=threads),
    )


TORCH = EngineSpec(
    "torch",
    "torch",
    "eager, inference_mode, set_num_threads(N); exports of the zoo only",
    "bench.torch_engine:TorchEngine",
    "pip install '.[zoo]'",
    loads_files=False,
)

register_finder(zoo_subjects)
register_engine("torch", TORCH)

__all__ = ["Subject", "SubjectError", "file_subject", "find_subjects"]
