"""PyTorch as an engine of `python -m bench bench`: the module that a zoo model was exported from, run eagerly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bench.exporters import build
from bench.zoo import Export, ZooEntry, cache_path, example_size, load_manifest, make_feeds


class TorchEngine:
    """Raises ValueError for a file that is no export of the zoo's recipes."""

    def __init__(self, model: Path, threads: int) -> None:
        import torch

        entry = exported_entry(model)
        torch.set_num_threads(threads)
        self._module = build_module(entry)
        self._names = [value.name for value in onnx.load(model, load_external_data=False).graph.output]

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Feeds are in the order of the module's parameters, as the zoo draws them."""
        import torch

        with torch.inference_mode():
            outputs = self._module(*[torch.from_numpy(array) for array in feeds.values()])
        return {name: value.numpy() for name, value in zip(self._names, flat(outputs), strict=True)}


def exported_entry(model: Path) -> ZooEntry:
    """The zoo's entry whose export lies at this path."""
    for entry in load_manifest().values():
        if isinstance(entry.source, Export) and cache_path(entry) == model:
            return entry
    raise ValueError(f"{model.name} was not exported by the zoo from a torch module")


def build_module(entry: ZooEntry) -> Any:
    """The module with the weights that the export has."""
    source = entry.source
    if not isinstance(source, Export):
        raise ValueError(f"{entry.name} has no torch module")
    sizes = {symbol: example_size(symbol, size, source) for symbol, size in entry.bindings[0].items()}
    example = list(make_feeds(entry, sizes, source.seed).values())
    return build(source.recipe, source.params, source.seed, example)


def flat(outputs: Any) -> Sequence[Any]:
    """The tensors that forward returned, in order."""
    if isinstance(outputs, tuple | list):
        return [tensor for each in outputs for tensor in flat(each)]
    return [outputs]
