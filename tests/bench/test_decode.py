"""bench/decode.py: what a page says of what was measured, and how tokens and bytes are counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper, parser

import arenaut
from bench import decode
from bench.decode_engines import Plain, greedy, timed
from bench.streams import ways
from bench.zoo import load_manifest
from tests.support import decoding
from tests.support.skeletons import load_skeleton


def test_decoders_are_those_with_caches() -> None:
    names = set(decode.decoders())
    assert {"gpt2-cached", "qwen3-cached", "llama-cached", "t5-small-cached", "whisper-tiny-cached"} <= names
    assert not any(n.endswith(("encoder", "first", "merged", "tiny")) for n in names)


def test_tokens_and_steps_follow_the_caches() -> None:
    entry = load_manifest()["gpt2-cached-tiny"]
    session = decoding.open_session(load_skeleton(entry.name))
    lengths = []

    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        lengths.append(feeds["past_key_values.1.value"].shape[2])
        return decoding.run(session, feeds)

    engine = Plain(run, [o.name for o in session.get_outputs()])
    made, logits = greedy(engine, entry, [1, 7, 42], 12)
    assert made == decoding.greedy(session, [1, 7, 42], 12) == logits.argmax(-1).tolist()
    assert lengths == [0, *range(3, 14)]
    forced = [5, 9, 5, 9]
    told, other = greedy(engine, entry, [1, 7, 42], 4, forced)
    assert told == other.argmax(-1).tolist() and told[0] == made[0]
    last = decoding.greedy(session, [1, 7, 42, *forced[:3]], 1)
    assert told[3:] == last
    lengths.clear()
    assert len(timed(engine, entry, 20, 3)) == 3 and lengths == [16, 17, 18, 19, 20, 21, 22]


def test_a_page_shows_what_was_saved(tmp_path: Path) -> None:
    times = {
        "arenaut": {"64": 0.030, "512": 0.031}, "arenaut state": {"64": 0.020, "512": 0.025},
        "onnxruntime": {"64": 0.040, "512": 0.045}, "OpenVINO": {"64": None, "512": 0.05},
    }  # fmt: skip
    rates = {"64": 1e10, "512": 1e10}
    saved = {"times": times, "bandwidth": rates, "bytes": {"64": 180_000_000, "512": 200_000_000}}
    (tmp_path / "gpt2-cached@1.json").write_text(json.dumps(saved))
    said = {"greedy": 250, "forced": 254, "beyond": 1, "margin": 0.5, "difference": 0.25}
    (tmp_path / "gpt2-cached@tokens.json").write_text(json.dumps(
        {"own": 0.125, "largest": 2.0, "engines": {"arenaut state": said}}
    ))  # fmt: skip
    (tmp_path / "silero-vad@stream.json").write_text(json.dumps({"plain": 2e-5, "state": 1.9e-5}))
    seconds = {"1": 0.04, "2": 0.041, "4": 0.042, "8": 0.045, "16": 0.05}
    (tmp_path / "llama-cached@batches.json").write_text(json.dumps(seconds))
    text = decode.page(tmp_path)
    assert "| llama-cached | 40.0 | 41.0 | 42.0 | 45.0 | 50.0 | 1.25 |" in text
    assert "| gpt2-cached | 64 | 30.00 | 20.00 | 40.00 | refused | 2.00 | 90 % |" in text
    assert "| gpt2-cached | 512 | 31.00 | 25.00 | 45.00 | 50.00 | 1.80 | 80 % |" in text
    assert "| gpt2-cached | arenaut state | 250 | 254 | 1 | 2.5e-01 | 1.2e-01 | 6.2e-02 |" in text
    assert "| silero-vad | 20.0 | 19.0 | 0.95 |" in text


def test_tokens_differ_by_roundings_or_beyond() -> None:
    theirs = np.array([[0.0, 1.0, 0.99], [2.0, 0.0, 1.0], [0.0, 3.0, 0.0]], np.float32)
    ours = np.array([[0.0, 0.99, 1.0], [1.0, 0.0, 2.0], [0.0, 3.0, 0.0]], np.float32)
    found = decode.agreement([2, 1, 1], [2, 2, 1], ours, [1, 0, 1], theirs, 0.02)
    assert (found["greedy"], found["forced"], found["beyond"]) == (0, 1, 1)
    assert found["margin"] == found["difference"] == 1.0


def test_what_the_folder_holds_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def measure(model: str, threads: int, lengths: list[int], *_: object) -> int:
        made.append((model, threads, lengths))
        return 0

    monkeypatch.setattr(decode, "measure", measure)
    (tmp_path / "gpt2-cached@1.json").write_text(json.dumps({"bytes": {"64": 1}}))
    (tmp_path / "silero-vad@stream.json").write_text("{}")
    told = ["gpt2-cached", "silero-vad", "--save", str(tmp_path), "--tokens", "0", "--lengths", "64,512"]
    assert decode.main([*told, "--missing"]) == 0
    assert made == [("gpt2-cached", 1, [512]), ("gpt2-cached", 2, [64, 512])]
    assert decode.main([*told, "--missing", "--seconds", "0"]) == 0
    assert len(made) == 2


GRU = """<ir_version: 10, opset_import: ["" : 23]>
m (float[s, b, 4] x, float[1, b, 8] h) => (float[s, 1, b, 8] y, float[1, b, 8] hn) {
    y, hn = GRU<hidden_size = 8>(x, w, r, , , h)
}"""


def test_a_stream_is_the_same_both_ways() -> None:
    proto, rng = parser.parse_model(GRU), np.random.default_rng(0)
    for name, dims in (("w", (1, 24, 4)), ("r", (1, 24, 8))):
        proto.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(dims).astype(np.float32), name))
    calls = ways(arenaut.load_onnx(proto, threads=1), {"h": np.ones((1, 1, 8), np.float32)})
    last = None
    for _ in range(4):
        feeds = {"x": rng.standard_normal((1, 1, 4)).astype(np.float32)}
        plain, kept = calls["plain"](feeds), calls["state"](feeds)
        assert list(plain) == list(kept) == ["y"]
        np.testing.assert_array_equal(plain["y"], kept["y"])
        assert last is None or not np.array_equal(last, plain["y"])
        last = plain["y"]
