"""tokenizers and an encoder exported by torch: texts of mixed lengths in padded batches, as fastembed does it."""

import numpy as np
import onnxruntime as ort
import torch
from clock import report
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel

torch.manual_seed(0)
words = [
    "memory",
    "is",
    "planned",
    "before",
    "it",
    "runs",
    "one",
    "native",
    "call",
    "graph",
    "of",
    "bytes",
    "the",
    "a",
    "in",
    "and",
    "model",
]
vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", *words])}
tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
config = BertConfig(
    vocab_size=len(vocabulary),
    hidden_size=96,
    num_hidden_layers=3,
    num_attention_heads=6,
    intermediate_size=192,
    max_position_embeddings=64,
    attn_implementation="eager",
)


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bert = BertModel(config, add_pooling_layer=False).eval()

    def forward(self, input_ids, attention_mask):
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


ids = torch.ones(2, 8, dtype=torch.long)
program = torch.onnx.export(
    Encoder().eval(),
    (ids, torch.ones_like(ids)),
    dynamo=True,
    verbose=False,
    input_names=["input_ids", "attention_mask"],
    output_names=["hidden"],
    dynamic_shapes={
        n: {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", min=2, max=64)}
        for n in ("input_ids", "attention_mask")
    },
)
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
rng = np.random.default_rng(0)
texts = [" ".join(rng.choice(words, rng.integers(3, 40))) for _ in range(24)]


def embed():
    out = []
    for start in range(0, len(texts), 8):
        batch = tokenizer.encode_batch(texts[start : start + 8])
        mask = np.array([e.attention_mask for e in batch])
        hidden = session.run(["hidden"], {"input_ids": np.array([e.ids for e in batch]), "attention_mask": mask})[0]
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        out.append(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
    return out


report(embed)
