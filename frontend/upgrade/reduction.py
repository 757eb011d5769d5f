"""Reductions and what they share: axes that became inputs."""

from __future__ import annotations

from types import MappingProxyType

from arenaut.frontend.spec import Outcome, Rule, Spec, int64s
from arenaut.frontend.upgrade.common import Rules, for_ops, ints_to_input
from arenaut.ir.record import Build

_SINCE_18 = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSumSquare",
)  # fmt: skip


def _count_to_input(build: Build, spec: Spec) -> Outcome:
    return spec.without("k").with_input(1, int64s(build, [spec.attr("k")]))


def _whole_power(default_kernel: bool) -> Rule:
    """The power of an Lp pool was a float; only whole ones mean anything in later versions."""

    def rule(build: Build, spec: Spec) -> Outcome:
        p = spec.attr("p", 2.0)
        if p != int(p):
            raise spec.unsupported(f"its power p is {p}; later opsets know whole powers only")
        if default_kernel and spec.attr("kernel_shape") is None:
            raise spec.invalid("its attribute 'kernel_shape' is required but absent")
        return spec.without(p=int(p))

    return rule


RULES: Rules = MappingProxyType(
    {
        **for_ops(_SINCE_18, 13, ints_to_input("axes", 1)),
        ("", "ReduceSum", 11): ints_to_input("axes", 1),
        ("", "TopK", 1): _count_to_input,
        ("", "LpPool", 1): _whole_power(default_kernel=True),
        ("", "GlobalLpPool", 1): _whole_power(default_kernel=False),
    }
)
