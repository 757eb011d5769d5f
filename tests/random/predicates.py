"""What known errors of the oracles ask of a case: its facts, and the text that says what differs."""

from __future__ import annotations

import math

import numpy as np
from onnx.reference.ops import op_resize

from tests.random.cases import Facts


def of_doubles(facts: Facts, text: str) -> bool:
    return facts.dtype(0) == "float64" or facts.attr("output_datatype") == 11


def only_type(facts: Facts, text: str) -> bool:
    """Only the element type differs."""
    return text.startswith("type: ") and not differs_in_shape(facts, text)


def differs_in_shape(facts: Facts, text: str) -> bool:
    return text.startswith("type: shape")


def before_opset_13(facts: Facts, text: str) -> bool:
    return facts.opset < 13


def by_one(facts: Facts, text: str) -> bool:
    return "by one)" in text


def more_than_basic(facts: Facts, text: str) -> bool:
    """Recurrence with what the reference does not read."""
    return facts.has(4) or any(n in facts.attributes for n in ("clip", "activations", "input_forget"))


def uneven_pads(pads: list[int]) -> bool:
    """Whether begins and ends, told apart wrongly, are others."""
    half = len(pads) // 2
    return list(zip(pads[::2], pads[1::2], strict=True)) != list(zip(pads[:half], pads[half:], strict=True))


def outrun_same(facts: Facts, text: str) -> bool:
    """SAME padding of strides that outrun the windows: it may be negative."""
    strides, dilations = facts.attr("strides") or [1], facts.attr("dilations")
    kernel = facts.attr("kernel_shape") or [1]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations or [1] * len(kernel), strict=True)]
    outrun = any(s > r for s, r in zip(strides, reach, strict=False))
    return padded_same(facts) and outrun


def padded_same(facts: Facts) -> bool:
    return str(facts.attr("auto_pad")).startswith("SAME")


def dilated_same(facts: Facts, text: str) -> bool:
    return padded_same(facts) and max(facts.attr("dilations") or [1]) > 1


def one_rounded_coordinate(facts: Facts, text: str) -> bool:
    """Whether a coordinate of Resize lies above an element by less than is left once the window's half is added."""
    dims, mode = facts.inputs[0].shape, facts.attr("coordinate_transformation_mode", "half_pixel")
    axes = [a % len(dims) for a in facts.attr("axes") or range(len(dims))]
    if mode == "tf_crop_and_resize" or 0 in dims:
        return False
    sizes = facts.inputs[3].tolist() if facts.has(3) and facts.inputs[3].size else None
    for i, axis in enumerate(axes):
        n = dims[axis]
        scale = sizes[i] / n if sizes is not None else float(facts.inputs[2][i])
        size = sizes[i] if sizes is not None else int(scale * n)
        places = op_resize._compute_x_ori(mode, np.arange(size, dtype=float), scale, n, scale * n, size, None)[0]
        half = 2 if facts.attr("mode") == "cubic" else 1
        half = math.ceil(half / scale) if facts.attr("antialias") == 1 and 0 < scale < 1 else half
        if ((places != np.floor(places)) & (places + half == np.floor(places + half))).any():
            return True
    return False


def undilated(facts: Facts, text: str) -> bool:
    """SAME padding of dilated windows, where arenaut gives the sizes that the standard states: size / stride, up."""
    if not dilated_same(facts, text) or not differs_in_shape(facts, text):
        return False
    sizes = facts.inputs[0].shape[2:]
    ceiled = [-(-n // s) for n, s in zip(sizes, facts.attr("strides") or [1] * len(sizes), strict=True)]
    return f"{', '.join(map(str, ceiled))}) is not" in text


def nearly_equal(facts: Facts, part: int) -> bool:
    """Whether a row or group that is normalised deviates by less than such a part of its magnitude."""
    x = facts.inputs[0].astype(np.float64)
    if facts.op == "GroupNormalization":
        x = x.reshape(len(x), facts.attr("num_groups"), -1)
    axes = tuple(range(facts.attr("axis", -1) % x.ndim, x.ndim))
    return bool((x.std(axes) * part < np.abs(x).max(axes)).any())


def level_scores(facts: Facts, text: str) -> bool:
    """Whether the two best scores of a row of LinearClassifier are equal but for the rounding of their sums."""
    x = facts.inputs[0].astype(np.float64)
    weights = np.reshape(facts.attr("coefficients"), (-1, x.shape[-1]))
    scores = np.sort(x @ weights.T + np.reshape(facts.attr("intercepts") or 0.0, (1, -1)), -1)
    return bool(scores.shape[-1] > 1 and (scores[:, -1] - scores[:, -2] < 1e-6 * np.abs(scores).max(-1)).any())


def resized_to_one(facts: Facts, text: str) -> bool:
    """Whether some axis gets a length of one."""
    if facts.has(3) and facts.inputs[3].size:
        return 1 in facts.inputs[3]
    axes = facts.attr("axes") or range(facts.rank(0))
    return any(1 <= facts.inputs[0].shape[a] * float(s) < 2 for a, s in zip(axes, facts.inputs[2].flat, strict=True))


def beyond_border(facts: Facts, text: str) -> bool:
    return bool((np.abs(facts.inputs[1].astype(np.float64)) > 1).any())


def numbers_within_channels(facts: Facts, text: str) -> bool:
    steps = [*(facts.attr("strides") or [1]), *(facts.attr("dilations") or [1])]
    return max(steps) == 1 and "onnxruntime agrees" in text and "." not in text.split(" (")[1]


def holds_nan(facts: Facts, text: str) -> bool:
    return facts.dtype(0).startswith("float") and bool(np.isnan(facts.inputs[0]).any())
