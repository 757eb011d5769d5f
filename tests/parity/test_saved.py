"""The optimised graph, saved: a valid ONNX file that means in onnxruntime what the stored model means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def session(source: bytes | str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def check(name: str, source: Any, peer: ort.InferenceSession, folder: Path) -> None:
    """Every binding of the manifest through both files."""
    entry, path = MANIFEST[name], folder / "saved.onnx"
    arenaut.load_onnx(source, threads=1).save_onnx(path)
    onnx.checker.check_model(str(path))
    again = session(str(path))
    assert [v.name for v in again.get_outputs()] == [v.name for v in peer.get_outputs()]
    for seed, binding in enumerate(entry.bindings):
        feeds = zoo.make_feeds(entry, binding, seed)
        for out, got, want in zip(peer.get_outputs(), again.run(None, feeds), peer.run(None, feeds), strict=True):
            if hasattr(want, "shape"):
                assert_close(got, want, rtol=RELATIVE_ERROR, name=f"{name} {dict(binding)} {out.name}")


# The saved file of a model holds its weights again: these have hundreds of megabytes, and no op that others lack.
LARGE = ("vgg19", "zfnet512", "bvlc-alexnet")


@pytest.mark.parametrize("name", [n for n in OFFLINE if not any(large in n for large in LARGE)])
def test_models_that_ship(name: str, tmp_path: Path) -> None:
    path = zoo.ensure(MANIFEST[name])
    check(name, path, session(str(path)), tmp_path)


@pytest.mark.parametrize("name", skeletons.names())
def test_exported_graphs(name: str, tmp_path: Path) -> None:
    data = skeletons.load_skeleton(name).SerializeToString()
    check(name, data, session(data), tmp_path)


@pytest.mark.zoo
@pytest.mark.parametrize("name", FETCHED)
def test_fetched_models(name: str, tmp_path: Path) -> None:
    path = zoo.ensure(MANIFEST[name])
    try:
        peer = session(str(path))
    except Exception as error:  # the oracle itself cannot run it
        pytest.skip(f"onnxruntime does not load {name}: {error}")
    check(name, path, peer, tmp_path)
