from __future__ import annotations

import numpy as np
import pytest
from rowcall import call, rows


@pytest.mark.parametrize("row", rows("copy"), ids=lambda r: f"tier{r['tier']}")
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64, np.complex128])
def test_copies_any_strides_both_ways(row: dict, dtype: type) -> None:
    source = np.arange(2 * 3 * 4 * 5).astype(dtype).reshape(2, 3, 4, 5)
    views = [source, source.transpose(0, 2, 3, 1), source[:, ::-1, ::2], np.broadcast_to(source[:, :1], (2, 7, 4, 5))]
    for view in views:
        for order in "CF":
            target = np.zeros(view.shape, dtype, order=order)
            assert call(row, [view], [target], parts=3)["status"] == 0
            np.testing.assert_array_equal(target, view)
