import os
import time
from pathlib import Path

import pytest

from arenaut.measure.worker import Worker, WorkerError


def test_calls_reach_the_object_in_the_child() -> None:
    with Worker("collections:deque", [1, 2]) as worker:
        worker.call("append", 3)
        assert worker.call("index", 3) == 2


def test_an_exception_in_the_child_comes_back_with_its_words() -> None:
    with Worker("collections:deque") as worker:
        with pytest.raises(WorkerError, match="pop from an empty deque") as caught:
            worker.call("pop")
        assert caught.value.kind == "IndexError"
        worker.call("append", 1)
        assert worker.call("pop") == 1


def test_an_object_that_cannot_be_built_is_reported() -> None:
    with pytest.raises(WorkerError, match="no_such_module"):
        Worker("no_such_module:Thing")


def test_a_child_that_dies_is_reported_with_its_signal() -> None:
    with (
        Worker("tests.support.report_children:Mortal") as worker,
        pytest.raises(WorkerError, match="signal 11") as caught,
    ):
        worker.call("crash")
    assert caught.value.kind == "died"
    assert "last words" in caught.value.details


def test_a_child_that_does_not_answer_is_given_up() -> None:
    with (
        Worker("tests.support.report_children:Mortal", timeout=10.0) as worker,
        pytest.raises(WorkerError, match="no answer to sleep within 0 s"),
    ):
        worker._timeout = 0.2
        worker.call("sleep", 60.0)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads process states from /proc")
def test_a_paused_child_is_stopped_until_it_is_called() -> None:
    with Worker("tests.support.report_children:Mortal") as worker:
        pid = worker.call("pid")
        worker.pause()
        deadline = time.monotonic() + 10
        while _state(pid) != "T" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert _state(pid) == "T"
        assert worker.call("pid") == pid
    assert not Path(f"/proc/{pid}").exists()
    assert pid != os.getpid()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
