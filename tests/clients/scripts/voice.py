"""silero-vad: speech probabilities, chunk by chunk, with a state that is fed back."""

import numpy as np
import torch
from clock import report
from silero_vad import load_silero_vad

torch.set_num_threads(1)
model = load_silero_vad(onnx=True)
t = np.arange(16000 * 2) / 16000
rng = np.random.default_rng(0)
sound = (np.sin(2 * np.pi * (120 + 60 * np.sin(3 * t)) * t) * (np.sin(2 * np.pi * 2 * t) > 0) * 0.5
         + 0.01 * rng.standard_normal(t.size)).astype(np.float32)  # fmt: skip
wave = torch.from_numpy(sound)


def listen():
    model.reset_states()
    return [float(model(wave[i : i + 512], 16000)) for i in range(0, len(wave) - 512, 512)]


report(listen)
