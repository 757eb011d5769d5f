"""Rows of a table become feeds, as many a run as fit together; results become rows; a bad row spoils no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from arenaut.errors import ArenautError, InternalError, OptionError
from arenaut.inputs import TensorInfo
from arenaut.plain import dataclass
from arenaut.pool.models import Face

Array = np.ndarray[Any, Any]
Columns = Mapping[str, Sequence[Any]]
Run = Callable[[Mapping[str, Array]], Mapping[str, Any]]


@dataclass(frozen=True)
class RowOptions:
    """columns: the column of each input; its own name where nothing is said. rows: most of a run.

    pad: by input, what ragged rows are filled up with at their ends; rows of an input that is not named are joined with
    those of the same size only. buckets: sizes to fill up to; without them rows are filled up to the longest they are
    joined with. mask: inputs that no column has, by the padded input that they tell of: 1 for its own values, 0 for
    filling. Results are cut back along the dims that were filled.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    rows: int = 32
    pad: Mapping[str, Any] = field(default_factory=dict)
    buckets: Sequence[int] = ()
    mask: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Results:
    """good: numbers of the rows that have results, ascending; outputs: by name, one array a good row. bad: why the
    others have none, by number."""

    good: list[int]
    outputs: dict[str, list[Array]]
    bad: dict[int, str]


@dataclass
class _Row:
    number: int
    feeds: dict[str, Array]
    sizes: dict[str, int]  # of open dims


class RowRunner:
    """face: of the model. run: feeds to outputs by name, raising ArenautError. outputs: those wanted, None for all."""

    def __init__(self, face: Face, run: Run, options: RowOptions, outputs: Sequence[str] | None = None) -> None:
        self._run, self._options = run, options
        self._outputs = [o for o in face.outputs if outputs is None or o.name in outputs]
        unknown = set(outputs or ()) - {o.name for o in face.outputs}
        self._check(face, unknown)
        self._inputs = {i.name: i for i in face.inputs}
        self._joined = face.rows_are_axis_0
        self.has_axis = self._joined or all(_one_row(i) for i in face.inputs)
        self._padded = {d for n in options.pad for d in self._dims(self._inputs[n]) if isinstance(d, str)}
        for name, info in self._inputs.items():
            if name not in options.pad and name not in options.mask and self._padded & set(self._dims(info)):
                raise OptionError(f"pad: '{info}' shares a dim with what is padded: say what it is to be filled with")

    def _check(self, face: Face, unknown: set[str]) -> None:
        names = {i.name for i in face.inputs}
        options = self._options
        for what, given in (("columns", options.columns), ("pad", options.pad), ("mask", options.mask)):
            if set(given) - names:
                raise OptionError(f"{what}: {sorted(set(given) - names)} are no inputs. The model has {sorted(names)}")
        if set(options.mask.values()) - set(options.pad):
            raise OptionError(f"mask: {sorted(set(options.mask.values()) - set(options.pad))} are not padded")
        if unknown:
            raise OptionError(f"outputs: {sorted(unknown)} are none of {[o.name for o in face.outputs]}")

    @property
    def outputs(self) -> list[str]:
        return [o.name for o in self._outputs]

    @property
    def used(self) -> set[str]:
        """The columns that feed inputs."""
        return {self._column(name) for name in self._inputs if name not in self._options.mask}

    def _column(self, name: str) -> str:
        return self._options.columns.get(name, name)

    def _dims(self, info: TensorInfo) -> tuple[int | str, ...]:
        """Of one row."""
        shape = info.shape or ()
        return shape[1:] if self.has_axis else shape

    def __call__(self, columns: Columns) -> Results:
        missing = sorted(self.used - columns.keys())
        if missing:
            raise OptionError(f"columns: there is no {', '.join(missing)}. The table has {', '.join(sorted(columns))}")
        count = len(next(iter(columns.values()))) if columns else 0
        results = Results([], {}, {})
        rows = []
        for number in range(count):
            try:
                rows.append(self._row(number, columns))
            except ValueError as error:
                results.bad[number] = str(error)
        found: dict[int, Mapping[str, Array]] = {}
        for group in self._groups(rows):
            self._try(group, found, results.bad)
        results.good = sorted(found)
        results.outputs = {o.name: [found[n][o.name] for n in results.good] for o in self._outputs}
        return results

    # -- a row -------------------------------------------------------------------------------------------------

    def _row(self, number: int, columns: Columns) -> _Row:
        """Raises ValueError that says what is wrong with it."""
        feeds: dict[str, Array] = {}
        sizes: dict[str, int] = {}
        for name, info in self._inputs.items():
            if name in self._options.mask:
                continue
            column = self._column(name)
            array = as_row(columns[column][number], column, info)
            dims = self._dims(info)
            if info.shape is not None and array.ndim != len(dims):
                raise ValueError(f"column '{column}': expected rank {len(dims)}, got shape {array.shape}")
            for want, got in zip(dims, array.shape, strict=False):
                if want != got if isinstance(want, int) else sizes.setdefault(want, got) != got:
                    expected = want if isinstance(want, int) else f"{sizes[want]} for '{want}' as in other columns"
                    raise ValueError(f"column '{column}': expected {expected}, got shape {array.shape}")
            feeds[name] = array
        return _Row(number, feeds, sizes)

    # -- rows together -----------------------------------------------------------------------------------------

    def _groups(self, rows: list[_Row]) -> Iterator[list[_Row]]:
        most = self._options.rows if self._joined else 1

        def alike(row: _Row) -> tuple[Any, ...]:
            kept = tuple((n, a.shape) for n, a in row.feeds.items() if n not in self._options.pad)
            return kept, tuple(self._bucket(row.sizes[d]) for d in sorted(self._padded) if self._options.buckets)

        keyed = sorted(((alike(r), tuple(r.sizes[d] for d in sorted(self._padded)), r.number, r) for r in rows),
                       key=lambda k: k[:3])  # fmt: skip
        group: list[_Row] = []
        last: Any = None
        for key, _, _, row in keyed:
            if group and (key != last or len(group) >= most):
                yield group
                group = []
            group.append(row)
            last = key
        if group:
            yield group

    def _bucket(self, size: int) -> int:
        return min((b for b in self._options.buckets if b >= size), default=size)

    def _try(self, group: list[_Row], found: dict[int, Mapping[str, Array]], bad: dict[int, str]) -> None:
        """Runs them together; where that fails, half by half, until what is bad stands alone."""
        try:
            found.update(self._together(group))
        except InternalError:
            raise
        except ArenautError as error:
            if len(group) == 1:
                bad[group[0].number] = f"{type(error).__name__}: {error}"
                return
            middle = len(group) // 2
            self._try(group[:middle], found, bad)
            self._try(group[middle:], found, bad)

    def _together(self, group: list[_Row]) -> dict[int, Mapping[str, Array]]:
        sizes = {d: self._bucket(max(r.sizes[d] for r in group)) for d in self._padded}
        feeds = {name: self._stacked(name, group, sizes) for name in self._inputs}
        outputs = self._run(feeds)
        return {
            row.number: {o.name: self._part(outputs[o.name], o, i, len(group), row) for o in self._outputs}
            for i, row in enumerate(group)
        }

    def _stacked(self, name: str, group: list[_Row], sizes: Mapping[str, int]) -> Array:
        options, info = self._options, self._inputs[name]
        of = options.mask.get(name, name)
        arrays = [row.feeds[of] for row in group]
        if name in options.mask:
            arrays = [np.ones(a.shape, _dtype(info)) for a in arrays]
        if of in options.pad:
            value = 0 if name in options.mask else options.pad[of]
            dims = self._dims(self._inputs[of])
            arrays = [_filled(a, [sizes.get(d, n) if isinstance(d, str) else n for d, n in
                                  zip(dims, a.shape, strict=True)], value) for a in arrays]  # fmt: skip
        return np.stack(arrays) if self.has_axis else arrays[0]

    def _part(self, output: Any, info: TensorInfo, index: int, count: int, row: _Row) -> Array:
        """A row's own part of an output. Raises InternalError where the model does not give a row for each."""
        array = np.asarray(output)
        shape = info.shape or ()
        if self._joined:
            if len(array) != count:
                raise InternalError(f"output '{info.name}' has {len(array)} rows of {count}")
            part, dims = array[index], shape[1:]
        elif self.has_axis and array.ndim and len(array) == 1:
            part, dims = array[0], shape[1:]
        else:
            part, dims = array, shape
        cuts = tuple(slice(row.sizes[d]) if d in self._padded else slice(None) for d in dims)
        return np.asarray(part[cuts])


