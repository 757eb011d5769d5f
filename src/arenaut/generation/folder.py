"""A folder of exported models and what lies beside them: which is the decoder, where a sequence starts and stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from arenaut.errors import InputError
from arenaut.plain import dataclass

DECODERS: Final = (
    "model.onnx", "decoder_model_merged.onnx", "decoder_with_past_model.onnx", "decoder_model.onnx",
)  # fmt: skip
FIRST: Final = "decoder_model.onnx"
WITH_PAST: Final = "decoder_with_past_model.onnx"
ENCODER: Final = "encoder_model.onnx"
TOKENIZER: Final = "tokenizer.json"
SETTINGS: Final = ("generation_config.json", "config.json")


@dataclass(frozen=True)
class Folder:
    """decoder: its file; first: that of the decoder of the first call, and encoder: that of the encoder, where there
    are such. stop, start: tokens at which a sequence ends, and with which a decoder beside an encoder begins."""

    decoder: Path
    first: Path | None
    encoder: Path | None
    tokenizer: Path | None
    stop: tuple[int, ...]
    start: tuple[int, ...]


def read_folder(path: Path) -> Folder:
    """path: a folder, or the file of a decoder. Raises FileNotFoundError; InputError for wrong settings."""
    if not path.exists():
        raise FileNotFoundError(f"No such file or folder: '{path}'")
    folder = path if path.is_dir() else path.parent
    places = [folder, folder / "onnx"]
    names = DECODERS if path.is_dir() else (path.name,)
    decoder = next((place / name for name in names for place in places if (place / name).is_file()), None)
    if decoder is None:
        raise InputError(f"'{path}' holds none of {', '.join(DECODERS)}")
    first, encoder = decoder.parent / FIRST, decoder.parent / ENCODER
    tokenizer = folder / TOKENIZER
    settings = settings_of(folder)
    start = settings.get("decoder_start_token_id", settings.get("bos_token_id"))
    return Folder(
        decoder,
        first if decoder.name == WITH_PAST and first.is_file() else None,
        encoder if decoder.name.startswith("decoder") and encoder.is_file() else None,
        tokenizer if tokenizer.is_file() else None,
        tokens_of("eos_token_id", settings.get("eos_token_id")),
        tokens_of("decoder_start_token_id", start),
    )


def settings_of(folder: Path) -> dict[str, Any]:
    """What the JSON files beside the models say; of one thing, what the first file says."""
    settings: dict[str, Any] = {}
    for name in reversed(SETTINGS):
        file = folder / name
        if not file.is_file():
            continue
        try:
            read = json.loads(file.read_text())
        except (ValueError, RecursionError) as error:
            raise InputError(f"'{file}' is no JSON: {error}") from None
        if not isinstance(read, dict):
            raise InputError(f"'{file}' holds no settings by name")
        settings |= {key: value for key, value in read.items() if value is not None}
    return settings


def tokens_of(name: str, given: Any) -> tuple[int, ...]:
    tokens = given if isinstance(given, list) else [] if given is None else [given]
    if any(not isinstance(t, int) or isinstance(t, bool) or t < 0 for t in tokens):
        raise InputError(f"{name} is {given!r} in the folder's settings: expected a token or several")
    return tuple(tokens)
