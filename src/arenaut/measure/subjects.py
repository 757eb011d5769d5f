"""What `arenaut bench` can be pointed at: model files, and the zoo's models when run from a checkout."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arenaut.measure.engines import Feeds
from arenaut.measure.feeds import declared_inputs, random_feeds
from arenaut.measure.memory import PeerMemory

if TYPE_CHECKING:
    from rich.progress import Progress


class SubjectError(ValueError):
    """A model that cannot be found; the message says what there is."""


@dataclass(frozen=True)
class Subject:
    """A model to measure: `family` groups it in overall figures, `make_feeds(seed)` draws one set of its inputs."""

    name: str
    family: str
    path: Path
    make_feeds: Callable[[int], Feeds]
    binding: Mapping[str, int]
    """The sizes that the model's symbolic dims have been given."""
    torch_memory: Callable[[int], PeerMemory | None] = lambda threads: None
    """PyTorch's memory for the module that the model was exported from, by threads; None where there is no module."""


def checkout_root(start: Path | None = None) -> Path | None:
    """The nearest folder at or above `start` (the current one by default) that holds the zoo's manifest."""
    here = (start or Path.cwd()).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / "bench" / "zoo.toml").is_file()), None)


def file_subject(path: Path, shapes: Mapping[str, int]) -> Subject:
    """A model file with random feeds. Symbols without an entry in `shapes` become 1."""
    specs = declared_inputs(path)
    symbols = {dim for spec in specs for dim in spec.dims if isinstance(dim, str)}
    binding = {symbol: shapes.get(symbol, 1) for symbol in sorted(symbols)}
    return Subject(path.stem, "file", path, lambda seed: random_feeds(specs, binding, seed), binding)


def find_subjects(names: Sequence[str], shapes: Mapping[str, int], start: Path | None = None) -> list[Subject]:
    """The models meant by `names`: paths of .onnx files, or names, families and tags of the zoo.

    No names mean the zoo's tag `bench`. The zoo is that of the checkout around `start`, by default the current
    folder; its models are fetched when they are not in the cache yet, with a progress bar. Raises SubjectError for
    a name that is neither, for the zoo's names outside a checkout, and for a shape that no model knows.
    """
    files = {name: Path(name) for name in names if name.endswith(".onnx") or Path(name).is_file()}
    for path in files.values():
        if not path.is_file():
            raise SubjectError(f"there is no file {path}")
    others = [name for name in names if name not in files]
    subjects = [file_subject(path, shapes) for path in files.values()]
    if others or not names:
        subjects += _zoo_subjects(others or ["bench"], shapes, checkout_root(start))
    symbols = {symbol for subject in subjects for symbol in subject.binding}
    for name in shapes:
        if name not in symbols:
            raise SubjectError(f"no model has a symbolic dim {name!r}; there are {sorted(symbols)}")
    return subjects


def _zoo_subjects(names: Sequence[str], shapes: Mapping[str, int], root: Path | None) -> list[Subject]:
    from rich.console import Console
    from rich.progress import Progress

    if root is None:
        raise SubjectError(f"{', '.join(names)}: the zoo needs a checkout of the project; here, name .onnx files")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    zoo: Any = importlib.import_module("bench.zoo")
    console = Console(stderr=True)
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            return [_zoo_subject(zoo, entry, shapes, progress) for entry in zoo.select(names)]
    except zoo.ZooError as error:
        raise SubjectError(str(error)) from error


def _zoo_subject(zoo: Any, entry: Any, shapes: Mapping[str, int], progress: Progress) -> Subject:
    binding = {symbol: shapes.get(symbol, size) for symbol, size in entry.bindings[0].items()}
    path = Path(zoo.ensure(entry, progress))
    torch: Any = importlib.import_module("bench.torch_memory")
    return Subject(
        entry.name,
        entry.family,
        path,
        lambda seed: zoo.make_feeds(entry, binding, seed),
        binding,
        lambda threads: torch.torch_memory(entry, binding, threads=threads),
    )
