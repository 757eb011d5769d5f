"""A model in many processes that share its weights, with the standard library alone:
`python examples/many_processes.py [model.onnx] [processes]`.

The model is compiled to a file first, which each process opens in milliseconds and maps: the weights are in memory
once.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

import arenaut

MODEL: arenaut.Model  # of each process


def begin(path: str) -> None:
    global MODEL
    MODEL = arenaut.load_onnx(path, threads=1)


def work(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return MODEL.run(feeds)


def feeds_of(model: arenaut.Model, count: int) -> Iterator[dict[str, np.ndarray]]:
    """In place of real ones."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        shapes = {i.name: [d if isinstance(d, int) else 8 for d in i.shape or ()] for i in model.inputs}
        yield {i.name: rng.random(shapes[i.name]).astype(i.dtype) for i in model.inputs}


def main(path: str, processes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        compiled = os.path.join(folder, "model.arn")
        model = arenaut.load_onnx(path, threads=1)
        model.save(compiled)
        pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=begin, initargs=(compiled,))
        with pool:
            results = list(pool.map(work, feeds_of(model, 64), chunksize=4))
    print(
        f"{len(results)} runs in {processes} processes: "
        + ", ".join(f"{n}{list(a.shape)}" for n, a in results[0].items())
    )


if __name__ == "__main__":
    default = os.path.join(os.path.dirname(arenaut.__file__), "data", "digits.onnx")
    main(sys.argv[1] if len(sys.argv) > 1 else default, int(sys.argv[2]) if len(sys.argv) > 2 else 2)
