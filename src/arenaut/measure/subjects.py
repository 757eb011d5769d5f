"""What is measured: model files with random feeds, and what registered finders know by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arenaut.measure.engines import Feeds
from arenaut.measure.feeds import declared_inputs, random_feeds
from arenaut.measure.memory import PeerMemory


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


Finder = Callable[[Sequence[str], Mapping[str, int]], "list[Subject]"]
"""The models meant by names that are no files (all that it proposes when there are none), with sizes of symbolic dims.
Raises SubjectError for a name that it does not know."""

_FINDERS: list[Finder] = []


def register_finder(finder: Finder) -> None:
    """Has names that are no files looked up by this finder: what is measured beside files is for others to know."""
    if finder not in _FINDERS:
        _FINDERS.append(finder)


def file_subject(path: Path, shapes: Mapping[str, int]) -> Subject:
    """A model file with random feeds. Symbols without an entry in `shapes` become 1."""
    specs = declared_inputs(path)
    symbols = {dim for spec in specs for dim in spec.dims if isinstance(dim, str)}
    binding = {symbol: shapes.get(symbol, 1) for symbol in sorted(symbols)}
    return Subject(path.stem, "file", path, lambda seed: random_feeds(specs, binding, seed), binding)


def find_subjects(names: Sequence[str], shapes: Mapping[str, int]) -> list[Subject]:
    """The models meant by `names`: paths of .onnx files, or names that a registered finder knows.

    Raises SubjectError for a name that is neither, and for a shape that no model knows.
    """
    files = {name: Path(name) for name in names if name.endswith(".onnx") or Path(name).is_file()}
    for path in files.values():
        if not path.is_file():
            raise SubjectError(f"there is no file {path}")
    others = [name for name in names if name not in files]
    subjects = [file_subject(path, shapes) for path in files.values()]
    if others or not names:
        if not _FINDERS:
            raise SubjectError(
                f"{', '.join(others) or 'nothing'} is no model file: name .onnx files. In a checkout of the project, "
                "python -m bench measures models of its zoo by name"
            )
        subjects += [subject for finder in _FINDERS for subject in finder(others, shapes)]
    symbols = {symbol for subject in subjects for symbol in subject.binding}
    for name in shapes:
        if name not in symbols:
            raise SubjectError(f"no model has a symbolic dim {name!r}; there are {sorted(symbols)}")
    return subjects
