"""Times every op of ai.onnx, ai.onnx.ml and the com.microsoft list against onnxruntime, on one thread, and prints those
that are slower.

    python bench/ops.py [--only TEXT...] [--part 1/8] [--types float32,uint8] [--save FOLDER]
    python bench/ops.py --page FOLDER

A case is one op in a model of its own, at one of two sizes, for one element type. Sizes come from bench/op_sizes.py,
those of elementwise ops from the samples of their records; types from the schemas. Both engines are loaded in this
process and take turns; a time is the fastest of the rounds, the Python call included. A type for which onnxruntime has
no kernel makes no case. --page writes docs/measured/OPS.md from what all parts saved.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

import arenaut  # noqa: E402
from arenaut.frontend.contrib import HANDLERS  # noqa: E402
from arenaut.ir.dtypes import dtype_of  # noqa: E402
from arenaut.ir.ops import all_records  # noqa: E402
from arenaut.ir.record import OpRecord, Sample  # noqa: E402
from arenaut.measure.engines import version_of  # noqa: E402
from arenaut.measure.process import machine  # noqa: E402
from arenaut.measure.stats import geometric_mean  # noqa: E402
from bench.op_sizes import ML, SUB, TABLE, Arg, Line, Made  # noqa: E402
from bench.op_untimed import UNTIMED  # noqa: E402

PAGE: Final = ROOT / "docs" / "measured" / "OPS.md"
TYPES: Final = ("float32", "float64", "float16", "int32", "int64", "uint8", "int8", "bool", "string")
SCHEMA_NAMES: Final = {"float32": "float", "float64": "double"}
OPSETS: Final = (24, 21, 18, 13, 11)
STRETCHED: Final = ((16, 64), (1024, 256))
LIMIT: Final = {"string": 0.5}
"""The least ratio by element type of the case; 0.9 for all others."""
BATCH_SECONDS: Final = 1e-3
CASE_SECONDS: Final = 0.06
TOO_SLOW: Final = 0.5
"""An op that takes longer at the small size is not timed at the large one, in seconds."""


@dataclass(frozen=True)
class Case:
    """Inputs of a node: arrays by name, constant or fed, None where absent."""

    key: str
    dtype: str
    big: int
    inputs: Sequence[tuple[np.ndarray, bool] | None]
    attributes: Mapping[str, Any]
    outputs: int
    opset: int

    @property
    def op(self) -> tuple[str, str]:
        name = self.key.split("/")[0]
        domain, _, short = name.rpartition(".")
        return domain, short


@dataclass(frozen=True)
class Result:
    """Seconds of the fastest call; first: of the first call after loading. note: what is wrong, if anything."""

    key: str
    dtype: str
    big: int
    ours: float = 0.0
    peer: float = 0.0
    first: float = 0.0
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.peer / self.ours if self.ours else 0.0

    @property
    def is_slow(self) -> bool:
        return bool(self.ours) and self.ratio < LIMIT.get(self.dtype, 0.9)


# -- cases -----------------------------------------------------------------------------------------------------


def keys() -> list[str]:
    """Every key of the bench: lines of the table, elementwise ops without a line."""
    timed = {key.split("/")[0] for key in TABLE}
    return sorted([*TABLE, *(r.op for r in _elementwise() if r.op not in timed and r.op not in UNTIMED)])


def missing() -> set[str]:
    """Ops of the three domains that neither have cases nor a reason why not."""
    names = {("", "ai.onnx.ml").index(s.domain) * ML + s.name for s in onnx.defs.get_all_schemas()
             if s.domain in ("", "ai.onnx.ml")}  # fmt: skip
    names |= {SUB + op for domain, op in HANDLERS if domain}
    return names - {key.split("/")[0] for key in keys()} - set(UNTIMED)


def _elementwise() -> list[OpRecord]:
    return [r for r in all_records().values() if not r.domain and r.tile is not None and r.samples is not None]


def cases(key: str, types: Sequence[str]) -> Iterator[Case]:
    found = TABLE.get(key)
    if found is None:
        yield from _stretched(key, types)
        return
    for dtype in types:
        if dtype in (found.types.split() or _schema_types(key)):
            for big in (0, 1):
                yield _made(key, dtype, big, found)


def _schema_types(key: str) -> set[str]:
    """Element types that the schema names for the first input."""
    domain, op = Case(key, "", 0, (), {}, 1, 0).op
    schema = onnx.defs.get_schema(op, domain=domain) if domain else _schema_before(op, OPSETS[0])
    name = schema.inputs[0].type_str
    allowed = {t for c in schema.type_constraints if c.type_param_str == name for t in c.allowed_type_strs} or {name}
    return {t for t in TYPES if f"tensor({SCHEMA_NAMES.get(t, t)})" in allowed}


def _schema_before(op: str, opset: int) -> Any:
    try:
        return onnx.defs.get_schema(op, opset)
    except onnx.defs.SchemaError:
        return onnx.defs.get_schema(op)


def _made(key: str, dtype: str, big: int, found: Line) -> Case:
    made: Made = found.build(big)
    rng = np.random.default_rng(7)
    inputs = [None if a is None else (_array(a, dtype, rng), a.constant) for a in made.arguments]
    return Case(key, dtype, big, inputs, made.attributes, made.outputs, found.opset)


def _array(arg: Arg, dtype: str, rng: np.random.Generator) -> np.ndarray:
    name = dtype if arg.dtype == "T" else arg.dtype
    if arg.values is not None:
        return np.array(arg.values).reshape(arg.shape).astype(name)
    if name == "string":
        return np.array([f"word {i}" for i in range(100)], object)[rng.integers(0, 100, arg.shape)]
    if name == "bool":
        return np.asarray(rng.integers(0, 2, arg.shape), np.bool_)
    if np.dtype(name).kind in "iu":
        low, high = (0, 63) if (arg.low, arg.high) == (-1, 1) else (int(arg.low), int(arg.high))
        return np.asarray(rng.integers(low, high + 1, arg.shape)).astype(name)
    return np.asarray(rng.uniform(arg.low, arg.high, arg.shape)).astype(name)


def _stretched(key: str, types: Sequence[str]) -> Iterator[Case]:
    """The first sample of each type and set of attributes, its operands repeated up to the size of the bench."""
    record = next(r for r in _elementwise() if r.op == key)
    seen: set[tuple[str, str]] = set()
    assert record.samples is not None
    for sample in record.samples():
        dtype, chosen = _main_type(sample), json.dumps({k: str(v) for k, v in sorted(sample.attributes.items())})
        if dtype in types and (dtype, chosen) not in seen and any(a is not None and a.size > 3 for a in sample.inputs):
            seen.add((dtype, chosen))
            label = key if len(seen) == 1 or len({c for _, c in seen}) == 1 else f"{key}/{_short(sample.attributes)}"
            for big, shape in enumerate(STRETCHED):
                inputs = [None if a is None else (_repeated(a, shape), a.ndim == 0) for a in sample.inputs]
                yield Case(label, dtype, big, inputs, sample.attributes, sample.outputs, 0)


def _short(attributes: Mapping[str, Any]) -> str:
    return " ".join(f"{k} {v}" for k, v in attributes.items() if v is not None)


def _main_type(sample: Sample) -> str:
    names = [str(a.dtype) for a in sample.inputs if a is not None]
    return next((n for n in names if n != "bool"), names[0])


def _repeated(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return array if array.ndim == 0 else np.resize(array, shape)


# -- models and times ------------------------------------------------------------------------------------------


def model_of(case: Case, opset: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    domain, op = case.op
    names = [f"x{i}" if a is not None else "" for i, a in enumerate(case.inputs)]
    infos, stored, feeds = [], [], {}
    for name, each in zip(names, case.inputs, strict=True):
        if each is not None and each[1]:
            stored.append(numpy_helper.from_array(each[0], name))
        elif each is not None:
            feeds[name] = each[0]
            infos.append(helper.make_tensor_value_info(name, int(dtype_of(each[0])), each[0].shape))
    outputs = [f"y{i}" for i in range(case.outputs)]
    attributes = {k: v for k, v in case.attributes.items() if v is not None}
    node = helper.make_node(op, names, outputs, domain=domain, **attributes)
    graph = helper.make_graph([node], "op", infos, [onnx.ValueInfoProto(name=n) for n in outputs], stored)
    domains = {"": opset, "ai.onnx.ml": 3, "com.microsoft": 1}
    imports = [helper.make_opsetid(d, v) for d, v in domains.items() if not d or d == domain]
    return helper.make_model(graph, opset_imports=imports, ir_version=10), feeds


def onnxruntime_session(case: Case) -> tuple[ort.InferenceSession, onnx.ModelProto, dict[str, np.ndarray]] | None:
    """The newest opset for which onnxruntime has a kernel; None when there is none."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = 1, 1, 4
    introduced = min((s.since_version for s in onnx.defs.get_all_schemas_with_history()
                      if (s.domain, s.name) == case.op), default=1)  # fmt: skip
    opsets = (case.opset,) if case.opset else sorted({max(v, introduced) for v in OPSETS}, reverse=True)
    for opset in opsets if not case.op[0] else OPSETS[:1]:
        try:
            model, feeds = model_of(case, opset)
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            session.run(None, feeds)
        except Exception:
            continue
        return session, model, feeds
    return None


