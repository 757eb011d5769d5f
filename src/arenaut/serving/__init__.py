"""arenaut as the model class of KServe's model server: `pip install 'arenaut[serve]'`, then `arenaut serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arenaut.serving.engine import Limits
    from arenaut.serving.runtime import Runtime

__all__ = ["Limits", "Runtime"]


def __getattr__(name: str) -> Any:
    """Imported when asked for: the server's packages take a second."""
    if name == "Limits":
        from arenaut.serving.engine import Limits

        return Limits
    if name == "Runtime":
        try:
            from arenaut.serving.runtime import Runtime
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] == "arenaut":
                raise
            raise ImportError(f"{error.name} is not installed: pip install 'arenaut[serve]'") from error
        return Runtime
    raise AttributeError(f"module 'arenaut.serving' has no attribute '{name}'")
