"""What a session says of its model: NodeArg and ModelMetadata."""

from __future__ import annotations

from collections.abc import Mapping

from arenaut.frontend import ModelInfo
from arenaut.ir.types import TensorType, Type, onnx_text
from arenaut.model import Model
from arenaut.plain import dataclass


class NodeArg:
    """An input or output. shape: sizes, names of symbolic dims, and None where the model names neither."""

    def __init__(self, name: str, shape: list[int | str | None], type: str) -> None:
        self._name, self._shape, self._type = name, shape, type

    @property
    def name(self) -> str:
        return self._name

    @property
    def shape(self) -> list[int | str | None]:
        return list(self._shape)

    @property
    def type(self) -> str:
        return self._type

    def __str__(self) -> str:
        return f"NodeArg(name='{self.name}', type='{self.type}', shape={self.shape})"


@dataclass
class ModelMetadata:
    """What the file says about itself."""

    producer_name: str = ""
    graph_name: str = ""
    domain: str = ""
    description: str = ""
    graph_description: str = ""
    version: int = 0
    custom_metadata_map: Mapping[str, str] | None = None


def metadata_of(info: ModelInfo) -> ModelMetadata:
    return ModelMetadata(
        info.producer, info.graph, info.domain, info.doc, info.graph_doc, info.version, dict(info.metadata)
    )


def _text(t: Type | None) -> str:
    return "" if t is None else onnx_text(t)


def _arg(model: Model, name: str, t: Type | None) -> NodeArg:
    return NodeArg(name, list(model.info.shapes.get(name) or ()), _text(t))


def inputs_of(model: Model) -> list[NodeArg]:
    return [_arg(model, name, v.type) for name, v in zip(model._inputs.names, model.graph.inputs, strict=True)]


def defaults_of(model: Model) -> list[NodeArg]:
    return [_arg(model, name, t) for name, t in model._inputs.defaults.items()]


def outputs_of(model: Model) -> list[NodeArg]:
    """Outputs, as declared; what the file leaves open as inference finds it, sizes before names."""
    names = _names(model)
    declared = model.graph.declared or [None] * len(model.graph.outputs)
    args = []
    for name, t, value in zip(model._output_names, declared, model.graph.outputs, strict=True):
        stated, found = model.info.shapes.get(name), _found(value.type, names)
        if found is not None and (stated is None or len(stated) != len(found)):
            stated = found
        elif stated is not None and found is not None:
            pairs = zip(stated, found, strict=True)
            stated = tuple(f if s is None or (isinstance(s, str) and isinstance(f, int)) else s for s, f in pairs)
        args.append(NodeArg(name, list(stated or ()), _text(t if t is not None else value.type)))
    return args


def _names(model: Model) -> dict[str, str]:
    """How the file writes the symbolic dims of inputs, by what they are called here."""
    names = {}
    for name, value in zip(model._inputs.names, model.graph.inputs, strict=True):
        dims = value.type.shape if isinstance(value.type, TensorType) else None
        for d, stated in zip(dims or (), model.info.shapes.get(name) or (), strict=False):
            if isinstance(stated, str):
                names[str(d)] = stated
    return names


def _found(t: Type | None, names: Mapping[str, str]) -> tuple[int | str | None, ...] | None:
    """The dims of an inferred type: sizes, names of the model's inputs, None for what is computed of them."""
    if not isinstance(t, TensorType) or t.shape is None:
        return None
    return tuple(d if isinstance(d, int) else names.get(str(d)) for d in t.shape)
