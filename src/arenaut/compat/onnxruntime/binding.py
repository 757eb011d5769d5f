"""IOBinding: inputs and outputs by their memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from arenaut.compat.onnxruntime.devices import OrtDevice, check_cpu
from arenaut.compat.onnxruntime.feeds import check_given
from arenaut.compat.onnxruntime.memory import array_at
from arenaut.compat.onnxruntime.options import RunOptions
from arenaut.compat.onnxruntime.raw import InferenceSession
from arenaut.compat.onnxruntime.values import OrtValue, OrtValueVector, numpy_type


class SessionIOBinding:
    """What a session reads and where it writes. Inputs are read where they lie; outputs are written where they are
    bound, or to arrays of their own."""

    def __init__(self, session: Any) -> None:
        self._session: InferenceSession = getattr(session, "_sess", session)
        self._iobinding = self
        self._inputs: dict[str, OrtValue] = {}
        self._outputs: dict[str, OrtValue | None] = {}
        self._results = OrtValueVector()

    def _check_name(self, name: str, known: Sequence[Any]) -> None:
        if name not in {a.name for a in known}:
            raise RuntimeError(f"Failed to find NodeArg with name: {name} in the def list")

    # -- inputs ------------------------------------------------------------------------------------------------

    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        self._check_name(name, [*self._session.inputs_meta, *self._session.overridable_initializers])
        if not isinstance(arr_on_cpu, np.ndarray):
            raise RuntimeError("Unable to create OrtValue from the given python object")
        self._inputs[name] = OrtValue._of(arr_on_cpu)

    def bind_input(self, name: str, device_type: Any, *rest: Any, **named: Any) -> None:
        """bind_input(name, device type, device id, element type, shape, buffer_ptr); of the native class:
        bind_input(name, array) or bind_input(name, device, element type, shape, buffer_ptr)."""
        if not rest and not named:
            return self.bind_cpu_input(name, device_type)
        self._check_name(name, [*self._session.inputs_meta, *self._session.overridable_initializers])
        check_cpu(device_type)
        given = dict(zip(_places(device_type), rest, strict=False)) | named
        array = array_at(given["buffer_ptr"], numpy_type(given["element_type"]), given["shape"])
        self._inputs[name] = OrtValue._of(array)
        return None

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        self._check_name(name, [*self._session.inputs_meta, *self._session.overridable_initializers])
        self._inputs[name] = ortvalue._get_c_value()

    def clear_binding_inputs(self) -> None:
        self._inputs.clear()

    def synchronize_inputs(self) -> None:
        """Nothing is under way on the CPU."""

    # -- outputs -----------------------------------------------------------------------------------------------

    def bind_output(self, name: str, device_type: Any = "cpu", *rest: Any, **named: Any) -> None:
        """bind_output(name, device type, device id, element type, shape, buffer_ptr), all but the name optional."""
        check_cpu(device_type)
        given = dict(zip(_places(device_type), rest, strict=False)) | named
        if given.get("buffer_ptr") is None:
            self._outputs[name] = None
            return
        if given.get("element_type") is None or given.get("shape") is None:
            raise ValueError("`element_type` and `shape` are to be provided if pre-allocated memory is provided")
        array = array_at(given["buffer_ptr"], numpy_type(given["element_type"]), given["shape"])
        self._outputs[name] = OrtValue._of(array)

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        self._outputs[name] = ortvalue._get_c_value()

    def clear_binding_outputs(self) -> None:
        self._outputs.clear()
        self._results = OrtValueVector()

    def synchronize_outputs(self) -> None:
        """Nothing is under way on the CPU."""

    # -- run ---------------------------------------------------------------------------------------------------

    def _run(self, run_options: RunOptions | None) -> None:
        if not self._outputs:
            raise ValueError("At least one output should be requested.")
        check_given(self._session.inputs_meta, self._inputs)
        out = {name: v.numpy() for name, v in self._outputs.items() if v is not None}
        results = self._session.run_by_name(list(self._outputs), self._inputs, run_options, out)
        self._results = OrtValueVector(bound or OrtValue._of(results[name]) for name, bound in self._outputs.items())

    def get_outputs(self) -> OrtValueVector:
        return self._results

    def get_outputs_as_ortvaluevector(self) -> OrtValueVector:
        return self._results

    def copy_outputs_to_cpu(self) -> list[Any]:
        return [v._value for v in self._results]


def _places(device: Any) -> tuple[str, ...]:
    """The names of what follows a device: the native class's device has its id in it."""
    rest = ("element_type", "shape", "buffer_ptr")
    return rest if isinstance(device, OrtDevice) else ("device_id", *rest)


class IOBinding(SessionIOBinding):
    """The public class."""
