"""The Recurrent row against cells written out in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.support.guard import Guarded
from tests.support.rowcall import call, params_blob, rows

ROWS = rows("recurrent_f32")
RNN, GRU, LINEAR, LSTM = range(4)
GATES = {RNN: 1, GRU: 3, LINEAR: 3, LSTM: 4}
ACTIVATIONS = {
    0: lambda x, a, b: 1 / (1 + np.exp(-x)),
    1: lambda x, a, b: np.tanh(x),
    2: lambda x, a, b: np.maximum(x, 0),
    3: lambda x, a, b: a * x + b,
    4: lambda x, a, b: np.where(x < 0, a * x, x),
    5: lambda x, a, b: np.where(x > a, x, 0),
    6: lambda x, a, b: a * np.tanh(b * x),
    7: lambda x, a, b: np.clip(a * x + b, 0, 1),
    8: lambda x, a, b: np.where(x < 0, a * np.expm1(x), x),
    9: lambda x, a, b: x / (1 + np.abs(x)),
    10: lambda x, a, b: np.log1p(np.exp(x)),
}


def row_id(row: dict[str, Any]) -> str:
    return f"tier{row['tier']}"


@dataclass
class Layer:
    """Operands in the row's order; `codes` are the activations, three a direction."""

    cell: int
    operands: list[np.ndarray | None]
    codes: list[int]
    backward: int = 0
    input_forget: int = 0
    clip: float = 0.0
    alpha: float = 0.3
    beta: float = 0.6

    @property
    def params(self) -> bytes:
        return params_blob("Recurrent", {
            "cell": self.cell, "backward": self.backward, "input_forget": self.input_forget, "clip": self.clip,
            "activation": self.codes, "alpha": [self.alpha] * 6, "beta": [self.beta] * 6,
        })  # fmt: skip

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        directions, steps, batch, _ = self.operands[0].shape
        hidden = self.operands[1].shape[2]
        return [(steps, directions, batch, hidden)] + [(directions, batch, hidden)] * 2

    def oracle(self) -> list[np.ndarray]:
        x, r, bias, lengths, h0, c0, peepholes = (None if o is None else o.astype(np.float64) for o in self.operands)
        directions, steps, batch, _ = x.shape
        outputs = [np.zeros(s) for s in self.shapes]
        for d in range(directions):
            for i in range(batch):
                count = steps if lengths is None else int(lengths[i])
                size = r.shape[2]
                state = [np.zeros(size) if s is None or count == 0 else s[d, i] for s in (h0, c0)]
                order = range(count)[::-1] if d == 1 or self.backward else range(count)
                for t in order:
                    b = np.zeros(r.shape[1]) if bias is None else bias[d]
                    p = np.zeros(3 * size) if peepholes is None else peepholes[d]
                    state = self.step(x[d, t, i], r[d], b, p, state, d)
                    outputs[0][t, d, i] = state[0]
                outputs[1][d, i], outputs[2][d, i] = state
        return outputs

    def step(self, x: np.ndarray, r: np.ndarray, b: np.ndarray, p: np.ndarray, state: list[np.ndarray], d: int) -> Any:
        size = len(state[0])
        gate = [slice(k * size, (k + 1) * size) for k in range(4)]

        def act(which: int, v: np.ndarray, clips: bool = True) -> np.ndarray:
            v = np.clip(v, -self.clip, self.clip) if self.clip and clips else v
            return ACTIVATIONS[self.codes[3 * d + which]](v, self.alpha, self.beta)

        h, c = state
        if self.cell == RNN:
            return [act(0, x + r @ h + b), c]
        if self.cell == LSTM:
            i, o, f, g = (x[s] + r[s] @ h + b[s] for s in gate)
            i = act(0, i + p[gate[0]] * c)
            f = 1 - i if self.input_forget else act(0, f + p[gate[2]] * c)
            c = f * c + i * act(1, g)
            return [act(0, o + p[gate[1]] * c) * act(2, c, clips=False), c]
        z, reset = (act(0, x[s] + r[s] @ h + b[s]) for s in gate[:2])
        s = gate[2]
        inner = reset * (r[s] @ h + b[s]) if self.cell == LINEAR else r[s] @ (reset * h) + b[s]
        return [(1 - z) * act(1, x[s] + inner) + z * h, c]


def draw(rng: np.random.Generator, cell: int, sizes: tuple[int, int, int, int], full: bool) -> Layer:
    directions, steps, batch, hidden = sizes
    rows = GATES[cell] * hidden

    def floats(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.uniform(-1, 1, shape)).astype(np.float32)

    operands: list[np.ndarray | None] = [
        floats(directions, steps, batch, rows), floats(directions, rows, hidden, scale=2 / np.sqrt(hidden)),
    ]  # fmt: skip
    default = {RNN: [1, 1, 1], LSTM: [0, 1, 1]}.get(cell, [0, 1, 1])
    if not full:
        return Layer(cell, [*operands, *[None] * 5], default * 2)
    lengths = rng.integers(0, steps + 1, batch).astype(np.int32)
    operands += [floats(directions, rows), lengths, floats(directions, batch, hidden)]
    operands += [floats(directions, batch, hidden), floats(directions, 3 * hidden)] if cell == LSTM else [None, None]
    codes = [int(n) for n in rng.choice([0, 1, 6, 7, 9], 6)]
    return Layer(cell, operands, codes, int(rng.integers(2)), int(rng.integers(2)), float(rng.choice([0, 0.75])))


