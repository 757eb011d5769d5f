"""The README's chart: speed by family and memory of a run beside both peers, from the measured pages.

`python -m bench.chart` writes docs/chart.svg from docs/measured/SPEED.md and docs/measured/MEMORY.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPEED, MEMORY = ROOT / "docs" / "measured" / "SPEED.md", ROOT / "docs" / "measured" / "MEMORY.md"
CHART = ROOT / "docs" / "chart.svg"
MODELS = ("light-resnet50", "light-vgg19", "light-densenet121", "minilm-l3", "ppocr-rec", "ppocr-det", "basic-pitch")
PEERS = ("onnxruntime", "openvino")

_STYLE = """
  .ground{fill:#ffffff} text{font:13px system-ui,sans-serif;fill:#24292f} .title{font-weight:600;font-size:15px}
  .note{fill:#57606a;font-size:11px} .a{fill:#1f77b4} .o{fill:#e07b39} .v{fill:#8c6bb1} .one{stroke:#57606a}
  @media (prefers-color-scheme: dark){.ground{fill:#0d1117} text{fill:#e6edf3} .note{fill:#9198a1}
  .one{stroke:#9198a1} .a{fill:#58a6ff} .o{fill:#f0883e} .v{fill:#bc8cff}}
"""


def rows_of(page: str, heading: str, first: str) -> Iterator[dict[str, str]]:
    """The rows of the table that begins with the column `first`, after a heading, by column."""
    part = page[page.index(heading) :] if heading else page
    lines = part[part.index(f"| {first} |") :].splitlines()
    names = [c.strip() for c in lines[0].strip("|").split("|")]
    for line in lines[2:]:
        if not line.startswith("|"):
            return
        yield dict(zip(names, (c.strip() for c in line.strip("|").split("|")), strict=True))


def number(text: str) -> float | None:
    """What a cell says first: "1.26 [1.14, 1.27]", "12,156"; None for "-" and words."""
    first = text.split()[0].replace(",", "") if text.split() else ""
    try:
        return float(first)
    except ValueError:
        return None


def speeds(page: str) -> dict[str, dict[str, float]]:
    """Per family: the geometric mean of each peer's time over arenaut's, on one thread."""
    logs: dict[str, dict[str, list[float]]] = {}
    for row in rows_of(page, "## 1 thread", "model"):
        for peer in PEERS:
            ratio = number(row[f"{peer} / arenaut"])
            if ratio is not None:
                logs.setdefault(row["family"], {}).setdefault(peer, []).append(math.log(ratio))
    return {f: {p: math.exp(sum(x) / len(x)) for p, x in peers.items()} for f, peers in logs.items()}


def memories(page: str) -> dict[str, dict[str, float]]:
    """Per model: KiB that a run of arenaut and of each peer takes."""
    columns = {"arenaut": "arena", "onnxruntime": "ORT default", "openvino": "OpenVINO"}
    found = {}
    for row in rows_of(page, "", "model"):
        if row["model"] in MODELS and row["model"] not in found:
            cells = {engine: number(row[column]) for engine, column in columns.items()}
            found[row["model"]] = {engine: kib for engine, kib in cells.items() if kib is not None}
    return found


def bars(x: int, y: int, width: int, label: str, values: Sequence[tuple[str, float, str]], most: float) -> list[str]:
    """A group of bars beside its label. values: class, value, text."""
    out = [f'<text x="{x - 8}" y="{y + 6 * len(values) + 4}" text-anchor="end">{label}</text>']
    for i, (kind, value, text) in enumerate(values):
        length = min(1.0, value / most) * width
        out.append(f'<rect class="{kind}" x="{x}" y="{y + 12 * i}" width="{length:.1f}" height="10" rx="2"/>')
        out.append(f'<text class="note" x="{x + length + 4:.1f}" y="{y + 12 * i + 9}">{text}</text>')
    return out


def chart(speed: Mapping[str, Mapping[str, float]], memory: Mapping[str, Mapping[str, float]]) -> str:
    kinds = {"arenaut": "a", "onnxruntime": "o", "openvino": "v"}
    out = ['<text class="title" x="16" y="26">Times as fast as the peer, one thread</text>',
           '<text class="title" x="446" y="26">Memory of a run, KiB</text>']  # fmt: skip
    most, top = 3.0, 44
    for i, (family, peers) in enumerate(sorted(speed.items(), key=lambda item: -item[1].get("onnxruntime", 0))):
        values = [(kinds[p], peers[p], f"{peers[p]:.2f}") for p in PEERS if p in peers]
        out += bars(120, top + 34 * i, 240, family, values, most)
    one = 120 + 240 / most
    bottom = top + 34 * len(speed)
    out.append(f'<line class="one" x1="{one}" y1="{top - 4}" x2="{one}" y2="{bottom - 6}" stroke-dasharray="3 3"/>')
    for i, (model, engines) in enumerate(memory.items()):
        largest = max(engines.values())
        values = [(kinds[e], kib / largest, f"{kib:,.0f}") for e, kib in engines.items()]
        out += bars(570, top + 46 * i, 180, model.removeprefix("light-"), values, 1.0)
    height = max(bottom, top + 46 * len(memory)) + 30
    x = 16
    for engine, kind in kinds.items():
        out.append(f'<rect class="{kind}" x="{x}" y="{height - 22}" width="10" height="10" rx="2"/>')
        out.append(f'<text x="{x + 15}" y="{height - 13}">{engine}</text>')
        x += 110
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 {height}" width="840" height="{height}">'
    source = "from docs/measured/SPEED.md and MEMORY.md; geometric means; bars end at 3"
    note = f'<text class="note" x="{x + 10}" y="{height - 13}">{source}</text>'
    return "\n".join([head, f"<style>{_STYLE}</style>", '<rect class="ground" width="100%" height="100%"/>', *out, note,
                      "</svg>", ""])  # fmt: skip


def made() -> str:
    """The chart of the pages as they stand."""
    return chart(speeds(SPEED.read_text()), memories(MEMORY.read_text()))


if __name__ == "__main__":
    CHART.write_text(made())
    print(CHART)
