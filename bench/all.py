"""Writes every page of docs/measured anew, one after the other, each by its own command.

    python -m bench.all [PAGE...] [--list]

PAGE: names of pages such as SPEED or LOAD; all when left out. Pages name the machine that they were measured on. It
takes hours: each command prints its progress, and a page that fails does not keep the others from being made.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "docs" / "measured"
RESULTS: Final = "build/ops"

PAGES: Final[Mapping[str, Sequence[Sequence[str]]]] = MappingProxyType(
    {
        "SPEED": (("bench.speed", "--rounds", "6"),),
        "MODELS": (("bench.table",),),
        "MEMORY": (("bench.memory",),),
        "ARENAS": (("bench.arenas",),),
        "LOAD": (("bench.load", "--growth", "--repeat", "4", "--markdown", "docs/measured/LOAD.md"),),
        "COMPILED": (("bench.compiled", "--markdown", "docs/measured/COMPILED.md"),),
        "STEPS": (("bench.steps",),),
        "GEMM": (("bench.gemm",),),
        "QGEMM": (("bench.qgemm",),),
        "QCONV": (("bench.qconv",),),
        "OPS": (("bench.ops", "--save", RESULTS), ("bench.ops", "--page", RESULTS)),
        "ABLATION": (("bench.ablation",),),
        "ABLATION_MEMORY": (("bench.ablation_memory",),),
        "DECODE": (("bench.decode", "--missing"), ("bench.decode", "--page", "build/decode")),
        "QUANTISED": (("bench.quantised",),),
        "QUANTISED_FLOAT": (("bench.quantised_float",),),
        "BFLOAT16": (("bench.bfloat16",),),
        "SERVING": (("bench.serving", "table"), ("bench.serving", "soak"), ("bench.serving", "scaling")),  # printed
        "CLIENTS": (("tests.clients", "--page", "docs/measured/CLIENTS.md"),),
        "RANDOM_SHAPES": (("bench.random_shapes", "--markdown", "docs/measured/RANDOM_SHAPES.md"),),
    }
)
"""By page: the modules that make it, with their arguments, run in the checkout's root."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE", choices=[[], *PAGES], default=[])
    parser.add_argument("--list", action="store_true", help="print the commands, run none")
    chosen = parser.parse_args(arguments)
    failed = []
    for page in chosen.pages or PAGES:
        for module, *words in PAGES[page]:
            print(f"{page}: python -m {' '.join([module, *words])}", flush=True)
            if not chosen.list and subprocess.run([sys.executable, "-m", module, *words], cwd=ROOT).returncode:
                failed.append(page)
                break
    if failed:
        print(f"not made: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
