"""The mutants: a pass, a rule of the planner or a lowered pass that does nothing; a kernel row that is not found, or
does not pack its weights; a choice between code paths of a kernel that always falls one way."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arenaut.native.rows import Row

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """name: how it is called on the command line. owner: the module or class that has the function. tests: what has to
    fail, as paths for pytest. forced: instead of a function, the choice of a kernel that falls one way, "name=0" or
    "name=1"; that wants a build with ARENAUT_MUTANTS."""

    name: str
    owner: str
    function: str
    without: Callable[[Callable[..., Any]], Callable[..., Any]]
    tests: tuple[str, ...]
    forced: str | None = None


def _nothing(result: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda original: lambda *args, **kwargs: result


def _first_argument(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda first, *args, **kwargs: first


# What does nothing in the place of a rule of the planner, or of the choices beside it.
_RULES: Mapping[str, tuple[str, str, Callable[[Callable[..., Any]], Callable[..., Any]], tuple[str, ...]]] = (
    MappingProxyType(
        {
            "dependencies": ("planner.problem", "step_dependencies",
                             lambda f: lambda problem: [[] for _ in problem.steps], ("tests/planner",)),
            "order_search": ("planner.order", "_search", _nothing(None), ("tests/planner/test_order.py",)),
            "order_kahn": ("planner.order", "kahn_order",
                           lambda f: lambda problem, dependencies: list(range(len(problem.steps))),
                           ("tests/planner/test_order.py",)),
            "sharing": ("planner.sharing:SharedOrder", "_accept_most", _nothing(False), ("tests/planner",)),
            "share_spans": ("planner.sharing:SharedOrder", "_keep_order", _nothing(True), ("tests/planner",)),
            "share_contents": ("planner.sharing:SharedOrder", "_same_content", _nothing(True), ("tests/planner",)),
            "output_reuse": ("planner.output_reuse", "choose_guests", _nothing(()),
                             ("tests/planner/test_output_reuse.py",)),
            "packing_search": ("planner.packing", "_search", _nothing(None), ("tests/planner",)),
            "packing_order": ("planner.packing", "placement_order",
                              lambda f: lambda rects, packer, name: list(range(len(rects))), ("tests/planner",)),
            "destinations": ("lowering.destinations", "destinations", _nothing({}),
                             ("tests/lowering", "tests/executor/test_nn_ops.py")),
        }
    )
)  # fmt: skip


_CHOICE = re.compile(r'ARN_CHOICE\(\s*"([^"]+)",\s*(true)?')


def _unchanged(original: Callable[..., Any]) -> Callable[..., Any]:
    return original


def _choices() -> list[Mutant]:
    """Two for each ARN_CHOICE of the kernels: the path is never taken, and is always taken where it can be. Those that
    are called after a CPU feature that this machine has not are left out: no build of it asks for them."""
    from arenaut import _native

    absent = {name for name, bit, _ in _native.features() if not bit & _native.cpu()["features"]}
    kernels = ROOT / "cpp" / "kernels"
    text = "".join(p.read_text("utf-8") for p in sorted([*kernels.rglob("*.h"), *kernels.rglob("*.cc")]))
    always = {
        name: not fixed for name, fixed in _CHOICE.findall(text) if name.split("/")[1] not in {"<variant>", *absent}
    }
    ways = [(name, way) for name, both in always.items() for way in ("never", "always")[: 1 + both]]
    return [
        Mutant(f"{name}: {way}", "", "", _unchanged, ("tests/kernels/test_variants.py",),
               f"{name}={int(way == 'always')}")
        for name, way in ways
    ]  # fmt: skip


def _rows() -> list[Mutant]:
    """One for each kernel row and tier, which is not found; one for each name of a row that packs, which does not."""
    from arenaut.native.rows import all_rows
    from arenaut.native.target import TIERS

    def lost(row: Row) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return lambda family: lambda name: tuple(r for r in family(name) if r.index != row.index)

    def unpacked(row: Row) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return lambda family: lambda name: tuple(replace(r, packs=r.packs and r.name != row.name) for r in family(name))

    native = "arenaut.native.rows"
    found = [
        Mutant(f"row {row.name} {TIERS[row.tier]}", native, "_family", lost(row), ("tests/native/test_rows.py",))
        for row in all_rows()
    ]
    packing = {row.name: row for row in all_rows() if row.packs}
    found += [
        Mutant(f"packing of {name}", native, "_family", unpacked(row), ("tests/lowering/test_emit.py",))
        for name, row in packing.items()
    ]
    return found


def all_mutants() -> list[Mutant]:
    """One for each pass of both pipelines, for each rule above, and those of the kernel rows."""
    from arenaut.lowering.pipeline import LOWERED_PIPELINE
    from arenaut.passes.pipeline import DEFAULT_PIPELINE

    passes = list(dict.fromkeys(p.run for p in DEFAULT_PIPELINE))
    found = [_pass_mutant(run) for run in passes]
    found += [
        Mutant(run.__name__, run.__module__, run.__name__, _first_argument, ("tests/lowering",))
        for run in dict.fromkeys(p.run for p in LOWERED_PIPELINE)
    ]
    found += [Mutant(name, f"arenaut.{owner}", *rest) for name, (owner, *rest) in _RULES.items()]
    return found + _rows() + _choices()


def _pass_mutant(run: Callable[..., Any]) -> Mutant:
    module = run.__module__.rsplit(".", 1)[1]
    tests = ROOT / "tests" / "passes"
    own = [p for p in sorted(tests.glob("test_*.py")) if run.__name__ in p.read_text("utf-8")]
    named = tests / f"test_{module}.py"
    chosen = [named] if named.exists() else own or [tests]
    return Mutant(run.__name__, run.__module__, run.__name__, _nothing(False),
                  tuple(str(p.relative_to(ROOT)) for p in chosen))  # fmt: skip


def apply(mutant: Mutant) -> None:
    """Puts the mutant in the place of the function, wherever a loaded module of arenaut holds that."""
    if mutant.forced is not None:  # the environment tells the kernels
        return
    module, _, within = mutant.owner.partition(":")
    owner = import_module(module)
    if within:
        kept = getattr(owner, within)
        setattr(kept, mutant.function, mutant.without(getattr(kept, mutant.function)))
        return
    original = getattr(owner, mutant.function)
    changed = mutant.without(original)
    changed.__name__, changed.__module__ = original.__name__, original.__module__
    for loaded in [m for name, m in list(sys.modules.items()) if name.startswith("arenaut")]:
        for name, value in list(vars(loaded).items()):
            if value is original:
                setattr(loaded, name, changed)
            elif isinstance(value, MappingProxyType) and any(entry is original for entry in value.values()):
                table = {key: changed if entry is original else entry for key, entry in value.items()}
                setattr(loaded, name, MappingProxyType(table))
            elif isinstance(value, tuple) and any(getattr(p, "run", None) is original for p in value):
                for p in value:  # the entries of a pipeline are frozen: that it holds the mutant is the point
                    if p.run is original:
                        object.__setattr__(p, "run", changed)
