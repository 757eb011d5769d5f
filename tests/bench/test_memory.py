from pathlib import Path

import pytest

from arenaut.measure.subjects import Subject
from bench.memory import HEADER, Ours, PeerCache, Peers, Row, cells, document

KIB = 1024


def row(name: str, arena: int, peers: Peers) -> Row:
    subject = Subject(name, "mlp", Path(f"{name}.onnx"), lambda seed: {}, {"batch": 4})
    return Row(subject, Ours(arena * KIB, KIB, arena * KIB, KIB, True), peers)


PEERS = Peers(400 * KIB, 200 * KIB, "enable_mem_reuse=False, enable_mem_pattern=False", 300 * KIB, 500 * KIB)


def test_a_row_states_every_figure() -> None:
    assert dict(zip(HEADER, cells(row("net", 100, PEERS)) or [], strict=True)) == {
        "model": "net",
        "sizes": "batch 4",
        "arena": "100",
        "of it outputs": "1",
        "lower bound": "100",
        "order-free": "1",
        "ORT default": "400",
        "ORT best": "200 (rp)",
        "OpenVINO": "300",
        "PyTorch": "500",
        "over the best peer": "-100",
    }


def test_the_page_sums_up_and_names_what_misses() -> None:
    failed = Peers(reasons=["OpenVINO: no such op"])
    rows = [row("net", 100, PEERS), row("wide", 300, PEERS), row("near", 250, PEERS), row("odd", 50, failed)]
    page = document(rows, "python bench/memory.py", 1)
    assert "Arena over onnxruntime at its defaults: geometric mean 0.489 of 3." in page
    assert "1 of 4 are more than 64 KiB per thread above the best peer: wide (batch 4) by +100 KiB" in page
    assert "is met exactly on 4 of 4" in page
    assert "## Not measured\n\n- odd: OpenVINO: no such op\n" in page
    assert "0 of 4 are more than" in document(rows, "", 2)


def test_peers_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def measured(subject: Subject, threads: int) -> Peers:
        calls.append(subject.name)
        return PEERS

    monkeypatch.setattr("bench.memory.measure_peers", measured)
    subject = row("net", 1, PEERS).subject
    assert PeerCache(tmp_path / "peers.json").of(subject, 1) == PEERS
    assert PeerCache(tmp_path / "peers.json").of(subject, 1) == PEERS
    assert PeerCache(tmp_path / "peers.json").of(subject, 2) == PEERS
    assert calls == ["net", "net"]
