"""Where tensor bytes lie: in memory, in the model's own file or in an external one, and which files may be opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from arenaut import _native
from arenaut.ir.errors import ExternalDataError
from arenaut.ir.graph import Array
from arenaut.plain import cached_property, dataclass

# Data at an odd place is copied where that costs next to nothing; what is larger is viewed where it lies.
LARGE_BYTES = 1 << 16


class Storage(Protocol):
    """Bytes that can be looked at without copying."""

    @property
    def size(self) -> int: ...
    def view(self, dtype: np.dtype[Any], offset: int, count: int) -> Array:
        """count elements from a byte offset on, read-only. Small arrays are aligned to their element size, large ones
        lie where the bytes do."""
        ...


class MemoryStorage:
    """Bytes the caller holds."""

    def __init__(self, data: bytes | memoryview) -> None:
        self.buffer = memoryview(data).cast("B").toreadonly()

    @property
    def size(self) -> int:
        return self.buffer.nbytes

    def view(self, dtype: np.dtype[Any], offset: int, count: int) -> Array:
        return _view(self.buffer, dtype, offset, count)


class FileStorage:
    """A file, mapped when first looked at."""

    def __init__(self, path: str) -> None:
        """Raises OSError when the file cannot be opened, IsADirectoryError and the like when it is no regular file."""
        # Non-blocking: opening a pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            self._file.close()
            raise OSError(f"{path} is not a regular file")
        self.path = path
        self.size = status.st_size

    @cached_property
    def map(self) -> _native.FileMap:
        """The whole file; raises ValueError when it is empty. Unlike mmap's it keeps no descriptor."""
        return _native.FileMap(self._file.fileno())

    def view(self, dtype: np.dtype[Any], offset: int, count: int) -> Array:
        return _view(self.map, dtype, offset, count)

    @property
    def mapped(self) -> tuple[int, int] | None:
        """Address and bytes of the map; None when nothing was looked at yet."""
        if "map" not in self.__dict__:
            return None
        whole = np.frombuffer(memoryview(self.map), np.uint8)
        return int(whole.__array_interface__["data"][0]), whole.nbytes

    def close(self) -> None:
        """Closes the file; what was mapped stays readable."""
        self._file.close()


def _view(buffer: memoryview | _native.FileMap, dtype: np.dtype[Any], offset: int, count: int) -> Array:
    array: Array = np.frombuffer(memoryview(buffer), dtype, count, offset)
    if array.nbytes < LARGE_BYTES and not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return array


