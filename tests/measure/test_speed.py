from pathlib import Path

import numpy as np
import pytest

from arenaut.measure.feeds import declared_inputs, random_feeds
from arenaut.measure.process import choose_cores
from arenaut.measure.speed import bench, feed_pool
from tests.support.report_models import INPUT, save_chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chain(tmp_path_factory.mktemp("models") / "chain.onnx")


def test_bench_measures_what_runs_and_says_why_the_rest_does_not(chain: Path) -> None:
    specs = declared_inputs(chain)
    steps: list[str] = []
    result = bench(
        chain,
        lambda seed: random_feeds(specs, {"batch": 3}, seed),
        ["onnxruntime", "nonesuch"],
        rounds=3,
        slot_seconds=0.0,
        on_step=steps.append,
    )
    assert (result.model, result.threads, result.reference) == ("chain", 1, "onnxruntime")
    assert result.cores == choose_cores(1)
    assert steps[:3] == ["loading onnxruntime", "loading nonesuch", "round 1 of 3"]
    assert len(steps) - 2 == len(result.engines[0].rounds) + result.lost_rounds <= 6
    ran, missing = result.engines
    assert ran.error is None
    assert len(ran.rounds) >= 2 and ran.runs == 2 * (len(steps) - 2)
    assert 0 < ran.best_seconds <= ran.median_seconds
    assert ran.load_seconds > 0
    assert ran.first_run_seconds > 0
    assert ran.resident_peak is not None and ran.resident_peak > 2**20
    assert missing.error is not None and "no engine is called 'nonesuch'" in missing.error
    assert result.ratios == {}


def test_an_engine_that_refuses_the_feeds_drops_out_with_its_reason(chain: Path) -> None:
    feeds = {"x": np.ones((1, INPUT + 1), np.float32)}
    result = bench(chain, lambda seed: feeds, ["onnxruntime"], rounds=1)
    assert "invalid dimensions for input: x" in (result.engines[0].error or "")
    assert result.reference is None


def test_bench_refuses_thread_counts_beyond_the_cores(chain: Path) -> None:
    if choose_cores(1) is None:
        pytest.skip("affinity is not known here")
    with pytest.raises(ValueError, match="4096 threads asked for"):
        bench(chain, lambda seed: {}, ["onnxruntime"], threads=4096)


def test_declared_inputs_leave_out_weights_and_feeds_follow_their_shapes(chain: Path) -> None:
    (spec,) = declared_inputs(chain)
    assert (spec.name, spec.dtype, spec.dims) == ("x", np.dtype(np.float32), ("batch", INPUT))
    feeds = random_feeds([spec], {"batch": 5}, seed=1)
    assert feeds["x"].shape == (5, INPUT)
    assert np.array_equal(feeds["x"], random_feeds([spec], {"batch": 5}, seed=1)["x"])
    assert not np.array_equal(feeds["x"], random_feeds([spec], {"batch": 5}, seed=2)["x"])
    assert random_feeds([spec], {}, seed=1)["x"].shape == (1, INPUT)


def test_the_pool_holds_different_data_within_its_budget() -> None:
    small = feed_pool(lambda seed: {"x": np.full(4, seed)})
    assert [int(feeds["x"][0]) for feeds in small] == list(range(8))
    large = feed_pool(lambda seed: {"x": np.zeros(48 << 20, np.uint8)})
    assert len(large) == 2
