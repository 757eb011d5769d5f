"""optimum: transformers' own generate on ORTModelForCausalLM, greedy and with beams."""

import tempfile

import torch
from clock import report
from optimum.onnxruntime import ORTModelForCausalLM
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
config = GPT2Config(
    vocab_size=101,
    n_positions=128,
    n_embd=64,
    n_layer=2,
    n_head=4,
    bos_token_id=1,
    eos_token_id=100,
    pad_token_id=0,
    tie_word_embeddings=False,
    initializer_range=0.2,
)
folder = tempfile.mkdtemp()
GPT2LMHeadModel(config).eval().save_pretrained(folder)
model = ORTModelForCausalLM.from_pretrained(folder, export=True)
prompt = torch.tensor([[5, 17, 42, 7]])
batch = torch.tensor([[0, 0, 42, 7], [5, 17, 42, 7]])
mask = (batch != 0).long()


def generate():
    def tokens(ids, **options):
        return model.generate(ids, max_new_tokens=32, **options).tolist()

    torch.manual_seed(1)
    return [
        tokens(prompt, do_sample=False),
        tokens(prompt, do_sample=False, num_beams=3),
        tokens(batch, attention_mask=mask, do_sample=False),
        tokens(prompt, do_sample=True, top_k=10),
    ]


report(generate)
