"""Opens what a user calls a model: a path, bytes or a ModelProto. Large tensor data stays where it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from arenaut.frontend.blobs import ExternalFiles, FileStorage, MemoryStorage, Storage
from arenaut.frontend.messages import read_model
from arenaut.ir.errors import InvalidModelError, NotAModelError, OptionError
from arenaut.plain import dataclass

# What files that are often taken for ONNX begin with, at which byte, and what to do with them.
_OTHER_FORMATS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the model itself: run 'git lfs pull'"),
    (0, b"PK\x03\x04", "a zip archive, for example a PyTorch checkpoint: export the model with torch.onnx.export"),
    (0, b"\x89HDF\r\n", "an HDF5 file, for example a Keras model: convert it with tf2onnx"),
    (4, b"TFL3", "a TensorFlow Lite model: convert it with tf2onnx"),
    (4, b"ORTM", "an ORT-format model: take the .onnx file it was made from"),
    (0, b"GGUF", "a GGUF file: take the ONNX export of the model"),
    (0, b"\x80\x02", "a pickle, for example a PyTorch checkpoint: export the model with torch.onnx.export"),
    (0, b"<", "a text in XML or HTML, perhaps the error page of a download: download it again"),
    (0, b"{", "JSON text: export the model as binary ONNX"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it first"),
)
_LONGEST_MAGIC = 64


@dataclass(frozen=True)
class Source:
    """An opened model.

    model: a message of arenaut.frontend.messages, or the ModelProto that was given. again: reads the same model once
    more, also after the files are closed. storage: what `model` was read from, where its tensors' data lies.
    """

    model: Any
    label: str
    files: ExternalFiles
    again: Callable[[], Source]
    storage: Storage | None = None

    @property
    def mapped(self) -> list[tuple[int, int]]:
        """Address and bytes of every file that is mapped, the model's own first."""
        own = self.storage.mapped if isinstance(self.storage, FileStorage) else None
        return [*([] if own is None else [own]), *self.files.mapped]


def is_model_proto(source: Any) -> bool:
    """Whether it is onnx's ModelProto; without importing onnx, which then was imported by whoever made it."""
    onnx = sys.modules.get("onnx")
    return onnx is not None and isinstance(source, onnx.ModelProto)


@contextmanager
def open_source(
    source: Any, external_data_folder: str | None = None, held: ExternalFiles | None = None
) -> Iterator[Source]:
    """Opens a model, which is `resolved`; files stay open until the block ends, arrays made inside it stay valid after.

    held: stands for the files that its tensors name.

    Raises InvalidModelError when it is no ONNX model, FileNotFoundError when there is no such file, OptionError when
    source is neither a path, bytes, a file nor a ModelProto.
    """
    if is_model_proto(source):
        opened = _given(source, held or ExternalFiles(folder=external_data_folder))
        storage: FileStorage | None = None
    elif isinstance(source, (bytes, bytearray, memoryview)):
        memory = MemoryStorage(source if isinstance(source, memoryview) else memoryview(source))
        files = held or ExternalFiles(folder=external_data_folder)
        opened, storage = _parse(memory, memory.buffer, "the model given as bytes", files), None
    elif isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        storage = _open_file(path)
        try:
            files = held or ExternalFiles(path, external_data_folder)
            data = memoryview(storage.map) if storage.size else memoryview(b"")
            opened = _parse(storage, data, f"'{path}'", files)
        except BaseException:
            storage.close()
            raise
    else:
        raise OptionError(f"a model is a path, bytes, a file or an onnx.ModelProto, not {type(source).__name__}")
    try:
        _check_is_model(opened)
        yield opened
    finally:
        opened.files.close()
        if storage is not None:
            storage.close()


def resolved(source: Any) -> Any:
    """The source; of an open file its path, or what is left to read of it. Raises OptionError where that is text."""
    if not callable(getattr(source, "read", None)) or is_model_proto(source):
        return source
    name = getattr(source, "name", None)
    if isinstance(name, str) and os.path.isfile(name) and source.seekable() and source.tell() == 0:
        return os.path.abspath(name)
    data = source.read()
    if not isinstance(data, bytes):
        raise OptionError("the model is a file opened for text: open it with open(path, 'rb')")
    return data


def _given(model: Any, files: ExternalFiles) -> Source:
    return Source(model, "the model", files, lambda: _given(model, files))


def _open_file(path: str) -> FileStorage:
    try:
        return FileStorage(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file '{path}'") from None
    except OSError as error:
        raise NotAModelError(f"'{path}' cannot be read as a model: {error.strerror or error}") from None


def _parse(storage: Storage, data: memoryview, label: str, files: ExternalFiles) -> Source:
    if not data.nbytes:
        raise NotAModelError(f"{label} is empty. Download or export the model again")
    try:
        model = read_model(data)
    except ValueError:
        raise NotAModelError(_not_onnx(data, label)) from None
    return Source(model, label, files, lambda: _parse(storage, data, label, files), storage)


def _check_is_model(source: Source) -> None:
    model = source.model
    if not model.HasField("graph") or not (model.ir_version or model.opset_import):
        raise InvalidModelError(
            f"{source.label} is no ONNX model: it has no graph or no version. If it was saved in another format, "
            "export it to ONNX"
        )


def _not_onnx(data: memoryview, label: str) -> str:
    start = bytes(data[:_LONGEST_MAGIC])
    for offset, magic, advice in _OTHER_FORMATS:
        if start[offset : offset + len(magic)] == magic:
            return f"{label} is no ONNX model but looks like {advice}"
    return (
        f"{label} cannot be read as an ONNX model ({data.nbytes} bytes): it is cut short, damaged or in another "
        "format. Download or export it again, and compare its size with the original"
    )
