"""Tables of files through a model: every row once, whatever ends in the middle."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.support.serving import doubling, looping

if importlib.util.find_spec("pyarrow") is None:
    pytest.skip("needs pip install 'arenaut[batch]'", allow_module_level=True)
import pyarrow as pa
import pyarrow.parquet as pq

from arenaut.batch.arrow import column_of, columns_of, field_of
from arenaut.inputs import TensorInfo

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def table(folder: Path, files: int = 3, rows: int = 100, bad: tuple[int, ...] = (7, 150)) -> None:
    """Rows id 0, 1, ... with x = [id] * 4, in files of row groups of 25; those of `bad` too short."""
    folder.mkdir()
    for i in range(files):
        ids = range(i * rows, (i + 1) * rows)
        data = pa.table({"id": list(ids), "x": [[float(n)] * (3 if n in bad else 4) for n in ids]})
        pq.write_table(data, folder / f"{i}.parquet", row_group_size=25)


def command(tmp: Path, *words: object) -> list[str]:
    files = ["--input", tmp / "data/*.parquet", "--output", tmp / "out", "--cache", tmp / "cache"]
    given = [sys.executable, "-m", "arenaut", "batch", tmp / "double.onnx", *files, "--part-rows", 25, *words]
    return [str(word) for word in given]


def batch(tmp: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(tmp, *words), env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


def rows(folder: Path) -> dict[int, Any]:
    """Results by id, none of which stands twice."""
    data = pa.concat_tables([pq.read_table(f) for f in sorted(folder.glob("part-*.parquet"))]).to_pylist()
    found = {row["id"]: row for row in data}
    assert len(found) == len(data)
    return found


def check(tmp: Path, bad: tuple[int, ...] = (7, 150)) -> None:
    results, failed = rows(tmp / "out"), rows(tmp / "out" / "failed")
    assert sorted([*results, *failed]) == list(range(300)) and set(failed) == set(bad)
    assert all(row["y"] == [2 * n] * 4 for n, row in results.items())
    assert all(row["reason"] == "column 'x': expected 4, got shape (3,)" for row in failed.values())


@pytest.fixture
def job(tmp_path: Path) -> Path:
    onnx.save(doubling(), tmp_path / "double.onnx")
    table(tmp_path / "data")
    return tmp_path


def test_every_row_has_a_result_or_a_reason(job: Path) -> None:
    done = batch(job, "--workers", 2, "--json")
    assert done.returncode == 1, done.stderr  # not all is as it should be
    check(job)
    facts = json.loads(done.stdout)
    assert (facts["rows"], facts["failed"], facts["rows_now"], facts["parts_now"]) == (300, 2, 300, 12)
    again = batch(job, "--json")
    assert json.loads(again.stdout)["rows_now"] == 0
    assert not list((job / "out").glob(".part*"))


def test_a_job_that_was_killed_goes_on_where_it_stopped(job: Path) -> None:
    running = subprocess.Popen(command(job, "--workers", 1, "--before", f"{slow(job)}:slowly"), env=ENVIRONMENT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    out = job / "out"
    while len(list(out.glob("part-*"))) < 3:
        assert running.poll() is None
        time.sleep(0.02)
    running.kill()
    running.wait()
    before = {f: f.stat().st_mtime_ns for f in out.glob("part-*")}
    assert len(before) < 12
    done = batch(job, "--workers", 2, "--before", f"{slow(job)}:slowly", "--json")
    check(job)
    assert all(f.stat().st_mtime_ns == at for f, at in before.items())
    assert json.loads(done.stdout)["parts_now"] == 12 - len(before)


def slow(folder: Path) -> Path:
    """A step before the model that takes a while."""
    path = folder / "slow.py"
    if not path.exists():
        path.write_text("import time\n\ndef slowly(columns):\n    time.sleep(0.1)\n    return columns\n")
    return path


def test_a_process_that_is_killed_loses_no_row_and_doubles_none(job: Path) -> None:
    running = subprocess.Popen(command(job, "--workers", 2, "--before", f"{slow(job)}:slowly"), env=ENVIRONMENT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    while not list((job / "out").glob("part-*")):
        assert running.poll() is None
        time.sleep(0.02)
    children = [p for t in Path(f"/proc/{running.pid}/task").glob("*/children") for p in t.read_text().split()]
    os.kill(int(children[0]), signal.SIGKILL)
    assert running.wait(120) == 1
    check(job)


def test_another_job_is_not_mixed_in(job: Path) -> None:
    batch(job)
    assert batch(job, "--rows", 8).returncode == 2
    onnx.save(doubling(3), job / "double.onnx")
    done = batch(job)
    assert done.returncode == 2 and "results of another job" in done.stderr


def test_a_model_or_option_that_does_not_fit_is_said(job: Path) -> None:
    done = batch(job, "--column", "x=nothing")
    assert done.returncode == 2 and "there is no nothing. The table has id, x" in done.stderr
    shutil.rmtree(job / "out")
    (job / "double.onnx").write_bytes(b"no model")
    assert batch(job).returncode == 2


def test_csv_and_steps_around_the_model(tmp_path: Path) -> None:
    onnx.save(looping(), tmp_path / "double.onnx")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("id,text\n1,3\n2,x\n3,5\n")
    (tmp_path / "steps.py").write_text(
        "def numbers(columns):\n    counts = [int(t) for t in columns['text']]\n"
        "    return {'x': [[0.0]] * len(counts), 'n': counts}\n"
        "def plain(outputs):\n    return {'count': [float(y[0]) for y in outputs['y']]}\n"
    )
    words = command(tmp_path, "--before", f"{tmp_path}/steps.py:numbers", "--after", f"{tmp_path}/steps.py:plain",
                    "--keep", "id")  # fmt: skip
    words[words.index("--input") + 1] = str(tmp_path / "data")
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    assert rows(tmp_path / "out") == {1: {"id": 1, "count": 3.0}, 3: {"id": 3, "count": 5.0}}
    assert "ValueError" in rows(tmp_path / "out" / "failed")[2]["reason"]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, "n"), ("n", 3), ("n", "m")])
def test_results_become_columns_and_come_back(shape: tuple[Any, ...]) -> None:
    """Lists of fixed sizes where the model says them, of any where it does not."""
    rng = np.random.default_rng(0)
    sizes = [[d if isinstance(d, int) else int(rng.integers(0, 4)) for d in shape] for _ in range(5)]
    arrays = [rng.random(s, np.float32) for s in sizes]
    field = field_of(TensorInfo("y", "float32", ("batch", *shape)), True)
    column = column_of(arrays, field.type)
    assert column.to_pylist() == [a.tolist() for a in arrays]
    back = columns_of(pa.RecordBatch.from_arrays([column], schema=pa.schema([field])))["y"]
    assert all(np.array_equal(np.asarray(b, np.float32).reshape(a.shape), a) for b, a in zip(back, arrays, strict=True))


def test_sliced_columns_are_read_where_they_lie() -> None:
    lists = pa.array([[1, 2], None, [3], []], pa.list_(pa.int64()))
    batch_ = pa.RecordBatch.from_pydict(
        {"x": lists, "f": pa.array([[1, 2], [3, 4], [5, 6], [7, 8]], pa.list_(pa.int8(), 2))}
    )
    found = columns_of(batch_.slice(1, 3))
    assert [None if v is None else list(v) for v in found["x"]] == [None, [3], []]
    assert np.asarray(found["f"]).tolist() == [[3, 4], [5, 6], [7, 8]]
