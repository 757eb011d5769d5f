"""arenaut behind the interface of `onnx.backend`: what ONNX's own conformance suite and its tools call.

from arenaut import onnx_backend as backend
outputs = backend.prepare(model).run([x])

onnx is imported when a node is run alone, never before; arenaut's importer takes a ModelProto as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

    from arenaut.model import Model


class BackendRep:
    """A model that is ready to run. Safe to use from several threads at once."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Outputs in the model's order. inputs: values in the order of the model's inputs, or a dict by name; arrays
        for tensors, lists for sequences, None for an empty optional. Options in kwargs have no meaning here.

        Raises InputError for inputs that do not fit, ExecutionError when a step fails.
        """
        names = [info.name for info in self.model.inputs]
        if isinstance(inputs, dict) and (not names or set(inputs) & set(names)):
            feeds = inputs
        else:
            values = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            if len(values) != len(names):
                from arenaut.errors import InputError

                raise InputError(f"{len(values)} inputs, but the model has {len(names)}: {', '.join(names)}")
            feeds = dict(zip(names, values, strict=True))
        return tuple(self.model.run(feeds).values())


class Backend:
    """The class that `onnx.backend.test.BackendTest(arenaut.onnx_backend.Backend, __name__)` takes."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether `prepare` takes the model on this device."""
        from arenaut.errors import ModelError

        if not cls.supports_device(device):
            return False
        try:
            cls.prepare(model, device, **kwargs)
        except ModelError:
            return False
        return True

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> BackendRep:
        """Reads and plans a model. kwargs: the options of `arenaut.load_onnx`.

        Raises ModelError for a model that cannot run, ValueError for a device other than the CPU.
        """
        if not cls.supports_device(device):
            raise ValueError(f"device={device!r}: arenaut runs on 'CPU' only")
        from arenaut.loading import load_onnx

        return BackendRep(load_onnx(model, **kwargs))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Outputs of one run, as `prepare(model, device, **kwargs).run(inputs)`."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        *,
        opset_version: int | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Outputs of one node alone.

        inputs: a value for each input of the node that is not empty, in order. opset_version: of the node's domain;
        None: the newest. outputs_info: element type and shape of each output, which inference finds without help.
        """
        return cls.run_model(_model_of(node, _values(inputs), opset_version), inputs, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether a device such as "CPU" or "CUDA:1" can run models: the CPU can."""
        return device.split(":")[0] == "CPU"


def _values(inputs: Any) -> list[Any]:
    if isinstance(inputs, dict):
        return list(inputs.values())
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def _model_of(node: onnx.NodeProto, inputs: Sequence[Any], opset: int | None) -> onnx.ModelProto:
    """A model of this node, with its domain at version `opset` and types of inputs read off their values."""
    from onnx import helper

    from arenaut.ir.schemas import newest_opset

    names = list(dict.fromkeys(n for n in node.input if n))
    if len(names) != len(inputs):
        raise ValueError(f"{len(inputs)} inputs, but the node {node.op_type} has {len(names)}: {', '.join(names)}")
    infos = [helper.make_value_info(n, _type_of(n, x)) for n, x in zip(names, inputs, strict=True)]
    results = [helper.make_empty_tensor_value_info(n) for n in node.output if n]
    graph = helper.make_graph([node], node.op_type, infos, results)
    versions = {domain: newest_opset(domain) for domain in ("", node.domain)}
    if opset is not None:
        versions[node.domain] = opset
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(d, v) for d, v in versions.items()])


def _type_of(name: str, value: Any) -> onnx.TypeProto:
    import numpy as np
    from onnx import helper

    from arenaut.ir.dtypes import dtype_of

    if isinstance(value, list):
        if not value:
            raise ValueError(f"input '{name}': the element type of an empty sequence cannot be told")
        return helper.make_sequence_type_proto(_type_of(name, value[0]))
    if value is None or isinstance(value, dict):
        raise ValueError(f"input '{name}': the type of {type(value).__name__} cannot be told from the value")
    array = np.asarray(value)
    return helper.make_tensor_type_proto(int(dtype_of(array)), array.shape)


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device

__all__ = [
    "Backend",
    "BackendRep",
    "is_compatible",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]
