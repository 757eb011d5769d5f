"""Voice activity, chunk by chunk, with a state that is fed back: `python examples/stream_voice.py`.

Needs silero-vad."""

import importlib.util
from pathlib import Path

import numpy as np

import arenaut

spec = importlib.util.find_spec("silero_vad")
if spec is None or not spec.submodule_search_locations:
    raise SystemExit("pip install silero-vad: its model is used")
model = arenaut.load_onnx(Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx")
t = np.arange(32000) / 16000
sound = (0.5 * np.sin(2 * np.pi * (140 + 40 * np.sin(5 * t)) * t) * (t > 1)).astype(np.float32)
state, context = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32)
for start in range(0, len(sound) - 512, 512):
    chunk = np.concatenate([context, sound[start : start + 512]])
    outputs = model.run({"input": chunk[None], "state": state, "sr": 16000})
    state, context = outputs["stateN"], chunk[-64:]
    if start % 4096 == 0:
        print(f"{start / 16000:5.2f} s  speech {float(outputs['output'][0, 0]):.3f}")
