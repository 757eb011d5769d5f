"""Every model that the onnx package ships for testing imports, and some of them survive being saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from arenaut.frontend import import_model
from arenaut.frontend.export import to_model_proto
from arenaut.ir.errors import ArenautError
from tests.conformance.cases import LIGHT, cases
from tests.support.importing import run_ort

# Cases that are refused, with the reason. Everything else imports.
REFUSED: dict[str, str] = {}


def sources() -> Iterator[tuple[str, Any]]:
    for case in cases():
        if case.suite != "real":
            yield case.name, case.official.model if case.official.model is not None else case.path


def test_all_official_cases_import() -> None:
    refused = {}
    total = 0
    for name, source in sources():
        total += 1
        try:
            graph = import_model(source).graph
        except ArenautError as error:
            refused[name] = str(error)
            continue
        assert graph.outputs, name
    assert total >= 2000
    assert refused.keys() == REFUSED.keys(), refused


def test_saved_cases_pass_the_checker() -> None:
    """Outputs whose rank only running decides have no form that the checker accepts."""
    checked = 0
    for name, source in sources():
        imported = import_model(source)
        saved = to_model_proto(imported.graph, input_names=imported.input_names, output_names=imported.output_names)
        if all(v.has_shape for v in imported.graph.outputs):
            checked += 1
            try:
                onnx.checker.check_model(saved)
            except onnx.checker.ValidationError as error:
                raise AssertionError(f"{name}: {error}") from error
        assert [o.name for o in saved.graph.output] == list(imported.output_names)
    assert checked > 1700


@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda p: p.stem)
def test_light_nets_saved_give_the_same_bytes_in_onnxruntime(path: Path) -> None:
    imported = import_model(path)
    assert len(imported.input_names) == len(imported.output_names) == 1
    saved = to_model_proto(imported.graph, input_names=imported.input_names, output_names=imported.output_names)
    onnx.checker.check_model(saved, full_check=True)
    if path.stem in ("light_squeezenet", "light_shufflenet", "light_resnet50"):
        shape = [d for d in imported.graph.inputs[0].shape if isinstance(d, int)]
        feed = {imported.input_names[0]: np.random.default_rng(0).random(shape, np.float32)}
        np.testing.assert_array_equal(run_ort(saved, feed)[0], run_ort(onnx.load(path), feed)[0])
