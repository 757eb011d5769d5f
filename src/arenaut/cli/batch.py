"""`arenaut batch`: tables of files through a model, on this machine or on a Ray cluster."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arenaut.cli.common import DIFFERENT, ModelPath, cpus, errors_said, give_up

if TYPE_CHECKING:
    from arenaut.batch.job import Done, Job

Pairs = list[str] | None


def pairs(what: str, given: Pairs) -> dict[str, str]:
    """ "input=value" each. Raises ValueError."""
    wrong = [text for text in given or [] if not text.partition("=")[1]]
    if wrong:
        raise ValueError(f"--{what} {wrong[0]}: write --{what} name=value")
    return {name: value for name, _, value in (text.partition("=") for text in given or [])}


def batch_command(
    model: ModelPath,
    inputs: Annotated[
        list[str], typer.Option("--input", help="Files (parquet, csv, arrow, jsonl), a pattern, or a folder.")
    ],
    output: Annotated[str, typer.Option("--output", help="A folder for results; a job begun there goes on.")],
    column: Annotated[Pairs, typer.Option(help="The column of an input, as input=column.")] = None,
    keep: Annotated[
        Pairs, typer.Option(help="A column that results have, too; all that feed no input if left out.")
    ] = None,
    only: Annotated[Pairs, typer.Option(help="An output to compute; may be repeated.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Most rows of a run.")] = 32,
    pad: Annotated[Pairs, typer.Option(help="What ragged rows of an input are filled with, as input=0.")] = None,
    bucket: Annotated[list[int] | None, typer.Option(help="A size to fill rows up to; may be repeated.")] = None,
    mask: Annotated[Pairs, typer.Option(help="An input that tells what is filled, as mask=input.")] = None,
    before: Annotated[str | None, typer.Option(help="Columns to columns before the model: file.py:function.")] = None,
    after: Annotated[str | None, typer.Option(help="The same with the outputs, after it.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as the CPUs allow.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of each process.")] = 1,
    part_rows: Annotated[int, typer.Option(min=1, help="Rows of a part, which a restart need not repeat.")] = 4096,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster, or auto.")] = None,
    cache: Annotated[str | None, typer.Option(help="Folder of compiled files; by default your own.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Run a model over tables; rows that it does not take go aside with the reason, and a restart goes on."""
    try:
        import pyarrow  # noqa: F401

        from arenaut.batch.job import Job, begun, inputs_at, parts_of, summary
        from arenaut.batch.rows import RowOptions
    except ModuleNotFoundError as error:
        raise give_up(f"{error.name} is not installed", "pip install 'arenaut[batch]'") from None
    with errors_said():
        fills = {name: _value(text) for name, text in pairs("pad", pad).items()}
        options = RowOptions(pairs("column", column), rows, fills, tuple(bucket or ()), pairs("mask", mask))
        job = Job(
            os.path.abspath(model), inputs_at(inputs), os.path.abspath(output), options,
            None if keep is None else tuple(keep), tuple(only) if only else None, _absolute(before), _absolute(after),
            part_rows=part_rows,
        )  # fmt: skip
        left = begun(job)
        started = time.perf_counter()
        done = _run(job, left, len(parts_of(job)), ray, workers or max(1, cpus() // threads), threads, cache)
        seconds = time.perf_counter() - started
        good, bad = summary(job)
    facts = {"rows": good + bad, "failed": bad, "rows_now": done, "seconds": seconds,
             "rows_per_second": done / seconds, "parts_now": len(left), "output": job.output}  # fmt: skip
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        speed = f"; {done:,} rows now, {facts['rows_per_second']:,.0f} rows/s" if left else "; all was done already"
        typer.echo(f"{good + bad:,} rows in {job.output}, {bad:,} failed{speed}")
        if bad:
            typer.echo(f"why: {os.path.join(job.output, 'failed')}", err=True)
    if bad:
        raise typer.Exit(DIFFERENT)


def _run(job: Job, left: list[Any], parts: int, ray: str | None, workers: int, threads: int, cache: str | None) -> int:
    """How many rows were done, with a bar that shows how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from arenaut.compiled.cache import cache_folder

    rows = failed = 0
    shown = (TextColumn("parts"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"),
             TimeRemainingColumn())  # fmt: skip
    with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("parts", total=parts, completed=parts - len(left), text="")

        def done(part: Done) -> None:
            nonlocal rows, failed
            rows, failed = rows + part.rows, failed + part.failed
            bar.update(task, advance=1, text=f"{rows:,} rows, {failed:,} failed")

        if not left:
            pass
        elif ray is None:
            from arenaut.batch.local import run_parts
            from arenaut.measure.worker import WorkerError

            try:
                run_parts(job, left, workers, threads, cache_folder(cache or True), done)
            except WorkerError as error:
                raise give_up(f"{error.kind}: {error}") from None
        else:
            _on_ray(job, left, ray, threads, cache, done)
    return rows


def _on_ray(job: Job, left: list[Any], address: str, threads: int, cache: str | None, done: Any) -> None:
    try:
        from arenaut.ray.parts import run_parts
    except ModuleNotFoundError as error:
        raise give_up(f"{error.name} is not installed", "pip install 'arenaut[ray]'") from None
    import ray

    try:
        run_parts(job, left, address, threads, cache or True, done)
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise give_up(str(error).strip().splitlines()[-1]) from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _absolute(function: str | None) -> str | None:
    """Processes may run in another folder."""
    place, colon, name = (function or "").rpartition(":")
    return os.path.abspath(place) + colon + name if place.endswith(".py") else function
