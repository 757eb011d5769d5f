"""Compiled files: what is opened runs and tells as what was saved, and what is no intact file is refused, each fault
with a sentence of its own."""

from __future__ import annotations

import inspect
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import arenaut
from arenaut.cli import app
from arenaut.compiled import container
from arenaut.compiled.graphs import LEFT_OUT_BYTES
from arenaut.compiled.opening import PLAIN_GIVEN
from arenaut.compiled.origin import PLAIN, PLAIN_REVISION
from arenaut.errors import CompiledFileError, InputError, OptionError, StaleFileError, UnsupportedError
from arenaut.frontend import Revision
from tests.support.models import parse

NET = """agraph (float[batch, 16] x, float[16, 512] w1, float[512, 8] w2) => (float[batch, 8] y) {
    a = MatMul (x, w1) b = Relu (a) y = MatMul (b, w2) }"""
# Ranks that a fed vector decides; NonZero's count; a loop; text that Python works on.
RESHAPED = "agraph (float[n] x, int64[k] shape) => (float[] y) { z = Reshape (x, shape) y = Relu (z) }"
COUNTED = "agraph (float[n] x) => (int64[1, c] y) { r = Relu (x) y = NonZero (r) }"
LOOP = """agraph (int64 trips, float[2, 3] x) => (float[2, 3] y, float[t, 2, 3] all) {
    cond = Constant <value = bool {1}> ()
    y, all = Loop (trips, cond, x) <body = body (int64 i, bool c, float[2, 3] v) => (bool again, float[2, 3] w,
        float[2, 3] out) { again = Identity (c) w = Add (v, v) out = Identity (w) }> }"""
TEXT = 'agraph (string[n] x) => (string[n] y) { y = StringNormalizer <case_change_action = "UPPER"> (x) }'


