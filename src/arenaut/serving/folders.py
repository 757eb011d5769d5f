"""Models on disk: files, and folders of models with versions.

models/bert.onnx             model "bert", version 1
models/digits/model.onnx     model "digits", version 1
models/vad/1/model.onnx      model "vad", versions 1 and 2
models/vad/2/model.arn
bert=large.onnx              model "bert", of a file or folder of another name
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

ENDINGS = (".arn", ".onnx")  # the first of them where a folder has both

Versions = Mapping[str, str]  # a file by its version


def models_at(paths: Sequence[str]) -> dict[str, str]:
    """The models that are asked for: a file, a folder of models, or one model's folder of versions; each name with its
    path. Raises ValueError for what is none of these, and for names that stand twice."""
    found: dict[str, str] = {}
    for path in paths:
        for name, where in _models_of(path).items():
            if found.setdefault(name, where) != where:
                raise ValueError(f"two models are called '{name}': '{found[name]}' and '{where}'")
    return found


def _models_of(path: str) -> dict[str, str]:
    name, _, where = path.partition("=")
    if where and not os.path.exists(path):
        versions_at(where)
        return {name: where}
    if os.path.isfile(path):
        return {os.path.splitext(os.path.basename(path))[0]: path}
    if not os.path.isdir(path):
        raise ValueError(f"'{path}' is no file and no folder")
    own = os.path.basename(os.path.abspath(path))
    if _versions(path):
        return {own: path}
    found = {}
    for entry in sorted(os.listdir(path)):
        inner = os.path.join(path, entry)
        if entry.startswith("."):
            continue
        if os.path.isdir(inner) and (_versions(inner) or _model_file(inner)):
            found[entry] = inner
        elif entry.endswith(ENDINGS):
            found[os.path.splitext(entry)[0]] = inner
    if not found:
        raise ValueError(f"'{path}' holds no models: neither files {' or '.join(ENDINGS)} nor folders with such")
    return found


def versions_at(path: str) -> Versions:
    """The files of a model by version. Raises ValueError where there is none."""
    if os.path.isfile(path):
        return {"1": path}
    found = _versions(path)
    file = None if found or not os.path.isdir(path) else _model_file(path)
    if file is not None:
        found = {"1": file}
    if not found:
        raise ValueError(f"'{path}' holds no model: no file {' or '.join(ENDINGS)}, and no folders 1, 2, ... with one")
    return found


def stamp_of(path: str) -> tuple[Any, ...]:
    """Another one where the file is."""
    status = os.stat(path)
    return os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ino


def _versions(path: str) -> dict[str, str]:
    found = {}
    for entry in os.listdir(path) if os.path.isdir(path) else ():
        file = _model_file(os.path.join(path, entry)) if entry.isascii() and entry.isdigit() else None
        if file is not None:
            found[entry] = file
    return found


def _model_file(folder: str) -> str | None:
    """model.arn or model.onnx, else the only such file."""
    if not os.path.isdir(folder):
        return None
    names = sorted(n for n in os.listdir(folder) if n.endswith(ENDINGS))
    for ending in ENDINGS:
        if f"model{ending}" in names:
            return os.path.join(folder, f"model{ending}")
    return os.path.join(folder, names[0]) if len(names) == 1 else None