def measure(case: Case) -> Result | None:
    found = onnxruntime_session(case)
    if found is None:
        return None
    session, model, feeds = found
    try:
        ours = arenaut.load_onnx(model, threads=1)
        begin = time.perf_counter()
        outputs = ours.run(feeds)
        first = time.perf_counter() - begin
    except Exception as error:  # the page says so
        return Result(case.key, case.dtype, case.big, note=f"arenaut: {type(error).__name__}: {error}"[:200])
    record = all_records().get(case.op)
    drawn = record is not None and not record.deterministic
    agreed = drawn or _agree(list(outputs.values()), session.run(None, feeds))
    note = "" if agreed else "results differ"
    mine, peer = _fastest(lambda: ours.run(feeds), lambda: session.run(None, feeds))
    return Result(case.key, case.dtype, case.big, mine, peer, first, note)


def _fastest(*calls: Callable[[], Any]) -> list[float]:
    """Seconds a call, the fastest batch of those that took turns."""
    once = [min(_batch(call, 1), _batch(call, 1)) for call in calls]
    counts = [max(1, min(2000, int(BATCH_SECONDS / t))) for t in once]
    rounds = max(1, min(25, int(CASE_SECONDS / sum(c * t for c, t in zip(counts, once, strict=True)))))
    best = list(once)
    gc.disable()
    for _ in range(rounds):
        best = [min(b, _batch(call, count)) for b, call, count in zip(best, calls, counts, strict=True)]
    gc.enable()
    return best


