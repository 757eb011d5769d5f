"""OrtValue: a value as onnxruntime hands it about. Here it holds an array, a list or a dict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from arenaut.compat.onnxruntime.devices import OrtMemoryInfo, check_cpu
from arenaut.compat.onnxruntime.errors import refusal
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.types import TensorType, onnx_text

_SPARSE = "arenaut computes dense tensors: convert with scipy's .toarray() or torch's .to_dense()"
_STRINGS = "Creation of OrtValues is currently only supported from non-string numpy arrays"


def numpy_type(element_type: Any) -> np.dtype[Any]:
    """The numpy type of an element type: a number of TensorProto, or what numpy takes for a type."""
    if isinstance(element_type, int) and not isinstance(element_type, bool):
        return DType(element_type).numpy
    try:
        dtype: np.dtype[Any] = np.dtype(element_type)
    except TypeError as error:
        raise RuntimeError(f"Not a valid numpy type: {element_type!r}") from error
    return dtype


def type_text(value: Any) -> str:
    """onnxruntime's name of a value's type."""
    if isinstance(value, np.ndarray):
        return onnx_text(TensorType(DType.STRING if value.dtype.kind in "OUST" else dtype_of(value), None))
    if isinstance(value, dict):
        key, item = next(iter(value.items()), (0, 0.0))
        return f"map({'string' if isinstance(key, str) else 'int64'},{type_text(np.asarray(item))})"
    return f"seq({type_text(value[0])})" if value else "seq(tensor(float))"


class _Capsule:
    """A bare DLPack capsule as an object that numpy takes."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


class OrtValue:
    """A tensor, a sequence, a map, or nothing. The array that one is made of is shared, not copied."""

    def __init__(self, ortvalue: Any, numpy_obj: Any = None, session: Any = None) -> None:
        if not isinstance(ortvalue, OrtValue):
            raise ValueError("`Provided ortvalue` needs to be of type "
                             "`onnxruntime.capi.onnxruntime_pybind11_state.OrtValue`")  # fmt: skip
        self._value: Any = ortvalue._value
        self._session = session

    @classmethod
    def _of(cls, value: Any) -> OrtValue:
        made = object.__new__(cls)
        made._value, made._session = value, None
        return made

    @property
    def _ortvalue(self) -> OrtValue:
        return self

    def _get_c_value(self) -> OrtValue:
        return self

    @property
    def _is_webgpu_buffer(self) -> bool:
        return False

    # -- made of -----------------------------------------------------------------------------------------------

    @classmethod
    def ortvalue_from_numpy(
        cls, numpy_obj: Any, /, device_type: Any = "cpu", device_id: int = 0, vendor_id: int = -1
    ) -> OrtValue:
        check_cpu(device_type)
        if not isinstance(numpy_obj, np.ndarray) or numpy_obj.dtype.kind in "OUST":
            raise RuntimeError(_STRINGS)
        return cls._of(np.ascontiguousarray(numpy_obj) if numpy_obj.ndim else numpy_obj)

    @classmethod
    def ortvalue_from_numpy_with_onnx_type(cls, data: np.ndarray[Any, Any], /, onnx_element_type: int) -> OrtValue:
        want = numpy_type(onnx_element_type)
        if want.itemsize != data.dtype.itemsize:
            raise RuntimeError(f"elements of {data.dtype} have another size than those of {want}")
        return cls._of(data.view(want))

    @classmethod
    def ortvalue_from_shape_and_type(
        cls,
        shape: Sequence[int],
        element_type: Any,
        device_type: Any = "cpu",
        device_id: int = 0,
        vendor_id: int = -1,
        memory_info: OrtMemoryInfo | None = None,
    ) -> OrtValue:
        check_cpu(device_type)
        dtype, sizes = numpy_type(element_type), tuple(shape)
        if dtype.kind in "OUST":
            raise RuntimeError(_STRINGS)
        if any(size < 0 for size in sizes):
            raise RuntimeError(f"a shape has sizes of at least 0, not {list(sizes)}")
        return cls._of(np.zeros(sizes, dtype))

    ortvalue_from_shape_and_onnx_type = ortvalue_from_shape_and_type

    @classmethod
    def ortvalue_from_shape_and_type_for_memory_info(
        cls, shape: Sequence[int], element_type: Any, memory_info: OrtMemoryInfo
    ) -> OrtValue:
        return cls.ortvalue_from_shape_and_type(shape, element_type)

    ortvalue_from_shape_and_onnx_type_for_memory_info = ortvalue_from_shape_and_type_for_memory_info

    @classmethod
    def from_dlpack(cls, data: Any, /) -> OrtValue:
        return cls._of(np.from_dlpack(data if hasattr(data, "__dlpack__") else _Capsule(data)))

    @classmethod
    def ort_value_from_sparse_tensor(cls, sparse_tensor: Any) -> OrtValue:
        raise refusal("a sparse tensor", _SPARSE)

    # -- what it is --------------------------------------------------------------------------------------------

    def _tensor(self) -> np.ndarray[Any, Any]:
        if not isinstance(self._value, np.ndarray):
            raise RuntimeError("Only OrtValues that are Tensors/SparseTensors are currently supported")
        return self._value

    def numpy(self) -> np.ndarray[Any, Any]:
        return self._tensor()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self._tensor()
        if copy is not None:
            return np.array(array, dtype=dtype, copy=copy)
        return array if dtype is None else np.asarray(array, dtype=dtype)

    def data_ptr(self) -> int:
        return int(self._tensor().ctypes.data)

    def data_type(self) -> str:
        return type_text(self._value)

    def element_type(self) -> int:
        array = self._tensor()
        return int(DType.STRING if array.dtype.kind in "OUST" else dtype_of(array))

    def device_name(self) -> str:
        return "cpu"

    def shape(self) -> list[int]:
        return list(self._tensor().shape)

    def tensor_size_in_bytes(self) -> int:
        return self._tensor().nbytes

    def has_value(self) -> bool:
        return self._value is not None

    def is_tensor(self) -> bool:
        return isinstance(self._value, np.ndarray)

    def is_sparse_tensor(self) -> bool:
        return False

    def is_tensor_sequence(self) -> bool:
        return isinstance(self._value, list) and all(isinstance(item, np.ndarray) for item in self._value)

    def as_sparse_tensor(self) -> Any:
        raise refusal("a sparse tensor", _SPARSE)

    # -- given away --------------------------------------------------------------------------------------------

    def __dlpack__(self, *, stream: Any = None) -> Any:
        return self._tensor().__dlpack__()

    def to_dlpack(self) -> Any:
        return self.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def update_inplace(self, data: Any) -> None:
        if isinstance(data, OrtValue):
            data = data.numpy()
        if not isinstance(data, np.ndarray):
            raise TypeError("data must be a numpy.ndarray or an OrtValue.")
        target = self._tensor()
        if data.dtype != target.dtype or data.size != target.size:
            raise RuntimeError(
                f"The input array's type or size does not match: expected {target.dtype}{list(target.shape)}, got "
                f"{data.dtype}{list(data.shape)}"
            )
        np.copyto(target, data.reshape(target.shape))


