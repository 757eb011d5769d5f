"""The values that attributes may have, which the standard says in words only: its schemas hold their types.

Keys are attributes of the newest opsets; one that stands without its op means the same in every op that has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Union

from arenaut.ir.dtypes import DType
from arenaut.plain import dataclass


def text_of(value: Any) -> str:
    """An attribute's text, or an element of one, which files hold as bytes. What is no UTF-8 survives as surrogates."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def bytes_of(text: str | bytes) -> bytes:
    """The bytes that a file holds for a text, surrogates as what they stand for."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def shown_text(text: str | bytes) -> str:
    """A text of a file to be shown, or written where only UTF-8 may stand."""
    return bytes_of(text).decode("utf-8", "replace")


@dataclass(frozen=True)
class OneOf:
    """One of some words or numbers."""

    values: tuple[str | int, ...]

    def __contains__(self, value: object) -> bool:
        return (value.decode("utf-8", "replace") if isinstance(value, bytes) else value) in self.values

    def __str__(self) -> str:
        return "one of " + ", ".join(map(str, self.values))


@dataclass(frozen=True)
class AtLeast:
    """A whole number from `low` on; of a list, every one."""

    low: int

    def __contains__(self, value: Any) -> bool:
        return min(value, default=self.low) >= self.low if isinstance(value, Sequence) else bool(value >= self.low)

    def __str__(self) -> str:
        return f"at least {self.low}"


@dataclass(frozen=True)
class Finite:
    """A number that is neither NaN nor infinite."""

    def __contains__(self, value: Any) -> bool:
        return math.isfinite(value)

    def __str__(self) -> str:
        return "a finite number"


_FLAG = OneOf((0, 1))
_POST = OneOf(("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"))
_SCATTERS = OneOf(("none", "add", "mul", "max", "min"))
_LOSSES = OneOf(("none", "sum", "mean"))
_POSITIVE, _NOT_NEGATIVE = AtLeast(1), AtLeast(0)


@dataclass(frozen=True)
class ElementType:
    """The number of an element type; `or_none`: or 0, which leaves the choice to the op."""

    or_none: bool = False
    among: tuple[DType, ...] = tuple(DType)

    def __contains__(self, value: object) -> bool:
        return value in self.among or (self.or_none and value == 0)

    def __str__(self) -> str:
        return "the number of an element type, " + ", ".join(f"{int(d)} ({d.short})" for d in self.among)


_OF_BITS = tuple(d for d in DType if d is not DType.STRING)
_WIDE_FLOATS = (DType.FLOAT, DType.FLOAT16, DType.DOUBLE, DType.BFLOAT16)

Range = Union[OneOf, AtLeast, Finite, ElementType]

_ANY_OP: Mapping[str, Range] = {
    **dict.fromkeys(
        ("keepdims", "select_last_index", "noop_with_empty_axes", "allowzero", "ceil_mode", "count_include_pad",
         "storage_order", "transA", "transB", "largest", "sorted", "fmod", "inverse", "onesided", "align_corners",
         "detect_negative", "detect_positive", "antialias", "exclude_outside", "center_point_box", "upper", "is_causal",
         "saturate", "training_mode", "input_forget", "linear_before_reset", "periodic", "interleaved", "exclusive"),
        _FLAG,
    ),
    "auto_pad": OneOf(("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")),
    "direction": OneOf(("forward", "reverse", "bidirectional")),
    "post_transform": _POST,
    "batch_dims": _NOT_NEGATIVE,
    "group": _POSITIVE,
    "num_groups": _POSITIVE,
    "offset_group": _POSITIVE,
    "blocksize": _POSITIVE,
    "hidden_size": _POSITIVE,
    "kernel_shape": _POSITIVE,
    "pooled_shape": _POSITIVE,
    "strides": _POSITIVE,
    "dilations": _POSITIVE,
    "num_outputs": _POSITIVE,
    "num_heads": _NOT_NEGATIVE,
    "q_num_heads": _POSITIVE,
    "kv_num_heads": _POSITIVE,
    "rotary_embedding_dim": _NOT_NEGATIVE,
    "to": ElementType(),
    "stash_type": ElementType(among=_WIDE_FLOATS),
    "output_datatype": ElementType(),
    "dtype": ElementType(),
    "output_dtype": ElementType(or_none=True),
    "softmax_precision": ElementType(or_none=True, among=_WIDE_FLOATS),
    "round_mode": OneOf(("up", "down", "nearest")),
    "kernel_type": OneOf(("LINEAR", "POLY", "RBF", "SIGMOID")),
    "aggregate_function": OneOf(("SUM", "AVERAGE", "MIN", "MAX")),
    "keep_aspect_ratio_policy": OneOf(("stretch", "not_larger", "not_smaller")),
}  # fmt: skip

_OF_OP: Mapping[tuple[str, str], Range] = {
    ("BitShift", "direction"): OneOf(("LEFT", "RIGHT")),
    ("CumSum", "reverse"): _FLAG,
    ("CumProd", "reverse"): _FLAG,
    ("ScatterElements", "reduction"): _SCATTERS,
    ("ScatterND", "reduction"): _SCATTERS,
    ("NegativeLogLikelihoodLoss", "reduction"): _LOSSES,
    ("SoftmaxCrossEntropyLoss", "reduction"): _LOSSES,
    ("Pad", "mode"): OneOf(("constant", "reflect", "edge", "wrap")),
    ("Resize", "mode"): OneOf(("nearest", "linear", "cubic")),
    ("Resize", "nearest_mode"): OneOf(("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")),
    ("Resize", "coordinate_transformation_mode"): OneOf(
        ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
         "tf_crop_and_resize")
    ),
    ("GridSample", "mode"): OneOf(("linear", "nearest", "cubic")),
    ("GridSample", "padding_mode"): OneOf(("zeros", "border", "reflection")),
    ("DepthToSpace", "mode"): OneOf(("DCR", "CRD")),
    ("SpaceToDepth", "mode"): OneOf(("DCR", "CRD")),
    ("Upsample", "mode"): OneOf(("nearest", "linear", "bilinear")),
    ("BitCast", "to"): ElementType(among=_OF_BITS),
    ("QuantizeLinear", "precision"): ElementType(or_none=True, among=_WIDE_FLOATS),
    ("Gelu", "approximate"): OneOf(("none", "tanh")),
    ("RoiAlign", "mode"): OneOf(("avg", "max")),
    ("RoiAlign", "coordinate_transformation_mode"): OneOf(("half_pixel", "output_half_pixel")),
    ("RoiAlign", "output_height"): _NOT_NEGATIVE,
    ("RoiAlign", "output_width"): _NOT_NEGATIVE,
    ("RoiAlign", "sampling_ratio"): _NOT_NEGATIVE,
    ("LRN", "size"): _POSITIVE,
    ("LpNormalization", "p"): OneOf((1, 2)),
    ("LpPool", "p"): _POSITIVE,
    ("GlobalLpPool", "p"): _POSITIVE,
    ("Attention", "scale"): Finite(),
    ("Attention", "qk_matmul_output_mode"): OneOf((0, 1, 2, 3)),
    ("LSTM", "layout"): _FLAG,
    ("GRU", "layout"): _FLAG,
    ("RNN", "layout"): _FLAG,
    ("TfIdfVectorizer", "mode"): OneOf(("TF", "IDF", "TFIDF")),
    ("StringNormalizer", "case_change_action"): OneOf(("NONE", "LOWER", "UPPER")),
    ("StringNormalizer", "is_case_sensitive"): _FLAG,
    ("Normalizer", "norm"): OneOf(("MAX", "L1", "L2")),
    ("TreeEnsemble", "aggregate_function"): OneOf((0, 1, 2, 3)),
    ("TreeEnsemble", "post_transform"): OneOf((0, 1, 2, 3, 4)),
    ("TensorScatter", "mode"): OneOf(("linear", "circular")),
    ("CausalConvWithState", "activation"): OneOf(("none", "silu", "swish")),
    ("LinearAttention", "update_rule"): OneOf(("linear", "gated", "delta", "gated_delta")),
    ("ImageDecoder", "pixel_format"): OneOf(("RGB", "BGR", "Grayscale")),
    ("CastMap", "cast_to"): OneOf(("TO_FLOAT", "TO_STRING", "TO_INT64")),
    ("CastMap", "map_form"): OneOf(("DENSE", "SPARSE")),
}  # fmt: skip

RANGES: Mapping[tuple[str, str], Range] = MappingProxyType(dict(_OF_OP))


@cache
def range_of(op: str, attribute: str) -> Range | None:
    """What an attribute of a standard op may be; None where every value of its type may be."""
    return RANGES.get((op, attribute)) or _ANY_OP.get(attribute)


def first_wrong(op: str, attributes: Mapping[str, Any]) -> tuple[str, Any, Range] | None:
    """The first attribute outside its range: name, value and range."""
    for name, value in attributes.items():
        allowed = range_of(op, name)
        if allowed is not None and value is not None and value not in allowed:
            return name, value, allowed
    return None
