"""Rows of a table as feeds: joined, padded, refused one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import arenaut
from arenaut.batch.functions import applied, function_of
from arenaut.batch.joined import run_joined
from arenaut.batch.rows import RowOptions, RowRunner
from arenaut.errors import InputError, OptionError
from arenaut.pool.models import Face
from tests.support.serving import doubling, model


def runner(proto: Any, runs: list[dict[str, tuple[int, ...]]] | None = None, **options: Any) -> RowRunner:
    loaded = arenaut.load_onnx(proto, threads=1)
    face = Face(tuple(loaded.inputs), tuple(loaded.outputs), 0, 0, False)

    def run(feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        if runs is not None:
            runs.append({n: f.shape for n, f in feeds.items()})
        return loaded.run(dict(feeds))

    return RowRunner(face, run, RowOptions(**options))


def masked_sum() -> Any:
    """total = sum of ids where mask is 1; each = ids + 1."""
    node = helper.make_node
    return model(
        [node("Mul", ["ids", "mask"], ["kept"]), node("ReduceSum", ["kept", "axis"], ["total"], keepdims=0),
         node("Add", ["ids", "one"], ["each"])],
        [("ids", TensorProto.INT64, ["b", "n"]), ("mask", TensorProto.INT64, ["b", "n"])],
        [("total", TensorProto.INT64, ["b"]), ("each", TensorProto.INT64, ["b", "n"])],
        {"axis": np.array([1]), "one": np.array(1)},
    )  # fmt: skip


def test_rows_are_run_together_and_come_back_in_order() -> None:
    runs: list[dict[str, tuple[int, ...]]] = []
    results = runner(doubling(), runs, rows=8)({"x": np.arange(80, dtype=np.float32).reshape(20, 4)})
    assert [r["x"] for r in runs] == [(8, 4), (8, 4), (4, 4)]
    assert results.good == list(range(20)) and results.bad == {}
    assert np.array_equal(np.stack(results.outputs["y"]), 2 * np.arange(80).reshape(20, 4))


def test_bad_rows_are_told_apart_with_their_reason() -> None:
    column = [[1, 2, 3, 4], [1, 2, 3], None, ["a"] * 4, [[1, 2, 3, 4]], [5.0] * 4, [1, [2], 3, 4]]
    results = runner(doubling())({"x": column})
    assert results.good == [0, 5]
    assert results.bad == {
        1: "column 'x': expected 4, got shape (3,)", 2: "column 'x' is null",
        3: "column 'x': expected float32, got <U1",
        4: "column 'x': expected rank 1, got shape (1, 4)", 6: "column 'x': rows of different sizes in one value",
    }  # fmt: skip


def test_what_fails_while_running_is_found_by_halves() -> None:
    """Integers divided by 0 end the run."""
    proto = model([helper.make_node("Div", ["a", "b"], ["y"])],
                  [("a", TensorProto.INT32, ["n"]), ("b", TensorProto.INT32, ["n"])], [("y", TensorProto.INT32, ["n"])],
                  {})  # fmt: skip
    results = runner(proto)({"a": np.full(50, 6), "b": np.array([3] * 20 + [0] + [2] * 29)})
    assert list(results.bad) == [20] and results.bad[20].startswith("ExecutionError: ")
    assert [int(v) for v in results.outputs["y"]] == [2] * 20 + [3] * 29


def test_ragged_rows_are_padded_and_results_are_cut_back() -> None:
    runs: list[dict[str, tuple[int, ...]]] = []
    rows = [[1, 2, 3], [4], [5, 6], [7] * 9]
    padded = runner(masked_sum(), runs, pad={"ids": 99}, mask={"mask": "ids"}, buckets=(4, 8))
    results = padded({"ids": rows})
    assert sorted(r["ids"] for r in runs) == [(1, 9), (3, 4)]
    assert [int(t) for t in results.outputs["total"]] == [sum(r) for r in rows]
    assert [e.tolist() for e in results.outputs["each"]] == [[v + 1 for v in r] for r in rows]


def test_without_buckets_rows_are_padded_to_the_longest_they_are_joined_with() -> None:
    runs: list[dict[str, tuple[int, ...]]] = []
    runner(masked_sum(), runs, rows=2, pad={"ids": 0}, mask={"mask": "ids"})({"ids": [[1] * n for n in (5, 1, 4, 2)]})
    assert sorted(r["ids"] for r in runs) == [(2, 2), (2, 5)]


def test_unpadded_rows_are_joined_with_their_like_only() -> None:
    runs: list[dict[str, tuple[int, ...]]] = []
    columns = {"ids": [[1], [1, 2], [3]], "mask": [[1], [1, 1], [0]]}
    results = runner(masked_sum(), runs)(columns)
    assert sorted(r["ids"] for r in runs) == [(1, 2), (2, 1)]
    assert [int(t) for t in results.outputs["total"]] == [1, 3, 0]


def test_rows_whose_columns_disagree_are_bad() -> None:
    results = runner(masked_sum())({"ids": [[1, 2]], "mask": [[1]]})
    assert results.bad == {0: "column 'mask': expected 2 for 'n' as in other columns, got shape (1,)"}


def test_a_model_of_one_row_is_run_row_by_row() -> None:
    proto = model([helper.make_node("Neg", ["x"], ["y"])], [("x", TensorProto.FLOAT, [1, 3])],
                  [("y", TensorProto.FLOAT, [1, 3])], {})  # fmt: skip
    results = runner(proto)({"x": np.ones((4, 3))})
    assert np.array_equal(np.stack(results.outputs["y"]), -np.ones((4, 3)))


def test_a_model_without_an_axis_for_rows_takes_whole_values() -> None:
    proto = model([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], [("x", TensorProto.FLOAT, [5, 3])],
                  [("y", TensorProto.FLOAT, [])], {})  # fmt: skip
    results = runner(proto)({"x": np.ones((2, 5, 3))})
    assert [float(v) for v in results.outputs["y"]] == [15, 15]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"columns": {"q": "a"}}, "columns: .'q'. are no inputs"), ({"pad": {"ids": 0}}, "shares a dim with what is"),
        ({"mask": {"mask": "ids"}}, "mask: .'ids'. are not padded"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_the_model_are_refused(options: Any, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        runner(masked_sum(), **options)


def test_a_table_without_the_column_is_refused() -> None:
    with pytest.raises(OptionError, match=r"there is no x\. The table has z"):
        runner(doubling())({"z": [1]})


def test_integers_are_not_cut_short() -> None:
    proto = model([helper.make_node("Identity", ["x"], ["y"])], [("x", TensorProto.INT8, ["n"])],
                  [("y", TensorProto.INT8, ["n"])], {})  # fmt: skip
    assert runner(proto)({"x": [1, 300]}).bad == {1: "column 'x': not all values are int8"}


def test_a_function_that_refuses_a_row_spoils_no_other() -> None:
    def inverse(columns: Any) -> Any:
        return {"x": [1 / value for value in columns["x"]]}

    made, bad = applied(inverse, {"x": [1, 0, 4]})
    assert made["x"] == [1, None, 0.25] and bad == {1: "ZeroDivisionError: division by zero"}
    with pytest.raises(OptionError, match="names no function"):
        function_of("nothing_of_this_name:f")


def test_feeds_are_joined_where_they_are_alike() -> None:
    sizes = []

    def run(feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        sizes.append(len(feeds["x"]))
        if feeds["x"].max() > 9:
            raise InputError("too large")
        return {"y": 2 * feeds["x"]}

    asked = [{"x": np.full((n, 2), n)} for n in (1, 2, 3)] + [{"x": np.ones((1, 3))}]
    results = run_joined(run, asked, True)
    assert sizes == [6, 1] and [r["y"].shape for r in results] == [(1, 2), (2, 2), (3, 2), (1, 3)]  # type: ignore[index]
    bad = run_joined(run, [{"x": np.full((1, 2), v)} for v in (1, 10)], True)
    assert bad[0]["y"].tolist() == [[2, 2]] and isinstance(bad[1], InputError)  # type: ignore[index]
