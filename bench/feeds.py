"""Seeded inputs for the zoo's models: what a manifest says of an input, and how its values are drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Shape = tuple[int, ...]
Binding = Mapping[str, int]
Random = np.random.Generator


@dataclass(frozen=True)
class Feed:
    """One model input: name, dtype, shape of ints and symbols, and how its values are drawn (see FILLS).

    `low` and `high` bound uniform, image and integers (high exclusive); `value` is a number or a symbol, for constant
    and lengths; `scale` is the standard deviation of normal and the peak of waveform.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"
    fill: str = "normal"
    low: float = 0.0
    high: float = 1.0
    value: float | str = 0
    scale: float = 1.0

    def dims(self, binding: Binding) -> Shape:
        """The shape under a binding of symbols. Raises KeyError for a symbol that the binding lacks."""
        return tuple(dim if isinstance(dim, int) else binding[dim] for dim in self.shape)


def expanded(text: str) -> list[str]:
    """Names with braces as a shell reads them: "past.{0..1}.{key,value}" gives four names, the last part first."""
    found = re.search(r"\{([^}]*)\}", text)
    if found is None:
        return [text]
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", found[1])
    parts = [str(i) for i in range(int(ends[1]), int(ends[2]) + 1)] if ends else found[1].split(",")
    return [name for part in parts for name in expanded(text[: found.start()] + part + text[found.end() :])]


def draw(feed: Feed, binding: Binding, random: Random) -> np.ndarray:
    """One input's values under a binding: a contiguous array of the declared dtype and shape."""
    shape = feed.dims(binding)
    return np.ascontiguousarray(FILLS[feed.fill](feed, shape, binding, random), dtype=feed.dtype).reshape(shape)


def fill_normal(feed: Feed, shape: Shape, binding: Binding, random: Random) -> Any:
    return random.standard_normal(shape) * feed.scale


def fill_uniform(feed: Feed, shape: Shape, binding: Binding, random: Random) -> Any:
    return random.uniform(feed.low, feed.high, shape)


def fill_integers(feed: Feed, shape: Shape, binding: Binding, random: Random) -> Any:
    return random.integers(int(feed.low), int(feed.high), shape)


def fill_constant(feed: Feed, shape: Shape, binding: Binding, random: Random) -> Any:
    return np.full(shape, resolve(feed, binding))


def fill_image(feed: Feed, shape: Shape, binding: Binding, random: Random) -> Any:
    """A picture-like field over the two longest axes: a few plane waves and some grain, clipped to [low, high]."""
    rows, columns = sorted(sorted(range(len(shape)), key=lambda axis: -shape[axis])[:2])
    grids = np.meshgrid(*(np.linspace(0, 1, size) for size in shape), indexing="ij", sparse=True)
    others = tuple(1 if axis in (rows, columns) else size for axis, size in enumerate(shape))
    total = 0.15 * random.standard_normal(shape)
    for wavenumber in (1, 2, 4, 8):
        angle = 2 * np.pi * random.uniform(size=others)
        direction = random.uniform(0, 2 * np.pi, others)
        wave = grids[rows] * np.cos(direction) + grids[columns] * np.sin(direction)
        total = total + 0.4 * np.cos(2 * np.pi * wavenumber * wave + angle)
    return feed.low + (feed.high - feed.low) * np.clip(0.5 + 0.5 * total, 0, 1)


def fill_waveform(feed: Feed, shape: Shape, binding: Binding, random: Random) -> Any:
    """Speech-like sound along the longest axis: harmonics under a slow envelope with noise, peak about `scale`."""
    axis = int(np.argmax(shape))
    time = np.arange(shape[axis]).reshape([-1 if index == axis else 1 for index in range(len(shape))]) / 16000
    others = tuple(1 if index == axis else size for index, size in enumerate(shape))
    pitch = random.uniform(90, 250, others)
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * random.uniform(2, 6, others) * time)
    voice = sum(np.sin(2 * np.pi * pitch * harmonic * time) / harmonic for harmonic in (1, 2, 3, 5))
    return feed.scale * (0.35 * envelope * voice + 0.02 * random.standard_normal(shape))


def fill_mask(feed: Feed, shape: Shape, binding: Binding, random: Random) -> Any:
    """Rows [..., n] of ones followed by padding zeros: the first row is full, the others at least half."""
    return np.arange(shape[-1]) < valid_lengths(shape[:-1], shape[-1], random)[..., None]


def fill_lengths(feed: Feed, shape: Shape, binding: Binding, random: Random) -> Any:
    """How much of each row is valid: `value` for the first, from half of it for the others."""
    return valid_lengths(shape, int(resolve(feed, binding)), random)


def valid_lengths(shape: Shape, full: int, random: Random) -> np.ndarray:
    lengths = random.integers((full + 1) // 2, full + 1, shape)
    lengths.reshape(-1)[:1] = full
    return np.asarray(lengths)


def resolve(feed: Feed, binding: Binding) -> float:
    return binding[feed.value] if isinstance(feed.value, str) else feed.value


FILLS: Final[Mapping[str, Callable[[Feed, Shape, Binding, Random], Any]]] = {
    "normal": fill_normal,
    "uniform": fill_uniform,
    "integers": fill_integers,
    "constant": fill_constant,
    "image": fill_image,
    "waveform": fill_waveform,
    "mask": fill_mask,
    "lengths": fill_lengths,
}
