"""Damaged compiled files end in results or in arenaut's own errors. The long search:
python -m tests.fuzz.run --compiled --seconds 3600"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest

import arenaut
from arenaut import _native
from arenaut.compiled.container import CompiledFile, write_container
from arenaut.compiled.origin import original_of
from arenaut.compiled.parts import HostStep, Manifest
from arenaut.errors import CompiledFileError
from arenaut.plain import field_names
from tests.fuzz import seeds
from tests.fuzz.images import Token, aligned, damaged_image, image_of, tokens_of, weights_of
from tests.fuzz.run import search
from tests.support.models import parse

KERNEL = 0  # kind of a step
CONSTANT = 0  # kind of an expression
MISSING = object()


@pytest.mark.parametrize("name", sorted(seeds.MODELS))
def test_the_layout_of_images_is_known(name: str) -> None:
    model: Any = arenaut.load_onnx(seeds.serialized(seeds.MODELS[name]), threads=1)
    image = _native.ImageWriter().add(model._built.native)
    tokens = tokens_of(image)
    assert image_of(tokens) == image
    where, damaged = damaged_image(random.Random(1), tokens)
    assert where and damaged != image


TEXT = """g (string[N] x) => (string[M] y)
{ y = StringNormalizer<case_change_action = "UPPER">(x) }"""


@pytest.mark.parametrize("name", [*sorted(seeds.MODELS), "text"])
def test_dims_of_places_name_expressions(name: str) -> None:
    model: Any = arenaut.load_onnx(seeds.serialized(seeds.MODELS.get(name, TEXT)), threads=1)
    writer = _native.ImageWriter()
    tokens, weights = tokens_of(writer.add(model._built.native)), aligned(weights_of(writer))
    found = [i for i, token in enumerate(tokens) if token.what == "place dims"]
    assert found
    for i in found:
        for wrong in (-1, 1 << 20):
            changed = [*tokens[:i], replace(tokens[i], value=wrong), *tokens[i + 1 :]]
            with pytest.raises(ValueError, match="dims"):
                _native.read_program(image_of(changed), weights)


def read_all(data: bytes) -> tuple[list[Token], Any]:
    """Tokens of a model's program and its weights."""
    model: Any = arenaut.load_onnx(data, threads=1)
    writer = _native.ImageWriter()
    tokens = tokens_of(writer.add(model._built.native))
    return tokens, aligned(weights_of(writer))


def with_value(tokens: list[Token], changes: dict[int, Any]) -> bytes:
    return image_of([replace(t, value=changes.get(i, t.value)) for i, t in enumerate(tokens)])


@pytest.mark.parametrize("name", sorted(seeds.MODELS))
def test_a_kernel_without_results_is_refused(name: str) -> None:
    tokens, weights = read_all(seeds.serialized(seeds.MODELS[name]))
    kinds = [i for i, t in enumerate(tokens) if t.what == "step kind" and t.value == KERNEL]
    assert kinds
    for at in kinds:
        n_in, count = tokens[at + 2], tokens[at + 3]
        assert (n_in.what, count.what) == ("step n_in", "operand count")
        with pytest.raises(ValueError, match="operands of other types than the row takes"):
            _native.read_program(with_value(tokens, {at + 2: count.value}), weights)


