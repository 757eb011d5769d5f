"""Golden plans: what ten reference models are compiled to, step by step, and what they compute.

    python -m tests.golden.plans            say what differs from the stored plans, outputs' bytes included
    python -m tests.golden.plans --write    store the plans and outputs of this checkout

A change of a plan is then seen in review, and a refactor that changes none is proved. All is made with one thread on
tier v3, so that every x86-64 machine with AVX2 makes the same; sizes of scratch, and so offsets, also hang on the sizes
of the caches, which each file names. Only the same compiler gives the same bytes: test_plans.py compares samples of the
outputs by value, and the command also their hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

FOLDER: Final = Path(__file__).parent / "data"
TIER: Final = "v3"
SAMPLES: Final = 16
"""Values of each output that are stored, evenly spread over it."""
MODELS: Final = (
    "bilstm-2x256",
    "digits",
    "gpt2-2l",
    "light-inception-v1-random",
    "light-squeezenet-random",
    "minilm-l3",
    "mobilenet-v3-large",
    "ppocr-rec",
    "qwen3-2l",
    "unet-256",
)


def caches() -> dict[str, int]:
    """Bytes of the caches by which kernels cut their work."""
    from arenaut import _native

    cpu = _native.cpu()
    return {name: cpu[name] for name in ("l1d_bytes", "l2_bytes", "l3_bytes")}


def describe(name: str) -> dict[str, Any]:
    """The model's plan and outputs at the first binding of its zoo entry, as plain data."""
    import arenaut
    from bench import zoo
    from tests.support import skeletons

    entry = zoo.load_manifest()[name]
    if name in skeletons.names():
        proto: Any = skeletons.load_skeleton(name)
    elif isinstance(entry.source, zoo.Shipped):
        proto = zoo.ROOT / entry.source.path
    else:
        assert isinstance(entry.source, zoo.Installed)
        proto = zoo.rerandomised_model(entry.source)
    binding = entry.bindings[0]
    model = arenaut.load_onnx(proto, threads=1, shapes=binding)
    outputs = model.run(zoo.make_feeds(entry, binding, seed=0))
    plan = model.plan
    return {
        "model": name,
        "caches": caches(),
        "sizes": dict(binding),
        "steps": list(_steps(model)),
        "placement": {
            "arena_bytes": plan.arena_bytes,
            "lower_bound_bytes": plan.lower_bound_bytes,
            "output_bytes": plan.output_bytes,
            "packed_weight_bytes": plan.packed_weight_bytes,
            "blocks": [f"{b.offset:>9} +{b.bytes:<9} {b.first}-{b.last} {b.name}" for b in plan.blocks],
            "in_outputs": [f"{g.output} {g.offset} +{g.bytes} {g.first}-{g.last} {g.name}" for g in plan.guests],
            "sharing": [f"{s.step} {s.write} {'over' if s.in_place else 'with'} {s.read}" for s in plan.sharing],
        },
        "outputs": {key: _sampled(np.asarray(value)) for key, value in outputs.items()},
    }


def _steps(model: Any) -> Iterator[str]:
    """One line a step in the order of the run: node, kernel row, variant."""
    built = model._built
    facts = built.native.describe_last()
    variants = {facts["first_step"] + i: step[0] for i, step in enumerate(facts["steps"])}
    for position, index in enumerate(built.step_order):
        step = built.lowered.steps[index]
        kernel = step.row.name if step.row is not None else step.kind.name.lower()
        yield f"{step.node.name or step.node.op}: {kernel} {variants.get(position, '')}".rstrip()


def _sampled(array: Any) -> dict[str, Any]:
    flat = np.ascontiguousarray(array).reshape(-1)
    at = np.linspace(0, max(0, flat.size - 1), min(SAMPLES, flat.size)).astype(np.int64)
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "sha256": hashlib.sha256(flat.tobytes()).hexdigest(),
        "scale": float(np.max(np.abs(flat), initial=0)),
        "samples": [float(x) for x in flat[at]],
    }


def stored(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def text_of(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Where two documents differ, one line each."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differences(a, b, f"{path}[{i}]")
    elif old != new:
        yield f"{path}: {old!r} -> {new!r}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Golden plans of ten reference models.")
    parser.add_argument("--write", action="store_true", help="store the plans of this checkout")
    parser.add_argument("--json", action="store_true", help="print the plans as JSON lines")
    parser.add_argument("models", nargs="*", help="some of the models; all when left out")
    chosen = parser.parse_args(arguments)
    wrong = 0
    for name in chosen.models or MODELS:
        document = describe(name)
        if chosen.write:
            (FOLDER / f"{name}.json").write_text(text_of(document))
        elif chosen.json:
            print(json.dumps(document))
        else:
            found = list(differences(stored(name), document))
            wrong += len(found)
            print(f"{name}: {'as stored' if not found else f'{len(found)} differences'}")
            print("\n".join(f"  {line}" for line in found[:20]), end="\n" if found else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    os.environ["ARENAUT_ISA_MAX"] = TIER
    sys.exit(main(sys.argv[1:]))
