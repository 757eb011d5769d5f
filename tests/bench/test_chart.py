"""The README's chart is that of the measured pages."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.chart import CHART, MODELS, made, memories, speeds

SPEED = """## 1 thread

| model | family | onnxruntime / arenaut | openvino / arenaut |
| --- | --- | --: | --: |
| a | cnn | 4.00 [3.9, 4.1] | 1.00 [1, 1] |
| b | cnn | 1.00 [0.9, 1.1] | refused |
| c | mlp | 2.00 [1.9, 2.1] | - |

text
"""


def test_pages_are_read() -> None:
    found = speeds(SPEED)
    assert found == {"cnn": {"onnxruntime": 2.0, "openvino": 1.0}, "mlp": {"onnxruntime": 2.0}}
    page = (
        f"| model | arena | ORT default | OpenVINO |\n| --- | --: | --: | --: |\n| {MODELS[0]} | 1,024 | 2,048 | - |\n"
    )
    assert memories(page) == {MODELS[0]: {"arenaut": 1024.0, "onnxruntime": 2048.0}}


def test_the_chart_is_current() -> None:
    assert CHART.read_text() == made(), "python -m bench.chart"
    root = ElementTree.fromstring(CHART.read_text())
    assert len([e for e in root.iter() if e.tag.endswith("rect")]) > 20
