"""What the oracles of the record tests cannot be asked about RNN, GRU and LSTM."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.ir.ops import find_record
from tests.support.records import node_of, samples_of


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
def test_batch_first_layout_is_the_other_one_transposed(op: str) -> None:
    """onnxruntime refuses layout 1."""
    record = find_record("", op)
    assert record is not None and record.evaluate is not None
    for sample in samples_of(record):
        node, _ = node_of(record, sample)
        first, *states = record.evaluate(node, list(sample.inputs))
        moved = [
            None if x is None else np.swapaxes(x, 0, 1) if i in (0, 5, 6) else x for i, x in enumerate(sample.inputs)
        ]
        node.attributes["layout"] = 1
        batchwise, *batch_states = record.evaluate(node, moved)
        np.testing.assert_array_equal(batchwise, first.transpose(2, 0, 1, 3))
        for a, b in zip(batch_states, states, strict=True):
            np.testing.assert_array_equal(a, np.swapaxes(b, 0, 1))