@pytest.fixture
def net(tmp_path: Path) -> Path:
    model = parse(NET)
    rng = np.random.default_rng(0)
    for name, shape in (("w1", (16, 512)), ("w2", (512, 8))):
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        )
        model.graph.input.remove(next(i for i in model.graph.input if i.name == name))
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def x(rows: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal((rows, 16)).astype(np.float32)


def is_left_out(value: Any) -> bool:
    return bool(np.prod(value.shape) * value.dtype.itemsize >= LEFT_OUT_BYTES)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return list(a) == list(b) and all(np.asarray(a[k]).tobytes() == np.asarray(b[k]).tobytes() for k in a)


def through_a_file(model: Any, path: Path, **options: Any) -> Any:
    model.save(path, **options)
    return arenaut.load_onnx(path)


def test_what_is_opened_runs_and_tells_as_what_was_saved(net: Path, tmp_path: Path) -> None:
    model = arenaut.load_onnx(net, threads=1)
    opened = through_a_file(model, tmp_path / "net.arn")
    for rows in (1, 3, 40):
        assert same(model.run(x(rows)), opened.run(x(rows)))
        assert model.plan == opened.plan
    assert (repr(model), str(model)) == (repr(opened), str(opened))
    assert (model.inputs, model.outputs, model.threads) == (opened.inputs, opened.outputs, opened.threads)
    assert model.memory(batch=7) == opened.memory(batch=7)
    assert [s.name for s in model.profile(x()).steps] == [s.name for s in opened.profile(x()).steps]
    assert [s.flops for s in model.profile(x()).steps] == [s.flops for s in opened.profile(x()).steps]
    assert model.rewrites == opened.rewrites
    with pytest.raises(InputError, match="expected 16 at axis 1"):
        opened.run(x()[:, :5])


def test_the_graph_is_read_when_it_is_asked_for_with_weights_of_the_original(net: Path, tmp_path: Path) -> None:
    model = arenaut.load_onnx(net, threads=1)
    opened = through_a_file(model, tmp_path / "net.arn")
    assert "_stored_graph" not in vars(opened)
    assert [n.op for n in opened.graph.nodes][-1] == "MatMul"
    stored = {v.name: v.constant for v in opened.graph.constants()}
    for value in model.graph.constants():
        array = stored[value.name]
        assert array is not None and value.constant is not None and array.tobytes() == value.constant.tobytes()
    opened.save_onnx(tmp_path / "again.onnx")
    assert same(arenaut.load_onnx(tmp_path / "again.onnx").run(x()), model.run(x()))


def test_weights_without_an_original_are_missed_in_one_sentence(net: Path, tmp_path: Path) -> None:
    opened = through_a_file(arenaut.load_onnx(net, threads=1), tmp_path / "net.arn")
    net.unlink()
    weights = [v for v in opened.graph.constants() if is_left_out(v)]
    with pytest.raises(CompiledFileError, match="arenaut compile --portable"):
        _ = weights[0].constant


@pytest.mark.parametrize(("text", "feeds"), [
    (COUNTED, [{"x": np.array([0, 1, 0, 2], np.float32)}, {"x": np.zeros(3, np.float32)}]),
    (LOOP, [{"trips": np.array(n), "x": np.ones((2, 3), np.float32)} for n in (3, 0)]),
    (RESHAPED, [{"x": np.arange(6, dtype=np.float32), "shape": np.array(s)} for s in ([2, 3], [6], [1, 2, 3], [-1])]),
    (TEXT, [{"x": np.array(["ab", "Cd"], object)}]),
], ids=["counted", "loop", "ranks", "text"])  # fmt: skip
@pytest.mark.parametrize("met", [False, True], ids=["fresh", "after runs"])
def test_sizes_that_data_decides_bodies_and_steps_of_python(
    text: str, feeds: list[dict[str, Any]], met: bool, tmp_path: Path
) -> None:
    model = arenaut.load_onnx(parse(text), threads=1)
    want = [model.run(f) for f in feeds]
    saved = model if met else arenaut.load_onnx(parse(text), threads=1)
    opened = through_a_file(saved, tmp_path / "model.arn")
    for f, outputs in zip(feeds, want, strict=True):
        got = opened.run(f)
        assert all(np.array_equal(got[k], outputs[k]) and np.shape(got[k]) == np.shape(outputs[k]) for k in outputs)
    assert text is RESHAPED or model.plan == opened.plan  # fragments hold memory by what was run before


def test_parts_that_a_run_decides_come_from_the_original_inside(tmp_path: Path) -> None:
    model = arenaut.load_onnx(parse(RESHAPED), threads=1)
    opened = through_a_file(model, tmp_path / "model.arn")
    assert opened._whole.made is None
    feed = {"x": np.arange(6, dtype=np.float32), "shape": np.array([1, 2, 3])}
    assert np.array_equal(opened.run(feed)["y"], model.run(feed)["y"]) and opened._whole.made is not None
    opened.prepare(x=(6,), shape=(2,))
    feed["shape"] = np.array([2, 3])
    assert np.array_equal(opened.run(feed)["y"], model.run(feed)["y"])


def test_prepared_programs_are_in_the_file(tmp_path: Path) -> None:
    model = arenaut.load_onnx(parse(RESHAPED), threads=1)
    model.prepare(x=(6,), shape=(2,))
    model.prepare(x=(6,), shape=(3,))
    opened = through_a_file(model, tmp_path / "model.arn")
    for shape in ([2, 3], [1, 2, 3]):
        feed = {"x": np.arange(6, dtype=np.float32), "shape": np.array(shape)}
        assert np.array_equal(opened.run(feed)["y"], model.run(feed)["y"])
        assert opened.profile(feed).steps[0].name == model.profile(feed).steps[0].name
        assert opened.plan == model.plan
    assert opened._whole.made is None  # nothing was lowered anew
    again = through_a_file(opened, tmp_path / "again.arn")
    assert np.array_equal(again.run(feed)["y"], model.run(feed)["y"]) and again._whole.made is None
    assert len(container.CompiledFile(str(tmp_path / "again.arn")).names("prepared ")) == 2


def test_opening_a_file_imports_nothing_heavy(net: Path, tmp_path: Path) -> None:
    arenaut.load_onnx(net, threads=1).save(tmp_path / "net.arn")
    code = (
        "import sys, arenaut\n"
        f"model = arenaut.load_onnx({str(tmp_path / 'net.arn')!r})\n"
        "heavy = {'onnx', 'ml_dtypes', 'numpy.random', 'logging', 'hashlib', 'tempfile', 'shutil',"
        " 'arenaut.compiled.cache', 'arenaut.frontend.importer', 'arenaut.passes.pipeline'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_what_runs_made_of_open_parts_is_in_the_file(tmp_path: Path) -> None:
    model = arenaut.load_onnx(parse(RESHAPED), threads=1)
    feeds = [{"x": np.arange(6, dtype=np.float32), "shape": np.array(s)} for s in ([2, 3], [1, 2, 3], [3, -1])]
    want = [model.run(f)["y"] for f in feeds]
    opened = through_a_file(model, tmp_path / "model.arn")
    for feed, y in zip(feeds, want, strict=True):
        got = opened.run(feed)["y"]
        assert np.array_equal(got, y) and got.shape == y.shape
    assert opened._whole.made is None
    assert [s.name for s in opened.profile(feeds[0]).steps] == [s.name for s in model.profile(feeds[0]).steps]
    other = {"x": np.arange(6, dtype=np.float32), "shape": np.array([6])}
    assert opened.run(other)["y"].shape == (6,) and opened._whole.made is not None
    for feed, y in zip(feeds, want, strict=True):
        assert np.array_equal(opened.run(feed)["y"], y)


def test_a_file_with_a_tier_below_runs_and_says_which(net: Path, tmp_path: Path) -> None:
    model = arenaut.load_onnx(net, threads=1, isa="baseline")
    opened = through_a_file(model, tmp_path / "net.arn")
    assert container.CompiledFile(str(tmp_path / "net.arn")).made.tier == 0
    assert same(model.run(x()), opened.run(x()))
    with pytest.raises(ValueError, match="isa='v9': 'v9' is none of"):
        arenaut.load_onnx(net, isa="v9")


# -- other machines, other versions -----------------------------------------------------------------------------------


def best_tier() -> int:
    from arenaut.native.target import allowed_tier

    return allowed_tier()


needs_v3 = pytest.mark.skipif(best_tier() < 1, reason="this machine has the lowest tier only")


@needs_v3
def test_a_machine_with_less_is_told_what_to_run(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = arenaut.load_onnx(net, threads=1, isa="v3")
    model.save(tmp_path / "net.arn")
    want = model.run(x())
    monkeypatch.setenv("ARENAUT_ISA_MAX", "baseline")
    np.testing.assert_allclose(arenaut.load_onnx(tmp_path / "net.arn").run(x())["y"], want["y"], rtol=1e-4, atol=1e-4)
    net.unlink()
    with pytest.raises(StaleFileError, match=r"compiled for v3, which this machine does not have.*--isa baseline"):
        arenaut.load_onnx(tmp_path / "net.arn")


@needs_v3
def test_a_portable_file_is_compiled_anew_elsewhere(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = arenaut.load_onnx(net, threads=1, isa="v3")
    model.save(tmp_path / "net.arn", portable=True)
    net.unlink()
    monkeypatch.setenv("ARENAUT_ISA_MAX", "baseline")
    want = model.run(x())["y"]
    np.testing.assert_allclose(arenaut.load_onnx(tmp_path / "net.arn").run(x())["y"], want, rtol=1e-4, atol=1e-4)


def test_a_portable_file_holds_external_weights(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "outside"
    folder.mkdir()
    onnx.save(onnx.load(net), folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=64)
    model = arenaut.load_onnx(folder / "m.onnx", threads=1)
    model.save(tmp_path / "m.arn", portable=True)
    opened = arenaut.load_onnx(tmp_path / "m.arn")
    for file in folder.iterdir():
        file.unlink()
    weights = [v.constant for v in opened.graph.constants() if is_left_out(v)]
    assert weights and all(w is not None and np.any(w) for w in weights)


def test_a_moved_pair_is_found_side_by_side(net: Path, tmp_path: Path) -> None:
    model = arenaut.load_onnx(net, threads=1)
    model.save(tmp_path / "net.arn")
    there = tmp_path / "there"
    there.mkdir()
    for name in ("net.arn", "net.onnx"):
        os.rename(tmp_path / name, there / name)
    opened = arenaut.load_onnx(there / "net.arn")
    assert all(v.constant is not None for v in opened.graph.constants())


@pytest.mark.parametrize(
    ("field", "text"),
    [("version", "compiled by arenaut 9.9.9, and this is"), ("fingerprint", "another build of arenaut")],
)
def test_another_version_is_refused(
    field: str, text: str, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, fingerprint = container.this_build()
    other = ("9.9.9", fingerprint) if field == "version" else (version, fingerprint ^ 1)
    monkeypatch.setattr("arenaut.compiled.write.this_build", lambda: other)
    arenaut.load_onnx(net, threads=1).save(tmp_path / "net.arn")
    net.unlink()
    with pytest.raises(StaleFileError, match=text):
        arenaut.load_onnx(tmp_path / "net.arn")


# -- bad input --------------------------------------------------------------------------------------------------------


def sealed(head: bytearray) -> bytes:
    """A header whose checksum is right again."""
    count = struct.unpack_from("<I", head, 20)[0]
    end = min(len(head), container._HEADER.size + count * container._ENTRY.size)
    head[16:20] = bytes(4)
    head[16:20] = struct.pack("<I", zlib.crc32(head[:end]))
    return bytes(head)


def other_magic(data: bytearray) -> bytes:
    return b"ELF" + data[3:]


def other_format(data: bytearray) -> bytes:
    data[8] = 9
    return sealed(data)


def other_order(data: bytearray) -> bytes:
    data[12:16] = data[12:16][::-1]
    return sealed(data)


def other_header(data: bytearray) -> bytes:
    data[40] ^= 1
    return bytes(data)


def other_section(data: bytearray) -> bytes:
    place = struct.unpack_from("<Q", data, container._HEADER.size + 24)[0]
    data[place + 5] ^= 1
    return bytes(data)


def other_weights(data: bytearray) -> bytes:
    data[-40] ^= 1
    return bytes(data)


def beyond(data: bytearray) -> bytes:
    struct.pack_into("<Q", data, container._HEADER.size + 32, 1 << 62)
    return sealed(data)


def too_many(data: bytearray) -> bytes:
    struct.pack_into("<I", data, 20, 4000)
    return sealed(data)


@pytest.mark.parametrize(("damage", "text"), [
    (other_format, "of format 9, and this arenaut reads 2"),
    (other_order, "other byte order"),
    (other_header, "the checksum of its header is another"),
    (other_section, "the checksum of its section 'program' is another"),
    (beyond, r"its section 'program' reaches to byte \d+, and the file has"),
    (too_many, "its table of 4000 sections reaches beyond the file"),
    (lambda data: bytes(data[:30]), "30 bytes are no header"),
    (lambda data: bytes(data[: len(data) // 2]), "cut short: its section"),
])  # fmt: skip
def test_each_fault_has_its_sentence(
    damage: Callable[[bytearray], bytes], text: str, net: Path, tmp_path: Path
) -> None:
    path = tmp_path / "net.arn"
    arenaut.load_onnx(net, threads=1).save(path)
    path.write_bytes(damage(bytearray(path.read_bytes())))
    with pytest.raises(CompiledFileError, match=text) as caught:
        arenaut.load_onnx(path)
    assert "ompile the model again" in str(caught.value)


def test_what_begins_otherwise_is_taken_for_a_model(net: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.arn"
    arenaut.load_onnx(net, threads=1).save(path)
    path.write_bytes(other_magic(bytearray(path.read_bytes())))
    with pytest.raises(arenaut.errors.InvalidModelError, match="cannot be read as an ONNX model"):
        arenaut.load_onnx(path)
    with pytest.raises(CompiledFileError, match="is no compiled file: it begins with b'ELF"):
        container.CompiledFile(str(path))


def test_weights_are_checked_on_request(net: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.arn"
    arenaut.load_onnx(net, threads=1).save(path)
    arenaut.load_onnx(path, verify="full").run(x())
    path.write_bytes(other_weights(bytearray(path.read_bytes())))
    arenaut.load_onnx(path).run(x())
    with pytest.raises(CompiledFileError, match="the checksum of its section 'weights' is another"):
        arenaut.load_onnx(path, verify="full")


def test_options_that_are_compiled_in_are_refused(net: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.arn"
    arenaut.load_onnx(net, threads=1).save(path)
    with pytest.raises(OptionError, match="executor, optimize: options of a compiled file"):
        arenaut.load_onnx(path, optimize=False, executor="interpreted")
    with pytest.raises(UnsupportedError, match="only a model that load_onnx compiled"):
        arenaut.load_onnx(net, executor="interpreted").save(tmp_path / "no.arn")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.arn", "net.onnx"]


def test_every_option_that_changes_a_program_is_kept() -> None:
    parameters = set(inspect.signature(arenaut.load_onnx).parameters)
    others = {"source", "executor", "max_memory", "backends", "verify", "isa", "cache", "limits"}
    assert parameters - others == {*PLAIN, "revision"} == {*PLAIN_GIVEN, "threads"}
    assert set(vars(Revision())) - {"initializers"} == set(PLAIN_REVISION)


def test_the_command(net: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["compile", str(net), "--threads", "1", "--shape", "batch=4"])
    assert run.exit_code == 0 and "net.arn: " in run.output
    assert arenaut.load_onnx(net.with_suffix(".arn")).run(x())["y"].shape == (3, 8)
    run = CliRunner().invoke(app, ["compile", str(net), "--shape", "bach=4"])
    assert run.exit_code == 2 and "did you mean 'batch'" in run.output


def test_opening_imports_neither_frontend_nor_passes(net: Path, tmp_path: Path) -> None:
    arenaut.load_onnx(net, threads=1).save(tmp_path / "net.arn")
    script = (
        "import sys, numpy as np, arenaut; m = arenaut.load_onnx(sys.argv[1]); m.run(np.ones((2, 16), np.float32));"
        "print([n for n in sys.modules if n in ('onnx', 'google.protobuf', 'ml_dtypes', 'arenaut.frontend',"
        "'arenaut.passes', 'typer')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "net.arn")], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_the_pairs_of_a_state_are_kept(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
        g (float[2] x, float[2] old) => (float[2] y, float[2] sum) { sum = Add(x, old) y = Neg(sum) }""")
    made = arenaut.load_onnx(model.SerializeToString(), threads=1, state={"old": "sum"})
    made.save(tmp_path / "net.arn", portable=True)
    opened = arenaut.load_onnx(tmp_path / "net.arn", threads=1)
    state = opened.new_state()
    values = [opened.run({"x": np.array([1, 2], np.float32)}, state=state)["y"].tolist() for _ in range(3)]
    assert values == [[-1, -2], [-2, -4], [-3, -6]]
