"""What a process of a pool holds: loaded models by key. Called through arenaut.measure.worker."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from arenaut.errors import ArenautError, InputError
from arenaut.inputs import TensorInfo
from arenaut.loading import load_onnx
from arenaut.measure.feeds import feeds_for
from arenaut.measure.process import memory_bytes
from arenaut.model import Model
from arenaut.plain import dataclass, replace

MODELS = "arenaut.pool.models:Models"  # for processes of a pool
_MOST_SHAPES = 256  # sets of input shapes of a model whose arena is asked for


@dataclass(frozen=True)
class Face:
    """What callers may know of a loaded model. weight_bytes: packed, outside the arena. arena_bytes: the largest that
    its runs have needed. mapped: its weights lie in a compiled file, which other processes share."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    weight_bytes: int
    arena_bytes: int
    mapped: bool

    @property
    def rows_are_axis_0(self) -> bool:
        """Axis 0 of every input and output is the same open dim, so that requests may be joined along it, provided
        that the model computes row by row, which nothing here proves."""
        axes = {t.shape[0] if t.shape else None for t in (*self.inputs, *self.outputs)}
        return len(axes) == 1 and bool(self.inputs) and all(isinstance(axis, str) for axis in axes)


@dataclass
class _Loaded:
    model: Model
    face: Face
    fixed: frozenset[str]  # inputs with stored values, which requests may not replace
    shapes: set[tuple[Any, ...]]


class Models:
    """threads: of a run; None for all. cache: the folder of compiled files; None for none."""

    def __init__(self, threads: int | None, cache: str | None) -> None:
        self._threads = threads
        self._cache = cache
        self._models: dict[str, _Loaded] = {}

    def load(self, key: str, path: str, options: Mapping[str, Any]) -> Face:
        """options: of load_onnx. What was loaded under this key goes."""
        cached = {} if options.get("cache") is not None else {"cache": self._cache or False}
        model = load_onnx(path, threads=self._threads, **{**options, **cached})
        face = Face(tuple(model.inputs), tuple(model.outputs), 0, 0, model.mapped_from is not None)
        self._models[key] = _Loaded(model, face, frozenset(i.name for i in model.default_inputs), set())
        return face

    def warm(self, key: str, sizes: Mapping[str, int], rows: Sequence[int]) -> tuple[Face, str]:
        """Runs the model on random feeds: with open dims of these sizes, 1 where nothing is said, and for each of
        `rows` with so many along axis 0. Returns its face, and why a run failed; random feeds may be none that it
        takes."""
        loaded = self._models[key]
        failed = ""
        for count in rows:
            batch = {i.shape[0]: count for i in loaded.face.inputs if i.shape and isinstance(i.shape[0], str)}
            try:
                feeds, _ = feeds_for(loaded.face.inputs, {**batch, **sizes} if count == 1 else {**sizes, **batch})
                self.run(key, feeds, None, None)
            except (ArenautError, ValueError) as error:
                failed = f"{type(error).__name__}: {error}"
        return loaded.face, failed

    def run(
        self, key: str, feeds: Mapping[str, Any], outputs: Sequence[str] | None, timeout: float | None
    ) -> tuple[dict[str, Any], int]:
        """The outputs, and the largest arena so far in bytes."""
        loaded = self._models[key]
        fixed = sorted(loaded.fixed & feeds.keys())
        if fixed:
            raise InputError(f"{', '.join(fixed)}: stored in the model, and not to be replaced by what is sent")
        results = loaded.model.run(feeds, outputs=outputs, timeout=timeout)
        shapes = tuple(getattr(feed, "shape", None) for feed in feeds.values())
        if shapes not in loaded.shapes and len(loaded.shapes) < _MOST_SHAPES:
            loaded.shapes.add(shapes)
            self._measure(loaded)
        return results, loaded.face.arena_bytes

    def unload(self, key: str) -> None:
        self._models.pop(key, None)

    def memory(self) -> Mapping[str, int]:
        """Of this process, in bytes: pid aside, see memory_bytes."""
        return {"pid": os.getpid(), **memory_bytes()}

    @staticmethod
    def _measure(loaded: _Loaded) -> None:
        try:
            plan = loaded.model.plan
        except (RuntimeError, ArenautError):
            return
        face = loaded.face
        loaded.face = replace(
            face, arena_bytes=max(face.arena_bytes, plan.arena_bytes), weight_bytes=plan.packed_weight_bytes
        )
