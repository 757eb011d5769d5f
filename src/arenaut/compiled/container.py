"""The container of a compiled file: a header, a table of sections, and the sections.

    header    magic, container version, byte order, checksum, version and fingerprint of arenaut, tier, features
    table     per section: name, offset, bytes, checksum
    sections  "weights" begins at a page; it is mapped, and its checksum is looked at on request only

All numbers are little-endian, except the mark that tells the byte order of what the sections hold. A file must not be
truncated while a model that was opened from it lives: reading what is gone kills the process, as with any mapped file.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from typing import BinaryIO

from arenaut import _native
from arenaut.ir.errors import CompiledFileError
from arenaut.plain import dataclass

MAGIC = b"\x89arn\r\n\x1a\n"
CONTAINER_VERSION = 2
PAGE = 4096
MOST_SECTIONS = 4096
WEIGHTS = "weights"

# Magic, container version, byte order, checksum of header and table, sections, tier, features, fingerprint, version.
_HEADER = struct.Struct("<8sIIIIIIQ24s")
_CHECKSUM_AT = 16
# Name, offset, bytes, checksum.
_ENTRY = struct.Struct("<24sQQI")
_ORDER = 0x01020304


@dataclass(frozen=True)
class Made:
    """What made a file. tier, features: what its kernels need."""

    version: str
    fingerprint: int
    tier: int
    features: int


def this_build() -> tuple[str, int]:
    """Version and fingerprint of arenaut as it runs here."""
    from arenaut import __version__

    return __version__, _native.build_fingerprint()


def is_compiled(path: str) -> bool:
    """Whether a file begins like a compiled one; False where it cannot be read."""
    try:
        descriptor = _open_plainly(path, os.O_RDONLY)
    except (OSError, ValueError):
        return False
    try:
        return os.read(descriptor, len(MAGIC)) == MAGIC
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _open_plainly(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a pipe must not wait for a writer


@dataclass(frozen=True)
class _Section:
    offset: int
    size: int
    checksum: int


class CompiledFile:
    """A compiled file, mapped. Sections are looked at where they lie."""

    def __init__(self, path: str) -> None:
        """Raises CompiledFileError for what is no intact compiled file, FileNotFoundError where there is none."""
        self.path = path
        with open(path, "rb", opener=_open_plainly) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CompiledFileError(f"'{path}' is no regular file")
            if status.st_size < _HEADER.size:
                raise CompiledFileError(f"'{path}' is cut short: {status.st_size} bytes are no header. {_AGAIN}")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._view = memoryview(self._map)
        self.size = len(self._view)
        magic, version, order, checksum, count, tier, features, fingerprint, text = _HEADER.unpack_from(self._view)
        if magic != MAGIC:
            raise CompiledFileError(f"'{path}' is no compiled file: it begins with {magic!r}")
        if order != int.from_bytes(_ORDER.to_bytes(4, sys.byteorder), "little"):
            raise CompiledFileError(f"'{path}' was made on a machine of the other byte order. {_AGAIN}")
        if version != CONTAINER_VERSION:
            raise CompiledFileError(
                f"'{path}' is a compiled file of format {version}, and this arenaut reads {CONTAINER_VERSION}. {_AGAIN}"
            )
        end = _HEADER.size + count * _ENTRY.size
        if count > MOST_SECTIONS or end > self.size:
            raise CompiledFileError(
                f"'{path}' is cut short: its table of {count} sections reaches beyond the file. {_AGAIN}"
            )
        if checksum != _header_checksum(self._view[:end]):
            raise CompiledFileError(f"'{path}' is damaged: the checksum of its header is another. {_AGAIN}")
        self.made = Made(text.rstrip(b"\0").decode("ascii", "replace"), fingerprint, tier, features)
        self._sections: dict[str, _Section] = {}
        for i in range(count):
            name, offset, size, own = _ENTRY.unpack_from(self._view, _HEADER.size + i * _ENTRY.size)
            label = name.rstrip(b"\0").decode("ascii", "replace")
            if offset < end or offset > self.size or size > self.size - offset:
                raise CompiledFileError(
                    f"'{path}' is cut short: its section '{label}' reaches to byte {offset + size}, and the file has "
                    f"{self.size}. {_AGAIN}"
                )
            self._sections[label] = _Section(offset, size, own)

    def __contains__(self, name: str) -> bool:
        return name in self._sections

    def names(self, prefix: str) -> list[str]:
        return [name for name in self._sections if name.startswith(prefix)]

    def section(self, name: str, *, check: bool = True) -> memoryview:
        """The bytes of a section. Raises CompiledFileError where there is none, or its checksum is another."""
        found = self._sections.get(name)
        if found is None:
            raise CompiledFileError(f"'{self.path}' is damaged: it has no section '{name}'. {_AGAIN}")
        data = self._view[found.offset : found.offset + found.size]
        if check and zlib.crc32(data) != found.checksum:
            raise CompiledFileError(
                f"'{self.path}' is damaged: the checksum of its section '{name}' is another. {_AGAIN}"
            )
        return data


_AGAIN = "Compile the model again: arenaut compile model.onnx -o model.arn"

# What fills a section: its bytes, or what writes it at a file's position.
Content = bytes | memoryview | Callable[[BinaryIO], None]


def write_container(file: BinaryIO, made: Made, sections: Sequence[tuple[str, Content]]) -> None:
    """Writes a whole compiled file into an empty one."""
    place = _HEADER.size + len(sections) * _ENTRY.size
    table: list[bytes] = []
    for name, content in sections:
        step = PAGE if name == WEIGHTS else 64
        place = -(-place // step) * step
        file.truncate(place)
        file.seek(place)
        if callable(content):
            content(file)
        else:
            file.write(content)
        file.flush()
        size = file.seek(0, os.SEEK_END) - place if callable(content) else len(content)
        table.append(_ENTRY.pack(name.encode("ascii"), place, size, _checksum(file, place, size)))
        place += size
    file.truncate(place)
    header = _HEADER.pack(
        MAGIC, CONTAINER_VERSION, int.from_bytes(_ORDER.to_bytes(4, sys.byteorder), "little"), 0, len(sections),
        made.tier, made.features, made.fingerprint, made.version.encode("ascii"),
    )  # fmt: skip
    head = header + b"".join(table)
    checksum = _header_checksum(memoryview(head))
    file.seek(0)
    file.write(head[:_CHECKSUM_AT] + struct.pack("<I", checksum) + head[_CHECKSUM_AT + 4 :])
    file.flush()


def _header_checksum(head: memoryview) -> int:
    """Of header and table, the checksum's own place counting as zeros."""
    return zlib.crc32(head[_CHECKSUM_AT + 4 :], zlib.crc32(b"\0\0\0\0", zlib.crc32(head[:_CHECKSUM_AT])))


def _checksum(file: BinaryIO, place: int, size: int) -> int:
    checksum = 0
    file.seek(place)
    left = size
    while left:
        part = file.read(min(left, 1 << 20))
        if not part:
            raise OSError("the file that is written is shorter than what was written")
        checksum = zlib.crc32(part, checksum)
        left -= len(part)
    return checksum
