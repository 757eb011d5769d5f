"""What the optimiser recognises in transformers, in every combination that torch's exporters produce.

Narrow models of two layers with random weights: nothing that the passes do depends on a width.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from arenaut.ir import Graph
from arenaut.ir.graph import ARENAUT_DOMAIN

from arenaut.report.render import one_line
from bench.exporters import calling, export, from_config, vary_constants
from bench.table import markdown_table

LAYERS: Final = 2
ATTENTIONS: Final = ("eager", "sdpa")
# The oldest opset asked for, and the newest that each exporter writes.
OPSETS: Final[Mapping[str, tuple[int, int]]] = {"dynamo": (17, 23), "torchscript": (17, 20)}
NORMS: Final = ("LayerNormalization", "RMSNormalization")


@dataclass(frozen=True)
class Architecture:
    """make(attention, layers) -> a module; example and dynamic as `export` takes them. wanted: how many of which ops
    (any of a tuple) a model of LAYERS layers must hold."""

    make: Callable[[str, int], Any]
    example: Mapping[str, np.ndarray]
    dynamic: Mapping[str, Mapping[int, str]]
    wanted: Mapping[tuple[str, ...], int]


_IDS = np.arange(1, 17, dtype=np.int64).reshape(2, 8)
_MASK = np.array([[1] * 8, [1] * 5 + [0] * 3], np.int64)
_BATCH_SEQUENCE = {0: "batch", 1: "sequence"}
_TEXT = ({"ids": _IDS, "mask": _MASK}, {"ids": _BATCH_SEQUENCE, "mask": _BATCH_SEQUENCE})
_SMALL: dict[str, Any] = {"vocab_size": 99, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
_PLAIN = {("Attention",): LAYERS, ("Gelu",): LAYERS, NORMS: 2 * LAYERS + 1}
_GATED = {("Attention",): LAYERS, ("Swish", "SwiGLU"): LAYERS, ("RotaryEmbedding",): LAYERS, NORMS: 2 * LAYERS + 1}


def _text(config: str, **settings: Any) -> Callable[[str, int], Any]:
    """AutoModel of a configuration; `layers` names its setting for their number."""
    name = settings.pop("layers", "num_hidden_layers")

    def make(attention: str, layers: int) -> Any:
        model = from_config("AutoModel", config, attention, **settings, **{name: layers})
        return calling(model, lambda body, ids, mask: body(input_ids=ids, attention_mask=mask).last_hidden_state)

    return make


def _t5(attention: str, layers: int) -> Any:
    settings = {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4, "num_layers": layers}
    model = from_config("AutoModelForTextEncoding", "T5Config", None, use_cache=False, **settings)
    return calling(model, lambda body, ids, mask: body(input_ids=ids, attention_mask=mask).last_hidden_state)


def _vit(attention: str, layers: int) -> Any:
    settings = {**_SMALL, "num_hidden_layers": layers, "image_size": 32, "patch_size": 8}
    del settings["vocab_size"]
    model = from_config("AutoModel", "ViTConfig", attention, **settings)
    return calling(model, lambda body, pixels: body(pixel_values=pixels).last_hidden_state)


def _whisper(attention: str, layers: int) -> Any:
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    sizes = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "decoder_layers": 1, "encoder_layers": layers}
    more = {"max_source_positions": 24, "vocab_size": 99, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    model = from_config("AutoModel", "WhisperConfig", attention, **sizes, **heads, **more).encoder
    return calling(model, lambda body, features: body(features).last_hidden_state)


_GPT2 = {"vocab_size": 99, "n_embd": 32, "n_head": 4, "n_positions": 64, "use_cache": False, "layers": "n_layer"}
_GROUPED = {**_SMALL, "num_key_value_heads": 2, "use_cache": False}
_NOISE = np.random.default_rng(0)
ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "GPT-2": Architecture(_text("GPT2Config", **_GPT2), *_TEXT, _PLAIN),
    "BERT": Architecture(_text("BertConfig", **_SMALL), *_TEXT, _PLAIN),
    "DistilBERT": Architecture(
        _text("DistilBertConfig", vocab_size=99, dim=32, n_heads=4, hidden_dim=64, layers="n_layers"), *_TEXT, _PLAIN
    ),
    "ViT": Architecture(
        _vit, {"pixels": _NOISE.standard_normal((2, 3, 32, 32)).astype(np.float32)}, {"pixels": {0: "batch"}}, _PLAIN
    ),
    "Qwen3": Architecture(_text("Qwen3Config", **_GROUPED, head_dim=8), *_TEXT, _GATED),
    "Llama": Architecture(_text("LlamaConfig", **_GROUPED), *_TEXT, _GATED),
    "Whisper encoder": Architecture(
        _whisper, {"features": _NOISE.standard_normal((2, 80, 48)).astype(np.float32)}, {"features": {0: "batch"}},
        {**_PLAIN, ("Gelu",): LAYERS + 2},
    ),
    "T5 encoder": Architecture(_t5, *_TEXT, {("Attention",): LAYERS, ("Relu",): LAYERS, NORMS: 2 * LAYERS + 1}),
}  # fmt: skip


def write(
    architecture: Architecture, path: Path, exporter: str, attention: str, opset: int, layers: int = LAYERS
) -> None:
    """Exports a narrow model; raises whatever the exporter raises."""
    import torch

    torch.manual_seed(0)
    module = architecture.make(attention, layers)
    vary_constants(module)
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        export(
            module.eval(), path, example=architecture.example, dynamic=architecture.dynamic, outputs=["hidden"],
            exporter=exporter, opset=opset, external_data=False,
        )  # fmt: skip


def ops_of(graph: Graph) -> Counter[str]:
    """How often each op occurs, inside fused nodes too."""
    found: Counter[str] = Counter()
    for node in graph.nodes:
        if node.domain != ARENAUT_DOMAIN:
            found[node.op] += 1
        for _, body in node.bodies():
            found += ops_of(body)
    return found


def examine(architecture: Architecture, path: Path) -> tuple[list[str], int, float]:
    """Ops that are missing, steps from the first Attention to the second, and the largest difference from
    onnxruntime relative to the largest element."""
    import onnxruntime

    import arenaut

    model = arenaut.load_onnx(path, threads=1, without=("slices",))
    found = ops_of(model.graph)
    missing = [
        f"{' or '.join(ops)} {have} of {count}"
        for ops, count in architecture.wanted.items()
        if (have := sum(found[op] for op in ops)) < count
    ]
    steps = [model._built.lowered.steps[i] for i in model._built.step_order]
    at = [i for i, step in enumerate(steps) if step.node.op == "Attention"]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (want,) = session.run(None, dict(architecture.example))
    (got,) = model.run(architecture.example).values()
    return missing, at[1] - at[0] if len(at) > 1 else 0, float(np.abs(got - want).max() / np.abs(want).max())


def combinations() -> Iterator[tuple[str, str, str, int]]:
    for name, exporter, attention in itertools.product(ARCHITECTURES, OPSETS, ATTENTIONS):
        for opset in OPSETS[exporter]:
            if name != "T5 encoder" or attention == "eager":  # T5 has no other
                yield name, exporter, attention, opset


@dataclass(frozen=True)
class Outcome:
    """One combination: what the exporter's refusal says, or what `examine` found."""

    label: tuple[str, str, str, int]
    failure: str = ""
    missing: tuple[str, ...] = ()
    steps: int = 0
    difference: float = 0.0


