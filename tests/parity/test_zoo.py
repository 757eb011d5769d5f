"""Real models against onnxruntime: the demo, light nets and skeletons always; fetched and exported ones with -m zoo.

Two float32 implementations of a deep network differ by accumulated rounding. The bound on the whole network is
RELATIVE_ERROR of the output's largest magnitude; single ops are held to their records' tolerances elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import arenaut
from bench import zoo
from tests.support import skeletons
from tests.support.models import assert_close

RELATIVE_ERROR = 2e-4
MANIFEST = zoo.load_manifest()
OFFLINE = [name for name, entry in MANIFEST.items() if entry.offline]
FETCHED = [name for name, entry in MANIFEST.items() if not entry.offline]


def session(model: bytes | str, *, threads: int = 1) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def flat(value: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays in an output: tensors, sequences, and maps (their values as one array, in the order of the keys)."""
    if isinstance(value, dict):
        return [np.asarray([value[k] for k in sorted(value)])]
    if isinstance(value, list):
        return [a for item in value for a in flat(item)]
    return [np.asarray(value)]


def compare(name: str, source: Any, peer: ort.InferenceSession, **options: Any) -> None:
    """Every binding of the manifest through one loaded model."""
    entry = MANIFEST[name]
    model = arenaut.load_onnx(source, **options)
    for seed, binding in enumerate(entry.bindings):
        feeds = zoo.make_feeds(entry, binding, seed)
        want = peer.run(None, feeds)
        got = model.run(feeds)
        assert len(got) == len(want)
        for (output, a), b in zip(got.items(), want, strict=True):
            for x, y in zip(flat(a), flat(b), strict=True):
                assert_close(x, y, rtol=RELATIVE_ERROR, name=f"{name} {dict(binding)} {output}")
        assert model.plan.arena_bytes >= model.plan.lower_bound_bytes


def agree(name: str, source: Any) -> None:
    """Every binding of the manifest, optimised and not."""
    entry = MANIFEST[name]
    models = [arenaut.load_onnx(source, threads=1, optimize=optimize) for optimize in (False, True)]
    for seed, binding in enumerate(entry.bindings):
        feeds = zoo.make_feeds(entry, binding, seed)
        plain, optimised = (model.run(feeds) for model in models)
        assert list(plain) == list(optimised)
        for output, want in plain.items():
            for x, y in zip(flat(optimised[output]), flat(want), strict=True):
                assert_close(x, y, rtol=RELATIVE_ERROR, name=f"{name} {dict(binding)} {output}")


@pytest.mark.parametrize("name", OFFLINE)
def test_models_that_ship(name: str) -> None:
    path = zoo.ensure(MANIFEST[name])
    compare(name, path, session(str(path)))


@pytest.mark.parametrize("name", skeletons.names())
def test_exported_graphs(name: str) -> None:
    data = skeletons.load_skeleton(name).SerializeToString()
    compare(name, data, session(data), threads=1)


@pytest.mark.parametrize("name", ["transformer-block", "ppocr-rec"])
def test_optimised_or_not_on_both_executors(name: str) -> None:
    data = skeletons.load_skeleton(name).SerializeToString()
    peer = session(data)
    compare(name, data, peer, optimize=False, threads=1)
    compare(name, data, peer, executor="interpreted", threads=1)


@pytest.mark.parametrize("name", skeletons.names())
def test_exported_graphs_unoptimised(name: str) -> None:
    agree(name, skeletons.load_skeleton(name).SerializeToString())


@pytest.mark.zoo
@pytest.mark.parametrize("name", MANIFEST)
def test_models_unoptimised(name: str) -> None:
    agree(name, zoo.ensure(MANIFEST[name]))


@pytest.mark.zoo
@pytest.mark.parametrize("name", FETCHED)
def test_fetched_models(name: str) -> None:
    path: Path = zoo.ensure(MANIFEST[name])
    try:
        peer = session(str(path))
    except Exception as error:  # the oracle itself cannot run it
        onnx.load(path, load_external_data=False)
        pytest.skip(f"onnxruntime does not load {name}: {error}")
    compare(name, path, peer)
