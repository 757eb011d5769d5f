"""Quantised copies of the zoo's models, made by onnxruntime's own tools: what people deploy.

A method is a function (model path, made path, calibration feeds, **settings). onnxruntime's tools are imported inside,
so that reading the table costs nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

Feeds = Mapping[str, np.ndarray]
CALIBRATION_RUNS: Final = 4


def quantise(method: str, model: Path, made: Path, feeds: Iterable[Feeds], settings: Mapping[str, Any]) -> None:
    """Writes the model quantised. feeds: what static methods measure the ranges of activations on."""
    METHODS[method](model, made, feeds, **settings)


def dynamic(model: Path, made: Path, feeds: Iterable[Feeds], *, per_channel: bool = False) -> None:
    """int8 weights; activations are quantised as they are computed."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        quantize_dynamic(prepared(model, Path(folder)), made, per_channel=per_channel, weight_type=QuantType.QInt8)


def static(
    model: Path, made: Path, feeds: Iterable[Feeds], *, form: str = "QDQ", activations: str = "uint8"
) -> None:  # fmt: skip
    """int8 weights by channel, activations by tensor. form: QDQ, or QOperator for QLinearConv and its kin."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    types = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
    with tempfile.TemporaryDirectory() as folder:
        quantize_static(
            prepared(model, Path(folder)), made, _reader(feeds), quant_format=QuantFormat[form], per_channel=True,
            weight_type=QuantType.QInt8, activation_type=types[activations],
        )  # fmt: skip


def blocks(model: Path, made: Path, feeds: Iterable[Feeds], *, bits: int, level: int, block: int = 32) -> None:
    """Weights of products in blocks of `bits` bits (MatMulNBits). level: onnxruntime's accuracy level."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    config = DefaultWeightOnlyQuantConfig(block_size=block, is_symmetric=True, accuracy_level=level, bits=bits)
    quantizer = MatMulNBitsQuantizer(onnx.load(model), algo_config=config)
    quantizer.process()
    onnx.save(quantizer.model.model, made)


def float16(model: Path, made: Path, feeds: Iterable[Feeds], *, borders: bool = False) -> None:
    """Weights and activations of 16 bits; inputs and outputs as they were, or of 16 bits too (`borders`)."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(model), keep_io_types=not borders, disable_shape_infer=False), made)


METHODS: Final[Mapping[str, Callable[..., None]]] = {
    "dynamic": dynamic, "static": static, "blocks": blocks, "float16": float16,
}  # fmt: skip


def prepared(model: Path, folder: Path) -> Path:
    """The model as onnxruntime's guide wants it before it is quantised: with shapes, weights inside, batch norms in
    convolutions."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    made = folder / "prepared.onnx"
    quant_pre_process(str(model), str(made), skip_symbolic_shape=True)
    return made


def _reader(feeds: Iterable[Feeds]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds: Iterator[Feeds] = iter(feeds)

        def get_next(self) -> Any:
            return next(self._feeds, None)

    return Reader()
