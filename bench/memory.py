"""Writes docs/measured/MEMORY.md: what a run takes in arenaut, beside onnxruntime, OpenVINO and PyTorch.

    python bench/memory.py [NAME...] [--threads N] [--output FILE] [--peers FILE]

Names, families and tags of bench/zoo.toml, and paths of .onnx files; all models of the zoo when none is given. Peers
are measured once for a version, model, sizes and thread count, and kept in a file (build/peers.json).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable, here and in child processes
    sys.path.insert(0, str(ROOT))

from arenaut.measure.engines import PeerMissingError, version_of  # noqa: E402
from arenaut.measure.memory import openvino_memory, ort_memory  # noqa: E402
from arenaut.measure.process import machine  # noqa: E402
from arenaut.measure.render import kibibytes, one_line, significant  # noqa: E402
from arenaut.measure.stats import geometric_mean  # noqa: E402
from arenaut.measure.worker import Worker, WorkerError  # noqa: E402
from bench import zoo  # noqa: E402
from bench.subjects import Subject, file_subject  # noqa: E402
from bench.table import markdown_table, setting_mark, sizes_text  # noqa: E402
from bench.torch_memory import torch_memory  # noqa: E402

OUTPUT: Final = ROOT / "docs" / "measured" / "MEMORY.md"
CACHE: Final = ROOT / "build" / "peers.json"
ALLOWANCE: Final = 64 * 1024
"""Bytes per thread for packing buffers, which the peers' counters do not see."""
SEQUENCES: Final = tuple({"batch": 1, "sequence": length} for length in (128, 512, 1024))
BINDINGS: Final[Mapping[str, Sequence[Mapping[str, int]]]] = {"gpt2-2l-dynamic": SEQUENCES}
"""Sizes to measure, of models that one binding does not stand for."""
HEADER: Final = (
    "model",
    "sizes",
    "arena",
    "of it outputs",
    "lower bound",
    "order-free",
    "ORT default",
    "ORT best",
    "OpenVINO",
    "PyTorch",
    "over the best peer",
)


@dataclass
class Peers:
    """Peaks in bytes, None where there is none; `reasons` say why."""

    ort_default: int | None = None
    ort_best: int | None = None
    ort_setting: str = ""
    openvino: int | None = None
    torch: int | None = None
    reasons: list[str] = field(default_factory=list)

    @property
    def best(self) -> int | None:
        """The smallest of what a run may be compared with: onnxruntime at its best setting, OpenVINO plus outputs."""
        return min((size for size in (self.ort_best, self.openvino) if size is not None), default=None)


@dataclass(frozen=True)
class Ours:
    """What the plan of one binding says, in bytes."""

    arena: int
    outputs: int
    lower_bound: int
    order_free_bound: int
    proved: bool


@dataclass(frozen=True)
class Row:
    """One model at one binding; `reason` says why it stops where it stops."""

    subject: Subject
    ours: Ours | None = None
    peers: Peers = field(default_factory=Peers)
    reason: str = ""

    @property
    def over(self) -> int | None:
        """Bytes beyond the best peer; negative below it."""
        return None if self.ours is None or self.peers.best is None else self.ours.arena - self.peers.best


class PlanProbe:
    """Plans and runs a model in a child process."""

    def measure(self, path: Path, feeds: Mapping[str, Any], threads: int) -> Ours:
        """The plan of the binding that these feeds ask for; the model is loaded without knowing it."""
        import arenaut

        model = arenaut.load_onnx(path, threads=threads)
        model.run(dict(feeds))
        plan = model.plan
        return Ours(
            plan.arena_bytes,
            plan.output_bytes,
            plan.lower_bound_bytes,
            plan.order_free_bound_bytes,
            plan.arena_bytes == plan.lower_bound_bytes,
        )


def measure_ours(subject: Subject, threads: int) -> Ours:
    """Raises WorkerError where the model does not run."""
    with Worker("bench.memory:PlanProbe") as worker:
        result: Ours = worker.call("measure", subject.path, subject.make_feeds(0), threads)
        return result