def attempt(label: tuple[str, str, str, int]) -> Outcome:
    name, exporter, attention, opset = label
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            write(ARCHITECTURES[name], path, exporter, attention, opset)
            onnx.checker.check_model(str(path))
        except Exception as error:
            return Outcome(label, one_line(f"{type(error).__name__}: {error}"))
        missing, steps, difference = examine(ARCHITECTURES[name], path)
    return Outcome(label, "", tuple(missing), steps, difference)


def matrix_lines(outcomes: Sequence[Outcome]) -> list[str]:
    rows = [
        (o.label[0], f"{o.label[1]}, {o.label[2]}", str(o.label[3]), ", ".join(o.missing) or "all", str(o.steps),
         f"{o.difference:.1e}")
        for o in outcomes if not o.failure
    ]  # fmt: skip
    failed = [f"- {', '.join(map(str, o.label))}: {o.failure}" for o in outcomes if o.failure]
    header = ("model", "export", "opset", "recognised", "steps a layer", "max rel. difference")
    lines = ["## What is recognised", "", "Attention, Gelu (Swish of SwiGLU; T5 has Relu), norms and rotary embeddings"]
    lines += [f"in each of {LAYERS} layers of narrow models. Steps from one Attention to the next.", ""]
    lines += [*markdown_table(header, rows), ""]
    lines += ["The exporter fails, or writes what onnx's checker refuses:", "", *failed, ""] if failed else []
    rest = [", ".join(map(str, c)) for c in combinations() if c not in {o.label for o in outcomes}]
    return [*lines, *(["Not run:", "", *(f"- {c}" for c in rest), ""] if rest else [])]
