"""Tile programs: registers, immediates, limits, and what must be rounded before it is used."""

from __future__ import annotations

import pytest

from arenaut.ir.dtypes import DType
from arenaut.lowering.tiles import (
    MAX_INSTRUCTIONS,
    TileLimitError,
    Tiles,
    tile_function,
    tile_of_graph,
)
from tests.support.lowering import graph_of


def test_temporaries_are_used_again_after_their_last_use() -> None:
    tiles = Tiles()
    value = tiles.load(DType.FLOAT)
    for stem in ("exp", "neg", "abs"):
        value = tiles.op(stem, value)  # type: ignore[assignment]
    spec = tiles.finish([value])
    assert spec.names == ["exp_f32", "neg_f32", "abs_f32"]
    assert len(spec.reg_dtypes) == 2  # the operand and one temporary
    assert [code[0] for code in spec.instructions] == [tile_function(n) for n in spec.names]


def test_a_result_that_is_used_later_keeps_its_register() -> None:
    tiles = Tiles()
    x = tiles.load(DType.FLOAT)
    kept = tiles.op("exp", x)
    spec = tiles.finish([tiles.op("add", tiles.op("neg", kept), kept)])  # type: ignore[list-item]
    (_, first, *_), (_, second, *_), _ = spec.instructions
    assert first != second


def test_equal_immediates_are_one_and_different_types_are_two() -> None:
    tiles = Tiles()
    assert tiles.imm(1.0, DType.FLOAT) is tiles.imm(1, DType.FLOAT)
    assert tiles.imm(1.0, DType.FLOAT) is not tiles.imm(1.0, DType.DOUBLE)
    assert tiles.imm(0.0, DType.FLOAT) is not tiles.imm(-0.0, DType.FLOAT)


def test_what_nobody_reads_is_left_out() -> None:
    tiles = Tiles()
    x = tiles.load(DType.FLOAT)
    tiles.op("exp", x)
    assert tiles.finish([tiles.op("neg", x)]).names == ["neg_f32"]  # type: ignore[list-item]


def test_limits_and_unknown_functions_are_errors_that_lowering_knows() -> None:
    tiles = Tiles()
    value = tiles.load(DType.FLOAT)
    with pytest.raises(TileLimitError, match="no tile function"):
        tiles.op("no_such_function", value)
    with pytest.raises(TileLimitError):
        Tiles().load(DType.STRING)
    for _ in range(MAX_INSTRUCTIONS + 1):
        value = tiles.op("exp", value)  # type: ignore[assignment]
    with pytest.raises(TileLimitError, match="limits"):
        tiles.finish([value])


def test_scalars_of_a_body_are_immediates_and_values_are_operands() -> None:
    graph = graph_of("t (float[4] x, float[4] z) => (float[4] y) { a = Add (x, z)  c = Constant <value = float {2}> ()"
                     "  y = Mul (a, c) }")  # fmt: skip
    nodes = [n for n in graph.nodes if n.op != "Constant"]
    spec, operands = tile_of_graph(graph, nodes)
    assert [v.name for v in operands] == ["x", "z"] and len(spec.immediates) == 1
    assert spec.names == ["add_f32", "mul_f32"]
    spec, operands = tile_of_graph(graph, nodes, graph.inputs[0], first_operand=3)
    assert [v.name for v in operands] == ["z"] and spec.first_operand == 3


def test_a_narrow_result_in_the_middle_is_not_kept_wide() -> None:
    """Registers hold float32: a float16 that another node reads has to be rounded, which a tile program does not."""
    body = "t ({0}[4] x) => ({0}[4] y) {{ a = Exp (x)  y = Exp (a) }}"
    graph = graph_of(body.format("float16"))
    with pytest.raises(TileLimitError, match="rounded"):
        tile_of_graph(graph, graph.nodes)
    single = graph_of(body.format("float"))
    assert tile_of_graph(single, single.nodes)[0].names == ["exp_f32", "exp_f32"]
