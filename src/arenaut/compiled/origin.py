"""Where a model came from, and how it was loaded: what a compiled file says of its original, or holds of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, get_args

from arenaut.compiled.container import CompiledFile, Content, this_build
from arenaut.compiled.tables import DAMAGES, boolean, damaged, number, text
from arenaut.ir.errors import CompiledFileError
from arenaut.plain import dataclass

if TYPE_CHECKING:
    from arenaut.ir.target import Target
    from arenaut.model import Model

_CHUNK = 1 << 20


@dataclass(frozen=True)
class OriginFile:
    """location: as the model names it; "" of the model itself. path: where it lies; "" where `data` is all there is."""

    location: str
    path: str
    data: bytes | memoryview | None = None

    @property
    def size(self) -> int:
        return os.stat(self.path).st_size if self.data is None else len(self.data)

    def sha256(self) -> str:
        from hashlib import sha256

        return sha256_of_file(self.path) if self.data is None else sha256(self.data).hexdigest()

    def copy_to(self, file: BinaryIO) -> None:
        if self.data is not None:
            file.write(self.data)
            return
        from shutil import copyfileobj

        with open(self.path, "rb") as source:
            copyfileobj(source, file, _CHUNK)


def sha256_of_file(path: str) -> str:
    from hashlib import sha256

    digest = sha256()
    with open(path, "rb", buffering=0) as file:
        room = memoryview(bytearray(_CHUNK))
        while n := file.readinto(room):
            digest.update(room[:n])
    return digest.hexdigest()


# Options of load_onnx that a program depends on, and what they are where nobody says otherwise.
PLAIN: Mapping[str, Any] = {
    "threads": None, "optimize": True, "optimize_memory": "default", "shapes": {}, "stop_after": None,
    "exact_conv": False, "winograd_limit": None, "precision": "stored", "weights": "stored", "without": [],
    "state": None, "cache_precision": "stored",
}  # fmt: skip
# Those of a Revision that changes no weights.
PLAIN_REVISION: Mapping[str, Any] = {"dims": {}, "denotations": {}, "separate": False}


def kept_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """These options as plain data. given: the arguments of load_onnx."""
    revision = given["revision"]
    options = {name: given[name] for name in PLAIN}
    options |= {"shapes": dict(given["shapes"] or {}), "without": sorted(given["without"])}
    if isinstance(options["state"], Mapping):
        options["state"] = dict(options["state"])
    return options | {name: getattr(revision, name, plain) for name, plain in PLAIN_REVISION.items()}


@dataclass(frozen=True)
class Provenance:
    """The files of a model, its own first (none where weights were given beside it), the options that it was made with,
    and what its kernels were picked for."""

    files: Sequence[OriginFile]
    options: Mapping[str, Any]
    target: Target

    @classmethod
    def of(cls, model: Model) -> Provenance | None:
        """None for a model that load_onnx did not return."""
        origin, target = model._origin, model._target
        if origin is None or target is None:
            return None
        revision = origin.options["revision"]
        changed = revision is not None and bool(revision.initializers)
        files = [] if changed else [_own_file(origin.source), *[OriginFile(n, path) for n, path in model._external]]
        return cls(files, kept_options(origin.options), target)

    def sections(self) -> list[tuple[str, Content]]:
        return [(f"original.{i}", file.copy_to) for i, file in enumerate(self.files)]

    def described(self, inside: bool) -> bytes:
        files = [
            {"location": f.location, "path": f.path and os.path.abspath(f.path), "size": f.size, "sha256": f.sha256()}
            for f in self.files
        ]
        document = {"inside": inside, "files": files, "options": dict(self.options)}
        return json.dumps(document, separators=(",", ":")).encode()


def _own_file(source: Any) -> OriginFile:
    if isinstance(source, str):
        return OriginFile("", source)
    return OriginFile("", "", bytes(source) if isinstance(source, (bytes, bytearray, memoryview)) else
                      source.SerializeToString())  # fmt: skip


@dataclass(frozen=True)
class Original:
    """The original of a compiled file, found again. external: the files that it names, where they are no longer beside
    it."""

    source: str | memoryview
    external: Mapping[str, memoryview] | None
    options: Mapping[str, Any]


def original_of(file: CompiledFile) -> Original | None:
    """The original inside a compiled file, else the one that it was made from, where that is still the same, else the
    same files beside it; None: there is none. Raises CompiledFileError for a damaged file."""
    try:
        document = json.loads(bytes(file.section("origin")))
        options = document["options"]
        if file.made.version != this_build()[0]:  # which had fewer options
            options = {**PLAIN, **PLAIN_REVISION, **options}
        options = _options(options)
        files = [_file(each) for each in document["files"]]
        inside = boolean(document["inside"])
    except DAMAGES as error:
        raise damaged(file.path, "what it says of its original", error) from None
    if not files:
        return None
    if inside:
        sections = [file.section(f"original.{i}") for i in range(len(files))]
        external = {f.location: data for f, data in zip(files[1:], sections[1:], strict=True)}
        return Original(sections[0], external, options)
    beside = os.path.dirname(os.path.abspath(file.path))
    for folder in (None, beside):
        path = _where(files[0], folder)
        if path and all(_is_same(f, path) for f in files):
            return Original(path, None, options)
    return None


def stored_names(path: str) -> list[str]:
    """Where the files of a compiled file's original lay; what cannot be read has none."""
    try:
        document = json.loads(bytes(CompiledFile(path).section("origin")))
        return [_file(each).path for each in document["files"] if each["path"]]
    except (CompiledFileError, OSError, *DAMAGES):
        return []


