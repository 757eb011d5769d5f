"""The public Model: feeds, errors, executors, threads, memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.errors import ExecutionError, InputError, MemoryLimitError
from tests.support.models import assert_matches_ort, parse

RNG = np.random.default_rng(11)

NETWORK = """network (float[batch, 3, 10, 10] x) => (float[batch, 5] y, float[batch, 4, 10, 10] h)
<float[4, 3, 3, 3] w = {%s}, float[4] b = {0.5, -0.5, 0.25, 0}, float[5, 4] v = {%s}> {
  c = Conv <pads = [1, 1, 1, 1]> (x, w, b)
  h = Relu (c)
  axes = Constant <value_ints = [2, 3]> ()
  m = ReduceMean <keepdims = 0> (h, axes)
  y = Gemm <transB = 1> (m, v)
}"""


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


def numbers(count: int) -> str:
    return ", ".join(f"{v:.4f}" for v in np.random.default_rng(3).standard_normal(count))


@pytest.fixture(scope="module")
def network() -> Any:
    return parse(NETWORK % (numbers(108), numbers(20)))


def test_all_ways_to_feed(network: Any) -> None:
    model = arenaut.load_onnx(network)
    x = normal(2, 3, 10, 10)
    first = model.run({"x": x})
    for other in (model.run(x), model.run(x=x), model(x), model.run(x.tolist() and x)):
        for name in first:
            np.testing.assert_array_equal(other[name], first[name])
    assert_matches_ort(network, first, {"x": x}, rtol=1e-5)
    assert [str(i) for i in model.inputs] == ["x: float32[batch, 3, 10, 10]"]
    assert [str(o) for o in model.outputs] == ["y: float32[batch, 5]", "h: float32[batch, 4, 10, 10]"]
    out = {"y": np.empty((2, 5), np.float32)}
    assert model.run({"x": x}, out=out)["y"] is out["y"]
    np.testing.assert_array_equal(out["y"], first["y"])


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "missing x"),
        ({"x": np.zeros((1, 3, 10, 10), np.float32), "z": 1}, "unknown z"),
        ({"x": np.zeros((1, 3, 10, 10))}, "input 'x': expected dtype float32, got float64"),
        ({"x": np.zeros((3, 10, 10), np.float32)}, "input 'x': expected rank 4"),
        ({"x": np.zeros((1, 3, 10, 9), np.float32)}, "input 'x': expected 10 at axis 3"),
    ],
)
def test_wrong_feeds_name_input_expected_and_actual(network: Any, feeds: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        arenaut.load_onnx(network).run(feeds)


def test_a_dim_shared_by_two_inputs_must_agree() -> None:
    model = arenaut.load_onnx(parse("g (float[n, 2] a, float[n] b) => (float[n, 2] y) { t = Unsqueeze (b, one) "
                                    "y = Add (a, t) }".replace("{ t", "<int64[1] one = {1}> { t")))  # fmt: skip
    assert model.run(normal(3, 2), normal(3))["y"].shape == (3, 2)
    with pytest.raises(InputError, match="the dim 'n' must be the same"):
        model.run(normal(3, 2), normal(4))


def test_unusual_but_valid_feeds(network: Any) -> None:
    model = arenaut.load_onnx(network)
    x = normal(10, 10, 3, 4).transpose(3, 2, 0, 1)
    assert not x.flags.c_contiguous
    assert_matches_ort(network, model.run(x=x), {"x": np.ascontiguousarray(x)}, rtol=1e-5)
    swapped = normal(1, 3, 10, 10).astype(">f4")
    assert_matches_ort(network, model.run(x=swapped), {"x": swapped.astype("<f4")}, rtol=1e-5)
    empty = normal(0, 3, 10, 10)
    assert model.run(x=empty)["y"].shape == (0, 5)
    special = normal(1, 3, 10, 10)
    special[0, 0, 0, 0], special[0, 1, 9, 9] = np.nan, np.inf
    assert_matches_ort(network, model.run(x=special), {"x": special}, rtol=1e-5)
    unaligned = np.frombuffer(b"\0" + normal(1, 3, 10, 10).tobytes(), np.uint8)[1:].view(np.float32)
    unaligned = unaligned.reshape(1, 3, 10, 10)
    assert_matches_ort(network, model.run(x=unaligned), {"x": unaligned.copy()}, rtol=1e-5)


def test_inputs_are_never_written_and_outputs_are_fresh(network: Any) -> None:
    model = arenaut.load_onnx(network)
    x = normal(2, 3, 10, 10)
    x.flags.writeable = False
    before = x.copy()
    first = model.run(x)
    kept = {k: v.copy() for k, v in first.items()}
    second = model.run(normal(2, 3, 10, 10))
    np.testing.assert_array_equal(x, before)
    for name in first:
        np.testing.assert_array_equal(first[name], kept[name])
        assert not np.shares_memory(first[name], second[name])
        first[name][...] = 0


def test_the_same_bytes_for_every_executor_and_thread_count(network: Any) -> None:
    x = normal(5, 3, 10, 10)
    reference = arenaut.load_onnx(network, threads=1).run(x)
    for options in ({"threads": 2}, {"threads": 5}, {"executor": "interpreted"}, {"optimize_memory": "max"}):
        got = arenaut.load_onnx(network, **options).run(x)
        for name, want in reference.items():
            assert got[name].tobytes() == want.tobytes(), options
    close = arenaut.load_onnx(network, executor="interpreted", backends=("reference", "native")).run(x)
    for name, want in reference.items():
        np.testing.assert_allclose(close[name], want, rtol=1e-4, atol=1e-5)
    assert_matches_ort(network, arenaut.load_onnx(network, optimize=False).run(x), {"x": x}, rtol=1e-5)


def test_concurrent_runs_of_two_models(network: Any) -> None:
    models = [arenaut.load_onnx(network, threads=2), arenaut.load_onnx(network, threads=1)]
    feeds = [normal(1 + i % 4, 3, 10, 10) for i in range(32)]
    want = [models[0].run(x) for x in feeds]
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda i: models[i % 2].run(feeds[i % 32]), range(320)))
    for i, result in enumerate(got):
        for name in result:
            assert result[name].tobytes() == want[i % 32][name].tobytes()


def test_the_plan_is_a_promise(network: Any) -> None:
    model = arenaut.load_onnx(network, threads=1)
    with pytest.raises(RuntimeError, match="run the model once"):
        _ = model.plan
    model.run(normal(3, 3, 10, 10))
    plan = model.plan
    assert plan.arena_bytes == plan.intermediate_bytes + plan.output_bytes
    assert plan.output_bytes == 3 * 5 * 4 + 3 * 4 * 100 * 4
    assert plan.lower_bound_bytes <= plan.arena_bytes
    limited = arenaut.load_onnx(network, threads=1, max_memory=plan.arena_bytes)
    limited.run(normal(3, 3, 10, 10))
    with pytest.raises(MemoryLimitError, match="max_memory"):
        limited.run(normal(4, 3, 10, 10))
    assert model.trim() > 0 or plan.intermediate_bytes == 0
    model.run(normal(3, 3, 10, 10))


def test_data_that_an_op_refuses_is_an_error_with_a_name() -> None:
    model = arenaut.load_onnx(parse("g (float[5] t, int64[n] i) => (float[n] y) { y = Gather (t, i) }"))
    assert model.run(normal(5), np.array([-5, 4]))["y"].shape == (2,)
    with pytest.raises(ExecutionError, match=r"Gather.*out of range"):
        model.run(normal(5), np.array([5]))


def test_profile_and_text(network: Any) -> None:
    model = arenaut.load_onnx(network)
    profile = model.profile(normal(2, 3, 10, 10), repeat=3)
    assert profile.total_microseconds > 0
    assert any(s.op == "Conv+Relu" and s.flops > 0 for s in profile.steps), str(profile)
    assert "conv_f32" in str(profile)
    assert "batch" in repr(model) and "arena" in repr(model)


def test_a_forked_child_can_run(network: Any) -> None:
    model = arenaut.load_onnx(network, threads=2)
    x = normal(8, 3, 10, 10)
    want = model.run(x)["y"]
    pid = os.fork()
    if pid == 0:
        ok = model.run(x)["y"].tobytes() == want.tobytes()
        os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_threads_of_a_busy_pool_do_not_wait(network: Any) -> None:
    model = arenaut.load_onnx(network, threads=2)
    x = normal(1, 3, 10, 10)
    done = threading.Event()

    def work() -> None:
        for _ in range(50):
            model.run(x)
        done.set()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
    assert done.is_set() and not any(t.is_alive() for t in threads)


def test_import_is_light() -> None:
    code = "import numpy, sys, time; t = time.perf_counter(); import arenaut; d = time.perf_counter() - t; " \
           "print(d, 'onnx' in sys.modules, 'typer' in sys.modules)"  # fmt: skip
    best = 1.0
    for _ in range(3):
        seconds, onnx_loaded, typer_loaded = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
        assert onnx_loaded == typer_loaded == "False"
        best = min(best, float(seconds))
    assert best <= 0.05


def test_a_product_does_not_overwrite_what_it_still_reads() -> None:
    weight = numbers(64)
    model = parse(
        f"""residual (float[8, 8] x) => (float[8, 8] y) <float[8, 8] w = {{{weight}}}> {{
          t = Tanh (x)
          p = MatMul (t, w)
          s = Add (p, t)
          y = Exp (s)
          }}"""
    )
    x = normal(8, 8)
    assert_matches_ort(model, arenaut.load_onnx(model).run(x), {"x": x}, rtol=1e-5)


def test_slices_share_the_operations_of_their_node() -> None:
    """A product that is cut into steps counts once, whatever the number of cuts."""
    model = parse(
        """wide (float[256, 64] x, float[64, 4096] up, float[4096, 64] down) => (float[256, 64] y) {
          h = MatMul (x, up)
          r = Relu (h)
          y = MatMul (r, down)
          }"""
    )
    rng = np.random.default_rng(0)
    for name, shape in (("up", (64, 4096)), ("down", (4096, 64))):
        array = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    del model.graph.input[1:]
    profiles = [arenaut.load_onnx(model, without=without).profile(normal(256, 64)) for without in ((), ("slices",))]
    sliced, whole = (sum(step.flops for step in profile.steps) for profile in profiles)
    assert len(profiles[0].steps) > len(profiles[1].steps)
    assert sliced == whole >= 2 * 2 * 256 * 64 * 4096
