"""`arenaut serve`: models over HTTP and gRPC, by KServe's model server."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from arenaut.cli.common import Shapes, cpus, errors_said, give_up

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def seconds(text: str) -> float:
    """ "2ms", "0.5s" or "30". Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|ms|s|)", text.strip())
    if found is None:
        raise ValueError(f"'{text}' is no time: write 2ms or 30s")
    return float(found[1]) * _UNITS[found[2]]


def size(text: str) -> int:
    """ "64m" or "1000000" bytes. Raises ValueError."""
    found = re.fullmatch(r"(\d+)\s*([kmg]?)i?b?", text.strip().lower())
    if found is None:
        raise ValueError(f"'{text}' is no size: write 64m or 1000000")
    return int(found[1]) * _BYTES[found[2]]


def serve_command(
    models: Annotated[list[str], typer.Argument(help="ONNX or compiled files, and folders of models or versions.")],
    host: Annotated[str, typer.Option(help="Addresses to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of HTTP: inference, health, /metrics.")] = 8080,
    grpc_port: Annotated[int, typer.Option(help="Of gRPC; 0 for none.")] = 8081,
    batch: Annotated[int, typer.Option(min=1, help="Join requests along axis 0 up to so many rows.")] = 1,
    wait: Annotated[str, typer.Option(help="So long a request may wait for others to join.")] = "2ms",
    workers: Annotated[int, typer.Option(min=1, help="Processes that run models, on the same weights.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Of each process; the CPUs over the workers.")] = None,
    shape: Shapes = None,
    max_bytes: Annotated[str, typer.Option(help="Largest request.")] = "256m",
    max_rows: Annotated[int | None, typer.Option(min=1, help="Most rows of a request.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="Arena and outputs of a run.")] = None,
    max_requests: Annotated[int, typer.Option(min=1, help="Most requests that wait or run.")] = 1000,
    timeout: Annotated[str, typer.Option(help="Longest that a request may wait and run.")] = "60s",
    grace: Annotated[str, typer.Option(help="For requests under way when it is stopped.")] = "30s",
    cache: Annotated[str | None, typer.Option(help="Folder of compiled files; by default your own.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say what the server does.")] = False,
) -> None:
    """Serve models over HTTP and gRPC (Open Inference Protocol v2), until it is interrupted."""
    import logging

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        from arenaut.serving.engine import Engine, Limits
        from arenaut.serving.repository import Repository
        from arenaut.serving.server import RequestError, Server
    except ModuleNotFoundError as error:
        raise give_up(f"{error.name} is not installed", "pip install 'arenaut[serve]'") from None
    with errors_said():
        sizes = {name: int(number) for name, _, number in (text.partition("=") for text in shape or [])}
        options = {} if max_memory is None else {"max_memory": size(max_memory)}
        limits = Limits(size(max_bytes), max_rows, seconds(timeout), max_requests)
        own = threads or max(1, cpus() // workers)
        engine = Engine(workers, own, cache or True, batch, seconds(wait), limits)
        repository = Repository(models, engine, options, sizes)
        server = Server(repository, host, port, grpc_port or None, int(seconds(grace)), typer.echo)
        try:
            server.serve()
        except RequestError as error:
            raise give_up(str(error)) from None
