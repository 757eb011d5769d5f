"""Cases to time every kernel row with: one grid a kernel family, made from the row's own element types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bench.grids.case import Case
from bench.grids.indexed import INDEXED
from bench.grids.lines import LINES
from bench.grids.movement import MOVEMENT
from bench.grids.products import PRODUCTS
from bench.grids.regions import REGIONS
from bench.grids.windows import WINDOWS

GRIDS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Case]]] = {
    **PRODUCTS, **WINDOWS, **LINES, **MOVEMENT, **INDEXED, **REGIONS,
}  # fmt: skip
"""By kernel family: the cases of one of its rows."""


def cases(row: Mapping[str, Any]) -> Iterator[Case]:
    """The grid of the row's family, of the row's element types. Raises KeyError for a family without a grid."""
    return GRIDS[row["family"]](row)
