"""`arenaut check`: a model loaded, verified and compared with onnxruntime; where the first difference is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from arenaut.cli import files
from arenaut.cli.common import (
    DIFFERENT,
    AsJson,
    ModelPath,
    Shapes,
    Threads,
    busy,
    errors_said,
    load,
    made_feeds,
    print_json,
    say,
)


def check_command(
    path: ModelPath,
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Feeds, as for `arenaut run`. Random where left out.")
    ] = None,
    shape: Shapes = None,
    threads: Threads = None,
    tolerance: Annotated[float, typer.Option(help="Largest difference, as a part of the largest value.")] = 1e-3,
    as_json: AsJson = False,
) -> None:
    """Load a model with every check on, run it, compare with onnxruntime, and say where the first difference is.

    Exit code 0: alike. 1: different. 2: the model or the feeds cannot be run.
    """
    from arenaut.measure.first_difference import compare_with_onnxruntime

    model = load(path, threads=threads, verify="full")
    if inputs:
        with errors_said():
            feeds: dict[str, Any] = files.read_feeds(inputs, [*model.inputs, *model.default_inputs])
    else:
        feeds = made_feeds(model, shape)
    with errors_said(), busy("comparing with onnxruntime"):
        found = compare_with_onnxruntime(path, model, feeds, tolerance, threads)
    if as_json:
        print_json(found.plain())
    else:
        say(f"loaded and verified: {model.stored_nodes} nodes, {len(model.rewrites)} rewrites")
        say(str(found))
    if found.differs:
        raise typer.Exit(DIFFERENT)
