"""What the optimiser recognises in transformers, in every combination that torch's exporters produce.

Narrow models of two layers with random weights: nothing that the passes do depends on a width. Exports, and the reasons
why there is none, are kept in the zoo's cache.

    python bench/recognition.py [WORD...]       the combinations whose names hold all of these words, one line each
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

from arenaut.ir import Graph  # noqa: E402
from arenaut.ir.graph import ARENAUT_DOMAIN  # noqa: E402
from arenaut.measure.render import one_line  # noqa: E402
from bench.exporters import calling, export, from_config, vary_constants  # noqa: E402
from bench.table import markdown_table  # noqa: E402
from bench.zoo import EXPORT_PACKAGES, cache_folder, installed_version  # noqa: E402

REVISION: Final = 1
"""Raised when what is exported here changes, so that cached exports are made anew."""
TIME_LIMIT: Final = 180
"""Seconds that one export may take."""
LAYERS: Final = 2
ATTENTIONS: Final = ("eager", "sdpa")
# The oldest opset asked for, and the newest that each exporter writes.
OPSETS: Final[Mapping[str, tuple[int, int]]] = {"dynamo": (17, 23), "torchscript": (17, 20)}
# The lowest that an exporter makes, where that is not the oldest asked for.
LOWEST: Final[Mapping[tuple[str, str], int]] = {("GPT-2", "dynamo"): 18}
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


# -- exports, kept -----------------------------------------------------------------------------------------------------

Label = tuple[str, str, str, int]
"""Architecture, exporter, attention, the opset that is asked for."""


class RefusedError(Exception):
    """There is no model of a combination: the exporter fails, or writes what onnx's checker refuses."""


def combinations() -> Iterator[Label]:
    for name, exporter, attention in itertools.product(ARCHITECTURES, OPSETS, ATTENTIONS):
        lowest = LOWEST.get((name, exporter))
        for opset in sorted({*OPSETS[exporter], *([] if lowest is None else [lowest])}):
            if name != "T5 encoder" or attention == "eager":  # T5 has no other
                yield name, exporter, attention, opset


def export_folder() -> Path:
    versions = "-".join([*map(installed_version, EXPORT_PACKAGES), str(REVISION)])
    return cache_folder() / f"recognition-{versions}"


def exported(label: Label) -> Path:
    """The model of a combination, made where the cache does not have it. Raises RefusedError."""
    name, exporter, attention, opset = label
    folder = export_folder()
    path = folder / f"{name.lower().replace(' ', '-')}-{exporter}-{attention}-{opset}.onnx"
    refusal = path.with_suffix(".txt")
    if not path.exists() and not refusal.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        try:
            with _alarm(TIME_LIMIT):
                write(ARCHITECTURES[name], draft, exporter, attention, opset)
            onnx.checker.check_model(str(draft))
            draft.rename(path)
        except Exception as error:
            draft.unlink(missing_ok=True)
            refusal.write_text(_reason(error))
    if not path.exists():
        raise RefusedError(refusal.read_text())
    return path