@dataclass(frozen=True)
class Blob:
    """length bytes from offset on."""

    storage: Storage
    offset: int
    length: int

    @classmethod
    def of_bytes(cls, data: bytes) -> Blob:
        return cls(MemoryStorage(data), 0, len(data))

    def view(self, dtype: np.dtype[Any]) -> Array:
        return self.storage.view(dtype, self.offset, self.length // dtype.itemsize)


class ExternalFiles:
    """The files beside a model that its tensors may name.

    A file is opened only when its resolved path lies in the model's folder, or in the folder of the model's resolved
    path: a model in a Hugging Face cache is a link into a folder of blobs, and so is its data. Absolute locations,
    ".." and links that lead elsewhere are refused, so that a model cannot read files it was not shipped with.
    """

    def __init__(self, model_path: str | None = None, folder: str | None = None) -> None:
        """folder: where to look when the model did not come from a path."""
        base = folder if folder is not None else (os.path.dirname(os.path.abspath(model_path)) if model_path else None)
        self._base = base
        self._path = os.path.abspath(model_path) if model_path is not None and folder is None else None
        self._open: dict[str, FileStorage] = {}
        self._named: dict[str, str] = {}

    def blob(self, entries: Mapping[str, str], where: object) -> Blob:
        """The bytes that a tensor's external_data entries name. Raises ExternalDataError."""
        location = entries.get("location", "")
        storage = self._storage(location, where)
        offset, length = _number(entries, "offset", where), _number(entries, "length", where)
        offset = offset or 0
        if length is None:
            length = max(storage.size - offset, 0)
        if offset + length > storage.size:
            raise ExternalDataError(
                f"{where} needs bytes {offset} to {offset + length} of '{location}', but that file has "
                f"{storage.size} bytes. It is cut short or belongs to another model; copy or download it again"
            )
        return Blob(storage, offset, length)

    @property
    def read(self) -> list[tuple[str, str]]:
        """Every file that was looked into: how the model names it, and its path."""
        return sorted(self._named.items())

    @property
    def mapped(self) -> list[tuple[int, int]]:
        """Address and bytes of every file that was looked into."""
        return [place for storage in self._open.values() if (place := storage.mapped) is not None]

    def close(self) -> None:
        """Closes the files; what was mapped stays readable."""
        for storage in self._open.values():
            storage.close()

    def _storage(self, location: str, where: object) -> FileStorage:
        path = self._named[location] = self._resolve(location, where)
        if path not in self._open:
            try:
                self._open[path] = FileStorage(path)
            except FileNotFoundError:
                raise ExternalDataError(
                    f"{where} keeps its data in '{location}', which is not in the model's folder {self._base}. "
                    "Put that file beside the model"
                ) from None
            except OSError as error:
                raise ExternalDataError(
                    f"{where} keeps its data in '{location}', which cannot be read: {error}"
                ) from None
        return self._open[path]

    @cached_property
    def _roots(self) -> list[str]:
        """Folders that files may lie in."""
        roots = [] if self._base is None else [os.path.realpath(self._base)]
        return roots if self._path is None else [*roots, os.path.dirname(os.path.realpath(self._path))]

    def _resolve(self, location: str, where: object) -> str:
        if self._base is None:
            raise ExternalDataError(
                f"{where} keeps its data in the file '{location}', but the model was given as bytes. Load the model "
                "from its path, or name the folder of its data"
            )
        parts = location.split("/")
        if not location or "\0" in location or os.path.isabs(location) or ".." in parts:
            raise ExternalDataError(
                f"{where} keeps its data in '{location}': only paths inside the model's folder are read. "
                "Move the data beside the model and save the model again"
            )
        path = os.path.realpath(os.path.join(self._base, location))
        if not any(os.path.commonpath([root, path]) == root for root in self._roots):
            raise ExternalDataError(
                f"{where} keeps its data in '{location}', a link to {path}, outside the model's folder. "
                "Copy that file beside the model"
            )
        return path


class HeldFiles(ExternalFiles):
    """Files that tensors name, and that the caller holds. absent: makes an array of tensors whose data nobody holds,
    from the location they name, the element type and the number of elements."""

    def __init__(self, held: Mapping[str, memoryview], absent: AbsentArray | None = None) -> None:
        super().__init__()
        self._held = held
        self._absent = absent

    def blob(self, entries: Mapping[str, str], where: object) -> Blob:
        location = entries.get("location", "")
        offset, length = _number(entries, "offset", where) or 0, _number(entries, "length", where)
        if self._absent is not None and length is not None:
            return Blob(_AbsentStorage(location, self._absent), 0, length)
        data = self._held.get(location)
        if data is None:
            raise ExternalDataError(f"{where} keeps its data in '{location}', which is not held")
        if length is None:
            length = max(len(data) - offset, 0)
        if offset + length > len(data):
            raise ExternalDataError(
                f"{where} needs bytes {offset} to {offset + length} of '{location}': it is cut short"
            )
        return Blob(MemoryStorage(data), offset, length)


AbsentArray = Callable[[str, "np.dtype[Any]", int], Array]


class _AbsentStorage:
    def __init__(self, location: str, make: AbsentArray) -> None:
        self.location, self.make, self.size = location, make, 0

    def view(self, dtype: np.dtype[Any], offset: int, count: int) -> Array:
        return self.make(self.location, dtype, count)


def _number(entries: Mapping[str, str], key: str, where: object) -> int | None:
    text = entries.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ExternalDataError(f"{where} names its external data with {key} '{text}', expected a count of bytes")
    return int(text)
