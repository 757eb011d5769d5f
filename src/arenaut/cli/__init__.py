"""The `arenaut` command.

Exit codes: 0 done; 1 done, and something is not as it should be; 2 it could not be done, and the message says what to
type instead.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from arenaut.cli.batch import batch_command
from arenaut.cli.bench import bench_command
from arenaut.cli.cache import cache_app
from arenaut.cli.check import check_command
from arenaut.cli.common import (
    AsJson,
    ModelPath,
    Shapes,
    Threads,
    busy,
    errors_said,
    infos,
    load,
    made_feeds,
    print_json,
    say,
    terminal_width,
)
from arenaut.cli.compile import compile_command
from arenaut.cli.generate import generate_command
from arenaut.cli.report import report_command
from arenaut.cli.serve import serve_command
from arenaut.cli.use import convert_command, inspect_command, run_command

app = typer.Typer(
    name="arenaut", help="ONNX models as one native call on CPUs.", no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 done but not as it should be, 2 not done.",
)  # fmt: skip
app.command("run")(run_command)
app.command("check")(check_command)
app.command("inspect")(inspect_command)
app.command("convert")(convert_command)
app.command("save", hidden=True)(convert_command)
app.command("generate")(generate_command)
app.command("bench")(bench_command)
app.command("report")(report_command)
app.command("compile")(compile_command)
app.command("serve")(serve_command)
app.command("batch")(batch_command)
app.add_typer(cache_app, name="cache")


def _version(asked: bool) -> None:
    if asked:
        from arenaut import __version__

        say(f"arenaut {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """ONNX models as one native call on CPUs."""


@app.command()
def demo(threads: Threads = None, as_json: AsJson = False) -> None:
    """Classify handwritten digits with the model that arenaut ships, and show graph, plan and parity."""
    from arenaut.cli.demo import run_demo

    said: list[str] = []
    passed = run_demo(said.append if as_json else say, threads)
    if as_json:
        print_json({"passed": passed, "said": said})
    if not passed:
        typer.echo("the demo's results are not what they should be", err=True)
        raise typer.Exit(1)


@app.command()
def show(path: ModelPath, shape: Shapes = None, threads: Threads = None, as_json: AsJson = False) -> None:
    """Print a model: inputs, outputs, the optimised graph, and its memory plan as a picture."""
    from arenaut.results.picture import memory_picture

    model = load(path, threads=threads)
    made_feeds(model, shape)
    plan = model.plan
    if as_json:
        blocks = [{"name": b.name, "offset": b.offset, "bytes": b.bytes} for b in plan.blocks]
        nodes = [{"name": n.name, "op": n.op, "domain": n.domain} for n in model.graph.nodes]
        print_json({"inputs": infos(model.inputs), "outputs": infos(model.outputs), "nodes": nodes,
                    "arena_bytes": plan.arena_bytes, "lower_bound_bytes": plan.lower_bound_bytes,
                    "output_bytes": plan.output_bytes, "blocks": blocks})  # fmt: skip
        return
    say(str(model.graph))
    say(str(model))
    say(memory_picture(plan))


@app.command()
def profile(
    path: ModelPath,
    shape: Shapes = None,
    threads: Threads = None,
    repeat: Annotated[int, typer.Option(min=1, help="Runs to take the medians of.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Time every step of a model on random feeds: the share of each op, then the steps, the heaviest first."""
    model = load(path, threads=threads)
    feeds = made_feeds(model, shape)
    with busy("timing"):
        result = model.profile(feeds, repeat=repeat)
    if as_json:
        print_json(result.plain())
        return
    say(result.text(terminal_width()))
    say(f"{result.total_microseconds / 1e3:.3f} ms in {len(result.steps)} steps (medians of {repeat} runs)")


@app.command()
def explain(
    path: ModelPath,
    nodes: Annotated[bool, typer.Option("--nodes", help="Show every node before and after.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say which rewrites the optimiser made, which it nearly made and why not, and what the graph was and is."""
    from arenaut.report.explain import explain as explained

    with errors_said(), busy(f"reading {path}"):
        explanation = explained(path)
    if as_json:
        print_json({"rewrites": [asdict(e) for e in explanation.events], "ops_before": explanation.ops_before,
                    "ops_after": explanation.ops_after})  # fmt: skip
    else:
        say(explanation.text(nodes=nodes))


@app.command()
def info(as_json: AsJson = False) -> None:
    """Say which instruction set, kernels, threads and memory are used on this machine, and why."""
    from arenaut import __version__
    from arenaut.cli.machine import machine_facts, machine_text

    facts = {"arenaut": __version__, **machine_facts()}
    if as_json:
        print_json(facts)
    else:
        say(machine_text(facts))


def main() -> None:
    app()


if __name__ == "__main__":
    main()
