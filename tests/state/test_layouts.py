"""Caches in the layouts of further exporters, through a state: as onnxruntime with caches that are fed and returned."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut
from arenaut.lowering.pairs import Change

ROWS, WIDTH, HEADS, SIZE, WORDS, LAYERS = 3, 32, 4, 8, 53, 2
BY_HEAD, BY_HEAD_TURNED = [0, 2, 1, 3], [0, 2, 3, 1]


def normal(*dims: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(dims).astype(np.float32)


class Writer:
    """Writes nodes one after the other; arrays become initialisers."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs, self.outputs = [], []  # type: ignore[var-annotated]
        self._made = 0

    def __call__(self, op: str, *operands: Any, count: int = 1, **attributes: Any) -> Any:
        names = []
        for operand in operands:
            if not isinstance(operand, str):
                self.weights.append(numpy_helper.from_array(np.asarray(operand), f"w{len(self.weights)}"))
                operand = self.weights[-1].name
            names.append(operand)
        results = [f"v{self._made + i}" for i in range(count)]
        self._made += count
        self.nodes.append(helper.make_node(op, names, results, **attributes))
        return results[0] if count == 1 else results

    def cache(self, past: str, present: str, dims: list[Any], added: str) -> Any:
        """past of these dims with `added` behind it along "past", which is what `present` becomes."""
        axis = dims.index("past")
        joined = self("Concat", past, added, axis=axis)
        self.declare(past, present, dims, joined)
        return joined

    def declare(self, past: str, present: str, dims: list[Any], made: str) -> None:
        self.nodes.append(helper.make_node("Identity", [made], [present]))
        self.inputs.append(helper.make_tensor_value_info(past, TensorProto.FLOAT, dims))
        total = ["total" if d == "past" else d for d in dims]
        self.outputs.append(helper.make_tensor_value_info(present, TensorProto.FLOAT, total))


def by_head(w: Writer, x: Any, perm: list[int]) -> Any:
    return w("Transpose", w("Reshape", x, np.array([0, 0, HEADS, SIZE])), perm=perm)


def stacked(w: Writer, layer: int, k: Any, v: Any, x: Any) -> tuple[Any, Any]:
    """past_N [2, rows, heads, past, size], as transformers' GPT-2 had it: taken apart and put together again."""
    k, v = (w("Concat", w("Gather", f"past_{layer}", np.array(i)), by_head(w, part, BY_HEAD), axis=2)
            for i, part in enumerate((k, v)))  # fmt: skip
    both = w("Concat", *(w("Unsqueeze", part, np.array([0])) for part in (k, v)), axis=0)
    w.declare(f"past_{layer}", f"present_{layer}", [2, "rows", HEADS, "past", SIZE], both)
    return w("Transpose", k, perm=[0, 1, 3, 2]), v


def transposed(w: Writer, layer: int, k: Any, v: Any, x: Any) -> tuple[Any, Any]:
    """Keys as [rows, heads, size, past]."""
    k, v = by_head(w, k, BY_HEAD_TURNED), by_head(w, v, BY_HEAD)
    return (w.cache(f"past_key_{layer}", f"present_key_{layer}", ["rows", HEADS, SIZE, "past"], k),
            w.cache(f"past_value_{layer}", f"present_value_{layer}", ["rows", HEADS, "past", SIZE], v))  # fmt: skip


def flat(w: Writer, layer: int, k: Any, v: Any, x: Any) -> tuple[Any, Any]:
    """[rows, past, width]: heads are made of all positions."""
    k, v = (w.cache(f"past_key_values_{n}_cache_{layer}", f"present_key_values_{n}_cache_{layer}",
                    ["rows", "past", WIDTH], part) for n, part in (("key", k), ("value", v)))  # fmt: skip
    return by_head(w, k, BY_HEAD_TURNED), by_head(w, v, BY_HEAD)


def fused(w: Writer, layer: int, k: Any, v: Any, x: Any) -> tuple[Any, Any]:
    """[rows, past, 2 * size], one key and value for all heads."""
    both = w("MatMul", x, normal(WIDTH, 2 * SIZE, seed=10 * layer + 5) / 4)
    name = f"past_key_values.{layer}.key_value"
    both = w.cache(name, f"present.{layer}.key_value", ["rows", "past", 2 * SIZE], both)
    k, v = w("Split", both, count=2, axis=2, num_outputs=2)
    return w("Unsqueeze", w("Transpose", k, perm=[0, 2, 1]), np.array([1])), w("Unsqueeze", v, np.array([1]))


