"""transformers: a decoder exported with caches, run token by token through bindings, greedily."""

import numpy as np
import onnxruntime as ort
import torch
from clock import report
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.cache_utils import DynamicCache

torch.manual_seed(0)
LAYERS, HEADS, WIDTH = 2, 4, 64
config = GPT2Config(
    vocab_size=101, n_positions=64, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, attn_implementation="eager"
)


class Decoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = GPT2LMHeadModel(config).eval()

    def forward(self, input_ids, attention_mask, *past):
        cache = DynamicCache()
        for layer in range(LAYERS):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True)
        present = [t for layer in out.past_key_values.layers for t in (layer.keys, layer.values)]
        return (out.logits, *present)


names = [f"past_key_values.{i}.{kind}" for i in range(LAYERS) for kind in ("key", "value")]
past = [torch.zeros(1, HEADS, 5, WIDTH // HEADS) for _ in names]
ids = torch.ones(1, 3, dtype=torch.long)
AUTO = torch.export.Dim.AUTO
program = torch.onnx.export(
    Decoder().eval(),
    (ids, torch.ones(1, 8, dtype=torch.long), *past),
    dynamo=True,
    verbose=False,
    input_names=["input_ids", "attention_mask", *names],
    output_names=["logits", *(n.replace("past_key_values", "present") for n in names)],
    dynamic_shapes=({1: AUTO}, {1: AUTO}, tuple({2: AUTO} for _ in names)),
)
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def generate():
    tokens, step = [1, 2, 3], [1, 2, 3]
    caches = {n: np.zeros((1, HEADS, 0, WIDTH // HEADS), np.float32) for n in names}
    logits = []
    for _ in range(16):
        binding = session.io_binding()
        binding.bind_cpu_input("input_ids", np.array([step]))
        binding.bind_cpu_input("attention_mask", np.ones((1, len(tokens)), np.int64))
        for name, array in caches.items():
            binding.bind_cpu_input(name, array)
        for output in session.get_outputs():
            binding.bind_output(output.name)
        session.run_with_iobinding(binding)
        first, *present = binding.copy_outputs_to_cpu()
        step = [int(first[0, -1].argmax())]
        logits.append(first[0, -1])
        tokens += step
        caches = dict(zip(names, present, strict=True))
    return [tokens, logits]


report(generate)
