"""onnxruntime's sums and norms with gates and those of several residual streams, by the standard's ops."""

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
    given, scale = _wide(build, spec.operand(0)), spec.input(1)
    x = _grouped(build, spec, given)
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


def _known(value: Value, axis: int) -> int:
    found = settled(value.shape[axis])
    if found is None:
        raise UnknownError(f"dim {axis} of '{value.name}' is not known")
    return found


def _grouped(build: Build, spec: Spec, x: Value) -> Value:
    """Streams that lie side by side as [..., streams, features]."""
    count = int(spec.attr("num_branches"))
    if not count:
        return x
    width = _known(x, -1)
    if count < 0 or width % count:
        raise spec.invalid(f"{width} columns are no {count} branches")
    return _by_groups(build, x, width // count)


def _factors(build: Build, spec: Spec, mix: Value, streams: Value) -> Value:
    """A number for each stream or each of its features, given as [..., streams], [..., streams, 1 or features] or side
    by side: of the streams' rank."""
    factors = _wide(build, mix)
    if factors.rank == streams.rank:
        return factors
    if factors.rank != streams.rank - 1:
        raise spec.invalid(f"'{mix.name}' has rank {mix.rank}, expected {streams.rank - 1} or {streams.rank}")
    if _known(factors, -1) == _known(streams, -2):
        return build.op("Unsqueeze", factors, ints(build, -1))
    return _by_groups(build, factors, _known(streams, -1))


def _pre_mix(build: Build, spec: Spec) -> Outputs:
    streams = _grouped(build, spec, _wide(build, spec.operand(0)))
    weighed = build.op("Mul", streams, _factors(build, spec, spec.operand(1), streams))
    summed = build.op("ReduceSum", weighed, ints(build, -2), keepdims=0)
    scaled = build.op("Mul", summed, scalar_like(build, spec.attr("reduction_scale"), summed))
    return [cast(build, scaled, spec.operand(0).dtype)]


def _post_mix(build: Build, spec: Spec) -> Outputs:
    streams, mix = _grouped(build, spec, _wide(build, spec.operand(0))), spec.input(3)
    added = build.op("Unsqueeze", _wide(build, spec.operand(1)), ints(build, -2))
    added = build.op("Mul", added, _factors(build, spec, spec.operand(2), streams))
    if mix is not None:
        last = [*range(mix.rank - 2), mix.rank - 1, mix.rank - 2]
        streams = build.op("MatMul", build.op("Transpose", _wide(build, mix), perm=last), streams)
    whole = build.op("Reshape", build.op("Add", streams, added), build.op("Shape", spec.operand(0)))
    return [cast(build, whole, spec.operand(0).dtype)]


def _gate(build: Build, spec: Spec) -> Outputs:
    """decay_scale * Softplus(a + dt_bias), and the sigmoid of b, in float32."""
    a, b = spec.operand(0), spec.input(3)
    raised = build.op("Add", _wide(build, a), _wide(build, spec.operand(1)))
    decay = build.op("Mul", build.op("Softplus", raised), _wide(build, spec.operand(2)))
    beta = None if b is None else cast(build, build.op("Sigmoid", _wide(build, b)), b.dtype)
    return [cast(build, decay, a.dtype), beta]


OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "GatedAdd"): ContribOp(_gated_add, (3, 4)),
        (MICROSOFT, "GatedRMSNorm"): ContribOp(_gated_rms_norm, (3, 3), {"activation": "silu", "epsilon": 1e-5}),
        (MICROSOFT, "BranchwiseRMSNorm"): ContribOp(_branchwise_rms_norm, (1, 2), {"num_branches": 0, "epsilon": 1e-5}),
        (MICROSOFT, "ScaledSiLU"): ContribOp(_scaled_silu, (1, 2), {"alpha": 1.0}),
        (MICROSOFT, "HyperConnectionPreMix"): ContribOp(_pre_mix, (2, 2), {"num_branches": 0, "reduction_scale": 1.0}),
        (MICROSOFT, "HyperConnectionPostMix"): ContribOp(_post_mix, (3, 4), {"num_branches": 0}),
        (MICROSOFT, "LinearAttentionGate"): ContribOp(_gate, (3, 4), outputs=2, dtypes=(0, 0)),
    }
)
