"""Writes docs/measured/STEPS.md: steps per run and bytes between steps over the zoo, beside onnxruntime; and what is
recognised in the layers of transformers that every combination of exporter, attention and opset produces.

    python bench/steps.py [NAME...] [--no-zoo] [--no-matrix] [--output FILE]

Names, families and tags of bench/zoo.toml; all of the zoo when none is given. Nothing in the file is typed in.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

from arenaut.ir.dims import evaluate  # noqa: E402
from arenaut.ir.place import Place  # noqa: E402
from arenaut.lowering.build import Built  # noqa: E402
from arenaut.lowering.program import LoweredStep, Segment  # noqa: E402
from arenaut.measure.render import one_line  # noqa: E402
from bench.table import markdown_table  # noqa: E402

OUTPUT: Final = ROOT / "docs" / "measured" / "STEPS.md"
REORDERS: Final = frozenset({"ReorderInput", "ReorderOutput"})


@dataclass(frozen=True)
class Counts:
    """steps: of the program, bodies of control flow included. moved: bytes of operands and results, without weights.
    sliced: steps where wide intermediates are made in slices or bands, which trades steps for memory."""

    steps: int
    moved: int
    sliced: int = 0


# -- ours ----------------------------------------------------------------------------------------------------------


def ours(path: Path, feeds: Mapping[str, Any]) -> Counts:
    """Counts of the binding that these feeds make; runs the model once."""
    import arenaut

    model = arenaut.load_onnx(path, threads=1, without=("slices", "bands"))
    model.run(feeds)
    built, sliced = model._built, arenaut.load_onnx(path, threads=1)._built
    return Counts(count_steps(built), sum(_moved(built, model.plan.symbols)), count_steps(sliced))


def running(built: Built) -> list[LoweredStep]:
    """The steps that do something: not the copies whose source the plan makes at its destination."""
    spared = {at for at, share in built.shares if share.keeps}
    return [built.lowered.steps[i] for at, i in enumerate(built.step_order) if at not in spared]


def count_steps(built: Built) -> int:
    return len(running(built)) + sum(map(count_steps, built.bodies))


def _moved(built: Built, symbols: Mapping[str, int]) -> Iterator[int]:
    lowered = built.lowered
    for step in running(built):
        for place in step.operands():
            if place is not None and lowered.buffers[place.buffer].segment is not Segment.WEIGHT:
                yield _bytes(place, symbols)


def _bytes(place: Place, symbols: Mapping[str, int]) -> int:
    """Of the distinct elements: repeated ones are read once."""
    extents = [1 if s == 0 else d for d, s in zip(place.dims, place.strides, strict=True)]
    return math.prod(evaluate(d, symbols) for d in extents) * place.dtype.itemsize


# -- onnxruntime's ---------------------------------------------------------------------------------------------------


def peers(path: Path, feeds: Mapping[str, Any]) -> Counts:
    """Nodes of onnxruntime's optimised graph and the bytes its profile names, both without its Reorder nodes."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights.bin")
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        session.run(None, dict(feeds))
        events = json.loads(Path(session.end_profiling()).read_text())
        graph = onnx.load(options.optimized_model_filepath, load_external_data=False).graph
    moved = 0
    for event in events:
        facts = event.get("args", {})
        if event.get("cat") == "Node" and facts.get("op_name") not in REORDERS and "output_size" in facts:
            moved += int(facts["output_size"]) + int(facts["activation_size"])
    return Counts(_nodes(graph), moved)


def _nodes(graph: Any) -> int:
    """Nodes of a graph and of the bodies in it, without Reorders."""
    bodies = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return sum(node.op_type not in REORDERS for node in graph.node) + sum(map(_nodes, bodies))


# -- the zoo -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    name: str
    family: str
    ours: Counts | None = None
    peers: Counts | None = None
    reason: str = ""


def measure(subject: Any) -> Row:
    feeds = subject.make_feeds(0)
    row = Row(subject.name, subject.family)
    try:
        row = Row(subject.name, subject.family, ours(subject.path, feeds))
        return Row(subject.name, subject.family, row.ours, peers(subject.path, feeds))
    except Exception as error:
        return Row(subject.name, subject.family, row.ours, None, one_line(f"{type(error).__name__}: {error}"))


def zoo_lines(rows: Sequence[Row]) -> list[str]:
    cells = []
    for row in rows:
        if row.ours is None or row.peers is None:
            continue
        a, b = row.ours, row.peers
        cells.append([
            row.name, row.family, str(a.steps), str(a.sliced), str(b.steps), f"{a.steps / b.steps:.0%}",
            f"{a.moved / 1e6:,.2f}", f"{b.moved / 1e6:,.2f}", f"{a.moved / max(1, b.moved):.0%}",
        ])  # fmt: skip
    header = ("model", "family", "steps", "sliced", "ORT nodes", "steps / ORT", "MB moved", "ORT MB", "MB / ORT")
    more = [row.name for row in rows if row.ours and row.peers and row.ours.steps > row.peers.steps]
    lines = ["## The zoo", "", *markdown_table(header, cells), ""]
    lines += [f"More steps than onnxruntime has nodes: {', '.join(more) or 'no model'}.", ""]
    missing = [f"- {row.name}: {row.reason}" for row in rows if row.peers is None]
    return [*lines, *(["Not compared:", "", *missing, ""] if missing else [])]


# -- the page ----------------------------------------------------------------------------------------------------------


def document(command: str, parts: Sequence[Sequence[str]]) -> str:
    lines = [
        "# Steps",
        "",
        f"Generated by `{command}`; not edited by hand.",
        "",
        f"- Versions: {', '.join(f'{n} {version(n)}' for n in ('onnxruntime', 'torch', 'transformers'))}.",
        "- steps: of the native program, bodies of control flow included; not copies whose source the plan makes where",
        "  they would put it, which do nothing. ORT nodes: of the graph that onnxruntime saves with ORT_ENABLE_ALL,",
        "  bodies included, ReorderInput and ReorderOutput not counted.",
        "- Those are the steps of the optimised graph (`without=slices,bands`), as are MB moved. sliced: the steps of",
        "  the program as it is loaded by default, where chains of steps are cut to keep wide intermediates small.",
        "- MB moved: operands and results of all steps of one run, without weights; of an element that is broadcast",
        "  once. ORT MB: activation_size + output_size of its profile, without the Reorders. Bodies: not ours.",
        "",
    ]
    return "\n".join([*lines, *(line for part in parts for line in part)])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--no-zoo", action="store_true")
    parser.add_argument("--no-matrix", action="store_true")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    from rich.console import Console
    from rich.progress import track

    from bench.subjects import find_subjects
    from bench.zoo import load_manifest

    console, parts = Console(stderr=True), []
    if not options.no_zoo:
        subjects = find_subjects(options.names or list(load_manifest()), {})
        parts.append(zoo_lines([measure(s) for s in track(subjects, "zoo", console=console)]))
    if not options.no_matrix:
        from bench.recognition import attempt, combinations, matrix_lines

        parts.append(matrix_lines([attempt(c) for c in track(list(combinations()), "matrix", console=console)]))
    options.output.write_text(document(" ".join(["python bench/steps.py", *arguments]), parts))
    print(options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