def _batch(call: Callable[[], Any], count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begin) / count


def _agree(mine: Sequence[Any], theirs: Sequence[Any]) -> bool:
    """A rough look, so that no fast wrong answer is counted: what is exact is for the tests."""
    for a, b in zip(mine, theirs, strict=False):
        if isinstance(a, np.ndarray) and a.dtype != object:
            if a.shape != b.shape:
                return False
            if a.dtype.kind in "fiu" and a.size:
                wide = a.astype(np.float64), b.astype(np.float64)
                with np.errstate(all="ignore"):
                    far = ~np.isclose(*wide, rtol=0.02, atol=0.02 if a.dtype.kind == "f" else 1, equal_nan=True)
                if far.mean() > 0.01:
                    return False
    return True


# -- output ----------------------------------------------------------------------------------------------------

SIZES: Final = ("small", "large")


def row(r: Result) -> str:
    return (
        f"| {r.key} | {r.dtype} | {SIZES[r.big]} | {r.ours * 1e6:,.1f} | {r.peer * 1e6:,.1f} | {r.ratio:.2f} "
        f"| {r.first * 1e3:.1f} | {r.note} |"
    )


HEAD: Final = (
    "| op | type | size | arenaut us | onnxruntime us | ratio | first call ms | note |\n"
    "|---|---|---|--:|--:|--:|--:|---|"
)


