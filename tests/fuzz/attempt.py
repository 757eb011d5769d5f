"""Loads and runs one damaged model in this process, and says how it went."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

import arenaut
from arenaut.errors import ArenautError, InternalError
from tests.conformance.cases import cases
from tests.fuzz import seeds
from tests.fuzz.mutate import damaged_bytes, damaged_fields
from tests.fuzz.pieces import piece, pieces

MOST_MEMORY = 1 << 28
MOST_ELEMENTS = 1 << 16
TIMEOUT = 0.5
_HOSTILE = (0, 1, -1, 2, 7, 100, 1 << 31, -(1 << 31), 1 << 40, (1 << 63) - 1, -(1 << 63))
_HOSTILE_FLOATS = (0.0, 1.0, -1.0, 1e9, 1e30, -1e30, float("nan"), float("inf"), float("-inf"), 1e-30)

Outcome = tuple[str, str]  # "ok", "refused" or "failed", and why


def models() -> Sequence[tuple[str, Callable[[], bytes]]]:
    """Small models by name: our own, pieces of real ones, and those of the official cases. Each is made once."""
    own = [(name, lambda body=body: seeds.serialized(body)) for name, body in sorted(seeds.MODELS.items())]
    official = {c.name: c for c in cases() if c.suite != "real"}
    cut = [(f"{name}/{number}", partial(piece, name, number)) for name, number in pieces()]
    given = [(name, lambda c=c: c.model().SerializeToString()) for name, c in sorted(official.items())]
    return [*own, *((name, cache(make)) for name, make in (*cut, *given))]


def damaged(index: int, seed: int, known: Sequence[tuple[str, Callable[[], bytes]]]) -> tuple[str, bytes]:
    """Case `index`: the model's name, and its damaged bytes; one in eight is whole, for hostile data."""
    rng = random.Random(f"{seed}/{index}")
    share, own = rng.random(), len(seeds.MODELS)
    cut = own + len(pieces())
    name, make = rng.choice(known[:own] if share < 0.25 else known[own:cut] if share < 0.4 else known[cut:])
    data, kind = make(), rng.random()
    if kind < 0.125:
        return name, data
    return name, damaged_bytes(rng, data) if kind < 0.4 else damaged_fields(rng, data)


def attempt(index: int, seed: int, data: bytes) -> Outcome:
    rng = random.Random(f"{seed}/{index}/feeds")
    try:
        model = arenaut.load_onnx(data, threads=1, max_memory=MOST_MEMORY, optimize=rng.random() < 0.8)
        for _ in range(2):
            feeds = feeds_of(rng, model)
            if feeds is not None:
                model.run(feeds, timeout=TIMEOUT)
    except InternalError:
        return "failed", traceback.format_exc()
    except ArenautError as error:
        return "refused", f"{type(error).__name__}: {error}"[:300]
    except Exception:
        return "failed", traceback.format_exc()
    return "ok", ""


def feeds_of(rng: random.Random, model: arenaut.Model) -> dict[str, Any] | None:
    """Random feeds, some of them hostile; None where the model takes none that are easily made."""
    sizes: dict[str, int] = {}
    feeds: dict[str, Any] = {}
    for info in model.inputs:
        if info.shape is None or "(" in info.dtype:
            return None
        shape = [sizes.setdefault(d, rng.choice((0, 1, 2, 3, 5))) if isinstance(d, str) else d for d in info.shape]
        if np.prod([float(max(d, 1)) for d in shape]) > MOST_ELEMENTS or len(shape) > 32:
            return None
        feeds[info.name] = _array(rng, info.dtype, shape)
    return feeds


def _array(rng: random.Random, dtype: str, shape: Sequence[int]) -> Any:
    draw, hostile = np.random.default_rng(rng.randrange(1 << 30)), rng.random() < 0.4
    if dtype == "string":
        return np.full(shape, "word", object)
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        values = draw.choice(_HOSTILE, shape) if hostile else draw.integers(0, 4, shape)
        return np.asarray(values).astype(kind)
    if kind.kind == "b":
        return np.asarray(draw.integers(0, 2, shape)).astype(kind)
    return np.asarray(draw.choice(_HOSTILE_FLOATS, shape) if hostile else draw.normal(0, 1, shape)).astype(kind)
