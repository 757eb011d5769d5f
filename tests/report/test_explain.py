from __future__ import annotations

from importlib import import_module
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

import arenaut
from arenaut.cli import app
from arenaut.report.explain import explain
from tests.support.models import parse

MODEL = """t (float[n,4] x) => (float[n,4] y, float[n,4] z)
<float half = {0.5}, float one = {1.0}, float root2 = {1.4142135}, float two = {2.0}>
{ d = Div(x, root2) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)
  r = Relu(x) d2 = Div(r, root2) e2 = Erf(d2) a2 = Add(e2, one) m2 = Mul(r, a2) z = Mul(m2, two) }"""


def test_says_what_was_and_what_nearly_was_rewritten() -> None:
    found = explain(parse(MODEL))
    text = found.text(nodes=True)
    assert "activations/gelu x1" in text
    assert "the constants at 'z' are not those of Gelu" in text
    assert found.ops_before["Erf"] == 2 and any("y: f32[n, 4] = " in line and "Gelu" in line for line in found.after)
    assert text.index("before: 11 nodes") < text.index("rewritten:") < text.index("after:")


def test_models_keep_what_was_rewritten() -> None:
    model = arenaut.load_onnx(parse(MODEL), verify="full")
    assert ("raise_activations", "gelu", True) in {(e.pass_name, e.rewrite, e.fired) for e in model.rewrites}
    assert arenaut.load_onnx(parse(MODEL), optimize=False).rewrites == ()
    early = arenaut.load_onnx(parse(MODEL), stop_after=2).rewrites
    assert "raise_activations" not in {e.pass_name for e in early}


def test_verification_is_asked_for_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[str] = []
    monkeypatch.setattr(import_module("arenaut.ir.verify"), "verify", lambda graph, level: levels.append(level))
    monkeypatch.setenv("ARENAUT_VERIFY", "structure")
    arenaut.load_onnx(parse(MODEL))
    assert levels and set(levels) == {"structure"}
    monkeypatch.setenv("ARENAUT_VERIFY", "everything")
    with pytest.raises(ValueError, match="everything"):
        arenaut.load_onnx(parse(MODEL))


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(parse(MODEL), path)
    result = CliRunner().invoke(app, ["explain", str(path), "--nodes"])
    assert result.exit_code == 0 and "activations/gelu" in result.output
    assert CliRunner().invoke(app, ["explain", str(tmp_path / "none.onnx")]).exit_code == 2
