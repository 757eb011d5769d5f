"""A model beside onnxruntime: how far apart, at which value of the file first, and after which optimisation pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from arenaut.measure.compare import Difference, difference

if TYPE_CHECKING:
    import onnx

    from arenaut.model import Model


@dataclass(frozen=True)
class Comparison:
    """peer: the other's version; "" where it is not installed. reason: why nothing was compared. value, node: where
    the unoptimised graphs first differ. passes: after how many optimisation passes results first differ."""

    peer: str = ""
    reason: str = ""
    difference: Difference | None = None
    differs: bool = False
    value: str = ""
    node: str = ""
    passes: int | None = None
    rewrite: str = ""

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if self.difference is None:
            return f"not compared: {self.reason}"
        d = self.difference
        text = f"onnxruntime {self.peer}: largest difference {d.max_abs:.3g} ({d.max_rel:.2g} of the largest value)"
        if d.unequal:
            text += f", {d.unequal} other elements differ"
        if not self.differs:
            return f"{text}: alike"
        lines = [f"{text}: DIFFERENT"]
        if self.value:
            lines.append(f"first at '{self.value}', made by {self.node}")
        if self.passes is not None:
            lines.append(f"first after optimisation pass {self.passes}: {self.rewrite or 'no rewrite noted'}")
        return "\n".join(lines)


def compare_with_onnxruntime(
    path: str, model: Model, feeds: Mapping[str, Any], tolerance: float, threads: int | None
) -> Comparison:
    """Runs both. tolerance: of the largest value of an output. Looks for where they part only where they do."""
    try:
        import onnxruntime
    except ImportError:
        return Comparison(reason="onnxruntime is not installed: pip install onnxruntime")
    try:
        expected = _theirs(path, feeds, threads)
    except Exception as error:
        return Comparison(onnxruntime.__version__, f"onnxruntime does not run it: {error}")
    found = difference(expected, model.run(dict(feeds)))
    if not _too_far(found, tolerance):
        return Comparison(onnxruntime.__version__, difference=found)
    value, node = _first_value(path, feeds, tolerance, threads)
    passes, rewrite = (None, "") if value else _first_pass(path, feeds, expected, tolerance, threads)
    return Comparison(onnxruntime.__version__, "", found, True, value, node, passes, rewrite)


def _too_far(d: Difference, tolerance: float) -> bool:
    return not d.max_rel <= tolerance or d.unequal > 0


def _theirs(model: str | bytes, feeds: Mapping[str, Any], threads: int | None) -> dict[str, Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def _first_value(path: str, feeds: Mapping[str, Any], tolerance: float, threads: int | None) -> tuple[str, str]:
    """The first value of the file, in the order of its nodes, that the unoptimised graphs compute differently."""
    import onnx

    from arenaut.loading import load_onnx

    proto = onnx.load(path)
    shown = _all_values(proto)
    theirs = _theirs(proto.SerializeToString(), feeds, threads)
    ours = load_onnx(proto, threads=threads, optimize=False).run(dict(feeds))
    for name, node in shown:
        if not isinstance(theirs.get(name), np.ndarray):
            continue
        if _too_far(difference({name: theirs[name]}, {name: ours[name]}), tolerance):
            return name, node
    return "", ""


def _all_values(proto: onnx.ModelProto) -> list[tuple[str, str]]:
    """Makes every value of the graph an output; names, with the node that makes each."""
    import onnx

    declared = {o.name for o in proto.graph.output}
    types = {v.name: v for v in onnx.shape_inference.infer_shapes(proto).graph.value_info}
    made = []
    for node in proto.graph.node:
        for name in node.output:
            if name in declared or name in types:
                made.append((name, f"{node.op_type} '{node.name}'" if node.name else node.op_type))
            if name and name not in declared and name in types:
                proto.graph.output.append(types[name])
    return made


def _first_pass(
    path: str, feeds: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float, threads: int | None
) -> tuple[int | None, str]:
    """After how many passes the results are first wrong, found by halving, and the last rewrite made by then."""
    from arenaut.loading import load_onnx
    from arenaut.passes.pipeline import DEFAULT_PIPELINE

    def wrong(passes: int) -> bool:
        model = load_onnx(path, threads=threads, stop_after=passes)
        return _too_far(difference(expected, model.run(dict(feeds))), tolerance)

    low, high = 0, len(DEFAULT_PIPELINE)  # right after `low`, wrong after `high`
    if wrong(0) or not wrong(high):
        return None, ""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if wrong(middle) else (middle, high)
    events = [e for e in load_onnx(path, threads=threads, stop_after=high).rewrites if e.fired]
    last = f"{events[-1].pass_name}: {events[-1].rewrite} at '{events[-1].node}'" if events else ""
    return high, last
