"""Recipes for decoders whose key/value caches go in and come out, by the names and orders that optimum writes.

A decoder alone takes (input_ids, attention_mask[, position_ids], past_key_values.N.key, past_key_values.N.value, ...)
and returns (logits, present.N.key, present.N.value, ...). Of an encoder-decoder there are three models: the encoder,
the decoder of the first call (which makes the caches of the encoder's states) and the decoder with past (which takes
them as past_key_values.N.encoder.*). `merge` joins the two decoders into one with an input use_cache_branch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bench.modules import calling, from_config

if TYPE_CHECKING:
    import onnx

QWEN3: Final[Mapping[str, Any]] = {
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}
"""Qwen3-0.6B's widths."""
LLAMA: Final[Mapping[str, Any]] = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
"""Llama-3.2-1B's widths."""
WHISPER: Final[Mapping[str, Any]] = {
    "d_model": 384,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_attention_heads": 6,
    "decoder_ffn_dim": 1536,
}
"""Whisper-tiny's widths."""


def gpt2_cached(layers: int, vocabulary: int, attention: str, positions: int = 2048, **widths: Any) -> Any:
    """GPT-2, its small widths by default. (input_ids, attention_mask, position_ids, *past) -> (logits, *present)."""
    settings = {"n_layer": layers, "vocab_size": vocabulary, "n_positions": positions, **widths}
    return decoder(from_config("AutoModelForCausalLM", "GPT2Config", attention, **settings), POSITIONED)


def qwen3_cached(layers: int, vocabulary: int, attention: str, **widths: Any) -> Any:
    """Qwen3, the 0.6B's widths by default. (input_ids, attention_mask, position_ids, *past) -> (logits, *present)."""
    settings = {**QWEN3, **widths, "num_hidden_layers": layers, "vocab_size": vocabulary}
    return decoder(from_config("AutoModelForCausalLM", "Qwen3Config", attention, **settings), POSITIONED)


def llama_cached(layers: int, vocabulary: int, attention: str, **widths: Any) -> Any:
    """Llama, the 3.2-1B's widths by default. (input_ids, attention_mask, *past) -> (logits, *present)."""
    settings = {**LLAMA, **widths, "num_hidden_layers": layers, "vocab_size": vocabulary}
    return decoder(from_config("AutoModelForCausalLM", "LlamaConfig", attention, **settings), MASKED)


MASKED: Final = ("input_ids", "attention_mask")
POSITIONED: Final = (*MASKED, "position_ids")


def decoder(model: Any, keywords: Sequence[str]) -> Any:
    """(*keywords, key and value of each layer) -> (logits, key and value of each layer)."""

    def call(body: Any, *inputs: Any) -> Any:
        given, past = dict(zip(keywords, inputs, strict=False)), inputs[len(keywords) :]
        result = body(**given, past_key_values=cache_of(past), use_cache=True)
        return result.logits, *tensors_of(result.past_key_values)

    return calling(model, call)


def t5(layers: int, vocabulary: int, **widths: Any) -> Any:
    """T5, the small one's widths by default."""
    settings = {"num_layers": layers, "vocab_size": vocabulary, **widths}
    return from_config("AutoModelForSeq2SeqLM", "T5Config", **settings)


def t5_cached_encoder(layers: int, vocabulary: int, **widths: Any) -> Any:
    """(input_ids, attention_mask) -> last_hidden_state."""
    encoder = t5(layers, vocabulary, **widths).encoder
    return calling(encoder, lambda body, ids, mask: body(input_ids=ids, attention_mask=mask).last_hidden_state)


def t5_cached_first(layers: int, vocabulary: int, **widths: Any) -> Any:
    """(input_ids, encoder_attention_mask, encoder_hidden_states) -> (logits, present decoder.*, present encoder.*)."""

    def call(body: Any, ids: Any, mask: Any, states: Any) -> Any:
        return first_call(body, ids, states, attention_mask=mask)

    return calling(t5(layers, vocabulary, **widths), call)


def t5_cached(layers: int, vocabulary: int, **widths: Any) -> Any:
    """(input_ids, encoder_attention_mask, *past decoder, *past encoder) -> (logits, *present decoder)."""

    def call(body: Any, ids: Any, mask: Any, *past: Any) -> Any:
        return later_call(body, ids, past, body.config.d_model, attention_mask=mask)

    return calling(t5(layers, vocabulary, **widths), call)


def whisper(layers: int, vocabulary: int, attention: str, positions: int = 2048, **widths: Any) -> Any:
    """Whisper, the tiny one's widths by default; more positions than its 448, so that long caches can be measured."""
    settings = {**WHISPER, "encoder_layers": layers, "decoder_layers": layers, "vocab_size": vocabulary, **widths}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
    return from_config(
        "AutoModelForSpeechSeq2Seq", "WhisperConfig", attention, max_target_positions=positions, **settings, **tokens
    )


def whisper_cached_encoder(layers: int, vocabulary: int, attention: str, **widths: Any) -> Any:
    """input_features -> last_hidden_state."""
    encoder = whisper(layers, vocabulary, attention, **widths).model.encoder
    return calling(encoder, lambda body, features: body(features).last_hidden_state)


def whisper_cached_first(layers: int, vocabulary: int, attention: str, **widths: Any) -> Any:
    """(input_ids, encoder_hidden_states) -> (logits, *present decoder, *present encoder)."""
    return calling(whisper(layers, vocabulary, attention, **widths), first_call)


