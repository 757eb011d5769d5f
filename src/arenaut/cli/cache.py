"""`arenaut cache`: the folder of compiled files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from arenaut.cli.common import AsJson, errors_said, print_json, say

if TYPE_CHECKING:
    from arenaut.compiled.cache import Cache

cache_app = typer.Typer(help="The folder of compiled files that load_onnx(cache=...) and ARENAUT_CACHE keep.",
                        no_args_is_help=True)  # fmt: skip
Folder = Annotated[str | None, typer.Option("--folder", help="By default what ARENAUT_CACHE says, else your own.")]


def _opened(folder: str | None) -> Cache:
    from arenaut.compiled.cache import Cache, cache_folder

    with errors_said():
        return Cache(folder or cache_folder(True) or "")


@cache_app.command("path")
def path_command(as_json: AsJson = False) -> None:
    """Print the folder."""
    from arenaut.compiled.cache import cache_folder

    if as_json:
        print_json({"folder": cache_folder(True)})
    else:
        typer.echo(cache_folder(True))


@cache_app.command("list")
def list_command(folder: Folder = None, as_json: AsJson = False) -> None:
    """List what is stored, the least recently used first."""
    from arenaut.compiled.origin import stored_names

    cache = _opened(folder)
    entries = cache.entries()
    total = sum(entry.bytes for entry in entries)
    if as_json:
        files = [{"path": e.path, "bytes": e.bytes, "used": e.used, "of": stored_names(e.path)} for e in entries]
        print_json({"folder": cache.folder, "bytes": total, "limit_bytes": cache.limit, "files": files})
        return
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        say(f"{entry.bytes / 2**20:10,.1f} MiB  {used}  {entry.path}  {', '.join(stored_names(entry.path))}")
    say(f"{total / 2**20:10,.1f} MiB of {cache.limit / 2**20:,.1f} in {cache.folder}")


@cache_app.command("clear")
def clear_command(folder: Folder = None, as_json: AsJson = False) -> None:
    """Remove all that is stored."""
    freed = _opened(folder).clear()
    if as_json:
        print_json({"freed_bytes": freed})
    else:
        typer.echo(f"{freed / 2**20:,.1f} MiB freed")
