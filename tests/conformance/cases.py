"""The official test cases of ONNX as plain data, how a case is run, and the official comparison."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

import arenaut
from arenaut import onnx_backend as backend

SUITES = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


@dataclass(frozen=True, eq=False)
class Case:
    """A case of one of the SUITES. official: onnx's own TestCase."""

    suite: str
    name: str
    official: Any

    def __str__(self) -> str:
        return f"{self.suite}-{self.name}"

    def model(self) -> onnx.ModelProto:
        if self.official.model is not None:
            return self.official.model
        return onnx.load(self.path)

    @property
    def path(self) -> Path:
        """The file of a case whose model is not given."""
        if self.official.model_dir is not None:
            return Path(self.official.model_dir) / "model.onnx"
        return LIGHT / Path(self.official.url).name

    def compare(self, outputs: Sequence[Any], expected: Sequence[Any]) -> None:
        """The official comparison. Raises AssertionError where outputs are wrong."""
        from onnx.backend.test.runner import Runner

        limits = {"rtol": self.official.rtol, "atol": self.official.atol}
        Runner.assert_similar_outputs(expected, outputs, **limits, model_dir=self.name)

    def data_sets(self, model: onnx.ModelProto) -> Iterator[tuple[list[Any], list[Any]]]:
        """Inputs and expected outputs, as the official runner reads or makes them."""
        if self.official.data_sets is not None:
            for inputs, outputs in self.official.data_sets:
                yield [_array(x) for x in inputs], [_array(y) for y in outputs]
            assert self.official.data_sets, f"{self.name} has no data"
        elif self.official.model_dir is not None:
            folders = sorted(Path(self.official.model_dir).glob("test_data_set*"))
            assert folders, f"{self.name} has no data"
            for folder in folders:
                yield _stored(folder, "input", model.graph.input), _stored(folder, "output", model.graph.output)
        else:
            yield (
                _ramps(model),
                [
                    numpy_helper.to_array(onnx.load_tensor(f"{self.path.with_suffix('')}_output_{i}.pb"))
                    for i in range(len(model.graph.output))
                ],
            )


def _array(item: Any) -> Any:
    return numpy_helper.to_array(item) if isinstance(item, onnx.TensorProto) else item


def _stored(folder: Path, kind: str, infos: Sequence[onnx.ValueInfoProto]) -> list[Any]:
    count = len(list(folder.glob(f"{kind}_*.pb")))
    return [_read((folder / f"{kind}_{i}.pb").read_bytes(), infos[i].type) for i in range(count)]


def _read(data: bytes, declared: onnx.TypeProto) -> Any:
    kind = declared.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind == "optional_type":
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    assert kind == "tensor_type", kind
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


def _ramps(model: onnx.ModelProto) -> list[Any]:
    """The inputs for which the light nets' outputs are stored."""
    stored = {t.name for t in model.graph.initializer}
    feeds = []
    for info in model.graph.input:
        if info.name not in stored:
            shape = tuple(d.dim_value or 1 for d in info.type.tensor_type.shape.dim)
            count = int(np.prod(shape))
            feeds.append((np.arange(count).reshape(shape) / count).astype(np.float32))
    return feeds


@cache
def cases() -> tuple[Case, ...]:
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # numpy, while onnx computes the expected outputs
        found = [Case(suite, c.name, c) for suite in SUITES for c in load_model_tests(kind=suite)]
    return tuple(sorted(found, key=lambda c: (SUITES.index(c.suite), c.name)))


def reopened(model: arenaut.Model) -> arenaut.Model:
    """The model as a compiled file gives it back."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.arn")
        model.save(path)
        return arenaut.load_onnx(path, threads=1)


def run_case(case: Case, *, optimize: bool, compiled: bool = False) -> Iterator[tuple[list[Any], list[Any]]]:
    """Runs a case as the official runner does: outputs and expected outputs of each of its data sets. compiled: by way
    of a compiled file."""
    model = case.model()
    prepared = backend.prepare(model, "CPU", optimize=optimize, threads=1)
    if compiled:
        prepared = backend.BackendRep(reopened(prepared.model))
    for inputs, expected in case.data_sets(model):
        yield list(prepared.run(inputs)), expected
