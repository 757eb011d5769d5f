"""`arenaut run`, `inspect` and `convert`: a model used, looked at without compiling it, and written."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from arenaut.cli import files
from arenaut.cli.common import (
    AsJson,
    ModelPath,
    Shapes,
    Threads,
    busy,
    errors_said,
    give_up,
    infos,
    load,
    made_feeds,
    print_json,
    say,
)


def run_command(
    path: ModelPath,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="feeds.npz, name=file (npy, png, jpg, json), or name=[1,2,3]. Random where left out."),
    ] = None,
    output: Annotated[
        list[Path] | None, typer.Option("--output", "-o", help="Write outputs here: .npz, .json or .npy.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="An output to compute; may be repeated.")] = None,
    shape: Shapes = None,
    threads: Threads = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which the run stops.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a model once on what files hold, and print or write its outputs."""
    model = load(path, threads=threads)
    if inputs:
        with errors_said():
            feeds = files.read_feeds(inputs, [*model.inputs, *model.default_inputs])
        missing = [i for i in model.inputs if i.name not in feeds]
        if missing:
            example = " ".join(f"{i.name}={i.name}.npy" for i in missing)
            raise give_up(f"no feed for {', '.join(str(i) for i in missing)}", f"Add {example}")
    else:
        feeds = made_feeds(model, shape)
        if not as_json:
            typer.echo(f"random feeds for {', '.join(feeds) or 'no inputs'}", err=True)
    with errors_said(), busy("running"):
        began = time.perf_counter()
        results = model.run(feeds, outputs=only or None, timeout=timeout)
        seconds = time.perf_counter() - began
        for file in output or []:
            files.write_outputs(file, results)
    if as_json:
        data = {name: {"value": files.plain(value)} for name, value in results.items()}
        print_json({"milliseconds": 1e3 * seconds, "outputs": data})
        return
    for name, value in results.items():
        say(f"{name}: {files.summary(value)}")
    typer.echo(f"{1e3 * seconds:.3f} ms", err=True)


def inspect_command(path: ModelPath, as_json: AsJson = False) -> None:
    """Say what a file holds, without compiling it: versions, inputs, outputs, ops, weights."""
    from arenaut.frontend import import_model
    from arenaut.inputs import tensor_info

    with errors_said(), busy(f"reading {path}"):
        imported = import_model(path)
    graph = imported.graph
    inputs = [tensor_info(n, v.type) for n, v in zip(imported.input_names, graph.inputs, strict=True)]
    outputs = [tensor_info(n, v.type) for n, v in zip(imported.output_names, graph.outputs, strict=True)]
    weights = [v.constant for v in graph.constants() if v.constant is not None]
    ops = Counter(f"{n.domain}.{n.op}" if n.domain else n.op for n in graph.nodes)
    info = imported.info
    facts: dict[str, Any] = {
        "graph": info.graph, "producer": f"{info.producer} {info.producer_version}".strip(), "version": info.version,
        "ir_version": info.ir_version, "opsets": {d or "ai.onnx": v for d, v in info.opsets.items()},
        "metadata": dict(info.metadata), "inputs": infos(inputs), "outputs": infos(outputs),
        "defaults": [name for name, _ in imported.defaults], "nodes": len(graph.nodes), "ops": dict(ops.most_common()),
        "weights": len(weights), "parameters": sum(a.size for a in weights),
        "weight_bytes": sum(a.nbytes for a in weights),
    }  # fmt: skip
    if as_json:
        print_json(facts)
        return
    opsets = ", ".join(f"{d} {v}" for d, v in facts["opsets"].items())
    say(f"graph    {info.graph or '(no name)'}, by {facts['producer'] or 'an unknown producer'}")
    say(f"versions opset {opsets}; IR {info.ir_version}")
    for label, items in (("in", inputs), ("out", outputs)):
        for item in items:
            say(f"{label:8} {item}")
    say(f"weights  {len(weights)}: {facts['parameters']:,} numbers, {facts['weight_bytes'] / 2**20:,.1f} MiB")
    say(f"nodes    {len(graph.nodes)}: " + ", ".join(f"{op} {n}" for op, n in ops.most_common(8))
        + (f" and {len(ops) - 8} more ops" if len(ops) > 8 else ""))  # fmt: skip
    for key, value in list(info.metadata.items())[:8]:
        say(f"metadata {key}: {value[:60]}")


def convert_command(
    path: ModelPath,
    output: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    dim: Annotated[
        list[str] | None, typer.Option("--dim", help="A symbolic dim that gets a size for good, as batch=1.")
    ] = None,
    optimize: Annotated[bool, typer.Option(help="Optimise the graph; --no-optimize writes it as stored.")] = True,
    as_json: AsJson = False,
) -> None:
    """Write the optimised graph as an ONNX model that other runtimes load."""
    from arenaut.frontend import Revision

    sizes = {}
    for text in dim or []:
        name, _, size = text.partition("=")
        if not name or not size.isdigit():
            raise give_up(f"'{text}' is no size of a dim", "Write --dim batch=1")
        sizes[name] = int(size)
    if sizes:
        known = [d for i in load(path, optimize=False).inputs for d in i.shape or () if isinstance(d, str)]
        unknown = [n for n in sizes if n not in known]
        if unknown:
            raise give_up(f"the model has no symbolic dim '{unknown[0]}'. It has {', '.join(known) or 'none'}")
    model = load(path, optimize=optimize, revision=Revision(dims=sizes))
    with errors_said(), busy(f"writing {output}"):
        model.save_onnx(output)
    written = output.stat().st_size
    if as_json:
        print_json(
            {"path": str(output), "bytes": written, "nodes": len(model.graph.nodes), "stored": model.stored_nodes}
        )
    else:
        say(f"{output}: {len(model.graph.nodes)} nodes of {model.stored_nodes}, {written / 2**20:.1f} MiB")
