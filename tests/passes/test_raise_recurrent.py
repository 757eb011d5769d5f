"""Loops that are recurrent layers, in the forms that converters write, and loops that only look like them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from arenaut.passes.raise_recurrent import raise_recurrent
from tests.support.recurrent_loops import CELLS, loop
from tests.support.rewriting import Rewritten, rewrite


def raised(*args: object, **options: object) -> Rewritten:
    model, feeds = loop(*args, **options)  # type: ignore[arg-type]
    return rewrite(model, raise_recurrent, feeds=feeds, rtol=1e-5)


def the_op(name: str) -> str:
    return name.split("_")[0].upper()


@pytest.mark.parametrize("form", ["while", "for", "scan"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_loop_becomes_the_op(cell: str, form: str) -> None:
    result = raised(cell, form=form)
    assert the_op(cell) in result.ops and not {"Loop", "Scan"} & set(result.ops), result.events


def test_gates_keep_their_activations_and_a_reset_its_place() -> None:
    def node(cell: str) -> dict[str, object]:
        found = next(n for n in raised(cell).graph.nodes if n.op == the_op(cell))
        return dict(found.attributes)

    assert node("lstm_apart")["activations"] == ("Sigmoid", "Relu", "Softsign")
    assert node("gru_keras")["linear_before_reset"] == 1 and node("gru_joined")["linear_before_reset"] == 0


@pytest.mark.parametrize("form", ["for", "scan"])
def test_the_length_may_be_a_symbol(form: str) -> None:
    """A trip count that is a number says nothing of a length that is none."""
    result = raised("lstm_keras", "t", form=form)
    assert ("LSTM" in result.ops) == (form == "scan")


def test_fewer_steps_than_rows() -> None:
    for form in ("while", "for"):
        result = raised("gru_keras", form=form, runs=4)
        assert "Slice" in result.ops and "GRU" in result.ops


def test_a_counter_that_is_read_is_the_number_of_steps() -> None:
    result = raised("rnn_keras", keeps=("all", "count"))
    assert "RNN" in result.ops


Change = Callable[[onnx.GraphProto], None]


def _set_input(op: str, index: int, name: str, which: int = 0) -> Change:
    def change(body: onnx.GraphProto) -> None:
        [n for n in body.node if n.op_type == op][which].input[index] = name

    return change


def _rename(old: str, new: str, which: int = 0) -> Change:
    def change(body: onnx.GraphProto) -> None:
        [n for n in body.node if n.op_type == old][which].op_type = new

    return change


def _stack_cell(body: onnx.GraphProto) -> None:
    body.output[-1].name = body.output[-2].name
    body.node.append(onnx.helper.make_node("Identity", [body.output[-2].name], ["again"]))
    body.output[-1].name = "again"


@pytest.mark.parametrize(("change", "reason"), [
    (_rename("Tanh", "Sin"), "no cell"),  # another candidate
    (_rename("Sigmoid", "Tanh"), "no cell"),  # gates of two kinds
    (_set_input("Mul", 1, "h"), "no cell"),  # the forget gate meets the hidden state
    (_stack_cell, "stacks other values"),
    (_rename("Less", "Greater"), "decides whether it goes on"),
    (_set_input("Unsqueeze", 0, "i"), None),  # the same rows by another counter
])  # fmt: skip
def test_what_only_looks_like_it_stays(change: Change, reason: str | None) -> None:
    model, feeds = loop("lstm_keras", keeps=("all",))
    change(next(n for n in model.graph.node if n.op_type == "Loop").attribute[0].g)
    result = rewrite(model, raise_recurrent, feeds=feeds, rtol=1e-5)
    assert ("Loop" in result.ops) == (reason is not None), result.events
    assert reason is None or any(reason in r for r in result.reasons("recurrent")), result.events


def test_rows_from_the_end_are_not_taken_for_rows_from_the_start() -> None:
    model, feeds = loop("lstm_keras", form="for")
    body = model.graph.node[0].attribute[0].g
    body.node.insert(0, onnx.helper.make_node("Sub", ["last", "i"], ["back"]))
    next(n for n in body.node if n.op_type == "Gather").input[1] = "back"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(6, np.int64), "last"))
    result = rewrite(model, raise_recurrent, feeds=feeds, rtol=1e-5)
    assert "Loop" in result.ops and any("one after the other" in r for r in result.reasons("recurrent"))
