"""Decoding loops on onnxruntime, written out plainly: what generation is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime


def open_session(model: onnx.ModelProto | str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    content = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
    names = [o.name for o in session.get_outputs()]
    wanted = {i.name for i in session.get_inputs()}
    given = {n: a for n, a in feeds.items() if n in wanted}
    return dict(zip(names, session.run(None, given), strict=True))


def fed(tokens: np.ndarray, length: int) -> dict[str, np.ndarray]:
    rows, count = tokens.shape
    return {
        "input_ids": tokens,
        "attention_mask": np.ones((rows, length + count), np.int64),
        "position_ids": np.tile(np.arange(length, length + count), (rows, 1)),
        "use_cache_branch": np.array([length > 0]),
    }


def nothing(session: onnxruntime.InferenceSession, rows: int = 1) -> dict[str, np.ndarray]:
    """Caches that hold nothing."""
    types = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    found = {}
    for i in session.get_inputs():
        if i.name.startswith("past_key_values"):
            dims = [rows, *(d if isinstance(d, int) else 0 for d in i.shape[1:])]
            found[i.name] = np.zeros(dims, types[i.type])
    return found


def greedy(
    session: onnxruntime.InferenceSession,
    prompt: Sequence[int],
    count: int,
    constant: Mapping[str, np.ndarray] | None = None,
    first: onnxruntime.InferenceSession | None = None,
) -> list[int]:
    """The likeliest tokens. constant: the encoder's states and mask. first: the decoder of the first call."""
    caches, length, made = nothing(session), 0, []
    tokens = np.array([prompt])
    for step in range(count):
        chosen = first if first is not None and step == 0 else session
        outputs = run(chosen, {**fed(tokens, length), **caches, **(constant or {})})
        length += tokens.shape[1]
        for name, array in outputs.items():
            if name.startswith("present") and array.size:
                caches[name.replace("present", "past_key_values")] = array
        tokens = outputs["logits"][:, -1].argmax(-1)[:, None]
        made.append(int(tokens[0, 0]))
    return made


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


def beam_search(
    session: onnxruntime.InferenceSession, prompt: Sequence[int], count: int, beams: int, stop: int
) -> list[int]:
    """Beam search without caches: every hypothesis is computed whole, candidates are sorted in full."""
    opened: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, list[int]]] = []
    for length in range(1, count + 1):
        candidates = []
        for total, made in opened:
            tokens = np.array([[*prompt, *made]])
            outputs = run(session, {**fed(tokens, 0), **nothing(session)})
            scores = log_softmax(outputs["logits"][0, -1])
            candidates += [(total + float(scores[t]), [*made, t]) for t in range(len(scores))]
        candidates = sorted(candidates, key=lambda c: -c[0])[: 2 * beams]
        finished += [(s / length, m[:-1]) for s, m in candidates[:beams] if m[-1] == stop]
        finished = sorted(finished, key=lambda f: -f[0])[:beams]
        opened = [c for c in candidates if c[1][-1] != stop][:beams]
        if len(finished) == beams and opened[0][0] / length <= finished[-1][0]:
            return finished[0][1]
    return max([*finished, *((s / count, m) for s, m in opened)], key=lambda f: f[0])[1]