def turned_late(w: Writer, layer: int, k: Any, v: Any, x: Any) -> tuple[Any, Any]:
    """Rotary positions are put on keys whenever they are read."""
    k, v = (w.cache(f"past_key_values.{layer}.{n}", f"present.{layer}.{n}", ["rows", HEADS, "past", SIZE],
                    by_head(w, part, BY_HEAD)) for n, part in (("key", k), ("value", v)))  # fmt: skip
    places = w("Range", np.array(0), w("Gather", w("Shape", k), np.array(2)), np.array(1))
    rates = (1 / 10.0 ** np.arange(SIZE // 2)).astype(np.float32)[None]
    angles = w("Mul", w("Unsqueeze", w("Cast", places, to=TensorProto.FLOAT), np.array([1])), rates)
    cos, sin = (w("Concat", *[w(f, angles)] * 2, axis=1) for f in ("Cos", "Sin"))
    low, high = w("Split", k, count=2, axis=3, num_outputs=2)
    k = w("Add", w("Mul", k, cos), w("Mul", w("Concat", w("Neg", high), low, axis=3), sin))
    return w("Transpose", k, perm=[0, 1, 3, 2]), v


def time_first(w: Writer, layer: int, k: Any, v: Any, x: Any) -> tuple[Any, Any]:
    """[past, rows, heads, size]."""
    k, v = (w.cache(f"past_{n}{layer}", f"present_{n}{layer}", ["past", "rows", HEADS, SIZE],
                    by_head(w, part, [1, 0, 2, 3])) for n, part in (("k", k), ("v", v)))  # fmt: skip
    return w("Transpose", k, perm=[1, 2, 3, 0]), w("Transpose", v, perm=[1, 2, 0, 3])


def decoder(caches: Any) -> onnx.ModelProto:
    w = Writer()
    x = w("Gather", normal(WORDS, WIDTH), "input_ids")
    seen = w("Unsqueeze", w("Cast", "attention_mask", to=TensorProto.FLOAT), np.array([1, 2]))
    total, new = (w("Gather", w("Shape", name), np.array(1)) for name in ("attention_mask", "input_ids"))
    keys, queries = w("Range", np.array(0), total, np.array(1)), w("Range", w("Sub", total, new), total, np.array(1))
    later = w("Greater", w("Unsqueeze", keys, np.array([0])), w("Unsqueeze", queries, np.array([1])))
    hidden = w("Add", w("Sub", np.float32(1), seen), w("Cast", later, to=TensorProto.FLOAT))
    mask = w("Mul", hidden, np.float32(-1e9))
    for layer in range(LAYERS):
        q, k, v = (w("MatMul", x, normal(WIDTH, WIDTH, seed=10 * layer + i) / 4) for i in range(3))
        k, v = caches(w, layer, k, v, x)
        scores = w("Add", w("Mul", w("MatMul", by_head(w, q, BY_HEAD), k), np.float32(SIZE**-0.5)), mask)
        attended = w("Transpose", w("MatMul", w("Softmax", scores, axis=-1), v), perm=BY_HEAD)
        y = w("Reshape", attended, np.array([0, 0, WIDTH]))
        x = w("Add", x, w("MatMul", y, normal(WIDTH, WIDTH, seed=10 * layer + 7) / 4))
    w.nodes.append(helper.make_node("Identity", [w("MatMul", x, normal(WIDTH, WORDS, seed=99))], ["logits"]))
    given = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "new"]),
             helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["rows", "total"])]  # fmt: skip
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", "new", WORDS])
    graph = helper.make_graph(w.nodes, "decoder", [*given, *w.inputs], [logits, *w.outputs], w.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(("caches", "change"), [
    (stacked, Change.REPLACES), (transposed, Change.APPENDS), (flat, Change.APPENDS), (fused, Change.APPENDS),
    (turned_late, Change.APPENDS), (time_first, Change.APPENDS),
])  # fmt: skip
def test_steps_of_padded_rows_are_onnxruntimes(caches: Any, change: Change) -> None:
    """Three rows, two padded on the left, that trade places after eight steps, and forget three after fourteen."""
    proto = decoder(caches)
    model = arenaut.load_onnx(proto, threads=1)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    assert model._stateful is not None and {part.change for part in model._stateful.parts} == {change}
    outputs = [o.name for o in session.get_outputs()]
    axes = {i.name: i.shape for i in session.get_inputs() if "past" in i.name}
    held = {name: np.zeros([{"rows": ROWS, "past": 0}.get(d, d) for d in dims], np.float32)
            for name, dims in axes.items()}  # fmt: skip
    state = model.new_state(capacity=32, batch=ROWS)
    mask, ids = np.ones((ROWS, 5), np.int64), np.random.default_rng(1).integers(0, WORDS, (ROWS, 5))
    mask[1, :3] = mask[2, :1] = 0
    for step in range(20):
        feeds = {"input_ids": ids, "attention_mask": mask}
        logits, *presents = session.run(outputs, {**feeds, **held})
        held = dict(zip(held, presents, strict=True))
        ours, counts = model.run(feeds, state=state)["logits"], mask[:, -ids.shape[1] :] == 1
        np.testing.assert_allclose(ours[counts], logits[counts], rtol=1e-4, atol=1e-5, err_msg=f"step {step}")
        ids = logits[:, -1:].argmax(-1)
        if step == 8:
            rows = [2, 2, 0]
            state.reorder(rows)
            held = {name: np.take(array, rows, axis=axes[name].index("rows")) for name, array in held.items()}
            mask, ids = mask[rows], ids[rows]
        if step == 14 and change is Change.APPENDS:
            state.rewind(3)
            held = {n: np.delete(a, np.s_[-3:], axis=axes[n].index("past")) for n, a in held.items()}
            mask = mask[:, :-3]
        mask = np.concatenate([mask, np.ones((ROWS, 1), np.int64)], axis=1)
    for name, array in held.items():
        np.testing.assert_allclose(state.read(name), array, rtol=1e-4, atol=1e-5)
