"""`arenaut generate` on folders as exporters leave them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner, Result

from arenaut.cli import app
from arenaut.generation.folder import read_folder
from tests.support.decoding import greedy, open_session
from tests.support.skeletons import load_skeleton

PARTS = {"encoder": "encoder_model", "first": "decoder_model", "": "decoder_with_past_model"}


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["generate", *(str(w) for w in words)])


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decoder")
    onnx.save(load_skeleton("llama-cached-tiny"), folder / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    for part, name in PARTS.items():
        onnx.save(load_skeleton("t5-tiny-cached" + (f"-{part}" if part else "")), folder / f"{name}.onnx")
    (folder / "config.json").write_text(json.dumps({"decoder_start_token_id": 0, "eos_token_id": 100}))
    return folder


def tokens_of(result: Result) -> list[int]:
    return [int(word) for word in result.stdout.split()]


def test_tokens_from_tokens(decoder: Path) -> None:
    expected = greedy(open_session(load_skeleton("llama-cached-tiny")), [1, 2, 3], 12)
    done = call(decoder, "--ids", "1,2,3", "--max-new-tokens", 12, "--threads", 1)
    assert done.exit_code == 0, done.output
    assert tokens_of(done) == expected
    assert re.search(r"12 tokens in [\d.]+ s, the first after \d+ ms, then [\d.]+ a second", done.stderr)
    told = json.loads(call(decoder, "--ids", "1,2,3", "--max-new-tokens", 12, "--json").stdout)
    assert told["tokens"] == expected and 0 < told["first_seconds"] <= told["seconds"]
    (decoder / "generation_config.json").write_text(json.dumps({"eos_token_id": [expected[4]]}))
    stopped = call(decoder / "model.onnx", "--ids", "1,2,3", "--max-new-tokens", 12)
    (decoder / "generation_config.json").unlink()
    assert tokens_of(stopped) == expected[: expected.index(expected[4])]


def test_an_encoder_reads_the_prompt(pair: Path) -> None:
    found = read_folder(pair)
    assert found.first == pair / "decoder_model.onnx" and found.encoder == pair / "encoder_model.onnx"
    assert found.stop == (100,) and found.start == (0,)
    done = call(pair, "--ids", "1,2,3", "--max-new-tokens", 8)
    assert done.exit_code == 0, done.output
    assert len(tokens_of(done)) == 8
    assert tokens_of(done) != tokens_of(call(pair, "--ids", "4,5,6,7", "--max-new-tokens", 8))


def test_text_from_text(decoder: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = {f"w{i}": i for i in range(101)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(decoder / "tokenizer.json"))
    done = call(decoder, "--prompt", "w1 w2 w3", "--max-new-tokens", 12)
    assert done.exit_code == 0, done.output
    ids = call(decoder, "--ids", "1,2,3", "--max-new-tokens", 12)
    assert done.stdout.split() == [f"w{token}" for token in tokens_of(ids)]


def test_what_is_wrong_is_said(decoder: Path, pair: Path, tmp_path: Path) -> None:
    def said(*words: object) -> str:
        done = call(*words)
        assert done.exit_code == 2, done.output
        return done.stderr

    assert "--prompt TEXT or as --ids" in said(decoder)
    assert "--ids 1,x: expected tokens" in said(decoder, "--ids", "1,x")
    assert "holds none of model.onnx" in said(tmp_path, "--ids", "1")
    assert "No such file or folder" in said(tmp_path / "none", "--ids", "1")
    assert "temperature=-1.0: expected a number from 0" in said(decoder, "--ids", "1", "--temperature", "-1")
    (tmp_path / "config.json").write_text("{")
    onnx.save(load_skeleton("llama-cached-tiny"), tmp_path / "model.onnx")
    assert "is no JSON" in said(tmp_path, "--ids", "1")
    (tmp_path / "config.json").write_text('{"eos_token_id": "x"}')
    assert "eos_token_id is 'x'" in said(tmp_path, "--ids", "1")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    pytest.importorskip("tokenizers")
    assert "cannot be read" in said(tmp_path, "--prompt", "x")
    assert "there is no tokenizer.json" in said(pair, "--prompt", "x")
