"""The pipeline: which passes run, in which order, and why each is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from arenaut.ir.dims import Expr
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph
from arenaut.ir.infer import infer_graph
from arenaut.ir.target import Target
from arenaut.ir.types import TensorType
from arenaut.passes.activations import raise_activations
from arenaut.passes.attention import raise_attention
from arenaut.passes.batch_norm import fold_batch_norm
from arenaut.passes.casts import merge_casts
from arenaut.passes.common_subexpressions import merge_common_subexpressions
from arenaut.passes.constant_folding import fold_again, fold_constants
from arenaut.passes.context import Event, PassContext
from arenaut.passes.conv_bias import absorb_bias
from arenaut.passes.dead_code import eliminate_dead_code
from arenaut.passes.decompose import decompose_composites
from arenaut.passes.elementwise import fuse_elementwise
from arenaut.passes.gather_early import gather_early
from arenaut.passes.hoist_reshapes import hoist_reshapes
from arenaut.passes.identity import remove_identities
from arenaut.passes.join_heads import join_heads
from arenaut.passes.known_gathers import replace_known_gathers
from arenaut.passes.layout import choose_layouts
from arenaut.passes.merge_products import merge_products
from arenaut.passes.norms import raise_norms
from arenaut.passes.pads import absorb_pads
from arenaut.passes.powers import expand_powers
from arenaut.passes.reductions import merge_reductions
from arenaut.passes.reshape_chains import collapse_reshapes
from arenaut.passes.rotary import raise_rotary
from arenaut.passes.scales import fold_scales
from arenaut.passes.share_constants import share_constants
from arenaut.passes.sizes import read_sizes_from_inputs
from arenaut.passes.transposes import cancel_transposes
from arenaut.passes.unroll import write_out_control_flow


@dataclass(frozen=True)
class Pass:
    """name; run: changes one graph in place (bodies are visited by the pipeline) and says whether it did; why."""

    name: str
    run: Callable[[Graph, PassContext], bool]
    why: str


DEFAULT_PIPELINE: tuple[Pass, ...] = (
    Pass(
        "decompose", decompose_composites, "composite ops without kernels of their own are made of ops that have some"
    ),
    Pass("constant_folding", fold_constants, "what does not depend on inputs is computed once, at load"),
    Pass(
        "control_flow",
        write_out_control_flow,
        "what is decided at load is fused with what surrounds it",
    ),
    Pass("sizes", read_sizes_from_inputs, "who asks for a size does not need the value that has it"),
    Pass("identity", remove_identities, "Identity, Dropout and neutral arithmetic cost a pass over memory for nothing"),
    Pass("casts", merge_casts, "a cast that loses nothing before another one is a pass over memory for nothing"),
    Pass("reshape_chains", collapse_reshapes, "of consecutive reshapes only the last one's shape matters"),
    Pass("transposes", cancel_transposes, "consecutive transposes are one, or none"),
    Pass("batch_norm", fold_batch_norm, "a normalisation with constant statistics is part of the weights before it"),
    Pass("refold", fold_again, "rewritten weights and shapes are constants again"),
    Pass(
        "gather_early", gather_early, "of a table too large to keep as floats only the rows that are read become floats"
    ),
    Pass("known_gathers", replace_known_gathers, "masks and positions are read through indices that only sizes decide"),
    Pass("pads", absorb_pads, "convolutions and poolings pad as they read; a padded copy is made for nothing"),
    Pass("common_subexpressions", merge_common_subexpressions, "the same op on the same values is computed once"),
    Pass("activations", raise_activations, "an activation spelt out in eight nodes is one instruction"),
    Pass("norms", raise_norms, "a normalisation reads its operand once; its parts read it five times"),
    Pass("reductions", merge_reductions, "squares, magnitudes and logarithms are taken while the reduction reads"),
    Pass("powers", expand_powers, "a square is one multiplication, a general power is forty operations"),
    Pass("rotary", raise_rotary, "rotated halves are read and written once, not sliced, negated, joined and added"),
    Pass("attention", raise_attention, "scores of a block of keys stay in cache: no tensor of all scores is ever made"),
    Pass("scales", fold_scales, "a constant factor before or after a product is part of its constant weights"),
    Pass("conv_bias", absorb_bias, "what every pixel of a channel gets added comes with the convolution for nothing"),
    Pass("common_subexpressions_again", merge_common_subexpressions, "every layer asks for the same masks and angles"),
    Pass("dead_code_before_merging", eliminate_dead_code, "what nobody reads any more would stand between products"),
    Pass("merge_products", merge_products, "queries, keys and values read the same rows: one product reads them once"),
    Pass("join_heads", join_heads, "queries and keys beside each other are normalised and turned in one step"),
    Pass("hoist_reshapes", hoist_reshapes, "what follows a product joins it only at the product's own shape"),
    Pass("reshape_chains_again", collapse_reshapes, "reshapes that moved meet others"),
    Pass("dead_code", eliminate_dead_code, "nodes whose results nobody reads need not run"),
    Pass(
        "elementwise", fuse_elementwise, "elementwise ops run together on tiles in L1, after a product on its hot block"
    ),
    Pass("dead_code_last", eliminate_dead_code, "what fusion left behind"),
    Pass("share_constants", share_constants, "weights that a file holds twice are packed and kept once"),
    Pass("layout", choose_layouts, "convolutions and pools run vectors over channels, which have to lie innermost"),
)

PARTS: Mapping[str, tuple[str, ...]] = {
    "fusion": (
        "activations",
        "attention",
        "batch_norm",
        "conv_bias",
        "join_heads",
        "merge_products",
        "norms",
        "pads",
        "reductions",
        "rotary",
        "scales",
    ),
    "tile driver": ("elementwise",),
    "layout": ("layout",),
}
"""By name of ir.target.OPTIMISATIONS: the passes that go with it."""


def run_pipeline(
    graph: Graph,
    target: Target,
    *,
    pipeline: Sequence[Pass] = DEFAULT_PIPELINE,
    stop_after: int | None = None,
    level: Literal["off", "structure", "types", "full"] = "off",
) -> list[Event]:
    """Runs the passes in order on the graph and its bodies; returns what was rewritten and what nearly was.

    stop_after: only the first so many passes, to bisect. level: verify the graph after each pass.
    """
    context = PassContext(target)
    left_out = {name for part in target.without for name in PARTS.get(part, ())}
    alone = len(list(_graphs(graph))) == 1  # no pass makes bodies but those of fused nodes
    for p in pipeline if stop_after is None else pipeline[:stop_after]:
        if p.name in left_out:
            continue
        context.current = p.name
        for g in [graph] if alone else reversed(list(_graphs(graph))):
            p.run(g, context)
        if level != "off":
            from arenaut.ir.verify import verify

            verify(graph, level)
    if not alone or not _is_settled(graph):
        infer_graph(graph)  # symbols read from data carry the names of values, which rewrites change
    return context.events


def _is_settled(graph: Graph) -> bool:
    """Whether nothing that inference found can carry the name of a value: every shape is known, in sizes of inputs."""
    names = set(graph.dim_names())
    for node in graph.nodes:
        for value in node.outputs:
            if value is None:
                continue
            t = value.type
            if not isinstance(t, TensorType) or t.shape is None:
                return False
            dims = t.shape if value.data is None else (*t.shape, *value.data.flat)
            if any(s.name not in names for d in dims if isinstance(d, Expr) for s in d.symbols):
                return False
    return True


def _graphs(graph: Graph) -> Iterator[Graph]:
    """The graph and every body in it; bodies of fused nodes are left alone."""
    yield graph
    for node in graph.nodes:
        if node.domain != ARENAUT_DOMAIN:
            for _, body in node.bodies():
                yield from _graphs(body)
