"""The examples run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import arenaut

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DIGITS = Path(arenaut.__file__).parent / "data" / "digits.onnx"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def run(name: str, *words: object) -> str:
    done = subprocess.run([sys.executable, str(EXAMPLES / name), *map(str, words)], env=ENVIRONMENT,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pictures_are_classified() -> None:
    lines = run("classify_image.py").splitlines()
    assert len(lines) == 5
    for line in lines:
        assert line.split("class ")[1].split()[0] == line.split("(it is ")[1].rstrip(")")


def test_text_is_generated() -> None:
    first, again = run("generate_text.py"), run("generate_text.py")
    assert first == again and len(first.split()) == 15 and first.split()[:3] == ["1", "2", "3"]


def test_caches_give_what_the_whole_text_gives() -> None:
    spec = importlib.util.spec_from_file_location("generate_text", EXAMPLES / "generate_text.py")
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = arenaut.load_onnx(module.tiny())
    ids = [1, 2, 3, *arenaut.generate(model, [1, 2, 3], max_new_tokens=4)]
    empty = {"past_key_values.0.key": np.zeros((1, 1, 0, 8), np.float32)}
    whole = model.run({"input_ids": [ids[:3]], **empty})
    assert int(whole["logits"][0, -1].argmax()) == ids[3]


def test_many_processes_run_one_model() -> None:
    assert run("many_processes.py").startswith("64 runs in 2 processes: logits[8, 10]")


def test_a_model_is_served() -> None:
    server = subprocess.Popen([sys.executable, str(EXAMPLES / "serve.py"), str(DIGITS), "0"], env=ENVIRONMENT,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().split()[-1])
        name = arenaut.load_onnx(DIGITS).inputs[0].name
        body = json.dumps({name: np.zeros((2, 1, 8, 8)).tolist()}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", body, timeout=60) as reply:
            assert np.shape(next(iter(json.load(reply).values()))) == (2, 10)
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", b'{"x": 1}', timeout=60)
        assert "wrong input names" in json.load(refused.value)["error"]
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("name, package", [("stream_voice.py", "silero_vad"), ("ocr_page.py", "rapidocr_onnxruntime")])
def test_examples_with_clients(name: str, package: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (200, 80), "white").save(tmp_path / "page.png")
    run(name, *([tmp_path / "page.png"] if name.startswith("ocr") else []))


def test_sentences_are_embedded() -> None:
    spec = importlib.util.spec_from_file_location("embed_sentences", EXAMPLES / "embed_sentences.py")
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = """<ir_version: 8, opset_import: ["" : 17]>
        e (int64[b, s] input_ids, int64[b, s] attention_mask) => (float[b, s, 2] h)
        <float[4, 2] table = {1, 0, 0, 1, 1, 1, 0, 2}> { h = Gather (table, input_ids) }"""
    from onnx import parser

    vectors = module.embed(arenaut.load_onnx(parser.parse_model(text)), np.array([[0, 1], [2, 3]]),
                           np.array([[1, 1], [1, 0]]))  # fmt: skip
    assert np.allclose(vectors, np.full((2, 2), 0.5**0.5))
