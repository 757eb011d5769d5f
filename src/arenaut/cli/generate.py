"""`arenaut generate`: text, or tokens, that a decoder in a folder makes of a prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arenaut.cli.common import AsJson, Threads, errors_said, give_up, load, print_json

if TYPE_CHECKING:
    from arenaut.generation.folder import Folder
    from arenaut.model import Model

NO_TOKENIZER = "pip install 'arenaut[text]' brings the tokenizer; or give the prompt as tokens: --ids 1,2,3"


def generate_command(
    folder: Annotated[Path, typer.Argument(help="A folder of exported models, or the file of a decoder.")],
    prompt: Annotated[str | None, typer.Option(help="The text to go on from, or what the encoder reads.")] = None,
    ids: Annotated[str | None, typer.Option(help="The same as tokens: 1,2,3. Tokens are printed then.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="At most so many tokens.")] = 128,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.0,
    top_k: Annotated[int, typer.Option(help="Draw from so many likeliest tokens; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the fewest whose probabilities sum to it.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same tokens.")] = None,
    beams: Annotated[int, typer.Option(min=1, help="Hypotheses that beam search follows.")] = 1,
    chunk: Annotated[int | None, typer.Option(min=1, help="Tokens of the prompt that are read at a time.")] = None,
    stop: Annotated[list[int] | None, typer.Option(help="A token that ends the text, beside the folder's.")] = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Go on from a prompt, token by token, and say how quick that was."""
    from arenaut.generation import generate
    from arenaut.generation.folder import read_folder

    if (prompt is None) == (ids is None):
        raise give_up("give the prompt as --prompt TEXT or as --ids 1,2,3")
    with errors_said():
        found = read_folder(folder)
    tokens, written = read_prompt(found, prompt, ids)
    model = load(str(found.decoder), threads=threads)
    extra = encoder_feeds(found, tokens, threads)
    if "encoder" in extra:
        tokens = list(found.start)
    with errors_said():
        stream = generate(
            model, tokens, max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p,
            seed=seed, beams=beams, chunk=chunk, stop=(*found.stop, *(stop or ())), **extra,
        )  # fmt: skip
        if as_json:
            print_json(collected(stream, written))
        else:
            typer.echo(write(stream, written), err=True)


def read_prompt(found: Folder, prompt: str | None, ids: str | None) -> tuple[list[int], Callable[[int], str | None]]:
    """The prompt's tokens, and how a token that follows is written (None: not yet)."""
    if ids is not None:
        try:
            return [int(part) for part in ids.split(",")], lambda token: f"{token} "
        except ValueError:
            raise give_up(f"--ids {ids}: expected tokens such as 1,2,3") from None
    try:
        from tokenizers import Tokenizer
        from tokenizers.decoders import DecodeStream
    except ImportError:
        raise give_up("the package tokenizers is not installed", NO_TOKENIZER) from None
    if found.tokenizer is None:
        raise give_up(
            f"there is no tokenizer.json beside '{found.decoder}'", NO_TOKENIZER.split("; or ")[1].capitalize()
        )
    try:
        tokenizer = Tokenizer.from_file(str(found.tokenizer))
    except Exception as error:  # the package raises plain Exception
        raise give_up(f"'{found.tokenizer}' cannot be read: {error}") from None
    stream = DecodeStream(skip_special_tokens=True)
    return list(tokenizer.encode(prompt).ids), lambda token: stream.step(tokenizer, token)


def encoder_feeds(found: Folder, tokens: list[int], threads: int | None) -> dict[str, Any]:
    """What generate needs beside the decoder: the models around it, and what the encoder reads."""
    import numpy as np

    extra: dict[str, Model | dict[str, Any]] = {}
    if found.first is not None:
        extra["first"] = load(str(found.first), threads=threads)
    if found.encoder is None:
        return extra
    encoder = load(str(found.encoder), threads=threads)
    row = np.array([tokens], np.int64)
    feeds = {"input_ids": row, "attention_mask": np.ones_like(row)}
    unknown = [str(i) for i in encoder.inputs if i.name not in feeds]
    if unknown:
        raise give_up(f"the encoder reads {', '.join(unknown)}, no text", "Call arenaut.generate(encoder=, feeds=)")
    if not found.start:
        raise give_up("the folder's config.json names no decoder_start_token_id")
    return {**extra, "encoder": encoder, "feeds": {i.name: feeds[i.name] for i in encoder.inputs}}


def collected(stream: Iterator[int], written: Callable[[int], str | None]) -> dict[str, Any]:
    """Tokens, what they are as text, and when the first and the last of them came, in seconds."""
    began, tokens, text, first = time.perf_counter(), [], "", None
    for token in stream:
        first = time.perf_counter() - began if first is None else first
        tokens.append(token)
        text += written(token) or ""
    return {"tokens": tokens, "text": text, "first_seconds": first, "seconds": time.perf_counter() - began}


def write(stream: Iterator[int], written: Callable[[int], str | None]) -> str:
    """Prints tokens as they come; returns how many there were, and how quick they were."""
    began = time.perf_counter()
    first, count = began, 0
    for token in stream:
        count += 1
        if count == 1:
            first = time.perf_counter()
        typer.echo(written(token) or "", nl=False)
    ended = time.perf_counter()
    typer.echo("")
    text = f"{count} tokens in {ended - began:.2f} s"
    if count > 1:
        text += f", the first after {1e3 * (first - began):.0f} ms, then {(count - 1) / (ended - first):.1f} a second"
    return text
