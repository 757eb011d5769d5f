"""What every script ends in: its results and the time of a call, as one line of JSON."""

import json
import time

import numpy as np


def plain(value):
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return value


def report(call, repeat=5):
    """Calls once for the results, then for the time: the best of `repeat`, in seconds."""
    results = call()
    best = float("inf")
    for _ in range(repeat):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    print(json.dumps({"results": plain(results), "seconds": best}))
