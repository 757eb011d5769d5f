"""Opens and runs one damaged compiled file in this process, and says how it went."""

from __future__ import annotations

import os
import random
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

import arenaut
from arenaut import _native
from arenaut.compiled.container import CompiledFile
from arenaut.errors import ArenautError, ExecutionError, InternalError
from arenaut.native.arrays import to_native
from tests.fuzz.attempt import MOST_MEMORY, TIMEOUT, Outcome, feeds_of
from tests.fuzz.images import Token, aligned, damaged_file, damaged_image, tokens_of, weights_of

MUTANTS = 64
"""Of one model, one after the other: making a model takes longer than opening a mutant of it."""
NATIVE = (ValueError, _native.StepError, _native.MemoryLimitExceeded, MemoryError, IndexError)
"""What the native side raises of a damaged image or of a run of it; Python says it in the model's terms."""


@dataclass
class Subject:
    """A model as it is damaged."""

    name: str
    model: Any
    tokens: Sequence[Token]
    weights: np.ndarray[Any, Any]
    file: str


class Subjects:
    """The models of cases, made when their turn comes."""

    def __init__(self, known: Sequence[tuple[str, Callable[[], bytes]]], seed: int, folder: str) -> None:
        self._known, self._seed, self._folder = known, seed, folder
        self._number, self._subject = -1, None

    def of(self, index: int) -> Subject:
        number = index // MUTANTS
        while self._number != number or self._subject is None:
            self._number = number
            self._subject = self._made(random.Random(f"{self._seed}/subject/{number}"))
        return self._subject

    def _made(self, rng: random.Random) -> Subject:
        while True:  # some official cases are refused
            name, make = rng.choice(self._known)
            try:
                model = arenaut.load_onnx(make(), threads=1)
                path = os.path.join(self._folder, "whole.arn")
                feeds = feeds_of(rng, model)
                if feeds is not None:
                    with suppress(ArenautError):  # open parts become programs, which the file then holds
                        model.run(feeds, timeout=TIMEOUT)
                model.save(path)
            except ArenautError:
                continue
            writer = _native.ImageWriter()
            tokens = tokens_of(writer.add(model._built.native))
            return Subject(name, model, tokens, aligned(weights_of(writer)), path)


def attempt(index: int, seed: int, subject: Subject) -> tuple[str, Outcome]:
    """Where it was damaged, and the outcome."""
    rng = random.Random(f"{seed}/{index}")
    feeds = None
    while feeds is None and rng.random() < 0.9:
        feeds = feeds_of(rng, subject.model)
    if rng.random() < 0.15:
        return _whole_file(rng, subject, feeds)
    where, image = damaged_image(rng, subject.tokens)
    try:
        program = _native.read_program(image, subject.weights)
        for each in program.walk():
            each.host_call = each.open_call = _no_host
        if feeds is not None:
            arrays = [to_native(a) if a.dtype.kind != "O" else a for a in feeds.values()]
            for _ in range(2):
                program.run(arrays, MOST_MEMORY, TIMEOUT)
            program.describe_last()
    except ExecutionError as error:
        return where, ("refused", f"ExecutionError: {error}")
    except NATIVE as error:
        return where, ("refused", f"{type(error).__name__}: {error}"[:200])
    except Exception:
        return where, ("failed", traceback.format_exc())
    return where, ("ok", "")


def _no_host(step: int, arrays: list[Any]) -> list[Any]:
    raise ExecutionError("no host here")


def _whole_file(rng: random.Random, subject: Subject, feeds: dict[str, Any] | None) -> tuple[str, Outcome]:
    with tempfile.NamedTemporaryFile(suffix=".arn") as damaged:
        where = damaged_file(rng, CompiledFile(subject.file), damaged.name)
        try:
            model = arenaut.load_onnx(damaged.name, max_memory=MOST_MEMORY)
            if feeds is not None:
                model.run(feeds, timeout=TIMEOUT)
            for look in (lambda: model.plan, lambda: model.graph, lambda: model.rewrites, lambda: model.info,
                         lambda: repr(model)):  # fmt: skip
                with suppress(RuntimeError):  # no run yet
                    look()
        except InternalError:
            return where, ("failed", traceback.format_exc())
        except (ArenautError, MemoryError) as error:
            return where, ("refused", f"{type(error).__name__}: {error}"[:200])
        except Exception:
            return where, ("failed", traceback.format_exc())
    return where, ("ok", "")
