"""The `arenaut` command."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from arenaut.cli.bench import bench_command
from arenaut.cli.report import report_command

app = typer.Typer(
    name="arenaut", help="ONNX models as one native call on CPUs.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip
app.command("bench")(bench_command)
app.command("report")(report_command)

Shapes = Annotated[
    list[str] | None, typer.Option("--shape", help="Size of a symbolic dim, as name=size; may be repeated.")
]
ModelPath = Annotated[str, typer.Argument(help="An ONNX file.")]
Threads = Annotated[int | None, typer.Option(help="Threads; all that this process may use when left out.")]


@app.command()
def demo(threads: Threads = None) -> None:
    """Classify handwritten digits with the model that arenaut ships, and show graph, plan and parity."""
    from arenaut.cli.demo import run_demo

    if not run_demo(typer.echo, threads):
        typer.echo("the demo's results are not what they should be", err=True)
        raise typer.Exit(1)


def _load(path: str, **options: Any) -> Any:
    from arenaut.errors import ArenautError
    from arenaut.loading import load_onnx

    try:
        return load_onnx(path, **options)
    except (ArenautError, OSError) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(2) from None


def _run_once(model: Any, shapes: list[str] | None) -> dict[str, Any]:
    """Feeds made from the model's inputs, run once, so that the plan of a symbolic model is known."""
    from arenaut.errors import ArenautError
    from arenaut.measure.feeds import feeds_for, sizes_given

    open_dims: list[str] = []
    try:
        feeds, open_dims = feeds_for(model.inputs, sizes_given(shapes or [], model.inputs))
        model.run(feeds)
    except (ArenautError, ValueError) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        if open_dims and isinstance(error, ArenautError):
            typer.echo(f"Without a size given, {', '.join(open_dims)} counted 1. Say what they are: "
                       + " ".join(f"--shape {d}=8" for d in open_dims), err=True)  # fmt: skip
        raise typer.Exit(2) from None
    return dict(feeds)


@app.command()
def show(
    path: Annotated[str, typer.Argument(help="An ONNX file.")], shape: Shapes = None, threads: Threads = None
) -> None:
    """Print a model: inputs, outputs, the optimised graph, and its memory plan as a picture."""
    from arenaut.results.picture import memory_picture

    model = _load(path, threads=threads)
    _run_once(model, shape)
    typer.echo(str(model.graph))
    typer.echo(repr(model))
    typer.echo(memory_picture(model.plan))


@app.command()
def profile(
    path: ModelPath,
    shape: Shapes = None,
    threads: Threads = None,
    repeat: Annotated[int, typer.Option(min=1, help="Runs to average.")] = 10,
) -> None:
    """Time every step of a model on random feeds."""
    model = _load(path, threads=threads)
    feeds = _run_once(model, shape)
    result = model.profile(feeds, repeat=repeat)
    typer.echo(str(result))
    typer.echo(f"{result.total_microseconds / 1e3:.3f} ms in {len(result.steps)} steps")


@app.command()
def explain(
    path: ModelPath,
    nodes: Annotated[bool, typer.Option("--nodes", help="Show every node before and after.")] = False,
) -> None:
    """Say which rewrites the optimiser made, which it nearly made and why not, and what the graph was and is."""
    from arenaut.errors import ArenautError
    from arenaut.report.explain import explain as explained

    try:
        typer.echo(explained(path).text(nodes=nodes))
    except (ArenautError, OSError) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(2) from None


@app.command()
def info() -> None:
    """Say which instruction set and kernels are used on this machine, and why."""
    from arenaut.native.target import default_threads, kernel_info

    facts = kernel_info()
    typer.echo(f"{facts['processor']}, tier {facts['tier']}: {facts['reason']}; {default_threads()} threads")
    typer.echo(f"features: {', '.join(facts['features']) or 'none'}")
    for name, tier in sorted(facts["rows"].items()):
        typer.echo(f"  {name:28} {tier}")


def main() -> None:
    app()


if __name__ == "__main__":
    main()
