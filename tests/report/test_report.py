import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

import arenaut
from arenaut.cli import app
from arenaut.measure.engines import PeerMissingError
from arenaut.measure.subjects import file_subject
from arenaut.report import report as report_room
from arenaut.report.html import report_html
from arenaut.report.report import TEXT_WIDTH, Report, costs, make_report, report_data, report_text, split_small
from arenaut.results.profile import StepProfile
from arenaut.results.text import shown
from tests.support.report_models import FIRST, OUTPUT, SECOND, save_chain

BATCH = 3
FLOAT = 4
HOSTILE = "\"><script>alert(1)</script><img src=x onerror='a()'>&\x1b[31m\n\u202e"
VOID = frozenset({"meta", "br", "img", "link", "hr", "input"})


class Page(HTMLParser):
    """Holds every element that opened, and fails where one closes that is not the innermost open one."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute stands twice in <{tag}>"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self, tag: str, of_class: str = "") -> int:
        return sum(t == tag and (not of_class or of_class in (a.get("class") or "").split()) for t, a in self.elements)


def save_hostile(path: Path) -> Path:
    """x -> MatMul -> Relu -> Transpose -> MatMul -> y, where every name tries to leave its place in a page."""
    names = [HOSTILE + str(i) for i in range(6)]
    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), names[1])
    nodes = [
        helper.make_node("MatMul", [names[0], names[1]], [names[2]], name=HOSTILE + "a"),
        helper.make_node("Transpose", [names[2]], [names[3]], name=HOSTILE + "b", perm=[1, 0]),
        helper.make_node("Softmax", [names[3]], [names[4]], name=HOSTILE + "c"),
        helper.make_node("MatMul", [names[4], names[4]], [names[5]], name=HOSTILE + "d"),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        HOSTILE,
        [info(names[0], TensorProto.FLOAT, [8, 8])],
        [info(names[5], TensorProto.FLOAT, [8, 8])],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chain(tmp_path_factory.mktemp("models") / "chain.onnx")


@pytest.fixture(scope="module")
def report(chain: Path) -> Report:
    return make_report(file_subject(chain, {"batch": BATCH}), [], threads=1, repeat=1)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    path = save_hostile(tmp_path_factory.mktemp("models") / "hostile.onnx")
    return make_report(file_subject(path, {}), [], threads=1, repeat=1)


def test_data_agrees_with_the_plan_of_the_model(chain: Path, report: Report) -> None:
    model = arenaut.load_onnx(chain, threads=1, shapes={"batch": BATCH})
    model.run(x=np.zeros((BATCH, 64), np.float32))
    data = json.loads(json.dumps(report_data(report), allow_nan=False))
    plan = data["plan"]
    for field in ("arena_bytes", "lower_bound_bytes", "intermediate_bytes", "output_bytes", "scratch_bytes", "shared"):
        assert plan[field] == getattr(model.plan, field)
    assert [(b["name"], b["offset"], b["bytes"]) for b in plan["blocks"]] == [
        (b.name, b.offset, b.bytes) for b in model.plan.blocks
    ]
    assert plan["output_bytes"] == BATCH * OUTPUT * FLOAT
    assert data["binding"] == {"batch": BATCH} == plan["symbols"]
    assert [(s["name"], s["kernel"] == "") for s in data["steps"]] == [(s.name, False) for s in report.steps]
    assert len(data["steps"]) == len(plan["order"]) == len(plan["live_bytes"])


def test_live_bytes_are_those_of_the_chain_and_peak_at_the_lower_bound(report: Report) -> None:
    """x -> first -> second -> y: the middle product holds both buffers, its neighbours one each, beside scratch."""
    plan = report.plan
    scratch = [sum(b.bytes for b in plan.blocks if b.scratch and b.first <= s <= b.last) for s in range(3)]
    first, second = BATCH * FIRST * FLOAT, BATCH * SECOND * FLOAT
    assert [live - own for live, own in zip(plan.live_bytes, scratch, strict=True)] == [first, first + second, second]
    assert max(plan.live_bytes) + plan.output_bytes == plan.lower_bound_bytes
    assert {b.name: b.op for b in plan.blocks if not b.scratch} == {"first": "MatMul", "second": "MatMul"}


def test_sharing_names_both_buffers_and_views_their_source(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"]),
        helper.make_node("Transpose", ["s"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["t", "x"], ["m"]),
        helper.make_node("Softmax", ["m"], ["n"]),
        helper.make_node("MatMul", ["n", "x"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [info("x", TensorProto.FLOAT, [16, 16])], [info("y", TensorProto.FLOAT, [16, 16])]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "g.onnx")
    plan = make_report(file_subject(tmp_path / "g.onnx", {}), [], threads=1, repeat=1).plan
    assert [(v.name, v.op, v.of) for v in plan.views] == [("t", "Transpose", "s")]
    assert [(s.write, s.read, s.in_place, s.bytes) for s in plan.sharing] == [("n", "m", True, 16 * 16 * FLOAT)]
    assert plan.order[plan.sharing[0].step].endswith("(Softmax)")


@pytest.mark.parametrize("which", ["report", "hostile"])
def test_page_is_well_formed_and_draws_every_block(which: str, request: pytest.FixtureRequest) -> None:
    subject: Report = request.getfixturevalue(which)
    text = report_html(subject)
    page = Page(text)
    assert page.count("rect", "block") == len(subject.plan.blocks) > 0
    assert page.count("script") == 1
    assert page.count("img") == 0
    assert not [a for _, a in page.elements if any(name.startswith("on") or name in ("src", "href") for name in a)]
    assert "http" not in text.replace("http-equiv", "")


def test_hostile_names_are_text_in_the_page_and_harmless_on_a_terminal(hostile: Report) -> None:
    page = Page(report_html(hostile))
    assert any("<script>alert(1)</script>" in text for text in page.texts)
    for text in (report_html(hostile), report_text(hostile)):
        assert "\x1b" not in text and "\u202e" not in text
    assert "\N{REPLACEMENT CHARACTER}" in report_text(hostile)


def test_shapes_in_the_header_are_those_of_the_run(report: Report) -> None:
    assert report.inputs == (f"x: float32[{BATCH}, 64]",)
    assert report.outputs == (f"y: float32[{BATCH}, {OUTPUT}]",)
    assert any(f"x: float32[{BATCH}, 64]" in text for text in Page(report_html(report)).texts)


def _step(name: str, op: str, microseconds: float) -> StepProfile:
    return StepProfile(name, op, "kernel", "", microseconds, 8, 1000)


def test_costs_add_up_and_small_steps_are_one_line() -> None:
    steps = [_step("a", "Conv", 600.0), _step("b", "Shape", 0.4), _step("c", "Conv", 300.0), _step("d", "Concat", 0.5)]
    found = costs(steps, lambda step: step.op)
    assert [(cost.name, cost.microseconds, cost.flops, cost.steps) for cost in found] == [
        ("Conv", 900.0, 2000, 2),
        ("Concat", 0.5, 1000, 1),
        ("Shape", 0.4, 1000, 1),
    ]
    large, small = split_small(steps, 900.9)
    assert [position for position, _ in large] == [0, 2]
    assert [step.name for _, step in small] == ["d", "b"]
    alone = split_small(steps[:2], 600.4)
    assert [position for position, _ in alone[0]] == [0, 1] and not alone[1]


@pytest.mark.parametrize("which", ["report", "hostile"])
def test_text_fits_its_width(which: str, request: pytest.FixtureRequest) -> None:
    text = report_text(request.getfixturevalue(which))
    assert max(map(len, text.splitlines())) <= TEXT_WIDTH


def test_shown_keeps_both_ends_of_a_long_name() -> None:
    assert shown("abc") == "abc"
    assert shown("a" * 50 + "z" * 50, 10) == "aaa…zzzzzz"
    assert shown("a\tb\x00") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


def test_a_peer_that_is_not_installed_is_named_in_every_form(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PeerMissingError(f"{name} is not installed, so it cannot be measured; try: pip install {name}")

    monkeypatch.setattr(report_room, "require", missing)
    found = make_report(file_subject(chain, {}), ["openvino"], threads=1, repeat=1)
    sentence = "openvino is not installed, so it cannot be measured; try: pip install openvino"
    assert found.peers == () and found.missing == (sentence,)
    assert found.times == ()
    assert sentence in report_text(found)
    assert sentence in Page(report_html(found)).texts
    assert report_data(found)["missing"] == [sentence]


def test_command_writes_the_page_and_measures_the_peer(chain: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    out = tmp_path / "out.html"
    command = ["report", str(chain), "--shape", f"batch={BATCH}", "--threads", "1", "--repeat", "1"]
    run = CliRunner().invoke(app, [*command, "--against", "onnxruntime", "--html", str(out), "--json"])
    assert run.exit_code == 0, run.output
    data = json.loads(run.stdout)
    assert [peer["peak_bytes"] for peer in data["peers"]] == [
        BATCH * (FIRST + SECOND + OUTPUT) * FLOAT,
        BATCH * (FIRST + SECOND) * FLOAT,
    ]
    page = Page(out.read_text(encoding="utf-8"))
    assert page.count("line", "peer") == 2
    assert [(time["engine"], time["microseconds"] > 0) for time in data["times"]] == [
        ("arenaut", True),
        ("onnxruntime", True),
    ]
    assert data["times"][0]["ratio"] == 1.0
    assert sum("time" in text for text in page.texts) >= 1
    plain = CliRunner().invoke(app, command)
    assert plain.exit_code == 0 and plain.stdout.startswith("chain (batch=3), 1 thread(s)")


@pytest.mark.parametrize(
    ("extra", "message"),
    [(["--against", "gpu"], "not gpu"), (["--shape", "batch"], "name=size"), (["--shape", "other=2"], "'other'")],
)
def test_command_refuses_what_it_does_not_know(chain: Path, extra: list[str], message: str) -> None:
    run = CliRunner().invoke(app, ["report", str(chain), *extra])
    assert run.exit_code == 2
    assert message in run.stderr


def test_a_fused_node_counts_once_and_names_what_it_joins(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["m"]),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("MatMul", ["r", "x"], ["y"]),
    ]
    shape = (TensorProto.FLOAT, [16, 16])
    graph = helper.make_graph(nodes, "g", [info("x", *shape)], [info("y", *shape)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "g.onnx")
    found = make_report(file_subject(tmp_path / "g.onnx", {}), [], threads=1, repeat=1)
    assert (found.stored_nodes, found.optimised_nodes) == (3, 2)
    assert found.stored_ops == {"MatMul": 2, "Relu": 1}
    assert found.optimised_ops == {"MatMul+Relu": 1, "MatMul": 1}
