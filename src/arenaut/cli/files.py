"""Arrays from files and to files: npz, npy, images, JSON."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arenaut.inputs import TensorInfo

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}


def read_feeds(given: Sequence[str], inputs: Sequence[TensorInfo]) -> dict[str, Any]:
    """Feeds from arguments: "feeds.npz", "x=file" with file an npy, image or JSON file, "x=[1, 2]", or a file alone for
    a model of one input. Raises ValueError for what is none of these and for names that no input has."""
    by_name = {info.name: info for info in inputs}
    feeds: dict[str, Any] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if separator and not Path(text).exists():
            feeds[name] = _value(value, _info_of(name, by_name))
        elif text.endswith(".npz"):
            with np.load(text) as arrays:
                feeds.update({n: arrays[n] for n in arrays.files})
        elif text.endswith(".json") and isinstance(data := json.loads(Path(text).read_text()), dict):
            feeds.update({n: _array(v, _info_of(n, by_name)) for n, v in data.items()})
        elif len(inputs) == 1:
            feeds[inputs[0].name] = _value(text, inputs[0])
        else:
            raise ValueError(f"'{text}': say which input it is for, as {inputs[0].name if inputs else 'name'}={text}")
    for name in feeds:
        _info_of(name, by_name)
    return feeds


def _info_of(name: str, by_name: Mapping[str, TensorInfo]) -> TensorInfo:
    if name not in by_name:
        near = difflib.get_close_matches(name, by_name, 1)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        raise ValueError(f"the model has no input '{name}'{hint} It has {', '.join(by_name) or 'none'}")
    return by_name[name]


def _value(text: str, info: TensorInfo) -> Any:
    path = Path(text)
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix.lower() in _IMAGES:
        return image(path, info)
    if path.suffix == ".json":
        return _array(json.loads(path.read_text()), info)
    try:
        return _array(json.loads(text), info)
    except json.JSONDecodeError:
        if info.dtype == "string":
            return np.array([text], object)
        raise ValueError(
            f"'{text}' is no npy, image or JSON file, and no JSON: write {info.name}=file.npy or {info.name}=[1,2,3]"
        ) from None


def _array(data: Any, info: TensorInfo) -> Any:
    return np.array(data, object if info.dtype == "string" else info.dtype)


def image(path: Path, info: TensorInfo) -> np.ndarray[Any, Any]:
    """A picture as the input wants it: its layout and size, bytes as they are, floats from 0 to 1."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("pictures need pillow: pip install pillow") from None

    shape = info.shape or (1, 3, "height", "width")
    if len(shape) not in (3, 4):
        raise ValueError(f"input '{info.name}' {list(shape)} is no picture: expected rank 3 or 4")
    *_, a, b, c = shape
    last = c in (1, 3) and a not in (1, 3)
    channels, height, width = (c, a, b) if last else (a, b, c)
    with Image.open(path) as file:
        picture = file.convert("L" if channels == 1 else "RGB")
    if isinstance(height, int) and isinstance(width, int):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)[..., None] if channels == 1 else np.asarray(picture)
    if not last:
        pixels = pixels.transpose(2, 0, 1)
    if np.dtype(info.dtype).kind == "f":
        pixels = pixels.astype(info.dtype) / 255
    pixels = np.ascontiguousarray(pixels[None] if len(shape) == 4 else pixels, info.dtype)
    return pixels


def write_outputs(path: Path, outputs: Mapping[str, Any]) -> None:
    """Arrays to an npz, an npy (of one output) or a JSON file. Raises ValueError for another kind of file."""
    if path.suffix == ".npz":
        arrays: dict[str, Any] = {name: np.asarray(a) for name, a in outputs.items()}
        np.savez(path, **arrays)
    elif path.suffix == ".npy" and len(outputs) == 1:
        np.save(path, next(iter(outputs.values())))
    elif path.suffix == ".json":
        path.write_text(json.dumps({name: plain(a) for name, a in outputs.items()}))
    else:
        raise ValueError(f"'{path}': outputs are written to .npz or .json files, one output to .npy as well")


def plain(value: Any) -> Any:
    """An output as JSON has it."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64).tolist() if value.dtype.kind not in "OUSbiuf" else value.tolist()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def summary(value: Any) -> str:
    """An output in a line."""
    if not isinstance(value, np.ndarray):
        return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else str(value)
    first = ", ".join(f"{v:.6g}" if value.dtype.kind == "f" else str(v) for v in value.reshape(-1)[:5].tolist())
    return f"{value.dtype}{list(value.shape)}  {first}{', ...' if value.size > 5 else ''}"
