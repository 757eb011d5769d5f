"""optimum: transformers' own generate on ORTModelForSeq2SeqLM, greedy and with beams."""

import tempfile

import torch
from clock import report
from optimum.onnxruntime import ORTModelForSeq2SeqLM
from transformers import T5Config, T5ForConditionalGeneration

torch.manual_seed(0)
config = T5Config(
    vocab_size=101,
    d_model=64,
    d_kv=16,
    d_ff=96,
    num_layers=2,
    num_heads=4,
    decoder_start_token_id=0,
    eos_token_id=100,
    tie_word_embeddings=False,
    initializer_factor=3.0,
)
folder = tempfile.mkdtemp()
T5ForConditionalGeneration(config).eval().save_pretrained(folder)
model = ORTModelForSeq2SeqLM.from_pretrained(folder, export=True)
batch = torch.tensor([[0, 0, 42, 7], [5, 17, 42, 7]])
mask = (batch != 0).long()


def generate():
    def tokens(**options):
        return model.generate(batch, attention_mask=mask, max_new_tokens=32, do_sample=False, **options).tolist()

    return [tokens(), tokens(num_beams=3)]


report(generate)
