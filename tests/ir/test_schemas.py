"""The table of schemas is the installed onnx's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import defs

from arenaut.ir import schemas


def test_the_table_is_that_of_onnx() -> None:
    """To write it anew: python -m arenaut.ir.schemas"""
    if defs.onnx_opset_version() != schemas.newest_opset(""):
        pytest.skip(f"the table holds opset {schemas.newest_opset('')}, onnx {onnx.__version__} has another")
    assert Path(schemas.TABLE).read_text("utf-8").splitlines() == schemas.table_of_onnx()


def test_what_is_asked_of_an_op() -> None:
    relu = schemas.signature("", "Relu", 10)
    assert relu is not None and relu.since_version == 6 and relu.inputs == (1, 1)
    assert relu.input_parameters[0].types == ("tensor(double)", "tensor(float)", "tensor(float16)")
    assert schemas.versions("", "Relu") == (1, 6, 13, 14)
    assert schemas.signature("", "Relu", 0) is None and schemas.signature("", "NoSuchOp", 28) is None
    assert schemas.default_attributes("", "Gemm", 13) == {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    assert schemas.default_attributes("", "LSTM", 14)["direction"] == "forward"
    assert schemas.newest_opset("com.microsoft") == 0


def test_an_op_that_was_withdrawn_keeps_its_last_meaning() -> None:
    upsample = schemas.newest_signature("", "Upsample")
    assert upsample is not None and upsample.since_version == 9 and schemas.last_opset("", "Upsample") == 9
    assert schemas.last_opset("", "Relu") == schemas.newest_opset("")


def test_an_op_whose_first_version_was_withdrawn_keeps_that_version() -> None:
    first = schemas.signature("", "GroupNormalization", 18)
    assert first is not None and first.since_version == 18 and schemas.versions("", "GroupNormalization") == (18, 21)


def test_parameters_without_a_limit() -> None:
    concat = schemas.newest_signature("", "Concat")
    assert concat is not None and concat.inputs == (1, 2**31 - 1) and concat.input_parameters[0].option == "variadic"


def test_loading_a_model_imports_nothing_heavy() -> None:
    code = (
        "import os, sys, arenaut\n"
        "model = arenaut.load_onnx(os.path.join(os.path.dirname(arenaut.__file__), 'data', 'digits.onnx'))\n"
        "assert model.run({i.name: __import__('numpy').zeros([d if isinstance(d, int) else 1 for d in i.shape],"
        " i.dtype) for i in model.inputs})\n"
        "heavy = {'onnx', 'google.protobuf', 'ml_dtypes', 'typer', 'rich', 'jinja2', 'onnxruntime', 'numpy.random',"
        " 'logging', 'hashlib', 'pathlib', 'tempfile', 'decimal', 'arenaut.compiled.cache', 'arenaut.backends'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
