"""`arenaut compile`: a model to a compiled file."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from arenaut.cli.common import AsJson, busy, errors_said, print_json, say


def compile_command(
    model: Annotated[str, typer.Argument(help="An ONNX file, or a compiled one that holds its original.")],
    output: Annotated[str | None, typer.Option("-o", "--output", help="By default model.arn for model.onnx.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option("--shape", help="Typical size of a symbolic dim, as name=size; may be repeated.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of a run; all that a process may use.")] = None,
    isa: Annotated[
        str | None, typer.Option(help="No more than this: baseline, v3, v4, with features as in v3+avx_vnni.")
    ] = None,
    portable: Annotated[
        bool, typer.Option("--portable", help="With the original inside: other machines compile it anew.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a model ready to run, and write it to a file that opens in milliseconds and that processes share."""
    from arenaut.loading import load_onnx
    from arenaut.measure.feeds import sizes_given

    path = output or os.path.splitext(model)[0] + ".arn"
    begun = time.perf_counter()
    with errors_said(), busy(f"compiling {model}"):
        sizes = {name: int(size) for name, _, size in (text.partition("=") for text in shape or [])}
        loaded = load_onnx(model, threads=threads, isa=isa, shapes=sizes)
        sizes_given(shape or [], loaded.inputs)
        loaded.save(path, portable=portable)
    seconds, size = time.perf_counter() - begun, os.path.getsize(path)
    if as_json:
        print_json({"path": path, "bytes": size, "seconds": seconds})
    else:
        say(f"{path}: {size / 2**20:,.1f} MiB, compiled in {seconds:.2f} s")
