"""Embed sentences: `python examples/embed_sentences.py model.onnx tokenizer.json "one text" "another"`.

For encoders that return one vector a token (MiniLM, BGE, E5): mean over the tokens, length 1. Needs tokenizers.
"""

import sys

import numpy as np

import arenaut


def embed(model: arenaut.Model, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    feeds = {i.name: given[i.name] for i in model.inputs}
    hidden = next(iter(model.run(feeds, outputs=[model.outputs[0].name]).values()))
    pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


if __name__ == "__main__":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(sys.argv[2])
    tokenizer.enable_padding()
    batch = tokenizer.encode_batch(sys.argv[3:])
    vectors = embed(arenaut.load_onnx(sys.argv[1]), np.array([e.ids for e in batch]),
                    np.array([e.attention_mask for e in batch]))  # fmt: skip
    print(np.round(vectors @ vectors.T, 3))
