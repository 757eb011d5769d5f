"""How much memory PyTorch's eager mode takes for the models that the zoo exports from torch modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.measure.memory import PeerMemory
from arenaut.measure.worker import Worker
from bench.torch_engine import build_module, flat
from bench.zoo import Export, ZooEntry, load_manifest, make_feeds


def torch_memory(entry: ZooEntry, binding: Mapping[str, int], *, threads: int = 1) -> PeerMemory | None:
    """The peak of a warm forward pass above what is live before it; None for a model that no recipe builds.

    It is the running sum of the allocator's events that torch.profiler records: intermediates, outputs, and what
    operators take through torch's allocator. Raises WorkerError when the recipe fails.
    """
    if not isinstance(entry.source, Export) or entry.source.exporter == "none":
        return None
    with Worker("bench.torch_memory:TorchProbe") as worker:
        peak, outputs, version = worker.call("measure", entry.name, dict(binding), threads)
    return PeerMemory("torch", version, "eager, no_grad", peak, outputs)


class TorchProbe:
    """The child's side of `torch_memory`."""

    def measure(self, name: str, binding: Mapping[str, int], threads: int) -> tuple[int, int, str]:
        """(peak, bytes of the outputs, torch's version) of the third forward pass."""
        import torch

        torch.set_num_threads(threads)
        entry = load_manifest()[name]
        module = build_module(entry)
        feeds = [torch.from_numpy(array) for array in make_feeds(entry, binding, 0).values()]
        with torch.no_grad():
            for _ in range(2):
                module(*feeds)
            with torch.profiler.profile(profile_memory=True) as profiler:
                outputs = module(*feeds)
        changes = [event.nbytes() for event in _events(profiler) if event.name() == "[memory]"]
        return _peak(changes), _bytes(outputs), torch.__version__


def _events(profiler: Any) -> Sequence[Any]:
    """The raw events in order of time."""
    return sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns())


def _peak(changes: Sequence[int]) -> int:
    return max(0, int(np.cumsum([0, *changes]).max()))


def _bytes(outputs: Any) -> int:
    return sum(tensor.nbytes for tensor in flat(outputs) if hasattr(tensor, "nbytes"))
