"""docs/SUPPORTED_OPS.md says what is so."""

from __future__ import annotations

import onnx
import pytest

from tests.conformance.supported_ops import FILE, page


def test_the_page_is_what_the_ops_become() -> None:
    stored = FILE.read_text()
    if f"onnx {onnx.__version__}." not in stored:
        pytest.skip(f"the page describes the suite of another version than onnx {onnx.__version__}")
    wanted, found = page().splitlines(), stored.splitlines()
    wrong = [line for line in wanted if line not in found] + [line for line in found if line not in wanted]
    assert wanted == found, f"run python -m tests.conformance.supported_ops; different: {wrong}"