def run(row: Any, layer: Layer, pack: bool, parts: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The outputs, written between sentinels; dims other than the last lie in any order."""
    guards = []
    for shape in layer.shapes:
        order = rng.permutation(len(shape) - 1)
        g = Guarded([shape[i] for i in order] + [shape[-1]], np.float32)
        guards.append((g, g.view.transpose(*np.argsort(order), len(shape) - 1)))
    result = call(row, layer.operands, [v for _, v in guards], params=layer.params, pack=[1] * pack, parts=parts)
    assert result["status"] == 0 and result["variant"] == ("packed" if pack else "packing"), result
    for g, _ in guards:
        g.check()
    return [np.array(v) for _, v in guards]


SIZES = [(1, 1, 1, 128), (2, 3, 1, 17), (1, 4, 2, 8), (2, 5, 3, 40), (1, 2, 4, 33), (2, 7, 13, 5), (1, 6, 25, 24),
         (1, 3, 1, 1), (2, 2, 40, 9), (1, 0, 3, 4)]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@pytest.mark.parametrize("cell", [RNN, GRU, LINEAR, LSTM])
@pytest.mark.parametrize("full", [False, True])
def test_results_are_those_of_the_cells_written_out(row: dict[str, Any], cell: int, full: bool) -> None:
    rng = np.random.default_rng(cell)
    for sizes in SIZES:
        layer = draw(rng, cell, sizes, full)
        got = run(row, layer, True, 1, rng)
        for pack, parts in ((True, 3), (False, 1), (False, 2)):
            for a, b in zip(got, run(row, layer, pack, parts, rng), strict=True):
                assert a.tobytes() == b.tobytes(), "packing or the split over tasks changed the bytes"
        for actual, want in list(zip(got, layer.oracle(), strict=True))[: 3 if cell == LSTM else 2]:
            np.testing.assert_allclose(actual, want, rtol=0, atol=2e-6 * np.sqrt(sizes[3]) * max(1, sizes[1]) ** 0.5)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@pytest.mark.parametrize("code", ACTIVATIONS)
def test_every_activation(row: dict[str, Any], code: int) -> None:
    rng = np.random.default_rng(code)
    layer = draw(rng, RNN, (1, 3, 2, 20), False)
    layer.codes = [code] * 6
    got, want = run(row, layer, True, 1, rng), layer.oracle()
    np.testing.assert_allclose(got[0], want[0], rtol=0, atol=2e-5)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@pytest.mark.parametrize("cell", [RNN, GRU, LINEAR, LSTM])
def test_a_sequence_does_not_depend_on_its_neighbours(row: dict[str, Any], cell: int) -> None:
    rng = np.random.default_rng(5)
    layer = draw(rng, cell, (2, 4, 9, 37), True)
    whole = run(row, layer, True, 1, rng)
    for batch in (slice(0, 1), slice(3, 5), slice(4, 7), slice(1, 9)):
        x, r, bias, lengths, h0, c0, peepholes = layer.operands
        some = [x[:, :, batch], r, bias, lengths[batch], h0[:, batch], None if c0 is None else c0[:, batch], peepholes]
        part = Layer(cell, some, layer.codes, layer.backward, layer.input_forget, layer.clip)
        for a, b in zip(run(row, part, True, 1, rng), whole, strict=True):
            assert a.tobytes() == b[..., batch, :].tobytes()


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_lengths_beyond_the_sequence_are_refused(row: dict[str, Any]) -> None:
    layer = draw(np.random.default_rng(1), LSTM, (1, 4, 2, 8), True)
    for bad in (5, -1):
        layer.operands[3] = np.array([4, bad], np.int32)
        outputs = [np.zeros(s, np.float32) for s in layer.shapes]
        assert call(row, layer.operands, outputs, params=layer.params, pack=[1])["status"] == 5


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_shapes_that_contradict_the_rule_are_refused(row: dict[str, Any]) -> None:
    layer = draw(np.random.default_rng(2), GRU, (2, 4, 3, 8), True)
    outputs = [np.zeros(s, np.float32) for s in layer.shapes]
    for at, shape in ((0, (2, 4, 3, 25)), (1, (1, 24, 8)), (2, (2, 23)), (3, (4,)), (4, (2, 2, 8)), (6, (2, 23))):
        operands = list(layer.operands)
        operands[at] = np.zeros(shape, np.int32 if at == 3 else np.float32)
        assert call(row, operands, outputs, params=layer.params)["bind_status"] == 2, at
    assert call(row, layer.operands, [outputs[0][1:], *outputs[1:]], params=layer.params)["bind_status"] == 2
