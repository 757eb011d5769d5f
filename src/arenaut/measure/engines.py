"""One small face for every engine that is measured. Each is imported only when it is used."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

Feeds = Mapping[str, np.ndarray[Any, Any]]


class PeerMissingError(ImportError):
    """An engine that was asked for is not installed, or not known. The message says how to get it."""


class Engine(Protocol):
    """A loaded model. `run` returns every output under each of its names; arrays belong to the caller."""

    def run(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]: ...


class ArenautEngine:
    """arenaut's compiled executor."""

    def __init__(self, model: Path, threads: int) -> None:
        self.model: Any = importlib.import_module("arenaut").load_onnx(model, threads=threads)

    def run(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        outputs: dict[str, np.ndarray[Any, Any]] = self.model.run(feeds)
        return outputs


class OrtEngine:
    """ONNX Runtime's CPU provider: all graph optimisations, sequential, its default spinning."""

    def __init__(self, model: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        return dict(zip(self._names, self._session.run(None, feeds), strict=True))


class OpenVinoEngine:
    """OpenVINO's CPU device, tuned for latency on one stream. `precision` None leaves its own choice (often bf16)."""

    def __init__(self, model: Path, threads: int, precision: str | None = "f32") -> None:
        import openvino

        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
        }
        if precision is not None:
            options["INFERENCE_PRECISION_HINT"] = precision
        core = openvino.Core()
        self.compiled = core.compile_model(core.read_model(str(model)), "CPU", options)

    def run(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        result = self.compiled(dict(feeds))
        return {name: result[port] for port in self.compiled.outputs for name in port.get_names()}


class OpenVinoDefaultEngine(OpenVinoEngine):
    """OpenVINO in the precision of its own choice."""

    def __init__(self, model: Path, threads: int) -> None:
        super().__init__(model, threads, precision=None)


@dataclass(frozen=True)
class EngineSpec:
    """How to find and describe an engine: `module` to import, `distribution` for its version, how it is set."""

    module: str
    distribution: str
    settings: str
    target: str
    """The class of its Engine as "module:Class", built from a model's path and a number of threads."""
    install: str
    loads_files: bool = True
    """False: only the models that it has a recipe for."""

    def load(self, model: Path, threads: int) -> Engine:
        """The model, loaded by this engine."""
        module, _, name = self.target.partition(":")
        engine: Engine = getattr(importlib.import_module(module), name)(model, threads)
        return engine


ENGINES: Final[dict[str, EngineSpec]] = {
    "arenaut": EngineSpec(
        "arenaut", "arenaut", "compiled executor, threads=N", "arenaut.measure.engines:ArenautEngine", "pip install ."
    ),
    "onnxruntime": EngineSpec(
        "onnxruntime",
        "onnxruntime",
        "intra_op_num_threads=N, inter_op_num_threads=1, ORT_ENABLE_ALL, spinning as by default",
        "arenaut.measure.engines:OrtEngine",
        "pip install onnxruntime",
    ),
    "openvino": EngineSpec(
        "openvino",
        "openvino",
        "INFERENCE_PRECISION_HINT=f32, INFERENCE_NUM_THREADS=N, NUM_STREAMS=1, PERFORMANCE_HINT=LATENCY",
        "arenaut.measure.engines:OpenVinoEngine",
        "pip install openvino",
    ),
    "openvino-default": EngineSpec(
        "openvino",
        "openvino",
        "its own precision, INFERENCE_NUM_THREADS=N, NUM_STREAMS=1, PERFORMANCE_HINT=LATENCY",
        "arenaut.measure.engines:OpenVinoDefaultEngine",
        "pip install openvino",
    ),
}


def register_engine(name: str, spec: EngineSpec) -> None:
    """Makes an engine known by this name."""
    ENGINES[name] = spec


def require(name: str) -> EngineSpec:
    """The engine's record; raises PeerMissingError when it is unknown or not installed."""
    spec = ENGINES.get(name)
    if spec is None:
        raise PeerMissingError(f"no engine is called {name!r}; there are {', '.join(ENGINES)}")
    if importlib.util.find_spec(spec.module) is None:
        raise PeerMissingError(f"{name} is not installed, so it cannot be measured; try: {spec.install}")
    return spec


def version_of(name: str) -> str:
    """The installed version of an engine, or "source tree" for a package that runs without being installed."""
    try:
        return importlib.metadata.version(require(name).distribution)
    except importlib.metadata.PackageNotFoundError:
        return "source tree"
