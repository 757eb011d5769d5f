"""Whether two types are the same has three answers and one home, `arenaut.ir.types`: no pass asks `==` of types."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import arenaut
from arenaut.ir import types
from tests.support.skeletons import load_skeleton

ROOT = Path(__file__).resolve().parents[2]
REWRITING = [ROOT / "passes", ROOT / "src" / "arenaut" / "lowering"]


def comparisons(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that ask `==` or `!=` of something called a type or a whole shape."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
            for side in (node.left, *node.comparators):
                if isinstance(side, ast.Attribute) and side.attr in ("type", "shape", "tensor"):
                    yield node.lineno, ast.unparse(node)


def test_the_sources_ask_no_equality_of_types_or_shapes() -> None:
    files = [path for folder in REWRITING for path in sorted(folder.rglob("*.py"))]
    assert len(files) > 30
    found = [f"{path.relative_to(ROOT)}:{line}: {text}" for path in files for line, text in comparisons(path)]
    assert not found, "ask same_type or same_shape:\n" + "\n".join(found)


@pytest.mark.parametrize("name", ["gpt2-2l", "mobilenet-v3-large", "ppocr-rec"])
def test_loading_asks_no_equality_of_types(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sources hide behind other names: every comparison of types is caught as it happens."""
    asked: set[str] = set()
    honest = types.TensorType.__eq__

    def spy(self: types.TensorType, other: object) -> bool:
        frame = sys._getframe(1)
        asked.add(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return honest(self, other)

    monkeypatch.setattr(types.TensorType, "__eq__", spy)
    arenaut.load_onnx(load_skeleton(name))
    rooms = ("/passes/", "/lowering/")
    assert not [place for place in asked if any(room in place for room in rooms)]
