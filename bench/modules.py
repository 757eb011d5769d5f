"""What recipes are made of: modules whose forward calls another, and transformers' models from configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def calling(module: Any, call: Callable[..., Any]) -> Any:
    """Wrap `module` so that forward(*inputs) is call(module, *inputs), which picks keywords and outputs."""
    import torch

    class Calling(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = module

        def forward(self, *inputs: Any) -> Any:
            return call(self.body, *inputs)

    return Calling()


def from_config(class_name: str, config_class: str, attention: str | None = None, **settings: Any) -> Any:
    """Build transformers.<class_name> from <config_class>(**settings) with random weights."""
    import transformers

    config = getattr(transformers, config_class)(**settings)
    options = {} if attention is None else {"attn_implementation": attention}
    kind = getattr(transformers, class_name)
    make = kind.from_config if class_name.startswith("Auto") else kind._from_config
    return make(config, **options)
