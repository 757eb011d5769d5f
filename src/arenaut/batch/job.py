"""A table of files through a model: what is to be done, in parts that are each done whole or not at all.

    out/part-00000-00000.parquet    results of a part: rows of one input file, in their order
    out/failed/part-...parquet      its rows without results, and the reason
    out/_job.json                   what the job is; another one is not mixed into the same folder

A part's files appear by a rename after they are written, the results last. So whoever does a part twice, or dies over
it, neither doubles nor loses a row.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from arenaut.batch.rows import RowOptions, Run
from arenaut.errors import OptionError
from arenaut.plain import dataclass
from arenaut.pool.models import Face

FAILED, JOB = "failed", "_job.json"
_LEAST_ROWS = 256  # that are read at a time
FORMATS = {".parquet": "parquet", ".csv": "csv", ".arrow": "feather", ".feather": "feather", ".jsonl": "json"}


@dataclass(frozen=True)
class Job:
    """keep: columns of the input that results have, too; None for all that feed no input of the model. outputs: names;
    None for all. before, after: see functions. options: of load_onnx. part_rows: rows after which a part ends, at the
    next group of rows of its file."""

    model: str
    inputs: tuple[str, ...]
    output: str
    rows: RowOptions = field(default_factory=RowOptions)
    keep: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    before: str | None = None
    after: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    part_rows: int = 4096

    def identity(self) -> dict[str, Any]:
        """What results depend on."""
        said = asdict(self)
        said.pop("output")
        said["files"] = [(f, os.stat(f).st_size, os.stat(f).st_mtime_ns) for f in (self.model, *self.inputs)]
        document: dict[str, Any] = json.loads(json.dumps(said, default=str))
        return document


@dataclass(frozen=True)
class Part:
    """Groups [first, last) of the rows of a file; last -1 for all of a file that has none."""

    number: tuple[int, int]
    file: str
    first: int
    last: int

    @property
    def name(self) -> str:
        return "part-{:05}-{:05}.parquet".format(*self.number)


@dataclass(frozen=True)
class Done:
    """What became of a part."""

    rows: int
    failed: int
    seconds: float


def inputs_at(patterns: Sequence[str]) -> tuple[str, ...]:
    """The files of patterns and folders, sorted. Raises OptionError where there is none."""
    found: list[str] = []
    for pattern in patterns:
        inner = os.path.join(pattern, "*") if os.path.isdir(pattern) else pattern
        found += [os.path.abspath(f) for f in glob.glob(inner, recursive=True) if os.path.splitext(f)[1] in FORMATS]
    if not found:
        raise OptionError(f"no files {', '.join(FORMATS)} at {', '.join(patterns)}")
    return tuple(sorted(set(found)))


def parts_of(job: Job) -> list[Part]:
    import pyarrow.parquet as pq

    parts = []
    for i, file in enumerate(job.inputs):
        if not file.endswith(".parquet"):
            parts.append(Part((i, 0), file, 0, -1))
            continue
        metadata = pq.read_metadata(file)
        first, rows = 0, 0
        for group in range(metadata.num_row_groups):
            rows += metadata.row_group(group).num_rows
            if rows >= job.part_rows or group == metadata.num_row_groups - 1:
                parts.append(Part((i, first), file, first, group + 1))
                first, rows = group + 1, 0
    return parts


def begun(job: Job) -> list[Part]:
    """Makes the folder of the job, or finds it begun; returns the parts that are left. Raises OptionError for a folder
    of another job."""
    Path(job.output, FAILED).mkdir(parents=True, exist_ok=True)
    path, identity = Path(job.output, JOB), job.identity()
    if not path.exists():
        _write(path, json.dumps(identity, indent=1).encode())
    elif json.loads(path.read_text()) != identity:
        raise OptionError(
            f"'{job.output}' holds results of another job, or the model, an option or an input has changed since: name "
            "another folder, or remove this one"
        )
    return [part for part in parts_of(job) if not Path(job.output, part.name).exists()]


def summary(job: Job) -> tuple[int, int]:
    """Rows with results and without, of all parts that are done."""
    import pyarrow.parquet as pq

    good = sum(pq.read_metadata(f).num_rows for f in Path(job.output).glob("part-*.parquet"))
    bad = sum(pq.read_metadata(f).num_rows for f in Path(job.output, FAILED).glob("part-*.parquet"))
    return good, bad


class Worker:
    """Does parts of a job; in every process of it. run: see RowRunner."""

    def __init__(self, job: Job, face: Face, run: Run) -> None:
        from arenaut.batch.table import TableRunner

        self._job = job
        self._runner = TableRunner(face, run, job.rows, job.outputs, job.keep, job.before, job.after)

    def do(self, part: Part) -> Done:
        """Raises OSError where a file cannot be read or written; a second time is as good as the first."""
        begun, good, bad = time.perf_counter(), 0, 0
        results, failed = _Writer(self._job, part, ""), _Writer(self._job, part, FAILED)
        try:
            for batch in _batches(part, max(_LEAST_ROWS, self._job.rows.rows)):
                kept, wrong = self._runner(batch)
                results.write(kept)
                failed.write(wrong)
                good, bad = good + kept.num_rows, bad + wrong.num_rows
            failed.finish()
            results.finish()
        finally:
            failed.discard()
            results.discard()
        return Done(good + bad, bad, time.perf_counter() - begun)


def _batches(part: Part, rows: int) -> Iterator[Any]:
    """Record batches of a part, of so many rows or fewer."""
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    if part.last >= 0:
        with pq.ParquetFile(part.file) as file:
            yield from file.iter_batches(rows, range(part.first, part.last))
        return
    dataset = ds.dataset(part.file, format=FORMATS[os.path.splitext(part.file)[1]])
    yield from dataset.to_batches(batch_size=rows)


class _Writer:
    """A file of the results that appears when it is finished. Without rows there is none, but for the results."""

    def __init__(self, job: Job, part: Part, folder: str) -> None:
        self._path = os.path.join(job.output, folder, part.name)
        token = hashlib.sha256(f"{os.getpid()} {time.time_ns()} {id(self)}".encode()).hexdigest()[:12]
        self._working = os.path.join(job.output, folder, f".{part.name}.{token}")
        self._writer: Any = None
        self._needed = not folder
        self._table: Any = None

    def write(self, table: Any) -> None:
        import pyarrow.parquet as pq

        self._table = table
        if self._writer is None and (table.num_rows or self._needed):
            self._writer = pq.ParquetWriter(self._working, table.schema)
        if self._writer is not None and table.num_rows:
            self._writer.write_table(table.cast(self._writer.schema))

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
            os.replace(self._working, self._path)

    def discard(self) -> None:
        if os.path.exists(self._working):
            if self._writer is not None:
                self._writer.close()
            os.unlink(self._working)


def _write(path: Path, data: bytes) -> None:
    working = path.with_name(f".{path.name}.{os.getpid()}")
    working.write_bytes(data)
    os.replace(working, path)