def whisper_cached(layers: int, vocabulary: int, attention: str, **widths: Any) -> Any:
    """(input_ids, *past decoder, *past encoder) -> (logits, *present decoder)."""

    def call(body: Any, ids: Any, *past: Any) -> Any:
        return later_call(body, ids, past, body.config.d_model)

    return calling(whisper(layers, vocabulary, attention, **widths), call)


def first_call(body: Any, ids: Any, states: Any, **options: Any) -> Any:
    """What an encoder-decoder returns without caches: logits, the decoder's caches, the encoder's."""
    result = body(decoder_input_ids=ids, encoder_outputs=(states,), use_cache=True, **options)
    caches = result.past_key_values
    return result.logits, *tensors_of(caches.self_attention_cache), *tensors_of(caches.cross_attention_cache)


def later_call(body: Any, ids: Any, past: Sequence[Any], width: int, **options: Any) -> Any:
    """What an encoder-decoder returns with caches: logits and its own. past: its own, then the encoder's."""
    from transformers.cache_utils import EncoderDecoderCache

    own, cross = past[: len(past) // 2], past[len(past) // 2 :]
    caches = EncoderDecoderCache(cache_of(own), cache_of(cross))
    caches.is_updated = dict.fromkeys(range(len(cross) // 2), True)
    unread = cross[0].new_zeros(ids.shape[0], cross[0].shape[2], width)  # states whose caches are there already
    result = body(decoder_input_ids=ids, encoder_outputs=(unread,), past_key_values=caches, use_cache=True, **options)
    return result.logits, *tensors_of(result.past_key_values.self_attention_cache)


def cache_of(past: Sequence[Any]) -> Any:
    """transformers' cache that holds tensors: key and value of each layer."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    cache = DynamicCache()
    for keys, values in zip(past[::2], past[1::2], strict=True):
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def tensors_of(cache: Any) -> list[Any]:
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def merge(first: onnx.ModelProto, later: onnx.ModelProto) -> onnx.ModelProto:
    """A decoder of the first call and one with past as one model whose input use_cache_branch chooses.

    Weights that both hold are stored once. What only the first call makes (caches of the encoder's states) the other
    branch gives as tensors without rows, as optimum does.
    """
    from onnx import TensorProto, helper

    models = {"first": first, "later": later}
    outputs = list(first.graph.output)
    inputs = {value.name: value for model in models.values() for value in model.graph.input}
    weights: dict[bytes, onnx.TensorProto] = {}
    branches = {label: branch(model.graph, label, outputs, weights) for label, model in models.items()}
    chooser = helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1])
    node = helper.make_node(
        "If",
        ["use_cache_branch"],
        [v.name for v in outputs],
        then_branch=branches["later"],
        else_branch=branches["first"],
    )
    graph = helper.make_graph([node], "merged", [*inputs.values(), chooser], outputs, list(weights.values()))
    for value in graph.output:
        for dim in value.type.tensor_type.shape.dim:  # sizes differ between the branches
            dim.Clear()
    return helper.make_model(graph, opset_imports=first.opset_import, ir_version=8)


def branch(
    graph: onnx.GraphProto, label: str, outputs: Sequence[onnx.ValueInfoProto], weights: dict[bytes, onnx.TensorProto]
) -> onnx.GraphProto:
    """The graph as a branch that gives `outputs`, under names of its own; its initialisers go to `weights`."""
    import numpy as np
    from onnx import GraphProto, helper, numpy_helper

    captured = {value.name: value.name for value in graph.input}
    for tensor in graph.initializer:
        content = repr((tensor.data_type, list(tensor.dims))).encode() + numpy_helper.to_array(tensor).tobytes()
        key = hashlib.sha256(content).digest()
        captured[tensor.name] = weights.setdefault(key, named(tensor, f"weight_{len(weights)}")).name
    body = GraphProto(name=label, node=graph.node)
    rename(body, lambda name: captured.get(name, f"{label}/{name}" if name else ""))
    made = {value.name for value in graph.output}
    pasts = {value.name.replace("past_key_values", "present"): value for value in graph.input}
    for value in outputs:
        name = f"{label}/{value.name}"
        if value.name not in made:
            _, heads, _, size = (dim.dim_value for dim in pasts[value.name].type.tensor_type.shape.dim)
            empty = numpy_helper.from_array(np.zeros((0, heads, 1, size), np.float32))
            body.node.append(helper.make_node("Constant", [], [name], value=empty))
        body.output.append(helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, None))
    return body


def named(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    from onnx import TensorProto

    copy = TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy


def rename(graph: onnx.GraphProto, new: Callable[[str], str]) -> None:
    """Give every value of a graph and of the graphs in its nodes a new name, in place."""
    for node in graph.node:
        node.input[:] = map(new, node.input)
        node.output[:] = map(new, node.output)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename(attribute.g, new)
    for item in (*graph.input, *graph.output, *graph.initializer):
        item.name = new(item.name)


DECODERS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        gpt2_cached,
        qwen3_cached,
        llama_cached,
        t5_cached_encoder,
        t5_cached_first,
        t5_cached,
        whisper_cached_encoder,
        whisper_cached_first,
        whisper_cached,
    )
}
