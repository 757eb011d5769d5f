"""arenaut on Ray: `deployment` for Ray Serve, `map_batches` for Ray Data. `pip install 'arenaut[ray]'`.

Processes of a node load a model through that node's cache folder, and so map the same weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arenaut.ray.deployed import deployment
    from arenaut.ray.table import map_batches

__all__ = ["deployment", "map_batches"]

_HOME = {"deployment": "deployed", "map_batches": "table"}


def __getattr__(name: str) -> Any:
    """Imported when asked for."""
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module 'arenaut.ray' has no attribute '{name}'")
    try:
        return getattr(importlib.import_module(f"arenaut.ray.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "arenaut":
            raise
        raise ImportError(f"{error.name} is not installed: pip install 'arenaut[ray]'") from error
