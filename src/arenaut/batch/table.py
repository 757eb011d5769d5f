"""Record batches through a model: a table of results, and one of the rows without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from arenaut.batch.arrow import column_of, columns_of, field_of
from arenaut.batch.functions import Function, applied, function_of
from arenaut.batch.rows import Columns, Results, RowOptions, RowRunner, Run
from arenaut.errors import OptionError
from arenaut.pool.models import Face

REASON = "reason"


class TableRunner:
    """run: see RowRunner. outputs: names; None for all. keep: columns that results have, too; None for all that feed no
    input. before, after: see functions."""

    def __init__(
        self, face: Face, run: Run, rows: RowOptions, outputs: Sequence[str] | None = None,
        keep: Sequence[str] | None = None, before: str | Function | None = None, after: str | Function | None = None,
    ) -> None:  # fmt: skip
        self._runner = RowRunner(face, run, rows, outputs)
        self._fields = [field_of(o, self._runner.has_axis) for o in face.outputs if o.name in self._runner.outputs]
        self._keep = keep
        self._before, self._after = function_of(before), function_of(after)

    def __call__(self, batch: Any) -> tuple[Any, Any]:
        """Tables: rows with results, in their order; and the others as they came, with the reason."""
        needed = self._before is None and self._runner.used <= set(batch.schema.names)
        columns: Columns = columns_of(batch, sorted(self._runner.used) if needed else None)
        bad: dict[int, str] = {}
        if self._before is not None:
            columns, bad = applied(self._before, columns)
        ran = self._without(columns, bad, batch.num_rows)
        keep = self._keep
        names = [n for n in batch.schema.names if n not in self._runner.used] if keep is None else list(keep)
        table = pa.Table.from_batches([batch.take(pa.array(ran.good, pa.int64()))]).select(names)
        for field, column in self._results(ran):
            table = table.append_column(field, column)
        numbers = sorted(ran.bad)
        wrong = pa.Table.from_batches([batch.take(pa.array(numbers, pa.int64()))])
        return table, wrong.append_column(REASON, pa.array([ran.bad[n] for n in numbers], pa.string()))

    def _without(self, columns: Columns, bad: Mapping[int, str], count: int) -> Results:
        """Runs the rows that the step before did not refuse."""
        if not bad:
            return self._runner(columns)
        left = [n for n in range(count) if n not in bad]
        if not left:
            return Results([], {name: [] for name in self._runner.outputs}, dict(bad))
        ran = self._runner({name: [column[n] for n in left] for name, column in columns.items()})
        refused = {left[n]: text for n, text in ran.bad.items()}
        return Results([left[n] for n in ran.good], ran.outputs, {**bad, **refused})

    def _results(self, ran: Results) -> list[tuple[Any, Any]]:
        if self._after is None:
            return [(f, column_of(ran.outputs[f.name], f.type)) for f in self._fields]
        made, refused = applied(self._after, ran.outputs)
        if refused:
            number, text = next(iter(refused.items()))
            raise OptionError(f"the function after the model refuses the results of row {ran.good[number]}: {text}")
        return [(n, pa.array([v.tolist() if hasattr(v, "tolist") else v for v in c])) for n, c in made.items()]
