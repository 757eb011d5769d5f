"""Classify a picture: `python examples/classify_image.py [model.onnx picture.png]`; the shipped digits by default."""

import sys
from pathlib import Path

import numpy as np

import arenaut
from arenaut.cli.files import image


def main(arguments: list[str]) -> None:
    data = Path(arenaut.__file__).parent / "data"
    model = arenaut.load_onnx(arguments[0] if arguments else data / "digits.onnx")
    info = model.inputs[0]
    if len(arguments) > 1:
        pictures = image(Path(arguments[1]), info)
        labels = None
    else:
        with np.load(data / "digits_heldout.npz") as held:
            pictures, labels = (held[name][:5] for name in sorted(held.files, key=lambda n: -held[n].ndim))
        pictures = pictures.reshape(5, 1, 8, 8) / 16  # grey levels, as the model takes them
    scores = next(iter(model.run({info.name: pictures.astype(info.dtype)}).values()))
    for i, row in enumerate(scores):
        best = row.argsort()[::-1][:3]
        told = "" if labels is None else f" (it is {labels[i]})"
        print(f"picture {i}: " + ", ".join(f"class {c} {row[c]:.2f}" for c in best) + told)


if __name__ == "__main__":
    main(sys.argv[1:])
