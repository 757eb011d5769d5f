"""onnxruntime's sums and norms with gates, by the standard's ops."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
from arenaut.frontend.spec import Spec
from arenaut.frontend.upgrade.common import scalar_like
from arenaut.ir import DType, Value
from arenaut.ir.infer import settled
from arenaut.ir.ops.support.composite import cast, concat, dims_of, ints
from arenaut.ir.record import Build, UnknownError


def _wide(build: Build, x: Value) -> Value:
    return cast(build, x, DType.FLOAT if x.dtype in (DType.FLOAT16, DType.BFLOAT16) else x.dtype)


def _gated_add(build: Build, spec: Spec) -> Outputs:
    if spec.input(3) is not None:
        raise spec.unsupported("a gate that a weight projects is one that onnxruntime has on GPUs alone")
    return [build.op("Add", spec.operand(0), build.op("Mul", spec.operand(1), spec.operand(2)))]


def _by_groups(build: Build, x: Value, count: int) -> Value:
    """The last dim as rows of `count`."""
    return build.op("Reshape", x, concat(build, [dims_of(build, x, 0, x.rank - 1), ints(build, -1, count)], 0))


def _normed(build: Build, spec: Spec, x: Value, scale: Value | None) -> Value:
    """x over the root of the mean of its squares along the last dim, in float32 at least."""
    ones = scale if scale is not None else build.op("Expand", scalar_like(build, 1.0, x), ints(build, 1))
    return build.op("RMSNormalization", x, ones, axis=-1, epsilon=spec.attr("epsilon"), stash_type=1)


def _gated_rms_norm(build: Build, spec: Spec) -> Outputs:
    x, scale = _wide(build, spec.operand(0)), _wide(build, spec.operand(1))
    name = spec.text("activation")
    if name not in ("silu", "swish", "sigmoid"):
        raise spec.invalid(f"its attribute activation is {name}, expected silu, swish or sigmoid")
    count = settled(scale.shape[0]) if scale.rank == 1 else None
    if count is None:
        raise UnknownError(f"the length of '{scale.name}' is not known")
    normed = build.op("Reshape", _normed(build, spec, _by_groups(build, x, count), scale), build.op("Shape", x))
    gate = build.op("Sigmoid" if name == "sigmoid" else "Swish", _wide(build, spec.operand(2)))
    return [cast(build, build.op("Mul", normed, gate), spec.operand(0).dtype)]


def _branchwise_rms_norm(build: Build, spec: Spec) -> Outputs:
    """scale: of a branch, or of all of them, side by side or as rows."""
    given, scale, branches = _wide(build, spec.operand(0)), spec.input(1), int(spec.attr("num_branches"))
    x = given
    if branches:
        width = settled(given.shape[-1])
        if width is None:
            raise UnknownError(f"the width of '{given.name}' is not known")
        if branches < 0 or width % branches:
            raise spec.invalid(f"{width} columns are no {branches} branches")
        x = _by_groups(build, given, width // branches)
    normed = _normed(build, spec, x, None)
    if scale is not None:
        size, all_of_it = settled(x.shape[-1]), settled(scale.shape[-1])
        if size is None or all_of_it is None:
            raise UnknownError(f"the sizes of '{x.name}' and '{scale.name}' are not known")
        factors = _wide(build, scale)
        if all_of_it != size:
            factors = build.op("Reshape", factors, ints(build, -1, size))
        normed = build.op("Mul", normed, cast(build, factors, normed.dtype))
    if x is not given:
        normed = build.op("Reshape", normed, build.op("Shape", given))
    return [cast(build, normed, spec.operand(0).dtype)]


def _scaled_silu(build: Build, spec: Spec) -> Outputs:
    x, scale = spec.operand(0), spec.input(1)
    factor = scalar_like(build, spec.attr("alpha"), x) if scale is None else cast(build, scale, x.dtype)
    if scale is not None and scale.rank:
        factor = build.op("Reshape", factor, build.op("Shape", scalar_like(build, 1.0, x)))
    scaled = build.op("Mul", x, factor)
    return [build.op("Mul", scaled, build.op("Sigmoid", scaled))]


OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "GatedAdd"): ContribOp(_gated_add, (3, 4)),
        (MICROSOFT, "GatedRMSNorm"): ContribOp(_gated_rms_norm, (3, 3), {"activation": "silu", "epsilon": 1e-5}),
        (MICROSOFT, "BranchwiseRMSNorm"): ContribOp(_branchwise_rms_norm, (1, 2), {"num_branches": 0, "epsilon": 1e-5}),
        (MICROSOFT, "ScaledSiLU"): ContribOp(_scaled_silu, (1, 2), {"alpha": 1.0}),
    }
)
