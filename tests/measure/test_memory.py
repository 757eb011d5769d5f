from pathlib import Path

import numpy as np
import pytest

from arenaut.measure.memory import openvino_memory, ort_memory
from arenaut.measure.worker import WorkerError
from tests.support.report_models import FIRST, INPUT, OUTPUT, SECOND, save_chain

BATCH = 2
FLOAT = 4


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chain(tmp_path_factory.mktemp("models") / "chain.onnx")


@pytest.fixture(scope="module")
def feeds() -> dict[str, np.ndarray]:
    return {"x": np.ones((BATCH, INPUT), np.float32)}


def test_onnxruntime_peak_equals_what_must_be_live(chain: Path, feeds: dict[str, np.ndarray]) -> None:
    measured = ort_memory(chain, feeds)
    assert measured.skipped == ()
    assert len(measured.measured) == 4

    default = measured.default
    assert default.setting == "enable_mem_reuse=True, enable_mem_pattern=True"
    assert default.output_bytes == BATCH * OUTPUT * FLOAT
    # The pattern places both intermediates in one block, which lives as long as the run, beside the output.
    assert default.planned_bytes == BATCH * (FIRST + SECOND) * FLOAT
    assert default.peak_bytes == BATCH * (FIRST + SECOND + OUTPUT) * FLOAT
    # The first run has no pattern yet: buffers come and go, and two neighbours are live at a time.
    assert default.first_run_bytes == BATCH * (FIRST + SECOND) * FLOAT

    without_pattern = [each for each in measured.measured if "enable_mem_pattern=False" in each.setting]
    for each in without_pattern:
        assert each.peak_bytes == BATCH * (FIRST + SECOND) * FLOAT
        assert each.planned_bytes is None
    assert measured.best is without_pattern[0]


def test_onnxruntime_refusals_are_passed_on(chain: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="Got invalid dimensions for input: x"):
        ort_memory(chain, {"x": np.ones((BATCH, INPUT + 1), np.float32)})
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(WorkerError, match="CreateSession"):
        ort_memory(broken, {})


def test_openvino_block_equals_what_must_be_live(chain: Path, feeds: dict[str, np.ndarray]) -> None:
    pytest.importorskip("openvino")
    measured = openvino_memory(chain, feeds)
    assert measured.output_bytes == BATCH * OUTPUT * FLOAT
    block = measured.peak_bytes - measured.output_bytes
    # The block itself, plus malloc's header and rounding.
    assert 0 <= block - BATCH * (FIRST + SECOND) * FLOAT <= 128
