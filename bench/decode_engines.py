"""Engines that run a decoder token by token while its caches grow; each is run in a process of its own.

    python -m bench.decode_engines ENGINE ENTRY THREADS FIRST_CORE

reads lines {"length": L, "steps": n} and answers each with the seconds of n steps that follow L tokens,
{"prompt": [...], "tokens": n, "forced": [...] or null, "save": path} with the likeliest tokens, whose logits go to
`path`, or {"read": seconds} with the bytes a second that one thread reads from memory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import numpy as np

from arenaut import _native
from arenaut.measure.process import die_with_parent, pin
from arenaut.native.target import allowed_tier
from bench import zoo

Arrays = dict[str, np.ndarray]
FeedsAt = Callable[[int, np.ndarray], Arrays]
"""What a step on tokens [1, n] after so many is fed, the caches apart."""
WARM: Final = 4
OWN: Final = "past_key_values."
READ_BYTES: Final = 256 << 20


class Engine(Protocol):
    """Caches that a run appends to."""

    def start(self, caches: Arrays) -> None:
        """The caches become these."""

    def step(self, feeds: Arrays) -> np.ndarray:
        """Runs on feeds without caches; returns the logits."""


def presents(names: list[str]) -> dict[str, str]:
    """Which output becomes which cache."""
    return {name: OWN + name.removeprefix("present.") for name in names if name.startswith("present.")}


class Plain:
    """Outputs of a call are inputs of the next."""

    def __init__(self, run: Callable[[Arrays], Arrays], outputs: list[str]) -> None:
        self._run, self._becomes = run, presents(outputs)
        self._caches: Arrays = {}

    def start(self, caches: Arrays) -> None:
        self._caches = dict(caches)

    def step(self, feeds: Arrays) -> np.ndarray:
        outputs = self._run({**feeds, **self._caches})
        for name, cache in self._becomes.items():
            self._caches[cache] = outputs[name]
        return outputs["logits"]


def arenaut_plain(path: str, threads: int) -> Engine:
    import arenaut

    model = arenaut.load_onnx(path, threads=threads)
    return Plain(model.run, [o.name for o in model.outputs])


class ArenautState:
    """Caches in a state."""

    def __init__(self, path: str, threads: int) -> None:
        import arenaut

        self._model = arenaut.load_onnx(path, threads=threads)
        self._state = self._model.new_state(capacity=2048)
        self._own: Arrays = {}  # what the state begins with
        self._fed: Arrays = {}

    def start(self, caches: Arrays) -> None:
        held = set(self._state.names)
        self._own = {name: array for name, array in caches.items() if name in held}
        self._fed = {name: array for name, array in caches.items() if name not in held}

    def step(self, feeds: Arrays) -> np.ndarray:
        logits: np.ndarray = self._model.run({**feeds, **self._fed, **self._own}, state=self._state)["logits"]
        self._own = {}
        return logits


def ort_session(path: str, threads: int, optimised: bool = True) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def ort_plain(path: str, threads: int, optimised: bool = True) -> Engine:
    session = ort_session(path, threads, optimised)
    names = [o.name for o in session.get_outputs()]
    return Plain(lambda feeds: dict(zip(names, session.run(None, feeds), strict=True)), names)


class OrtBinding:
    """Values stay in the runtime's memory from call to call."""

    def __init__(self, path: str, threads: int) -> None:
        import onnxruntime

        self._session = ort_session(path, threads)
        self._value = onnxruntime.OrtValue.ortvalue_from_numpy
        self._names = [o.name for o in self._session.get_outputs()]
        self._becomes = presents(self._names)
        self._caches: dict[str, Any] = {}

    def start(self, caches: Arrays) -> None:
        self._caches = {name: self._value(array) for name, array in caches.items()}

    def step(self, feeds: Arrays) -> np.ndarray:
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_ortvalue_input(name, self._value(array))
        for name, value in self._caches.items():
            binding.bind_ortvalue_input(name, value)
        for name in self._names:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        outputs = dict(zip(self._names, binding.get_outputs(), strict=True))
        for name, cache in self._becomes.items():
            self._caches[cache] = outputs[name]
        logits: np.ndarray = outputs["logits"].numpy()
        return logits


def openvino_settings(threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }  # fmt: skip


def openvino_plain(path: str, threads: int) -> Engine:
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", openvino_settings(threads))
    request = compiled.create_infer_request()
    names = [port.get_any_name() for port in compiled.outputs]

    def run(feeds: Arrays) -> Arrays:
        results = request.infer(feeds, share_inputs=True)
        return {name: results[port] for name, port in zip(names, compiled.outputs, strict=True)}

    return Plain(run, names)


