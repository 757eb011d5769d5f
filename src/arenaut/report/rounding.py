"""What `load_onnx(precision=, weights=)` changes in a model's results: by layer and at its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from arenaut.ir.target import Precision, WeightForm
from arenaut.loading import load_onnx
from arenaut.measure.compare import Difference, difference

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Rounding:
    """layers: products whose weights are codes, with how far those err. outputs: how far each output lies from that of
    the model as stored."""

    precision: str
    weights: str
    layers: tuple[tuple[str, str], ...]
    outputs: Mapping[str, Difference]

    def __str__(self) -> str:
        lines = [f"precision {self.precision}, weights {self.weights}, beside the model as stored:"]
        lines += [f"  {name}: {text}" for name, text in self.layers]
        lines += [f"  output '{name}': largest difference {d.max_abs:.3g} ({d.max_rel:.2g} of the largest value)"
                  + (f", {d.unequal} other elements differ" if d.unequal else "")
                  for name, d in self.outputs.items()]  # fmt: skip
        return "\n".join(lines)


def rounding(
    source: str | PathLike[str] | bytes | onnx.ModelProto, feeds: Mapping[str, Any], *, threads: int | None = None,
    precision: Precision = "stored", weights: WeightForm = "stored",
) -> Rounding:  # fmt: skip
    """Runs the model as stored and so changed on the same feeds. Raises what load_onnx and Model.run raise."""
    expected = load_onnx(source, threads=threads).run(dict(feeds))
    changed = load_onnx(source, threads=threads, precision=precision, weights=weights)
    layers = tuple((e.node, e.reason) for e in changed.rewrites if e.fired and e.pass_name == "quantise_weights")
    got = changed.run(dict(feeds))
    outputs = {name: difference({name: value}, {name: got[name]}) for name, value in expected.items()}
    return Rounding(precision, weights, layers, outputs)
