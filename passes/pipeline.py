"""The pipeline: which passes run, in which order, and why each is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from arenaut.ir.dims import Expr
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph
from arenaut.ir.infer import infer_graph
from arenaut.ir.target import Target
from arenaut.ir.types import TensorType
from arenaut.passes.absorb_bias import absorb_bias
from arenaut.passes.absorb_pads import absorb_pads
from arenaut.passes.cancel_transposes import cancel_transposes
from arenaut.passes.choose_layouts import choose_layouts
from arenaut.passes.collapse_reshapes import collapse_reshapes
from arenaut.passes.context import Event, PassContext
from arenaut.passes.decompose_composites import decompose_composites
from arenaut.passes.dequantise_late import dequantise_late
from arenaut.passes.drop_requantising import drop_requantising
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.expand_powers import expand_powers
from arenaut.passes.fold_batch_norm import fold_batch_norm
from arenaut.passes.fold_constants import fold_again, fold_constants
from arenaut.passes.fold_scales import fold_scales
from arenaut.passes.fuse_elementwise import fuse_elementwise
from arenaut.passes.gather_early import gather_early
from arenaut.passes.hoist_reshapes import hoist_reshapes
from arenaut.passes.join_heads import join_heads
from arenaut.passes.merge_casts import merge_casts
from arenaut.passes.merge_common_subexpressions import merge_common_subexpressions
from arenaut.passes.merge_products import merge_products
from arenaut.passes.merge_reductions import merge_reductions
from arenaut.passes.quantise_early import quantise_early
from arenaut.passes.raise_activations import raise_activations
from arenaut.passes.raise_attention import raise_attention
from arenaut.passes.raise_integer_products import raise_integer_products
from arenaut.passes.raise_norms import raise_norms
from arenaut.passes.raise_rotary import raise_rotary
from arenaut.passes.read_sizes_from_inputs import read_sizes_from_inputs
from arenaut.passes.remove_identities import remove_identities
from arenaut.passes.replace_known_gathers import replace_known_gathers
from arenaut.passes.share_constants import share_constants
from arenaut.passes.spread_scales import spread_scales
from arenaut.passes.write_out_control_flow import write_out_control_flow


@dataclass(frozen=True)
class Pass:
    """run: changes one graph in place (bodies are visited by the pipeline) and says whether it did. why: its reason.

    part: the name in ir.target.OPTIMISATIONS that it goes with, so that it can be left out.
    """

    run: Callable[[Graph, PassContext], bool]
    why: str
    part: str = ""

    @property
    def name(self) -> str:
        """That of its function and file."""
        return self.run.__name__


DEFAULT_PIPELINE: tuple[Pass, ...] = (
    Pass(decompose_composites, "composite ops without kernels of their own are made of ops that have some"),
    Pass(fold_constants, "what does not depend on inputs is computed once, at load"),
    Pass(write_out_control_flow, "what is decided at load is fused with what surrounds it"),
    Pass(read_sizes_from_inputs, "who asks for a size does not need the value that has it"),
    Pass(remove_identities, "Identity, Dropout and neutral arithmetic cost a pass over memory for nothing"),
    Pass(merge_casts, "a cast that loses nothing before another one is a pass over memory for nothing"),
    Pass(collapse_reshapes, "of consecutive reshapes only the last one's shape matters"),
    Pass(cancel_transposes, "consecutive transposes are one, or none"),
    Pass(dequantise_late, "bytes are moved instead of floats, and products see what they multiply"),
    Pass(quantise_early, "what is rounded in the end is rounded where it is computed"),
    Pass(drop_requantising, "a number that is restored and rounded at one scale is the number"),
    Pass(raise_integer_products, "bytes are multiplied as they are, at four times the speed", part="fusion"),
    Pass(fold_again, "weights that no integer product reads are floats from here on"),
    Pass(spread_scales, "what tiles do not hold whole is arithmetic that they hold"),
    Pass(fold_batch_norm, "a normalisation with constant statistics is part of the weights before it", part="fusion"),
    Pass(fold_again, "rewritten weights and shapes are constants again"),
    Pass(gather_early, "of a table too large to keep as floats only the rows that are read become floats"),
    Pass(replace_known_gathers, "masks and positions are read through indices that only sizes decide"),
    Pass(absorb_pads, "convolutions and poolings pad as they read; a padded copy is made for nothing", part="fusion"),
    Pass(merge_common_subexpressions, "the same op on the same values is computed once"),
    Pass(raise_activations, "an activation spelt out in eight nodes is one instruction", part="fusion"),
    Pass(raise_norms, "a normalisation reads its operand once; its parts read it five times", part="fusion"),
    Pass(merge_reductions, "squares, magnitudes and logarithms are taken while the reduction reads", part="fusion"),
    Pass(expand_powers, "a square is one multiplication, a general power is forty operations"),
    Pass(
        raise_rotary, "rotated halves are read and written once, not sliced, negated, joined and added", part="fusion"
    ),
    Pass(
        raise_attention, "scores of a block of keys stay in cache: no tensor of all scores is ever made", part="fusion"
    ),
    Pass(fold_scales, "a constant factor before or after a product is part of its constant weights", part="fusion"),
    Pass(absorb_bias, "what every pixel of a channel gets added comes with the convolution for nothing", part="fusion"),
    Pass(merge_common_subexpressions, "every layer asks for the same masks and angles"),
    Pass(eliminate_dead_code, "what nobody reads any more would stand between products"),
    Pass(merge_products, "queries, keys and values read the same rows: one product reads them once", part="fusion"),
    Pass(join_heads, "queries and keys beside each other are normalised and turned in one step", part="fusion"),
    Pass(hoist_reshapes, "what follows a product joins it only at the product's own shape"),
    Pass(collapse_reshapes, "reshapes that moved meet others"),
    Pass(eliminate_dead_code, "nodes whose results nobody reads need not run"),
    Pass(
        fuse_elementwise,
        "elementwise ops run together on tiles in L1, after a product on its hot block",
        part="tile driver",
    ),
    Pass(eliminate_dead_code, "what fusion left behind"),
    Pass(share_constants, "weights that a file holds twice are packed and kept once"),
    Pass(
        choose_layouts, "convolutions and pools run vectors over channels, which have to lie innermost", part="layout"
    ),
)


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
    alone = len(list(_graphs(graph))) == 1  # no pass makes bodies but those of fused nodes
    for p in pipeline if stop_after is None else pipeline[:stop_after]:
        if p.part in target.without:
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