def _one_row(info: TensorInfo) -> bool:
    """Whether axis 0 can count rows, one at a time."""
    first = info.shape[0] if info.shape else None
    return first == 1 or isinstance(first, str)


def _dtype(info: TensorInfo) -> np.dtype[Any]:
    return np.dtype(object if info.dtype == "string" else info.dtype)


def _filled(array: Array, sizes: Sequence[int], value: Any) -> Array:
    if tuple(sizes) == array.shape:
        return array
    whole = np.full(sizes, value, array.dtype)
    whole[tuple(slice(n) for n in array.shape)] = array
    return whole


def as_row(value: Any, column: str, info: TensorInfo) -> Array:
    """A value of a column in the input's type: integers and floats may change their size, where nothing is lost of
    integers. Raises ValueError."""
    if value is None:
        raise ValueError(f"column '{column}' is null")
    want = _dtype(info)
    if want.kind == "O":
        array = np.asarray(value, object)
        if any(not isinstance(item, (str, bytes)) for item in array.flat):
            raise ValueError(f"column '{column}': expected strings, got {type(value).__name__}")
        return array
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O":  # arrays in an array
            array = np.array([np.asarray(item) for item in array])
    except ValueError:
        raise ValueError(f"column '{column}': rows of different sizes in one value") from None
    if array.dtype.kind in "OUSMm":
        raise ValueError(f"column '{column}': expected {want}, got {array.dtype if array.size else 'nothing'}")
    if array.dtype == want:
        return array
    narrow = want.kind == "V" or want.name.startswith(("bfloat", "float8"))
    fits = np.can_cast(array.dtype, want, "same_kind") or (narrow and array.dtype.kind in "iuf")
    if array.size and not fits and not (array.dtype.kind in "iu" and want.kind in "iu"):
        raise ValueError(f"column '{column}': expected {want}, got {array.dtype}")
    made = array.astype(want)
    if want.kind in "iu" and not np.array_equal(made, array):
        raise ValueError(f"column '{column}': not all values are {want}")
    return made