@dataclass(frozen=True)
class _Known:
    location: str
    path: str
    size: int
    sha256: str


def _file(given: Any) -> _Known:
    return _Known(text(given["location"]), text(given["path"]), number(given["size"]), text(given["sha256"]))


def _where(model: _Known, folder: str | None) -> str:
    if not model.path or folder is None:
        return model.path
    return os.path.join(folder, os.path.basename(model.path))


def _is_same(known: _Known, model_path: str) -> bool:
    """Whether a file of the original lies where a model at this path would look for it, unchanged."""
    path = os.path.join(os.path.dirname(model_path), known.location) if known.location else model_path
    try:
        return os.stat(path).st_size == known.size and sha256_of_file(path) == known.sha256
    except OSError:
        return False


def _options(given: Any) -> dict[str, Any]:
    """All options as `kept_options` gave them: what load_onnx takes, or refuses with an OptionError."""
    if set(given) != {*PLAIN, *PLAIN_REVISION}:
        raise ValueError("other options than load_onnx has")
    from arenaut.ir.target import OPTIMISATIONS, Precision, WeightForm

    for name in ("optimize", "exact_conv", "separate"):
        boolean(given[name])
    for name in ("threads", "stop_after", "winograd_limit"):
        if given[name] is not None:
            number(given[name])
    for name in ("shapes", "dims", "denotations"):
        for size in given[name].values():
            number(size)
    for name, known in (("precision", get_args(Precision)), ("weights", get_args(WeightForm))):
        if given[name] not in known:
            raise ValueError(f"the option {name} is {given[name]!r}")
    for name in ("optimize_memory", "cache_precision"):
        text(given[name])
    if not isinstance(given["without"], list) or not all(text(name) in OPTIMISATIONS for name in given["without"]):
        raise ValueError("it leaves out what is no optimisation")
    if given["state"] is not None and not isinstance(given["state"], bool):
        for output in given["state"].values():
            text(output)
    return dict(given)


def no_original(path: str, wanted: str) -> CompiledFileError:
    return CompiledFileError(
        f"'{path}': {wanted} needs the original model, which is neither inside, nor where it was, nor beside the file. "
        "Compile it with its weights inside: arenaut compile --portable model.onnx -o model.arn"
    )
