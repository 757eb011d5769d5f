"""`arenaut show` and `arenaut profile`: sizes of dims from the command line."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner, Result

from arenaut.cli import app
from tests.support.models import parse

WINDOW = """agraph (float[batch, 3, height, width] x, float[4, 3, 3, 3] w) => (float[] y) {
    c = Conv (x, w)  r = Reshape (c, t)  y = Relu (r) }"""


def show(path: Path, *sizes: str, command: str = "show") -> Result:
    return CliRunner().invoke(app, [command, str(path), "--threads", "1", *(w for s in sizes for w in ("--shape", s))])


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    text = WINDOW.replace("(float[] y) {", "(float[] y) <int64[3] t = {0, 16, -1}> {")
    onnx.save(parse(text), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_sizes_that_were_not_given_are_named(windows: Path) -> None:
    run = show(windows)
    assert run.exit_code == 2
    assert "batch, height, width counted 1" in run.output and "--shape height=8" in run.output
    run = show(windows, "height=8", "width=8")
    assert run.exit_code == 0 and "Conv" in run.output


@pytest.mark.parametrize(("typo", "said"), [
    ("bach=2", "no symbolic dim 'bach'; did you mean 'batch'?"),
    ("q=2", "no symbolic dim 'q'. It has batch, height, width"),
    ("batch=two", "'batch=two' is no size: write batch=8"),
    ("batch", "'batch' is no size"),
    ("batch=1x2", "'batch=1x2' is no size"),
])  # fmt: skip
def test_what_is_no_size_of_the_model_is_refused(windows: Path, typo: str, said: str) -> None:
    for command in ("show", "profile"):
        run = show(windows, typo, "height=8", "width=8", command=command)
        assert run.exit_code == 2 and said in run.output


def test_an_input_of_any_rank_is_given_its_shape(tmp_path: Path) -> None:
    onnx.save(parse("agraph (float[] x) => (float[] y) { y = Softmax (x) }"), tmp_path / "any.onnx")
    run = show(tmp_path / "any.onnx")
    assert run.exit_code == 2 and "--shape x=1x3x8x8" in run.output
    assert show(tmp_path / "any.onnx", "x=2x5").exit_code == 0
