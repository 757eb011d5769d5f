"""What lowering knows of kernel families: how steps are cut, what they sum over."""

from __future__ import annotations

from arenaut.lowering.families import DEFAULTS, FAMILIES, cut_output, cut_sum, family_of
from arenaut.native.rows import all_rows
from tests.support.lowering import lowered, step_of

MATMUL = "t (float[5, 8] x, float[8, 16] w) => (float[5, 16] y) { y = MatMul (x, w) }"
CONV = (
    "t (float[1, {c}, 9, 9] x, float[{o}, {k}, 3, 3] w) => (float[1, {o}, 7, 7] y) {{ y = Conv <group = {g}> (x, w) }}"
)


def conv(channels: int, filters: int, group: int) -> str:
    return CONV.format(c=channels, o=filters, k=channels // group, g=group)


def test_every_record_is_of_a_family_that_has_rows() -> None:
    assert set(FAMILIES) <= {row.family for row in all_rows()}


def test_a_family_without_a_record_is_not_cut() -> None:
    step = step_of(lowered("t (float[4, 6] x) => (float[4, 6] y) { y = Softmax (x) }"), "Softmax")
    assert family_of(step) is DEFAULTS and cut_output(step, 1) is None and cut_sum(step) is None


def test_products_are_cut_by_columns_and_summed_in_parts() -> None:
    step = step_of(lowered(MATMUL), "MatMul")
    cut, total = cut_output(step, 1), cut_sum(step)
    assert cut is not None and cut.axes[:2] == [None, 1]
    assert total is not None and (total.source, total.weight, total.outer) == (1, 0, 1)
    assert cut_output(step, 0) is None  # rows are tasks already


def test_a_product_that_is_no_float32_is_not_summed_in_parts() -> None:
    wide = step_of(lowered(MATMUL.replace("float", "double")), "MatMul")
    assert cut_sum(wide) is None and cut_output(wide, 1) is not None


def test_convolutions_are_cut_by_filters_or_each_channel_with_its_own() -> None:
    plain, own = step_of(lowered(conv(4, 8, 1)), "Conv"), step_of(lowered(conv(4, 4, 4)), "Conv")
    cut, total = cut_output(plain, 1), cut_sum(plain)
    assert cut is not None and cut.axes[:2] == [None, 0] and total is not None and total.source == 1
    depthwise = cut_output(own, 1)
    assert depthwise is not None and depthwise.axes[:2] == [1, 0] and depthwise.params(own, 2)["group"] == 2
    assert cut_sum(own) is None


def test_groups_of_several_channels_stay_whole() -> None:
    step = step_of(lowered(conv(4, 8, 2)), "Conv")
    assert cut_output(step, 1) is None and cut_sum(step) is None


def test_broadcast_operands_of_elementwise_steps_stay_whole() -> None:
    step = step_of(lowered("t (float[5, 8] x, float[5, 1] z) => (float[5, 8] y) { y = Add (x, z) }"), "Tile")
    cut = cut_output(step, 1)
    assert cut is not None and cut.axes == [1, None]
    rows = cut_output(step, 0)
    assert rows is not None and rows.axes == [0, 0]


def test_the_queries_of_one_head_of_keys_stay_together() -> None:
    body = """t (float[1, 8, 5, 16] q, float[1, 2, 7, 16] k, float[1, 2, 7, 16] v) => (float[1, 8, 5, 16] y)
              { y = Attention (q, k, v) }"""
    cut = cut_output(step_of(lowered(body, opset=23), "Attention"), 1)
    assert cut is not None and cut.axes == [1, 1, 1, None] and cut.unit == 4