class OpenvinoState:
    """The caches made variables of the model by OpenVINO's own transformation."""

    def __init__(self, path: str, threads: int) -> None:
        import openvino
        from openvino._offline_transformations import apply_make_stateful_transformation

        core = openvino.Core()
        model = core.read_model(path)
        names = [port.get_any_name() for port in model.outputs]
        pairs = {cache: name for name, cache in presents(names).items()}
        self._other = dict(pairs)
        apply_make_stateful_transformation(model, pairs)
        self._tensor = openvino.Tensor
        self._compiled = core.compile_model(model, "CPU", openvino_settings(threads))
        self._request = self._compiled.create_infer_request()
        self._fed: Arrays = {}

    def start(self, caches: Arrays) -> None:
        variables = {state.name: state for state in self._request.query_state()}
        for cache, present in self._other.items():
            variable = variables.get(cache + present) or variables[cache]
            variable.state = self._tensor(np.ascontiguousarray(caches[cache]))
        self._fed = {name: array for name, array in caches.items() if name not in self._other}

    def step(self, feeds: Arrays) -> np.ndarray:
        results = self._request.infer({**feeds, **self._fed}, share_inputs=True)
        logits: np.ndarray = results[self._compiled.output("logits")]
        return logits


ENGINES: Final[Mapping[str, Callable[[str, int], Engine]]] = {
    "arenaut": arenaut_plain,
    "arenaut state": ArenautState,
    "onnxruntime": ort_plain,
    "onnxruntime binding": OrtBinding,
    "onnxruntime unoptimised": lambda path, threads: ort_plain(path, threads, optimised=False),
    "OpenVINO": openvino_plain,
    "OpenVINO state": OpenvinoState,
    "nothing": lambda path, threads: Plain(lambda feeds: {}, []),
}
"""By name; "nothing" only reads memory. The unoptimised one computes the same by other kernels: how much logits differ
by roundings alone."""


def feeds_of(entry: zoo.ZooEntry) -> FeedsAt:
    def feeds_at(length: int, tokens: np.ndarray) -> Arrays:
        rows, count = tokens.shape
        made = {
            "input_ids": tokens,
            "attention_mask": np.ones((rows, length + count), np.int64),
            "position_ids": np.arange(length, length + count)[None],
            "encoder_attention_mask": np.ones((rows, entry.bindings[0].get("source", 0)), np.int64),
        }
        return {feed.name: made[feed.name] for feed in entry.inputs if feed.name in made}

    return feeds_at


def caches_at(entry: zoo.ZooEntry, length: int) -> Arrays:
    """Caches drawn at random, of `length` tokens."""
    sizes = {**entry.bindings[0], "past": length, "total": length + 1}
    feeds = zoo.make_feeds(entry, sizes, 0)
    return {name: array for name, array in feeds.items() if name.startswith(OWN)}


def timed(engine: Engine, entry: zoo.ZooEntry, length: int, steps: int) -> list[float]:
    """Seconds of each step, of which the first is that after `length` tokens."""
    feeds_at = feeds_of(entry)
    engine.start(caches_at(entry, length - WARM))
    token = np.array([[1]])
    seconds = []
    for step in range(WARM + steps):
        feeds = feeds_at(length - WARM + step, token)
        began = time.perf_counter()
        logits = engine.step(feeds)
        seconds.append(time.perf_counter() - began)
        token = np.array([[int(logits[0, -1].argmax())]])
    return seconds[WARM:]


def greedy(
    engine: Engine, entry: zoo.ZooEntry, prompt: list[int], count: int, forced: list[int] | None = None
) -> tuple[list[int], np.ndarray]:
    """The likeliest tokens after a prompt and the logits [count, vocabulary] that say so. forced: what the engine is
    fed as its own tokens, whatever it finds likeliest. An encoder's caches are drawn at random."""
    feeds_at = feeds_of(entry)
    engine.start(caches_at(entry, 0))
    tokens, length, made, kept = np.array([prompt]), 0, [], []
    for step in range(count):
        logits = engine.step(feeds_at(length, tokens))[0, -1].astype(np.float32)
        length += tokens.shape[1]
        made.append(int(logits.argmax()))
        kept.append(logits)
        tokens = np.array([[made[-1] if forced is None else forced[step]]])
    return made, np.stack(kept)


def serve(name: str, entry: zoo.ZooEntry, threads: int, first_core: int) -> None:
    die_with_parent()
    cores = sorted(os.sched_getaffinity(0))
    pin(tuple(cores[first_core % len(cores) :][:threads]))
    engine = ENGINES[name](str(zoo.ensure(entry)), threads)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "read" in asked:
            answer: Any = [_native.read_bandwidth(allowed_tier(), READ_BYTES, asked["read"])]
        elif "tokens" in asked:
            answer, logits = greedy(engine, entry, asked["prompt"], asked["tokens"], asked["forced"])
            np.save(asked["save"], logits)
        else:
            answer = timed(engine, entry, asked["length"], asked["steps"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], zoo.load_manifest()[sys.argv[2]], int(sys.argv[3]), int(sys.argv[4]))