class PeerCache:
    """Peers measured before, by model, sizes, threads and the peers' versions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.versions = " ".join(f"{name} {_version(name)}" for name in ("onnxruntime", "openvino"))

    def of(self, subject: Subject, threads: int) -> Peers:
        """What is known, or measured now and kept."""
        where = subject.path.name if subject.family == "file" else subject.name
        key = f"{where} {json.dumps(dict(subject.binding))} {threads} {self.versions}"
        if key not in self.known:
            self.known[key] = dataclasses.asdict(measure_peers(subject, threads))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.known, indent=1))
        return Peers(**self.known[key])


def _version(name: str) -> str:
    try:
        return version_of(name)
    except PeerMissingError:
        return "-"


def measure_peers(subject: Subject, threads: int) -> Peers:
    """Every peer on the same feeds; one that is missing or fails leaves a reason."""
    feeds, peers = subject.make_feeds(0), Peers()

    def ort() -> None:
        measured = ort_memory(subject.path, feeds, threads=threads)
        peers.ort_default, peers.ort_best = measured.default.peak_bytes, measured.best.peak_bytes
        peers.ort_setting = measured.best.setting

    def openvino() -> None:
        peers.openvino = openvino_memory(subject.path, feeds, threads=threads).peak_bytes

    def torch() -> None:
        entry = zoo.load_manifest().get(subject.name)
        measured = None if entry is None else torch_memory(entry, subject.binding, threads=threads)
        peers.torch = None if measured is None else measured.peak_bytes

    probes: Mapping[str, Callable[[], None]] = {"onnxruntime": ort, "OpenVINO": openvino, "PyTorch": torch}
    for name, probe in probes.items():
        try:
            probe()
        except (PeerMissingError, WorkerError) as error:
            peers.reasons.append(f"{name}: {one_line(str(error), 160)}")
    return peers


def subjects_of(names: Sequence[str]) -> Iterator[Subject]:
    """Files, and the zoo's models at every binding that is measured. Copies with other weights have the same plan."""
    files = [name for name in names if name.endswith(".onnx")]
    for name in files:
        yield file_subject(Path(name), {})
    chosen = zoo.select([name for name in names if name not in files]) if names != files or not names else []
    copies = {entry.name for entry in chosen if entry.name.removesuffix("-random") in zoo.load_manifest()}
    for entry in chosen:
        if entry.name in copies and entry.name.endswith("-random"):
            continue
        path = zoo.ensure(entry)
        for binding in BINDINGS.get(entry.name, entry.bindings[:1]):
            yield Subject(entry.name, entry.family, path, _feeds(entry, binding), dict(binding))


def _feeds(entry: zoo.ZooEntry, binding: Mapping[str, int]) -> Callable[[int], Mapping[str, Any]]:
    return lambda seed: zoo.make_feeds(entry, binding, seed)


def cells(row: Row) -> list[str] | None:
    """The table's cells for a model that ran; None for one that did not."""
    if row.ours is None:
        return None
    mark = setting_mark(row.peers.ort_setting) if row.peers.ort_setting else ""
    return [
        row.subject.name,
        sizes_text(row.subject.binding),
        kibibytes(row.ours.arena),
        kibibytes(row.ours.outputs),
        kibibytes(row.ours.lower_bound),
        kibibytes(row.ours.order_free_bound),
        kibibytes(row.peers.ort_default),
        f"{kibibytes(row.peers.ort_best)}{mark}",
        kibibytes(row.peers.openvino),
        kibibytes(row.peers.torch),
        over_text(row.over),
    ]


def over_text(over: int | None) -> str:
    """With its sign, in KiB."""
    return "-" if over is None else f"{round(over / 1024):+,}"


