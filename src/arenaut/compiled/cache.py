"""A folder of compiled files, by the content of their models: the first load compiles and stores, later ones open.

    <key>.arn       a compiled file; the key says the content of the model's files, version, processor and options
    <path>.files    of a model at a path: which files it is made of, and how they looked when they were last read

A file whose size, time of change and number are as before is taken for unchanged, unless it had changed so shortly
before it was read that a later change may bear the same time; else its content is read. Whatever is written appears by
a rename, so that any number of processes may load at once. The files least recently used go where the folder would grow
beyond its limit.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from typing import TYPE_CHECKING, Any

from arenaut.compiled.container import this_build
from arenaut.compiled.origin import OriginFile, Provenance, sha256_of_file
from arenaut.compiled.tables import DAMAGES, boolean, number, text
from arenaut.config import CACHE_VARIABLE, user_cache, variable
from arenaut.ir.errors import CacheError, CompiledFileError
from arenaut.plain import dataclass

if TYPE_CHECKING:
    from arenaut.ir.target import Target
    from arenaut.model import Model

LIMIT_VARIABLE = "ARENAUT_CACHE_BYTES"
DEFAULT_LIMIT = 4 << 30
COMPILED, INDEX, WORKING = ".arn", ".files", ".compiling-"
# A file that changed so shortly before it was read may change again without a later time.
_DOUBTFUL_NS = 2_000_000_000
_ABANDONED_SECONDS = 3600.0

_said: set[str] = set()


def cache_folder(cache: bool | str | PathLike[str] | None) -> str | None:
    """The folder that an option means: a path; True for the user's own; None for what ARENAUT_CACHE says, which is a
    path, or 1 for the user's own. None: no cache."""
    if cache is None:
        said = variable(CACHE_VARIABLE) or ""
        return None if said in ("", "0") else own_folder() if said == "1" else said
    if cache is True:
        said = variable(CACHE_VARIABLE) or ""
        return own_folder() if said in ("", "0", "1") else said
    return None if cache is False else os.fspath(cache)


def own_folder() -> str:
    return os.path.join(user_cache(), "arenaut", "compiled")


@dataclass(frozen=True)
class Entry:
    """A compiled file in the folder. used: seconds since the epoch."""

    path: str
    bytes: int
    used: float


