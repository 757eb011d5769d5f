"""python -m arenaut.compat.onnxruntime [-m module | script.py] ...: runs it with this package as onnxruntime."""

from __future__ import annotations

import os
import runpy
import sys

from arenaut.compat.onnxruntime.install import install

USAGE = "usage: python -m arenaut.compat.onnxruntime script.py [arguments]\n" \
        "       python -m arenaut.compat.onnxruntime -m module [arguments]"  # fmt: skip


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    install()
    if arguments[0] == "-m":
        if len(arguments) < 2:
            print(USAGE, file=sys.stderr)
            return 2
        sys.argv = arguments[1:]
        sys.path[:1] = [os.getcwd()]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    script = arguments[0]
    if not os.path.exists(script):
        print(f"there is no script '{script}'\n{USAGE}", file=sys.stderr)
        return 2
    sys.argv = arguments
    sys.path[:1] = [os.path.dirname(os.path.abspath(script))]
    runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
