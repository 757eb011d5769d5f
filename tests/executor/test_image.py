"""A program as bytes and back: what comes out computes the same bytes, and nothing that the bytes say is trusted."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import pytest

import arenaut
from arenaut import _native
from bench import zoo
from tests.golden import plans
from tests.support import skeletons


def image_of(model: Any) -> tuple[bytes, np.ndarray[Any, Any]]:
    """A model's program, and its weights at an aligned address."""
    writer = _native.ImageWriter()
    image = writer.add(model._built.native)
    with tempfile.TemporaryFile() as file:
        writer.write_weights(file.fileno())
        size = writer.weight_bytes()
        room = np.zeros(size + 64, np.uint8)
        start = -room.__array_interface__["data"][0] % 64
        file.seek(0)
        room[start : start + size] = np.frombuffer(file.read(), np.uint8)
    return image, room[start : start + size]


@pytest.mark.parametrize("name", ["digits", "gpt2-2l", "light-squeezenet-random", "bilstm-2x256"])
def test_a_program_comes_back_from_its_bytes(name: str) -> None:
    entry = zoo.load_manifest()[name]
    if name in skeletons.names():
        source: Any = skeletons.load_skeleton(name)
    elif isinstance(entry.source, zoo.Shipped):
        source = zoo.ROOT / entry.source.path
    else:
        assert isinstance(entry.source, zoo.Installed)
        source = zoo.rerandomised_model(entry.source)
    assert name in plans.MODELS
    binding = entry.bindings[0]
    model = arenaut.load_onnx(source, threads=1, shapes=binding)
    feeds = zoo.make_feeds(entry, binding, seed=0)
    want = model.run(feeds)
    image, weights = image_of(model)
    program = _native.read_program(image, weights)
    got = program.run([np.ascontiguousarray(feeds[i.name]) for i in model.inputs])
    for result, (key, value) in zip(got, want.items(), strict=True):
        assert result.tobytes() == value.tobytes(), key
    again = _native.ImageWriter()
    assert again.add(program) == image


def test_every_shorter_image_is_refused(digits: Any) -> None:
    image, weights = image_of(digits)
    for size in range(0, len(image), 7):
        with pytest.raises(ValueError, match=r"\w"):
            _native.read_program(image[:size], weights)


def test_weights_that_are_cut_short_are_refused(digits: Any) -> None:
    image, weights = image_of(digits)
    with pytest.raises(ValueError, match="outside the weights"):
        _native.read_program(image, weights[: weights.size // 2])


@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes_are_refused_or_run_within_their_memory(digits: Any, seed: int) -> None:
    image, weights = image_of(digits)
    rng = np.random.default_rng(seed)
    feeds = [np.zeros([1 if isinstance(d, str) else d for d in i.shape or ()], i.dtype) for i in digits.inputs]
    refused = 0
    for _ in range(300):
        changed = bytearray(image)
        for at in rng.integers(0, len(image), rng.integers(1, 3)):
            changed[at] = rng.integers(0, 256)
        try:
            _native.read_program(bytes(changed), weights).run(feeds)
        except (ValueError, _native.StepError, _native.MemoryLimitExceeded, MemoryError):
            refused += 1
    assert refused


@pytest.fixture(scope="module")
def digits() -> Any:
    entry = zoo.load_manifest()["digits"]
    assert isinstance(entry.source, zoo.Shipped)
    return arenaut.load_onnx(zoo.ROOT / entry.source.path, threads=1)
