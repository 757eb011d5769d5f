"""bench/decode.py: what a page says of what was measured, and how tokens and bytes are counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bench import decode
from bench.decode_engines import Plain, greedy, timed
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
    assert greedy(engine, entry, [1, 7, 42], 12) == decoding.greedy(session, [1, 7, 42], 12)
    assert lengths == [0, *range(3, 14)]
    lengths.clear()
    assert len(timed(engine, entry, 20, 3)) == 3 and lengths == [16, 17, 18, 19, 20, 21, 22]


def test_a_page_shows_what_was_saved(tmp_path: Path) -> None:
    times = {
        "arenaut": {"64": 0.030, "512": 0.031}, "arenaut state": {"64": 0.020, "512": 0.025},
        "onnxruntime": {"64": 0.040, "512": 0.045}, "OpenVINO": {"64": None, "512": 0.05},
    }  # fmt: skip
    saved = {"times": times, "bandwidth": 1e10, "bytes": {"64": 180_000_000, "512": 200_000_000}}
    (tmp_path / "gpt2-cached@1.json").write_text(json.dumps(saved))
    (tmp_path / "gpt2-cached@tokens.json").write_text(json.dumps({"arenaut": 256, "arenaut state": 255}))
    text = decode.page(tmp_path)
    assert "| gpt2-cached | 64 | 30.00 | 20.00 | 40.00 | refused | 2.00 | 90 % |" in text
    assert "| gpt2-cached | 512 | 31.00 | 25.00 | 45.00 | 50.00 | 1.80 | 80 % |" in text
    assert "| gpt2-cached | arenaut 256, arenaut state 255 |" in text
