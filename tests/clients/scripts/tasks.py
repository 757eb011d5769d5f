"""optimum: ORTModelFor... of features, classes, tokens, answers, choices, masked words, pictures, segments, sounds."""

import tempfile

import onnxruntime
import torch
import transformers as hf
from clock import report
from optimum import onnxruntime as ort

torch.set_num_threads(1)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
TEXT = hf.BertConfig(vocab_size=101, num_labels=5, initializer_range=0.2, **SMALL)
ANSWERS = hf.BertConfig(vocab_size=101, num_labels=2, initializer_range=0.2, **SMALL)  # where one begins and ends
PICTURE = hf.ViTConfig(image_size=32, patch_size=8, num_labels=5, initializer_range=0.2, **SMALL)
SEGMENTS = hf.SegformerConfig(
    num_labels=5, hidden_sizes=[8, 16, 16, 16], decoder_hidden_size=16, num_attention_heads=[1, 2, 2, 2]
)
SPEECH = hf.Wav2Vec2Config(
    vocab_size=31, conv_dim=(16, 16), conv_stride=(5, 4), conv_kernel=(10, 6), num_conv_pos_embedding_groups=4,
    num_conv_pos_embeddings=16, num_labels=5, num_feat_extract_layers=2, **SMALL,
)  # fmt: skip
# What optimum calls the task, the model of transformers, its configuration.
TASKS = (
    ("FeatureExtraction", hf.BertModel, TEXT),
    ("SequenceClassification", hf.BertForSequenceClassification, TEXT),
    ("TokenClassification", hf.BertForTokenClassification, TEXT),
    ("QuestionAnswering", hf.BertForQuestionAnswering, ANSWERS),
    ("MultipleChoice", hf.BertForMultipleChoice, TEXT),
    ("MaskedLM", hf.BertForMaskedLM, TEXT),
    ("ImageClassification", hf.ViTForImageClassification, PICTURE),
    ("SemanticSegmentation", hf.SegformerForSemanticSegmentation, SEGMENTS),
    ("AudioClassification", hf.Wav2Vec2ForSequenceClassification, SPEECH),
    ("CTC", hf.Wav2Vec2ForCTC, SPEECH),
)


def made(task, kind, config):
    torch.manual_seed(0)
    folder = tempfile.mkdtemp()
    kind(config).eval().save_pretrained(folder)
    return getattr(ort, f"ORTModelFor{task}").from_pretrained(folder, export=True, session_options=options)


def feeds(task, config):
    random = torch.Generator().manual_seed(1)
    if config is PICTURE or config is SEGMENTS:
        return {"pixel_values": torch.randn(2, 3, 32, 32, generator=random)}
    if config is SPEECH:
        return {"input_values": torch.randn(2, 400, generator=random)}
    shape = (2, 3, 7) if task == "MultipleChoice" else (2, 7)
    ids = torch.randint(1, 101, shape, generator=random)
    mask = torch.ones_like(ids)
    mask[..., 5:] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


models = [(made(*task), feeds(task[0], task[2])) for task in TASKS]


def run():
    return [list(model(**given).values()) for model, given in models]


report(run)