class OrtValueVector(list[OrtValue]):
    """OrtValues in a row."""

    def push_back(self, value: Any, is_bool_tensor: bool = False) -> None:
        self.append(value if isinstance(value, OrtValue) else OrtValue.from_dlpack(value))

    def push_back_batch(
        self,
        tensors: Sequence[Any],
        pointers: Sequence[int],
        element_types: Sequence[Any],
        shapes: Sequence[Sequence[int]],
        devices: Sequence[Any],
    ) -> None:
        from arenaut.compat.onnxruntime.memory import array_at

        for pointer, element_type, shape, device in zip(pointers, element_types, shapes, devices, strict=True):
            check_cpu(device)
            self.append(OrtValue._of(array_at(pointer, numpy_type(element_type), shape)))

    def reserve(self, count: int) -> None:
        """Lists grow by themselves."""

    def shrink_to_fit(self) -> None:
        """Lists grow by themselves."""

    def element_type_at(self, idx: int) -> int:
        return self[idx].element_type()

    def dlpack_at(self, index: int) -> Any:
        return self[index].to_dlpack()

    def to_dlpacks(self, to_tensor: Callable[[Any], Any] | None) -> list[Any]:
        return [v.to_dlpack() if to_tensor is None else to_tensor(v.to_dlpack()) for v in self]


class SparseTensor:
    """Refused: arenaut computes dense tensors."""

    def __init__(self, sparse_tensor: Any = None) -> None:
        raise refusal("a sparse tensor", _SPARSE)

    def _refused(*args: Any, **kwargs: Any) -> Any:
        raise refusal("a sparse tensor", _SPARSE)

    sparse_coo_from_numpy = staticmethod(_refused)
    sparse_csr_from_numpy = staticmethod(_refused)
    blocksparse_from_numpy = staticmethod(_refused)
    get_coo_data = get_csrc_data = get_blocksparse_data = _refused
    as_coo_view = as_csrc_view = as_blocksparse_view = _refused
    values = dense_shape = data_type = device_name = format = to_cuda = _get_c_tensor = _refused


def copy_tensors(src: Sequence[OrtValue], dst: Sequence[OrtValue], stream: Any = None) -> None:
    """Copies tensors to tensors of the same types and sizes."""
    for source, target in zip(src, dst, strict=True):
        target.update_inplace(source)
