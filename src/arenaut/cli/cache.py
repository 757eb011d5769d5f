"""`arenaut cache`: the folder of compiled files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from arenaut.compiled.cache import Cache

cache_app = typer.Typer(help="The folder of compiled files that load_onnx(cache=...) and ARENAUT_CACHE keep.",
                        no_args_is_help=True)  # fmt: skip
Folder = Annotated[str | None, typer.Option("--folder", help="By default what ARENAUT_CACHE says, else your own.")]


def _opened(folder: str | None) -> Cache:
    from arenaut.compiled.cache import Cache, cache_folder
    from arenaut.errors import ArenautError

    try:
        return Cache(folder or cache_folder(True) or "")
    except (ArenautError, OSError) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(2) from None


@cache_app.command("path")
def path_command() -> None:
    """Print the folder."""
    from arenaut.compiled.cache import cache_folder

    typer.echo(cache_folder(True))


@cache_app.command("list")
def list_command(folder: Folder = None) -> None:
    """List what is stored, the least recently used first."""
    from arenaut.compiled.origin import stored_names

    cache = _opened(folder)
    total = 0
    for entry in cache.entries():
        total += entry.bytes
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        typer.echo(f"{entry.bytes / 2**20:10,.1f} MiB  {used}  {entry.path}  {', '.join(stored_names(entry.path))}")
    typer.echo(f"{total / 2**20:10,.1f} MiB of {cache.limit / 2**20:,.1f} in {cache.folder}")


@cache_app.command("clear")
def clear_command(folder: Folder = None) -> None:
    """Remove all that is stored."""
    typer.echo(f"{_opened(folder).clear() / 2**20:,.1f} MiB freed")
