"""`arenaut bench`: the engines side by side on models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arenaut.measure import render
from arenaut.measure.engines import ENGINES, PeerMissingError, require
from arenaut.measure.memory import PeerMemory, engine_memory
from arenaut.measure.process import choose_cores, machine
from arenaut.measure.speed import SpeedResult, bench
from arenaut.measure.subjects import Subject, SubjectError, find_subjects
from arenaut.measure.worker import WorkerError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


def bench_command(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="ONNX files."),
    ] = None,
    threads: Annotated[str, typer.Option(help="Thread counts, separated by commas.")] = "1",
    engines: Annotated[
        str, typer.Option(help=f"Engines, the subject first: {', '.join(ENGINES)}.")
    ] = "arenaut,onnxruntime",
    rounds: Annotated[int, typer.Option(min=1, help="How often the engines take turns.")] = 15,
    slot: Annotated[float, typer.Option(min=0.0, help="Seconds that one engine runs per round.")] = 0.1,
    shape: Annotated[
        list[str] | None, typer.Option(help="Size of a symbolic dim, as name=size; may be repeated. 1 by default.")
    ] = None,
    memory: Annotated[bool, typer.Option(help="Also measure the memory that a run of each engine takes.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Run engines side by side: same feeds, same cores, fresh data for every run, turn by turn in child processes."""
    from rich.console import Console

    out, notes = Console(), Console(stderr=True)
    try:
        counts = _thread_counts(threads)
        chosen = _known_engines(engines)
        subjects = find_subjects(models or [], read_shapes(shape or []))
    except (SubjectError, PeerMissingError, ValueError, OSError) as error:
        notes.print(f"[red]{error}[/red]", highlight=False)
        raise typer.Exit(2) from None
    measured = _measure(subjects, counts, chosen, rounds, slot, memory, None if as_json else out, notes)
    if as_json:
        print(json.dumps(_document(measured), indent=2))
    if any(result.engines[0].error is not None for _, result, _ in measured):
        raise typer.Exit(1)


Measured = tuple[Subject, SpeedResult, list[PeerMemory]]


def _measure(
    subjects: Sequence[Subject],
    counts: Sequence[int],
    engines: Sequence[str],
    rounds: int,
    slot: float,
    memory: bool,
    out: Console | None,
    notes: Console,
) -> list[Measured]:
    """Measures everything; prints each model's tables to `out` as soon as they are there."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    steps_each = rounds + len(engines)
    measured: list[Measured] = []
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task("", total=len(subjects) * len(counts) * steps_each)
        for subject in subjects:
            for count in counts:
                done = len(measured) * steps_each
                result = bench(
                    subject.path,
                    subject.make_feeds,
                    engines,
                    threads=count,
                    rounds=rounds,
                    slot_seconds=slot,
                    name=subject.name,
                    on_step=partial(_advance, progress, task, subject.name),
                )
                progress.update(task, completed=done + steps_each, description=f"{subject.name}: memory")
                sizes = _memories(subject, result, notes) if memory and count == counts[0] else []
                measured.append((subject, result, sizes))
                if out is not None:
                    _print_result(out, subject, result, sizes)
    if out is not None:
        _print_summary(out, measured, engines)
    return measured


def _advance(progress: Progress, task: TaskID, model: str, step: str) -> None:
    progress.update(task, advance=1, description=f"{model}: {step}")


def _memories(subject: Subject, result: SpeedResult, notes: Console) -> list[PeerMemory]:
    """The memory of each engine that ran, at the result's thread count."""
    feeds = subject.make_feeds(0)
    sizes: list[PeerMemory] = []
    for engine in (each.engine for each in result.engines if each.error is None):
        try:
            sizes += engine_memory(engine, subject.path, feeds, threads=result.threads)
        except WorkerError as error:
            notes.print(f"memory of {engine} on {subject.name} could not be measured: {error}", highlight=False)
    return sizes


def _print_result(out: Console, subject: Subject, result: SpeedResult, sizes: Sequence[PeerMemory]) -> None:
    sizes_of = ", ".join(f"{symbol}={size}" for symbol, size in subject.binding.items())
    for table in render.speed_tables(result, sizes_of):
        out.print(table, "")
    if sizes:
        out.print(render.memory_table(sizes), "")
    for line in render.failures(result):
        out.print(f"[yellow]{line}[/yellow]", highlight=False)


def _print_summary(out: Console, measured: Sequence[Measured], engines: Sequence[str]) -> None:
    out.print(render.note(measured[0][1]), style="dim", highlight=False)
    out.print(machine(), style="dim", highlight=False)
    if len(measured) > 1:
        for each in render.overall([(subject.family, result) for subject, result, _ in measured]):
            what = f"{each.peer} / {engines[0]} over {each.models} model(s), {each.threads} thread(s)"
            out.print(f"{what}: {each.ratio:.2f} (geometric mean of the families' means)", highlight=False)


def _document(measured: Sequence[Measured]) -> dict[str, Any]:
    """Everything measured, as plain data."""
    return {
        "machine": machine(),
        "note": render.note(measured[0][1]),
        "results": [
            {
                "family": subject.family,
                "binding": dict(subject.binding),
                **render.plain(result),
                "memory": render.plain(sizes),
            }
            for subject, result, sizes in measured
        ],
        "overall": render.plain(render.overall([(subject.family, result) for subject, result, _ in measured])),
    }


def _thread_counts(text: str) -> list[int]:
    """Reads "1,2"; raises ValueError for what is no count or exceeds the usable cores."""
    counts = []
    for part in text.split(","):
        if not part.strip().isdigit() or int(part) < 1:
            raise ValueError(f"--threads takes counts separated by commas, such as 1,2; {part.strip()!r} is none")
        choose_cores(int(part))
        counts.append(int(part))
    return counts


def _known_engines(text: str) -> list[str]:
    """Reads "arenaut,onnxruntime"; raises PeerMissingError for an engine that is unknown or not installed."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise ValueError(f"--engines needs at least one of {', '.join(ENGINES)}")
    for name in names:
        require(name)
    return names


def read_shapes(options: Sequence[str]) -> dict[str, int]:
    """Reads ["batch=4", ...]; raises ValueError for anything else."""
    shapes = {}
    for option in options:
        name, equals, size = option.partition("=")
        if not (name and equals and size.isdigit()):
            raise ValueError(f"--shape takes name=size, such as batch=4, not {option!r}")
        shapes[name] = int(size)
    return shapes
