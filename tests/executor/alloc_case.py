"""Run by test_allocations.py under the preloaded counter: python alloc_case.py COUNTER CASE THREADS, prints JSON."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import arenaut
from arenaut import _native

SMALL_OUTPUT = 1024  # from here on, memory of outputs that were let go is used again

TEXTS = {
    "loop": """g (int64 n, float[16, 16] x) => (float[16, 16] y, float[k, 16, 16] s) <bool go = {1}> {
        y, s = Loop (n, go, x) <body = b (int64 i, bool c, float[16, 16] a) => (bool c2, float[16, 16] a2,
            float[16, 16] z) { c2 = Identity (c)  m = MatMul (a, a)  a2 = Tanh (m)  z = Neg (a2) }>
    }""",
    "scan": """g (float[16, 16] x, float[9, 16, 16] u) => (float[16, 16] y, float[9, 16, 16] s) {
        y, s = Scan <num_scan_inputs = 1, body = b (float[16, 16] a, float[16, 16] v) => (float[16, 16] a2,
            float[16, 16] z) { m = MatMul (a, v)  a2 = Tanh (m)  z = Neg (a2) }> (x, u)
    }""",
    "if": """g (bool c, float[32, 32] x) => (float[32, 32] y) {
        t = If (c) <then_branch = a () => (float[32, 32] p) { p = MatMul (x, x) },
                    else_branch = b () => (float[32, 32] q) { r = Exp (x)  q = MatMul (r, x) }>
        y = Neg (t)
    }""",
    "stages": """g (float[n, 32] x, int64[2] shape) => (float[a, b] y) {
        e = Exp (x)  r = Reshape (e, shape)  t = Transpose (r)  y = MatMul (r, t)
    }""",
}

# Outputs whose size only running tells are always new: two small pieces each hold their memory for Python.
LATE_OUTPUTS = {"loop": ("s",), "stages": ("y",)}


def load(case: str, threads: int) -> tuple[arenaut.Model, dict[str, Any]]:
    random = np.random.default_rng(5)

    def normal(*shape: int) -> Any:
        return random.standard_normal(shape).astype(np.float32) / 8

    if case in TEXTS:
        from tests.support.models import parse

        feeds: dict[str, dict[str, Any]] = {
            "loop": {"n": np.array(7), "x": normal(16, 16)},
            "scan": {"x": normal(16, 16), "u": normal(9, 16, 16)},
            "if": {"c": np.array(True), "x": normal(32, 32)},
            "stages": {"x": normal(32, 32), "shape": np.array([16, 64])},
        }
        return arenaut.load_onnx(parse(TEXTS[case]), threads=threads), feeds[case]
    if case == "interpreted":
        return arenaut.load_onnx(parse_digits(), threads=threads, executor="interpreted"), {"image": normal(3, 1, 8, 8)}
    if case == "digits":
        return arenaut.load_onnx(parse_digits(), threads=threads), {"image": normal(200, 1, 8, 8)}
    from bench.zoo import load_manifest, make_feeds
    from tests.support.skeletons import load_skeleton

    entry = load_manifest()[case]
    return arenaut.load_onnx(load_skeleton(case), threads=threads), make_feeds(entry, entry.bindings[0], 3)


def step_of(case: str) -> Callable[[], object]:
    """A step of a model with a state, behind another one; its feeds are made beforehand. case: a skeleton, or gru."""
    from tests.state.test_recurrent import gru
    from tests.support.skeletons import load_skeleton

    model = gru() if case == "gru" else arenaut.load_onnx(load_skeleton(case), threads=1)
    state = model.new_state(batch=2) if case == "gru" else model.new_state(capacity=64)

    def feeds_at(n: int) -> dict[str, Any]:
        known: dict[str, Any] = {
            "x": np.ones((1, 2, 4), np.float32), "input_ids": np.ones((1, 1), np.int64),
            "attention_mask": np.ones((1, n + 1), np.int64), "position_ids": np.full((1, 1), n),
            "encoder_attention_mask": np.ones((1, 12), np.int64),
        }  # fmt: skip
        made = {}
        for i in model.inputs:
            if i.name not in state.names:
                caches = [1 if a == 0 else 12 if isinstance(d, str) else d for a, d in enumerate(i.shape or ())]
                made[i.name] = known[i.name] if i.name in known else np.ones(caches, np.float32)
        return made

    left = iter([feeds_at(n) for n in range(40)])
    return lambda: model.run(next(left), state=state)


def parse_digits() -> str:
    return str(Path(arenaut.__file__).parent / "data" / "digits.onnx")


def native_range() -> tuple[int, int]:
    """Addresses of the extension's code."""
    name = Path(_native.__file__).name
    spans = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()
             if line.rstrip().endswith(name)]  # fmt: skip
    return min(int(a, 16) for a, _ in spans), max(int(b, 16) for _, b in spans)


def main() -> None:
    path, case, threads = sys.argv[1:]
    counter = ctypes.CDLL(path)
    counter.arn_count.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    counter.arn_bytes.restype = counter.arn_calls.restype = ctypes.c_long
    if counter.arn_bytes(0) < 0 or "alloc_counter" not in Path("/proc/self/maps").read_text():
        sys.exit("cannot be preloaded")
    low, high = native_range()

    def counted(call: Callable[[], object]) -> dict[str, int]:
        counter.arn_count(low, high)
        call()
        found = {
            "small_calls": counter.arn_calls(0), "small_bytes": counter.arn_bytes(0),
            "block_calls": counter.arn_calls(1), "block_bytes": counter.arn_bytes(1),
        }  # fmt: skip
        counter.arn_count(0, 0)
        return found

    if case.startswith("state:"):
        found = {}
        for name in case.removeprefix("state:").split(","):
            step = step_of(name)
            for _ in range(12):
                step()
            found[name] = [counted(step) for _ in range(20)]
        print(json.dumps(found))
        return
    model, feeds = load(case, int(threads))

    def run() -> object:
        return model.run(feeds)

    for _ in range(5):  # binds, and times its steps
        outputs = model.run(feeds)
    early = [o.nbytes for o in outputs.values() if o.nbytes >= SMALL_OUTPUT]
    plan = model.plan
    warm = [counted(run) for _ in range(3)]
    all_bytes = sum(o.nbytes for o in outputs.values())
    del outputs
    model.trim()
    result = {
        "warm": warm,
        "cold": counted(run),
        "output_bytes": sum(early),
        "all_output_bytes": all_bytes,
        "late_outputs": len(LATE_OUTPUTS.get(case, ())),
        "intermediate_bytes": plan.intermediate_bytes,
        "body_bytes": plan.body_bytes,
        "planned_bytes": plan.arena_bytes,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