def page(results: Sequence[Result], command: str) -> str:
    slow = sorted((r for r in results if r.is_slow or not r.ours), key=lambda r: r.ratio)
    timed = [r for r in results if r.ours]
    means = [f"{t} {geometric_mean([r.ratio for r in timed if r.dtype == t]):.2f}" for t in TYPES
             if any(r.dtype == t for r in timed)]  # fmt: skip
    lines = [
        "# Every op beside onnxruntime",
        "",
        f"Generated by `{command}`; not edited by hand. What is slower, and why, is said in",
        "[OPS_SLOWER.md](../OPS_SLOWER.md).",
        "",
        f"- Machine: {machine()}",
        f"- Versions: arenaut {version_of('arenaut')}, onnxruntime {version_of('onnxruntime')}; one thread.",
        "- Microseconds of the fastest call of those that took turns, Python call included; ratio: onnxruntime's over",
        "  arenaut's, above 1 arenaut is faster. First call: the first after loading.",
        "- Sizes: bench/op_sizes.py, small and large; elementwise ops on "
        + " and ".join("x".join(map(str, s)) for s in STRETCHED) + " elements.",
        f"- {len(timed)} cases; {sum(r.is_slow for r in timed)} below 0.9 (strings: 0.5). Geometric means: "
        + ", ".join(means) + ".",
        "",
        "## Below 0.9 (strings below 0.5)",
        "",
        HEAD,
        *map(row, slow),
        "",
        "## All",
        "",
        HEAD,
        *map(row, sorted(results, key=lambda r: (r.key, TYPES.index(r.dtype), r.big))),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def saved(folder: Path) -> list[Result]:
    found: dict[tuple[str, str, int], Result] = {}
    for file in sorted(folder.glob("*.json"), key=lambda f: f.stat().st_mtime):
        found |= {(r["key"], r["dtype"], r["big"]): Result(**r) for r in json.loads(file.read_text())}
    return list(found.values())


def chosen(only: Sequence[str], part: str) -> list[str]:
    """Keys of the ops that `only` names (all when it names none), or whole keys; those that lie in that part."""
    names = [k for k in keys() if not only or k in only or k.split("/")[0].rpartition(".")[2] in only]
    index, count = (int(v) for v in part.split("/"))
    return names[index - 1 :: count]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="names of ops or keys")
    parser.add_argument("--part", default="1/1", help="the n-th of m slices of the keys")
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--save", type=Path, help="folder for the results of this part, as JSON")
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="write the page from what was saved there")
    parser.add_argument("--all", action="store_true", help="print every case, not only the slower ones")
    options = parser.parse_args(arguments)
    if options.page:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(saved(options.page), "python -m bench.ops --page " + str(options.page)))
        return 0
    if lacking := missing():
        print("neither cases nor a reason:", ", ".join(sorted(lacking)))
    results, names = [], chosen(options.only, options.part)
    print(HEAD)
    for key in names:
        slowest = 0.0
        for case in cases(key, options.types.split(",")):
            if case.big and slowest > TOO_SLOW:
                continue
            result = measure(case)
            if result is not None:
                results.append(result)
                slowest = max(slowest, result.ours)
                if options.all or result.is_slow or result.note:
                    print(row(result), flush=True)
    print(f"{len(results)} cases of {len(names)} keys; {sum(r.is_slow for r in results)} slower")
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
        label = options.part.replace("/", "_") + ("_" + "_".join(options.only) if options.only else "")
        (options.save / f"{label.replace('/', ' ')}.json").write_text(json.dumps([asdict(r) for r in results]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
