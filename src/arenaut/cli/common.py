"""What commands share: models, feeds, errors in one sentence, and exit codes.

0: done. 1: done, and something is not as it should be (results differ, a goal is missed). 2: it could not be done.
"""

from __future__ import annotations

import difflib
import json
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arenaut.results.text import wrapped

if TYPE_CHECKING:
    from arenaut.model import Model

DIFFERENT, IMPOSSIBLE = 1, 2

ModelPath = Annotated[str, typer.Argument(help="An ONNX file.")]
Shapes = Annotated[
    list[str] | None, typer.Option("--shape", help="Size of a symbolic dim, as name=size; may be repeated.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; all that this process may use when left out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def give_up(error: object, advice: str = "") -> typer.Exit:
    """Says what is wrong, and what to type instead; for `raise`."""
    name = type(error).__name__ if isinstance(error, Exception) else "Error"
    for text in (f"{name}: {error}", advice):
        if text:
            typer.echo(wrapped(text, terminal_width()) if sys.stderr.isatty() else text, err=True)
    return typer.Exit(IMPOSSIBLE)


@contextmanager
def errors_said() -> Iterator[None]:
    """Foreseen errors in this block end the command with their message."""
    from arenaut.errors import ArenautError

    try:
        yield
    except FileNotFoundError as error:
        raise give_up(error, _near_file(str(error))) from None
    except (ArenautError, OSError, ValueError, ImportError) as error:
        raise give_up(error) from None


def _near_file(text: str) -> str:
    """A file beside the one that was named, by a name that is nearly its."""
    path = Path(text.split("'")[1]) if text.count("'") >= 2 else Path()
    try:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], 1)
    except OSError:
        near = []
    return f"Did you mean '{path.parent / near[0]}'?" if near and path.name else ""


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Shows on a terminal what is being done, when that takes longer than a second."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    status = console.status(f"{what} ...")
    timer = threading.Timer(1.0, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()


def load(path: str, **options: Any) -> Model:
    from arenaut.loading import load_onnx

    with errors_said(), busy(f"loading {path}"):
        return load_onnx(path, **options)


def made_feeds(model: Model, shapes: Sequence[str] | None) -> dict[str, Any]:
    """Random feeds for a model, which ran on them once, so that its plan is known."""
    from arenaut.errors import ArenautError
    from arenaut.measure.feeds import feeds_for, sizes_given

    open_dims: list[str] = []
    try:
        feeds, open_dims = feeds_for(model.inputs, sizes_given(shapes or [], model.inputs))
        with busy("running"):
            model.run(feeds)
    except (ArenautError, ValueError) as error:
        advice = ""
        if open_dims and isinstance(error, ArenautError):
            advice = f"Without a size given, {', '.join(open_dims)} counted 1. Say what they are: " + " ".join(
                f"--shape {d}=8" for d in open_dims
            )
        raise give_up(error, advice) from None
    return dict(feeds)


def terminal_width() -> int:
    """Columns of the terminal, at least 60."""
    return max(60, shutil.get_terminal_size().columns)


def say(text: str) -> None:
    """Prints the text, in lines that the terminal holds where there is one: what is piped keeps its lines whole."""
    typer.echo(wrapped(text, terminal_width()) if sys.stdout.isatty() else text)


def cpus() -> int:
    """That this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, default=str))


def infos(items: Sequence[Any]) -> list[dict[str, Any]]:
    """Inputs or outputs as plain data."""
    return [{"name": i.name, "dtype": i.dtype, "shape": None if i.shape is None else list(i.shape)} for i in items]