@contextlib.contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"no model within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _reason(error: BaseException) -> str:
    """The error that started it, without the exporter's own account of its attempts."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(f"{type(error).__name__}: {error}")


# -- what is found -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """One combination. refusal: why there is no model of it. opset: of the file. missing: ops that are not there as
    often as they should be. steps: from the first Attention to the second. difference: the largest from the oracle,
    relative to its largest element; `oracle` says why that is not onnxruntime, where it is another. broken: what
    arenaut says of a model that it fails on."""

    label: Label
    refusal: str = ""
    opset: int = 0
    missing: tuple[str, ...] = ()
    steps: int = 0
    difference: float = 0.0
    oracle: str = ""
    broken: str = ""


def ops_of(graph: Graph) -> Counter[str]:
    """How often each op occurs, inside fused nodes too."""
    found: Counter[str] = Counter()
    for node in graph.nodes:
        if node.domain != ARENAUT_DOMAIN:
            found[node.op] += 1
        for _, body in node.bodies():
            found += ops_of(body)
    return found


def missing_ops(architecture: Architecture, graph: Graph) -> tuple[str, ...]:
    found = ops_of(graph)
    return tuple(
        f"{' or '.join(ops)} {have} of {count}"
        for ops, count in architecture.wanted.items()
        if (have := sum(found[op] for op in ops)) < count
    )


def wanted_outputs(path: Path, feeds: Mapping[str, np.ndarray]) -> tuple[list[Any], str]:
    """What the stored model means, and why onnxruntime does not say it, if it does not."""
    import onnxruntime
    from onnx.reference import ReferenceEvaluator

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return session.run(None, dict(feeds)), ""
    except Exception as error:
        outputs = ReferenceEvaluator(str(path)).run(None, dict(feeds))
        return list(outputs), one_line(str(error))


def attempt(label: Label) -> Outcome:
    try:
        return _examined(label, exported(label))
    except RefusedError as error:
        return Outcome(label, str(error))
    except Exception as error:
        return Outcome(label, broken=one_line(f"{type(error).__name__}: {error}"))


def _examined(label: Label, path: Path) -> Outcome:
    import arenaut

    architecture = ARCHITECTURES[label[0]]
    opset = max(o.version for o in onnx.load(path).opset_import if o.domain in ("", "ai.onnx"))
    model = arenaut.load_onnx(path, threads=1, without=("slices", "bands"))
    steps = [model._built.lowered.steps[i] for i in model._built.step_order]
    at = [i for i, step in enumerate(steps) if step.node.op == "Attention"]
    wanted, oracle = wanted_outputs(path, architecture.example)
    worst = 0.0
    for options in ({}, {"optimize": False}):
        results = arenaut.load_onnx(path, threads=1, **options).run(architecture.example).values()
        for got, want in zip(results, wanted, strict=True):
            worst = max(worst, float(np.abs(got - want).max() / np.abs(want).max()))
    gap = at[1] - at[0] if len(at) > 1 else 0
    return Outcome(label, "", opset, missing_ops(architecture, model.graph), gap, worst, oracle)


def matrix_lines(outcomes: Sequence[Outcome]) -> list[str]:
    rows = [
        (o.label[0], f"{o.label[1]}, {o.label[2]}", _opset(o), ", ".join(o.missing) or "all", str(o.steps),
         f"{o.difference:.1e}{' *' if o.oracle else ''}")
        for o in outcomes if not o.refusal and not o.broken
    ]  # fmt: skip
    header = ("model", "export", "opset", "recognised", "steps a layer", "max rel. difference")
    lines = ["## What is recognised", "", "Attention, Gelu (Swish of SwiGLU; T5 has Relu), norms and rotary embeddings"]
    lines += [f"in each of {LAYERS} layers of narrow models. Steps from one Attention to the next. Differences: of the"]
    lines += ["optimised and of the unoptimised model from onnxruntime, the larger one.", ""]
    lines += [*markdown_table(header, rows), ""]
    others = [f"- {_name(o.label)}: {o.oracle}" for o in outcomes if o.oracle]
    lines += ["(*) onnxruntime refuses; compared with onnx's reference evaluator:", "", *others, ""] if others else []
    failed = [f"- {_name(o.label)}: {o.refusal}" for o in outcomes if o.refusal]
    lines += ["The exporter fails, or writes what onnx's checker refuses:", "", *failed, ""] if failed else []
    broken = [f"- {_name(o.label)}: {o.broken}" for o in outcomes if o.broken]
    lines += ["arenaut fails:", "", *broken, ""] if broken else []
    rest = [_name(c) for c in combinations() if c not in {o.label for o in outcomes}]
    return [*lines, *(["Not run:", "", *(f"- {c}" for c in rest), ""] if rest else [])]


def _opset(outcome: Outcome) -> str:
    asked = outcome.label[3]
    return str(asked) if outcome.opset == asked else f"{outcome.opset} (asked for {asked})"


def _name(label: Label) -> str:
    return ", ".join(map(str, label))


def main(words: Sequence[str]) -> int:
    """Prints an outcome a line; 1 when something is not recognised, or fails."""
    chosen = [c for c in combinations() if all(w.lower() in _name(c).lower() for w in words)]
    bad = 0
    for label in chosen:
        start = time.perf_counter()
        o = attempt(label)
        found = f"{', '.join(o.missing) or 'all'}; {o.steps} steps; {o.difference:.1e} {o.oracle}"
        said = o.refusal or (f"FAILED {o.broken}" if o.broken else found)
        bad += not o.refusal and (bool(o.missing or o.broken) or not o.difference < 1e-4)
        print(f"{_name(label)}: {said} [{time.perf_counter() - start:.1f} s]", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
