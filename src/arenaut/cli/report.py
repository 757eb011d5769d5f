"""`arenaut report`: one model's memory plan and times as a page, as text or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from arenaut.measure.engines import ENGINES, PeerMissingError


def report_command(
    model: Annotated[str, typer.Argument(help="An ONNX file.")],
    against: Annotated[
        str, typer.Option(help="Engines to measure the memory of, separated by commas: onnxruntime,openvino,torch.")
    ] = "",
    shape: Annotated[
        list[str] | None, typer.Option(help="Size of a symbolic dim, as name=size; may be repeated. 1 by default.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; all usable ones when left out.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Runs to average the steps' times over.")] = 10,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained page here.")] = None,
    precision: Annotated[
        str, typer.Option(help="stored or bfloat16: how far the outputs err with it is told, on random feeds.")
    ] = "stored",
    weights: Annotated[
        str, typer.Option(help="stored, int8 or int4: the same, and how far the weights of each layer err.")
    ] = "stored",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show where a model's memory and time go: the arena's map, live bytes, buffers, sharing and steps."""
    from arenaut.cli.bench import read_shapes
    from arenaut.errors import ArenautError
    from arenaut.measure.subjects import find_subjects
    from arenaut.report.html import report_html
    from arenaut.report.report import make_report, report_data, report_text
    from arenaut.report.rounding import rounding

    changes: dict[str, Any] = {"precision": precision, "weights": weights}
    try:
        peers = _known_peers(against)
        subjects = find_subjects([model], read_shapes(shape or []))
        if len(subjects) != 1:
            raise ValueError(f"{model!r} means {len(subjects)} models; a report is about one")
        report = make_report(subjects[0], peers, threads=threads, repeat=repeat)
        changed = None
        if set(changes.values()) != {"stored"}:
            changed = rounding(subjects[0].path, subjects[0].make_feeds(0), threads=threads, **changes)
        if html is not None:
            html.write_text(report_html(report), encoding="utf-8")
    except (ArenautError, PeerMissingError, ValueError, OSError) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        data = report_data(report)
        typer.echo(json.dumps(data if changed is None else {**data, "rounding": asdict(changed)}, indent=2))
    elif html is None:
        typer.echo(report_text(report))
    else:
        typer.echo(f"{html}: {report.plan}")
    if changed is not None and not as_json:
        typer.echo(str(changed))


def _known_peers(text: str) -> list[str]:
    """Reads "onnxruntime,openvino"; ValueError for an engine nobody knows. One that is not installed is no error."""
    from arenaut.report.report import TORCH

    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    others = [*(name for name in ENGINES if name != "arenaut"), *([] if TORCH in ENGINES else [TORCH])]
    unknown = [name for name in names if name not in others]
    if unknown:
        raise ValueError(f"--against takes {', '.join(others)}, not {', '.join(unknown)}")
    return names
