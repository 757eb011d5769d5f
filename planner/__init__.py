"""Memory planning: order -> sharing -> lifetimes -> offsets, all pure functions of plain data.

`plan_memory(problem)` does it all; `resize_plan` places the same plan for other sizes; `validate.check_plan` proves a
plan sound with code of its own.
"""

if not __name__.startswith("arenaut."):
    raise ImportError("import this package as arenaut.planner, not as top-level 'planner'")

from arenaut.planner.packing import Effort, Packing, first_fit, pack
from arenaut.planner.plan import NOT_IN_ARENA, MemoryPlan, plan_memory, resize_plan
from arenaut.planner.problem import (
    ALIGNMENT,
    BufferInfo,
    BufferKind,
    Lifetime,
    Part,
    PlanError,
    Problem,
    Rect,
    Share,
    StepUse,
    aligned,
)

__all__ = [
    "ALIGNMENT",
    "NOT_IN_ARENA",
    "BufferInfo",
    "BufferKind",
    "Effort",
    "Lifetime",
    "MemoryPlan",
    "Packing",
    "Part",
    "PlanError",
    "Problem",
    "Rect",
    "Share",
    "StepUse",
    "aligned",
    "first_fit",
    "pack",
    "plan_memory",
    "resize_plan",
]