def ratios(rows: Sequence[Row], peak: Callable[[Peers], int | None]) -> list[float]:
    """Our arena over a peer's, where both are known and not zero."""
    pairs = [(row.ours.arena, peak(row.peers)) for row in rows if row.ours is not None]
    return [ours / theirs for ours, theirs in pairs if theirs and ours]


def summary(rows: Sequence[Row], threads: int) -> list[str]:
    """Geometric means, and how often the bounds are met."""
    ran = [row for row in rows if row.ours is not None]
    lines = ["", "## Summary", ""]
    means = {
        "onnxruntime at its defaults": lambda peers: peers.ort_default,
        "onnxruntime at its best setting": lambda peers: peers.ort_best,
        "OpenVINO fp32 plus outputs": lambda peers: peers.openvino,
        "PyTorch eager": lambda peers: peers.torch,
    }
    for name, peak in means.items():
        found = ratios(ran, peak)
        if found:
            lines.append(f"- Arena over {name}: geometric mean {significant(geometric_mean(found))} of {len(found)}.")
    met = sum(row.ours.proved for row in ran if row.ours is not None)
    lines.append(f"- The lower bound of the chosen order is met exactly on {met} of {len(ran)}.")
    limit = threads * ALLOWANCE
    missed = sorted((row for row in ran if (row.over or 0) > limit), key=lambda row: -(row.over or 0))
    lines.append(
        f"- {len(missed)} of {len(ran)} are more than 64 KiB per thread above the best peer"
        + (": " if missed else ".")
        + ", ".join(
            f"{row.subject.name} ({sizes_text(row.subject.binding) or 'fixed sizes'}) by {over_text(row.over)} KiB"
            for row in missed
        )
    )
    return lines


def remarks(rows: Sequence[Row]) -> list[str]:
    """Why figures are missing."""
    lines = [f"- {row.subject.name}: {row.reason}" for row in rows if row.ours is None]
    lines += [f"- {row.subject.name}: {reason}" for row in rows for reason in row.peers.reasons]
    return ["", "## Not measured", "", *lines] if lines else []


def document(rows: Sequence[Row], command: str, threads: int) -> str:
    """The whole page."""
    lines = [
        "# Memory of a run",
        "",
        f"Generated by `{command}`; not edited by hand.",
        "",
        f"- Machine: {machine()}; {threads} thread(s). All figures in KiB.",
        f"- Versions: {', '.join(f'{n} {_version(n)}' for n in ('onnxruntime', 'openvino'))}.",
        "- What counts: intermediates, kernel scratch of all threads, and outputs; not inputs, not weights.",
        "- arena: what the plan says and a run uses, for a model loaded without knowing the sizes. lower bound:",
        "  the most that is live at once in the chosen order. order-free: the largest working set of a step.",
        "- ORT: the peak of a warm run above what is live before it, from an allocator that counts exact requests;",
        "  best: the smallest over enable_mem_reuse x enable_mem_pattern; (p) pattern, (r) reuse, (rp) both off.",
        "- OpenVINO, fp32: the block that `release_memory()` gives back, plus outputs. PyTorch, eager: the running sum",
        "  of its allocator's events. What peers' kernels take from the C heap besides is not seen.",
        "",
        *markdown_table(HEADER, [line for line in map(cells, rows) if line is not None]),
    ]
    return "\n".join([*lines, *summary(rows, threads), *remarks(rows)]) + "\n"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--peers", type=Path, default=CACHE)
    options = parser.parse_args(arguments)
    cache = PeerCache(options.peers)
    rows = []
    for subject in subjects_of(options.names):
        peers = cache.of(subject, options.threads)
        try:
            row = Row(subject, measure_ours(subject, options.threads), peers)
        except WorkerError as error:
            row = Row(subject, None, peers, one_line(str(error)))
        rows.append(row)
        print(f"{subject.name:28} {sizes_text(subject.binding):28} {over_text(row.over):>10} KiB", flush=True)
    command = " ".join(["python bench/memory.py", *arguments])
    options.output.write_text(document(rows, command, options.threads))
    print(options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
