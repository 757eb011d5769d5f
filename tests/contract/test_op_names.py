"""Passes ask records, not names: which op names stand in passes/ outside patterns. The list may only shrink."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from arenaut.ir.ops import all_records

PASSES = Path(__file__).resolve().parents[2] / "passes"
# Calls whose arguments say what a pattern looks like, or what is built in its place.
PATTERNS = frozenset({"Op", "made_by", "Rule", "tree", "op", "ops", "_one", "one"})
OPS = frozenset(op for _, op in all_records())

# file -> the names that still decide something there.
EXCEPTIONS: dict[str, set[str]] = {
    "absorb_bias.py": {"Add", "Conv", "ConvTranspose", "Sub"},
    "absorb_pads.py": {"AveragePool", "Clip", "Conv", "MaxPool"},
    "cancel_transposes.py": {"Transpose"},
    "choose_layouts.py": {"Fused"},
    "collapse_reshapes.py": {"Reshape"},
    "dequantise_late.py": {"Transpose"},
    "drop_requantising.py": {"QuantizeLinear"},
    "expand_powers.py": {"Pow"},
    "fold_batch_norm.py": {"BatchNormalization", "Conv"},
    "fold_scales.py": {"Conv", "Div", "MatMul", "Mul"},
    "fuse_elementwise.py": {"Fused"},
    "gather_early.py": {"Gather"},
    "join_heads.py": {"LayerNormalization", "RMSNormalization", "RotaryEmbedding", "Split", "Transpose"},
    "merge_casts.py": {"Cast"},
    "merge_products.py": {"Add", "Gemm", "MatMul", "QMatMul"},
    "merge_reductions.py": {"ReduceSum", "ReduceSumSquare"},
    "quantise_early.py": {"QuantizeLinear"},
    "raise_activations.py": {
        "Add",
        "Clip",
        "Div",
        "Erf",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Min",
        "Mish",
        "Mul",
        "Sigmoid",
        "Sub",
        "Swish",
        "Tanh",
    },
    "raise_attention.py": {"Add", "Attention", "Div", "IsNaN", "MatMul", "Mul", "Where"},
    "raise_integer_products.py": {"Add", "Cast", "Mul", "QConv"},
    "raise_norms.py": {
        "GroupNormalization",
        "Identity",
        "InstanceNormalization",
        "LayerNormalization",
        "RMSNormalization",
    },
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
    "read_sizes_from_inputs.py": {"Shape"},
    "reading/algebra.py": {"Add", "Div", "Mul", "Neg", "Pow", "Sub"},
    "reading/masks.py": {"And", "Expand"},
    "replace_known_gathers.py": {"Gather"},
    "rewriting/quantised.py": {"DequantizeLinear"},
    "specialise.py": {"If"},
    "write_out_control_flow.py": {"Identity", "If", "Loop"},
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
