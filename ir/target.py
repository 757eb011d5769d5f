"""What passes and lowering may know of the machine: plain data, filled by whoever asks the native side."""

from __future__ import annotations

from typing import Final, Literal

from arenaut.plain import dataclass

OPTIMISATIONS: Final = {
    "fusion": "norms, attention, activations and the like raised to one op, batch norms folded into weights",
    "tile driver": "elementwise ops run together on tiles, and after a product or convolution on its hot block",
    "layout": "convolutional regions channels-last",
    "packing": "constant operands of products and convolutions packed once, at load",
    "winograd": "3 x 3 convolutions through transformed filters, which are a packed form",
    "bands": "rows between convolutions and pools made band by band, where that lowers the peak",
    "slices": "wide intermediates made slice by slice, where that lowers the peak",
    "views": "splits, slices, reshapes, transposes and the like as other ways to look at memory, without a copy",
    "in-place": "outputs and parts of a Concat made in memory that an input leaves",
}
"""What `Target.without` may name."""


Precision = Literal["stored", "bfloat16"]
WeightForm = Literal["stored", "int8", "int4"]


@dataclass(frozen=True)
class Target:
    """tier: 0 baseline, 1 v3, 2 v4. Cache sizes in bytes; L1 and L2 are per core.

    families: the kernel families that have rows here, for rewrites that need one.
    without: names of OPTIMISATIONS to leave out, to see what each is worth.
    precision: of the operands of float products and convolutions: as stored, or the nearest bfloat16.
    weights: of float products, where they are constant: as stored, or codes of 8 or 4 bits in blocks."""

    tier: int
    features: int
    threads: int
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int
    families: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    precision: Precision = "stored"
    weights: WeightForm = "stored"
