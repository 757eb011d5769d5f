"""Damaged compiled files end in results or in arenaut's own errors. The long search:
python -m tests.fuzz.run --compiled --seconds 3600"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

import arenaut
from arenaut import _native
from tests.fuzz import seeds
from tests.fuzz.images import aligned, damaged_image, image_of, tokens_of, weights_of
from tests.fuzz.run import search


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


def test_damaged_files_are_results_or_errors() -> None:
    outcomes, failures = search(seed=7, first=0, seconds=240, most=2000, compiled=True)
    assert not failures, "\n".join(failures)
    assert outcomes["ok"] > 200 and outcomes["refused: ValueError"] > 500
    assert outcomes["refused: CompiledFileError"] > 20
