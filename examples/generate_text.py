"""Generate with caches: `python examples/generate_text.py decoder.onnx 1,2,3 20`; a tiny random decoder by default.

The model takes input_ids and past_key_values.*, and returns logits and present.*, as exporters of decoders write it.
"""

import sys
import time

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


def main(words: list[str]) -> None:
    model = arenaut.load_onnx(words[0] if words else tiny())
    prompt = [int(t) for t in words[1].split(",")] if len(words) > 1 else [1, 2, 3]
    count = int(words[2]) if len(words) > 2 else 12
    began = time.perf_counter()
    print(*prompt, end="")
    for token in arenaut.generate(model, prompt, max_new_tokens=count):  # temperature=0.8, seed=0 draws them
        print("", token, end="", flush=True)
    print()
    print(f"{count / (time.perf_counter() - began):.1f} tokens a second", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