class Cache:
    """One folder of compiled files."""

    def __init__(self, folder: str) -> None:
        """Makes the folder where there is none. Raises CacheError for a folder of somebody else, or that others may
        write: what lies there is run. OSError where it cannot be made."""
        self.folder = os.path.abspath(folder)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        status = os.stat(self.folder)
        if status.st_uid != os.geteuid():
            raise CacheError(
                f"the cache folder '{self.folder}' belongs to user {status.st_uid}, and this process is user "
                f"{os.geteuid()}: name a folder of your own, with cache= or {CACHE_VARIABLE}"
            )
        if stat.S_IMODE(status.st_mode) & 0o022:
            raise CacheError(
                f"the cache folder '{self.folder}' may be written by others (mode {stat.S_IMODE(status.st_mode):o}): "
                f"chmod 700 '{self.folder}'"
            )

    @property
    def limit(self) -> int:
        said = variable(LIMIT_VARIABLE) or ""
        return int(said) if said.isdecimal() else DEFAULT_LIMIT

    def entries(self) -> list[Entry]:
        """The compiled files, the least recently used first."""
        found = []
        for name, status in self._files(COMPILED):
            found.append(Entry(os.path.join(self.folder, name), status.st_size, status.st_mtime))
        return sorted(found, key=lambda e: (e.used, e.path))

    def clear(self) -> int:
        """Removes all that is stored; returns its bytes."""
        freed = 0
        for ending in (COMPILED, INDEX, ""):
            for name, status in self._files(ending):
                if ending or name.startswith(WORKING):
                    freed += status.st_size
                    _remove(os.path.join(self.folder, name))
        return freed

    def shrink(self, keep: str = "") -> None:
        """Removes the least recently used files beyond the limit, and what processes that ended left behind."""
        for name, status in self._files(""):
            if name.startswith(WORKING) and status.st_mtime < time.time() - _ABANDONED_SECONDS:
                _remove(os.path.join(self.folder, name))
        entries = self.entries()
        total = sum(e.bytes for e in entries)
        for entry in entries:
            if total <= self.limit:
                return
            if entry.path != keep:
                _remove(entry.path)
                total -= entry.bytes

    def _files(self, ending: str) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(self.folder) as found:
            for item in found:
                if item.name.endswith(ending) and item.is_file(follow_symlinks=False):
                    try:
                        yield item.name, item.stat(follow_symlinks=False)
                    except FileNotFoundError:  # another process was quicker
                        continue

    # -- keys --------------------------------------------------------------------------------------------------

    def path_of(self, key: str) -> str:
        return os.path.join(self.folder, key + COMPILED)

    def known_digests(self, path: str) -> list[tuple[str, str]] | None:
        """(location, digest) of each file that the model at this path is made of; None where that is not known."""
        try:
            with open(self._index(path), "rb") as file:
                known = [_Seen.read(each) for each in json.loads(file.read())]
            digests = [(seen.location, seen.digest_now()) for seen in known]
        except (OSError, *DAMAGES):
            return None
        return digests or None

    def remember(self, path: str, files: Sequence[OriginFile]) -> list[tuple[str, str]]:
        """Notes what the model at this path is made of; returns (location, digest) of each file."""
        seen = [_Seen.of(f.location, f.path) for f in files]
        self._write(self._index(path), json.dumps([s.table() for s in seen]).encode())
        return [(s.location, s.digest) for s in seen]

    def _index(self, path: str) -> str:
        name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()
        return os.path.join(self.folder, name[:40] + INDEX)

    def _write(self, path: str, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(prefix=WORKING, dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except BaseException:
            _remove(name)
            raise


@dataclass(frozen=True)
class _Seen:
    """How a file looked. sure: it did not change shortly before it was read."""

    location: str
    path: str
    size: int
    changed: int
    inode: int
    sure: bool
    digest: str

    @classmethod
    def of(cls, location: str, path: str) -> _Seen:
        now = time.time_ns()
        status = os.stat(path)
        sure = now - max(status.st_mtime_ns, status.st_ctime_ns) > _DOUBTFUL_NS
        return cls(location, path, status.st_size, status.st_mtime_ns, status.st_ino, sure, sha256_of_file(path))

    @classmethod
    def read(cls, given: Any) -> _Seen:
        location, path, size, changed, inode, sure, digest = given
        return cls(
            text(location), text(path), number(size), number(changed), number(inode), boolean(sure), text(digest)
        )

    def table(self) -> list[Any]:
        return [self.location, self.path, self.size, self.changed, self.inode, self.sure, self.digest]

    def digest_now(self) -> str:
        status = os.stat(self.path)
        if self.sure and (status.st_size, status.st_mtime_ns, status.st_ino) == (self.size, self.changed, self.inode):
            return self.digest
        return sha256_of_file(self.path)


def key_of(digests: Sequence[tuple[str, str]], options: Mapping[str, Any], target: Target) -> str:
    """Of all that a compiled file depends on."""
    machine = [target.tier, target.features, target.l1d_bytes, target.l2_bytes, target.l3_bytes]
    whole = [this_build(), machine, sorted(options.items()), digests]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:40]


def through_cache(
    source: str | bytes, folder: str, options: Mapping[str, Any], target: Target, compiled: Callable[[], Model],
    opened: Callable[[str], Model],
) -> Model:  # fmt: skip
    """The model of a path, or of the bytes of a file, opened where it is stored, else compiled and stored. A folder
    that cannot be written is said once; the model is loaded all the same. Raises CacheError."""
    try:
        cache = Cache(folder)
    except OSError as error:
        _say(folder, error)
        return compiled()
    if isinstance(source, bytes):
        digests: list[tuple[str, str]] | None = [("", hashlib.sha256(source).hexdigest())]
    else:
        digests = cache.known_digests(source)
    if digests is not None:
        found = _open(cache.path_of(key_of(digests, options, target)), opened)
        if found is not None:
            return found
    model = compiled()
    try:
        _store(cache, model, source, digests, options, target)
    except OSError as error:
        _say(folder, error)
    return model


def _open(path: str, opened: Callable[[str], Model]) -> Model | None:
    """None where it is not stored, or is damaged: then it goes."""
    try:
        model = opened(path)
        os.utime(path)
    except FileNotFoundError:
        return None
    except CompiledFileError:
        _remove(path)
        return None
    except OSError:  # used, and not noted: a folder that is not written
        return model
    return model


def _store(
    cache: Cache, model: Model, source: str | bytes, digests: list[tuple[str, str]] | None,
    options: Mapping[str, Any], target: Target,
) -> None:  # fmt: skip
    if isinstance(source, str):
        provenance = Provenance.of(model)
        files = [] if provenance is None else provenance.files
        if not files or any(f.data is not None for f in files):
            return
        digests = cache.remember(source, files)
    assert digests is not None
    path = cache.path_of(key_of(digests, options, target))
    model.save(path)
    os.chmod(path, 0o600)
    cache.shrink(keep=path)


def _say(folder: str, error: OSError) -> None:
    if folder not in _said:
        _said.add(folder)
        warnings.warn(
            f"models are not kept in the cache folder '{folder}': {error}. They load as usual", RuntimeWarning,
            stacklevel=2,
        )  # fmt: skip


def _remove(path: str) -> None:
    with suppress(OSError):  # another process was quicker, or the folder is not to be written
        os.unlink(path)
