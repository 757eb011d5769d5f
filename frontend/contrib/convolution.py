"""onnxruntime's convolution over what came before, and the one whose pads are an input, by the standard's ops."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
from arenaut.frontend.spec import Spec
from arenaut.ir.record import Build

# Attributes whose other values are for other layouts and devices, with those that say nothing.
_ONLY = {
    "ndim": 1, "dilation": 1, "state_update_capacity": 0, "state_channels_last": -1, "state_window": 0,
    "state_length": 0, "input_channel_offset": 0, "channels_last": 0, "input_channels": 0,
}  # fmt: skip


def _causal(build: Build, spec: Spec) -> Outputs:
    """input [B, C, L], weight [C, 1, taps], bias [C]?, past_state [B, C, taps - 1]? -> output, present_state."""
    for name, known in _ONLY.items():
        if spec.attr(name) != known:
            raise spec.unsupported(f"its attribute {name} is {spec.attr(name)}, and only {known} is known here")
    activation = spec.text("activation")
    if activation not in ("none", "silu", "swish"):
        raise spec.invalid(f"its attribute activation is {activation}, expected none, silu or swish")
    inputs = [spec.operand(0), spec.operand(1), spec.input(2), spec.input(3)]
    return list(build.ops("CausalConvWithState", *inputs, outputs=2, activation=activation))


def _transposed(build: Build, spec: Spec) -> Outputs:
    """X, W, pads, which the model must hold, and bias."""
    pads, rank = spec.operand(2).constant, spec.operand(0).rank - 2
    if pads is None:
        raise spec.unsupported("pads that only running knows; store them in the model")
    if pads.size != 2 * rank:
        raise spec.invalid(f"{pads.size} pads for {rank} spatial dims")
    given = {k: v for k, v in spec.attributes.items() if v is not None}
    given["pads"] = tuple(int(p) for p in np.asarray(pads).reshape(-1))
    operands = [spec.operand(0), spec.operand(1), *([] if spec.input(3) is None else [spec.operand(3)])]
    return [build.op("ConvTranspose", *operands, **given)]


_CONV = {**dict.fromkeys(("kernel_shape", "output_padding", "dilations", "strides")), "auto_pad": "NOTSET", "group": 1}

OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "CausalConvWithState"): ContribOp(
            _causal, (2, 4), {"activation": "none", **_ONLY}, outputs=2, dtypes=(0, 0)
        ),
        (MICROSOFT, "ConvTransposeWithDynamicPads"): ContribOp(_transposed, (3, 4), _CONV),
    }
)
