"""Which inputs and outputs carry a state, by name and by graph; `arenaut.lowering.pairs`."""

from __future__ import annotations

import pytest
from onnx import parser

from arenaut.errors import OptionError
from arenaut.frontend import import_model
from arenaut.lowering.pairs import Change, Pair, find_pairs, pairs_by_name
from arenaut.native.target import current_target
from arenaut.passes import run_pipeline

NAMES = (
    ("past_key_values.0.key", "present.0.key"),
    ("past_key_values.11.decoder.value", "present.11.decoder.value"),
    ("past_key_values.0.key", "present_key_values.0.key"),
    ("past_0", "present_0"),
    ("past_key_self_3", "present_key_self_3"),
    ("past_key_0", "present_key_0"),
    ("past_conv.1", "present_conv.1"),
    ("state", "stateN"),
    ("h", "hn"),
    ("c", "cn"),
    ("h0", "hn"),
    ("h_0", "h_n"),
    ("state_in", "state_out"),
    ("in_cache0", "out_cache0"),
    ("r1i", "r1o"),
    ("att_cache", "r_att_cache"),
    ("cached_key_0", "new_cached_key_0"),
    ("prev_state", "next_state"),
)


@pytest.mark.parametrize(("name", "other"), NAMES)
def test_names_of_exporters_are_known(name: str, other: str) -> None:
    assert pairs_by_name(["input_ids", name], ["logits", other]) == [(name, other)]


def test_other_names_are_no_pairs() -> None:
    assert pairs_by_name(["input_ids", "x", "mask"], ["logits", "y", "hidden_states"]) == []
    assert pairs_by_name(["h", "c"], ["y", "hn", "cn"]) == [("h", "hn"), ("c", "cn")]


HEAD = '<ir_version: 10, opset_import: ["" : 23]>'


def found(text: str, given: dict[str, str] | None = None, head: str = HEAD) -> list[Pair]:
    model = import_model(parser.parse_model(head + text))
    run_pipeline(model.graph, current_target(1))
    return find_pairs(model.graph, model.input_names, model.output_names, given)


def test_what_a_run_does_is_read_from_the_graph() -> None:
    text = """m (float[1, n, 4] x, float[1, p, 4] past_0, float[1, p, 4] past_1, float[1, k, 4] past_2,
           float[2, 3] past_3)
        => (float[1, q, 4] present_0, float[1, r, 4] present_1, float[1, k, 4] present_2, float[2, 3] present_3) {
        present_0 = Concat<axis = 1>(past_0, x)
        present_1 = Concat<axis = 1>(x, past_1)
        present_2 = Identity(past_2)
        present_3 = Neg(past_3)
    }"""
    assert [(p.change, p.axis) for p in found(text)] == [
        (Change.APPENDS, 1),
        (Change.REPLACES, -1),
        (Change.KEEPS, -1),
        (Change.REPLACES, -1),
    ]


def test_an_append_needs_a_free_length() -> None:
    """A fixed or shared size cannot follow the length of a state."""
    fixed = """m (float[1, n, 4] x, float[1, 8, 4] past_0) => (float[1, q, 4] present_0) {
        present_0 = Concat<axis = 1>(past_0, x)
    }"""
    assert [p.change for p in found(fixed)] == [Change.REPLACES]
    twice = """m (float[1, p, 4] past_0) => (float[1, q, 4] present_0) {
        present_0 = Concat<axis = 1>(past_0, past_0)
    }"""
    assert [p.change for p in found(twice)] == [Change.REPLACES]


def test_writes_where_a_run_is_told_are_updates() -> None:
    """In place, unless something else reads what is written over, or the oldest entry is lost."""
    text = """m (float[b, n, 4] x, int64[b] at, float[b, 8, 4] past_0) => (float[b, 8, 4] present_0, float[b, 8, 4] y) {
        z = TensorScatter<axis = 1>(past_0, x, at)
        present_0 = TensorScatter<axis = 1>(z, x)
        y = Neg(present_0)
    }"""
    head = '<ir_version: 12, opset_import: ["" : 24]>'
    assert found(text, head=head) == [Pair(2, 0, Change.UPDATES, 1, told=True)]
    for line, other in (
        ("Neg(present_0)", "Neg(past_0)"),
        ("Neg(present_0)", "Neg(z)"),
        ("y = Neg(present_0)", "y = Identity(z)"),
        ("<axis = 1>(past_0", '<axis = 1, mode = "circular">(past_0'),
        ("<axis = 1>(z, x)", "<axis = 2>(z, x2)"),
    ):
        changed = text.replace(line, other).replace("float[b, n, 4] x,", "float[b, n, 4] x, float[b, 8, m] x2,")
        assert [p.change for p in found(changed, head=head)] == [Change.REPLACES], other


def test_a_longer_cache_that_is_written_to_is_appended_to() -> None:
    text = """m (float[b, n, 4] x, int64[b] at, float[b, p, 4] past_0) => (float[b, q, 4] present_0) {
        room = Concat<axis = 1>(past_0, x)
        present_0 = TensorScatter<axis = 1>(room, x, at)
    }"""
    assert found(text, head='<ir_version: 12, opset_import: ["" : 24]>') == [Pair(2, 0, Change.APPENDS, 1, told=True)]


def test_pairs_may_be_given() -> None:
    text = "m (float[2, 3] a, int64[2, 3] b) => (float[2, 3] y) { y = Neg(a) }"
    assert found(text) == []
    assert found(text, {"a": "y"}) == [Pair(0, 0, Change.REPLACES)]
    for given, message in (
        ({"a": "z"}, "expected an input of a, b and an output of y"),
        ({"b": "y"}, "cannot become"),
        ({"a": "y", "b": "y"}, "one output to several inputs"),
    ):
        with pytest.raises(OptionError, match=message):
            found(text, given)


MERGED = """m (bool c, float[1, n, 4] x, float[1, p, 4] past_0, float[1, k, 4] past_1)
    => (float[1, q, 4] present_0, float[1, r, 4] present_1) {
    present_0, present_1 = If(c) <
        then_branch = b () => (float[1, t, 4] a0, float[1, 0, 4] a1) {
            a0 = Concat<axis = 1>(past_0, x)
            shape = Constant<value_ints = [1, 0, 4]>()
            a1 = ConstantOfShape(shape)
        },
        else_branch = d () => (float[1, u, 4] b0, float[1, w, 4] b1) { b0 = Neg(x) b1 = Abs(x) }
    >
}"""


def test_a_cache_that_a_branch_returns_nothing_for_stays() -> None:
    """Merged decoders return nothing for the encoder's caches, which are to stay as they were."""
    assert found(MERGED) == [Pair(2, 0, Change.REPLACES), Pair(3, 1, Change.RENEWS)]
    assert found(MERGED, {"past_1": "present_1"}) == [Pair(3, 1, Change.RENEWS)]
    assert [pair.change for pair in found(MERGED.replace("[1, 0, 4]", "[1, 2, 4]"))] == [Change.REPLACES] * 2
