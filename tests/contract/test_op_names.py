"""Passes ask records, not names: which op names stand in passes/ outside patterns. The list may only shrink."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from arenaut.ir.ops import all_records

PASSES = Path(__file__).resolve().parents[2] / "passes"
# Calls whose arguments say what a pattern looks like, from a single node (is_op, made_by) to a tree of them, or what is
# built in its place.
PATTERNS = frozenset(
    {"Op", "Maybe", "Spelling", "is_op", "made_by", "Rule", "tree", "_over_axes", "add", "op", "ops", "_one", "one"}
    | {"operands_of", "both_orders"}
)
OPS = frozenset(op for _, op in all_records())

# file -> the names that still decide something there, and what it is that they decide.
EXCEPTIONS: dict[str, set[str]] = {
    # Which windows state pads, and how.
    "absorb_pads.py": {"AveragePool", "Clip", "Conv", "MaxPool"},
    # The cells, and the activations that their gates have.
    "raise_recurrent.py": {"GRU", "LSTM", "RNN", "Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"},
    # The steps between a joined product and its heads.
    "join_heads.py": {"LayerNormalization", "RMSNormalization", "RotaryEmbedding", "Split", "Transpose"},
    # Gemm and QMatMul state transposes that MatMul has not.
    "merge_products.py": {"Gemm", "QMatMul"},
    # The cores of activations, by name.
    "raise_activations.py": {"Clip", "Erf", "HardSigmoid", "Min", "Sigmoid", "Tanh"},
    # The row family that must exist.
    "raise_attention.py": {"Attention"},
    # The norms that an affine part is folded into.
    "raise_norms.py": {"GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization"},
    # What may lie between an angle table and its use.
    "raise_rotary.py": {
        "Cast",
        "Concat",
        "Cos",
        "Div",
        "Expand",
        "Gather",
        "Identity",
        "Mul",
        "Reshape",
        "Sin",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    },
    # What an affine form of a row is made of, and of a value.
    "reading/affine.py": {"Add", "Concat", "Gemm", "Identity", "MatMul", "Slice", "Split"},
    "reading/algebra.py": {"Add", "Div", "Mul", "Neg", "Pow", "Sub"},
}


def names_outside_patterns(tree: ast.AST) -> Iterator[str]:
    """Texts that are names of ops and no arguments of a pattern; comparisons of a node's op are among them."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in PATTERNS:
                pending += [n for n in ast.walk(node) if isinstance(n, ast.Lambda)]
                continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in OPS:
            yield node.value
        pending += list(ast.iter_child_nodes(node))


def test_what_counts_as_a_pattern() -> None:
    source = 'made_by(x, "Cast"); node.op == "Add"; {"Mul": 1}; build.op("Reshape", x); Op("Relu", f("Tanh"))'
    assert sorted(names_outside_patterns(ast.parse(source))) == ["Add", "Mul"]


@pytest.mark.parametrize("path", sorted(PASSES.rglob("*.py")), ids=lambda p: str(p.relative_to(PASSES)))
def test_no_op_name_outside_patterns(path: Path) -> None:
    found = set(names_outside_patterns(ast.parse(path.read_text("utf-8"))))
    assert found == EXCEPTIONS.get(str(path.relative_to(PASSES)), set())
