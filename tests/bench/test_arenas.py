from __future__ import annotations

import os
from pathlib import Path

import pytest

from arenaut.measure.subjects import Subject
from arenaut.native.target import ISA_CAP_VARIABLE
from bench.arenas import Column, capped, document
from bench.memory import Ours, Peers, Row

KIB = 1024


def rows(name: str, arenas: dict[Column, int | None]) -> dict[Column, Row]:
    subject = Subject(name, "mlp", Path(f"{name}.onnx"), lambda seed: {}, {"batch": 4})
    peers = Peers(400 * KIB, 200 * KIB, "enable_mem_reuse=True, enable_mem_pattern=False", 300 * KIB)
    return {
        column: Row(subject, None if n is None else Ours(n * KIB, KIB, n * KIB, KIB, True), peers, "no such row")
        for column, n in arenas.items()
    }


def test_every_tier_and_number_of_threads_has_a_column_and_a_summary() -> None:
    table = [
        rows("net", {("v4", 1): 100, ("v4", 2): 300, ("v3", 2): 350}),
        rows("wide", {("v4", 1): 280, ("v4", 2): 320, ("v3", 2): None}),
    ]
    page = document(table, "python bench/arenas.py")
    assert "| model | sizes | best peer, 1 | best peer, 2 | v4, 1 thread | v4, 2 threads | v3, 2 threads |" in page
    assert "| net | batch 4 | 200 | 200 | -100 | +100 | +150 |" in page
    assert "- v4, 1 thread: 0.418 of onnxruntime at its defaults" in page
    assert "1 of 2 are more than 64 KiB above the best peer: wide by +80 KiB." in page
    assert "0 of 2 are more than 128 KiB above the best peer." in page
    assert "1 of 1 are more than 128 KiB above the best peer: net by +150 KiB." in page
    assert "- v3, 2 threads: wide did not run: no such row" in page


def test_children_are_capped_and_the_parent_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ISA_CAP_VARIABLE, raising=False)
    with capped("v3"):
        assert os.environ[ISA_CAP_VARIABLE] == "v3"
    assert ISA_CAP_VARIABLE not in os.environ
    monkeypatch.setenv(ISA_CAP_VARIABLE, "baseline")
    with capped("v3"):
        pass
    assert os.environ[ISA_CAP_VARIABLE] == "baseline"
