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
    other: Annotated[
        str | None, typer.Argument(help="A second one, or another version of it, to compare the first with.")
    ] = None,
    against: Annotated[
        str,
        typer.Option(help="Engines to measure time and memory of, separated by commas: onnxruntime,openvino,torch."),
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
    """Show where a model's time and memory go, what costs most first; or, given two, what changed between them."""
    from arenaut.cli.bench import read_shapes
    from arenaut.errors import ArenautError
    from arenaut.measure.subjects import find_subjects
    from arenaut.report.html import report_html
    from arenaut.report.report import make_report, report_data, report_text
    from arenaut.report.rounding import rounding

    if other is not None:
        _compare(model, other, against, shape or [], threads, repeat, html, as_json)
        return
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


def _compare(
    first: str,
    second: str,
    against: str,
    shape: list[str],
    threads: int | None,
    repeat: int,
    html: Path | None,
    as_json: bool,
) -> None:
    from arenaut.cli.bench import read_shapes
    from arenaut.errors import ArenautError
    from arenaut.measure.subjects import find_subjects
    from arenaut.report.comparison import comparison_data, comparison_text, make_comparison
    from arenaut.report.comparison_page import comparison_html

    try:
        if against:
            raise ValueError("--against is for a report on one model; leave it out to compare two")
        shapes = read_shapes(shape)
        subjects = [subject for name in (first, second) for subject in find_subjects([name], shapes)]
        if len(subjects) != 2:
            raise ValueError(f"{first!r} and {second!r} mean {len(subjects)} models; a comparison is of two")
        comparison = make_comparison(subjects[0], subjects[1], threads=threads, repeat=repeat)
        if html is not None:
            html.write_text(comparison_html(comparison), encoding="utf-8")
    except (ArenautError, ValueError, OSError) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(
        json.dumps(comparison_data(comparison), indent=2) if as_json
        else comparison_text(comparison) if html is None
        else f"{html}: {comparison.outputs_text()}"
    )  # fmt: skip


def _known_peers(text: str) -> list[str]:
    """Reads "onnxruntime,openvino"; ValueError for an engine nobody knows. One that is not installed is no error."""
    from arenaut.report.report import TORCH

    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    others = [*(name for name in ENGINES if name != "arenaut"), *([] if TORCH in ENGINES else [TORCH])]
    unknown = [name for name in names if name not in others]
    if unknown:
        raise ValueError(f"--against takes {', '.join(others)}, not {', '.join(unknown)}")
    return names