def packing() -> dict[str, bytes]:
    """Models whose weights are packed, of several families."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    nodes = {
        "MatMul": ("float[4, 24] x", "MatMul(x, w)", (24, 40)),
        "Conv": ("float[1, 8, 9, 9] x", "Conv<strides = [2, 2]>(x, w)", (16, 8, 3, 3)),
        "depthwise": ("float[1, 8, 9, 9] x", "Conv<group = 8>(x, w)", (8, 1, 3, 3)),
        "ConvTranspose": ("float[1, 8, 9, 9] x", "ConvTranspose(x, w)", (8, 16, 3, 3)),
        "LSTM": ("float[3, 1, 8] x, float[1, 64, 8] v", "LSTM<hidden_size = 16>(x, v, w)", (1, 64, 16)),
    }
    models = {}
    for name, (inputs, node, shape) in nodes.items():
        model = parse(f"agraph ({inputs}) => (float[] y) {{ y = {node} }}")
        model.graph.initializer.append(weight("w", *shape))
        del model.graph.output[0].type.tensor_type.shape.dim[:]
        model.graph.output[0].type.tensor_type.ClearField("shape")
        models[name] = model.SerializeToString()
    return models


@pytest.mark.parametrize("name", ["MatMul", "Conv", "depthwise", "ConvTranspose", "LSTM"])
def test_packed_weights_of_impossible_sizes_are_refused(name: str) -> None:
    tokens, weights = read_all(packing()[name])
    assert any(t.what == "packed operand" for t in tokens)
    sizes = [i + 1 for i, t in enumerate(tokens) if t.what == "expr op" and t.value == CONSTANT]
    said = set()
    for at in sizes:
        for size in (1 << 40, 1 << 47, 1 << 60, 1 << 62, (1 << 63) - 1):
            try:
                _native.read_program(with_value(tokens, {at: size}), weights)
            except ValueError as error:
                said.add(str(error))
    assert "a packed weight of no known or of an impossible size" in said


def test_groups_that_weights_have_no_channels_for_are_refused() -> None:
    tokens, weights = read_all(packing()["ConvTranspose"])
    (at,) = [i for i, t in enumerate(tokens) if t.what == "params" and t.value]
    params = cast(bytes, tokens[at].value)  # the first field is the number of groups
    for groups in (9, 1 << 40, 1 << 62):
        with pytest.raises(ValueError, match="another size than its row wants"):
            _native.read_program(with_value(tokens, {at: struct.pack("<q", groups) + params[8:]}), weights)


def changed_document(path: Path, section: str, change: Callable[[Any], None], tmp_path: Path) -> Path:
    """The file with a change in a section of JSON, its checksums right."""
    file, changed = CompiledFile(str(path)), tmp_path / "changed.arn"
    document = json.loads(bytes(file.section(section)))
    change(document)
    sections: list[tuple[str, Any]] = [(name, bytes(file.section(name))) for name in file.names("")]
    sections = [(name, json.dumps(document).encode() if name == section else data) for name, data in sections]
    with open(changed, "w+b") as target:
        write_container(target, file.made, sections)
    return changed


HOSTED = "g (seq(float[N]) s, int64 i) => (float[M] y) { y = SequenceAt(s, i) }"


def test_host_steps_have_the_operands_and_results_of_the_program(tmp_path: Path) -> None:
    path = tmp_path / "model.arn"
    arenaut.load_onnx(seeds.serialized(HOSTED), threads=1).save(path)
    hosts = json.loads(bytes(CompiledFile(str(path)).section("manifest")))["content"][_field(Manifest, "hosts")]
    assert hosts
    wrong = {"step": [7], "operands": [[], [7, 0], [-1, 0]], "types": [[]], "results": [[7], [-1]],
             "result_types": [[], [None, None]]}  # fmt: skip
    for name, values in wrong.items():
        for value in values:

            def change(document: Any, name: str = name, value: Any = value) -> None:
                document["content"][_field(Manifest, "hosts")][0][_field(HostStep, name)] = value

            with pytest.raises(CompiledFileError, match="is damaged"):
                arenaut.load_onnx(changed_document(path, "manifest", change, tmp_path))


def _field(kind: type, name: str) -> int:
    return field_names(kind).index(name)


def test_options_of_an_original_are_all_there_and_of_their_types(tmp_path: Path) -> None:
    path = tmp_path / "model.arn"
    arenaut.load_onnx(seeds.serialized(HOSTED), threads=1).save(path, portable=True)
    original = original_of(CompiledFile(str(path)))
    assert original is not None
    for name in original.options:
        for value in (MISSING, "x", 1.5, {"n": []}, [True], ["x"], 1 << 70):

            def change(document: Any, name: str = name, value: Any = value) -> None:
                del document["options"][name]
                if value is not MISSING:
                    document["options"][name] = value

            if value == "x" and name in ("optimize_memory", "cache_precision"):
                continue  # a text, which load_onnx refuses
            with pytest.raises(CompiledFileError, match="is damaged: what it says of its original"):
                original_of(CompiledFile(str(changed_document(path, "origin", change, tmp_path))))


RESHAPED = "g (float[N] x, int64[K] shape) => (float[] y) { y = Reshape(x, shape) }"


def test_options_that_another_version_did_not_have_are_plain(tmp_path: Path) -> None:
    path, changed = tmp_path / "model.arn", tmp_path / "changed.arn"
    arenaut.load_onnx(seeds.serialized(RESHAPED), threads=1).save(path, portable=True)
    file = CompiledFile(str(path))
    document = json.loads(bytes(file.section("origin")))
    for name in ("separate", "cache_precision", "state"):
        del document["options"][name]
    sections: list[tuple[str, Any]] = [(name, bytes(file.section(name))) for name in file.names("")]
    sections = [(name, json.dumps(document).encode() if name == "origin" else data) for name, data in sections]
    with open(changed, "w+b") as target:
        write_container(target, replace(file.made, version="0.0"), sections)
    feeds = {"x": np.arange(4, dtype=np.float32), "shape": np.array([2, 2])}
    assert arenaut.load_onnx(changed, threads=1).run(feeds)["y"].tolist() == [[0, 1], [2, 3]]


OTHER = "g (float[N] x, int64[K] shape) => (float[N] y) { y = Relu(x) }"


def test_an_original_of_another_structure_is_refused(tmp_path: Path) -> None:
    path, changed = tmp_path / "model.arn", tmp_path / "changed.arn"
    arenaut.load_onnx(seeds.serialized(RESHAPED), threads=1).save(path, portable=True)
    file = CompiledFile(str(path))
    sections: list[tuple[str, Any]] = [(name, bytes(file.section(name))) for name in file.names("")]
    other = seeds.serialized(OTHER)
    sections = [(name, other if name == "original.0" else data) for name, data in sections]
    with open(changed, "w+b") as target:
        write_container(target, file.made, sections)
    with pytest.raises(CompiledFileError, match="other programs than its original"):
        arenaut.load_onnx(changed).run({"x": np.zeros(4, np.float32), "shape": np.array([2, 2])})


def test_damaged_files_are_results_or_errors() -> None:
    outcomes, failures = search(seed=7, first=0, seconds=240, most=2000, compiled=True)
    assert not failures, "\n".join(failures)
    assert outcomes["ok"] > 200 and outcomes["refused: ValueError"] > 500
    assert outcomes["refused: CompiledFileError"] > 20
