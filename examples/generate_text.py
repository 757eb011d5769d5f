"""Generate with caches: `python examples/generate_text.py decoder.onnx 1,2,3 20`; a tiny random decoder by default.

The model takes input_ids and past_key_values.*, and returns logits and present.*, as exporters of decoders write it.
"""

import sys

import numpy as np
import onnx
from onnx import parser

import arenaut

TINY = """<ir_version: 8, opset_import: ["" : 17]>
tiny (int64[1, n] input_ids, float[1, 1, p, 8] past)
    => (float[1, n, 32] logits, float[1, 1, t, 8] present) {
    x = Gather (table, input_ids)
    axes = Constant<value_ints = [1]> ()
    x4 = Unsqueeze (x, axes)
    present = Concat<axis = 2> (past, x4)
    mean = ReduceMean<axes = [2], keepdims = 0> (present)
    y = Add (x, mean)
    logits = MatMul (y, head)
}"""
NAMES = {"past": "past_key_values.0.key", "present": "present.0.key"}  # as exporters call them


def tiny() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    model = parser.parse_model(TINY)
    for node in model.graph.node:
        node.input[:] = [NAMES.get(n, n) for n in node.input]
        node.output[:] = [NAMES.get(n, n) for n in node.output]
    for info in (*model.graph.input, *model.graph.output):
        info.name = NAMES.get(info.name, info.name)
    for name, shape in (("table", (32, 8)), ("head", (8, 32))):
        weights = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, name))
    return model


def generate(model: arenaut.Model, ids: list[int], count: int) -> list[int]:
    cache = {
        i.name: np.zeros([d if isinstance(d, int) else 0 for d in i.shape or ()], i.dtype)
        for i in model.inputs if i.name.startswith("past_key_values")
    }  # fmt: skip
    extra = {i.name for i in model.inputs} - {"input_ids", *cache}
    out, step = list(ids), list(ids)
    for _ in range(count):
        feeds = {"input_ids": [step], **cache}
        if "attention_mask" in extra:
            feeds["attention_mask"] = [[1] * len(out)]
        outputs = model.run(feeds)
        step = [int(outputs["logits"][0, -1].argmax())]
        out += step
        cache = {n.replace("present", "past_key_values"): a for n, a in outputs.items() if n.startswith("present")}
    return out


if __name__ == "__main__":
    loaded = arenaut.load_onnx(sys.argv[1] if len(sys.argv) > 1 else tiny())
    first = [int(t) for t in sys.argv[2].split(",")] if len(sys.argv) > 2 else [1, 2, 3]
    print(*generate(loaded, first, int(sys.argv[3]) if len(sys.argv) > 3 else 12))
