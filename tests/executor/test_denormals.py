"""Denormal numbers: they do not slow a run down, and what the caller's own arithmetic does with them stays."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import arenaut
from tests.support.models import parse

TINY = np.float32(1e-40)


def keeps_denormals() -> bool:
    """Whether this thread's arithmetic does: FTZ and DAZ are off."""
    half = np.full(64, TINY, np.float32) * np.float32(0.5)
    return bool((half > 0).all())


def chain() -> Any:
    steps = ["t0 = MatMul (x, w)"] + [f"t{i} = MatMul (t{i - 1}, w)" for i in range(1, 8)]
    return parse(f"g (float[64, 64] x, float[64, 64] w) => (float[64, 64] y) {{ {' '.join(steps)} y = Neg (t7) }}")


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_cost_nothing(threads: int) -> None:
    model = arenaut.load_onnx(chain(), threads=threads)
    usual = {"x": np.ones((64, 64), np.float32), "w": np.full((64, 64), 1 / 64, np.float32)}
    heavy = {"x": np.full((64, 64), TINY), "w": usual["w"]}

    def seconds(feeds: dict[str, Any]) -> float:
        best = 1.0
        for _ in range(40):
            begin = time.perf_counter()
            model.run(feeds)
            best = min(best, time.perf_counter() - begin)
        return best

    assert seconds(heavy) < 2 * seconds(usual) + 50e-6


def test_the_callers_setting_comes_back() -> None:
    assert keeps_denormals()
    model = arenaut.load_onnx(chain(), threads=2)
    x = np.full((64, 64), TINY)
    for feeds in ({"x": x, "w": np.eye(64, dtype=np.float32)}, {"x": x.T[::1], "w": np.asfortranarray(x)}):
        model.run(feeds)
        assert keeps_denormals()
    gather = arenaut.load_onnx(parse("g (float[5] t, int64[n] i) => (float[n] y) { y = Gather (t, i) }"))
    with pytest.raises(arenaut.errors.ExecutionError):
        gather.run(x[0, :5], np.array([7]))
    assert keeps_denormals()
    interpreted = arenaut.load_onnx(chain(), executor="interpreted")
    interpreted.run({"x": x, "w": np.eye(64, dtype=np.float32)})
    assert keeps_denormals()


def test_evaluators_count_denormals_as_kernels_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from arenaut.executor import host

    seen: list[bool] = []
    real = host.evaluator_of

    def spy(node: Any) -> Any:
        evaluate = real(node)
        assert evaluate is not None

        def spied(*args: Any) -> Any:
            seen.append(keeps_denormals())
            return evaluate(*args)

        return spied

    monkeypatch.setattr(host, "evaluator_of", spy)
    model = arenaut.load_onnx(parse("g (string[n] x) => (string[n] y) { y = StringConcat (x, x) }"))
    model.run(np.array(["a", "b"], object))
    assert seen == [False]
    assert keeps_denormals()
