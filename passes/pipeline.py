"""The pipeline: which passes run, in which order, and why each is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from arenaut.ir.dims import Expr
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph
from arenaut.ir.infer import infer_graph
from arenaut.ir.limits import check_time
from arenaut.ir.target import Target
from arenaut.ir.types import TensorType
from arenaut.passes.absorb_bias import absorb_bias
from arenaut.passes.absorb_pads import absorb_pads
from arenaut.passes.average_bytes import average_bytes
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
from arenaut.passes.keep_bytes_in_lines import keep_bytes_in_lines
from arenaut.passes.keep_half_weights import keep_half_weights
from arenaut.passes.keep_requirements import keep_requirements
from arenaut.passes.keep_weight_codes import keep_weight_codes
from arenaut.passes.merge_casts import merge_casts
from arenaut.passes.merge_common_subexpressions import merge_common_subexpressions
from arenaut.passes.merge_products import merge_products
from arenaut.passes.merge_reductions import merge_reductions
from arenaut.passes.quantise_early import quantise_early
from arenaut.passes.quantise_weights import quantise_weights
from arenaut.passes.raise_activations import raise_activations
from arenaut.passes.raise_attention import raise_attention
from arenaut.passes.raise_integer_products import raise_integer_products
from arenaut.passes.raise_norms import raise_norms
from arenaut.passes.raise_recurrent import raise_recurrent
from arenaut.passes.raise_rotary import raise_rotary
from arenaut.passes.read_sizes_from_inputs import read_sizes_from_inputs
from arenaut.passes.remove_identities import remove_identities
from arenaut.passes.replace_known_gathers import replace_known_gathers
from arenaut.passes.share_constants import share_constants
from arenaut.passes.shuffle_late import shuffle_late
from arenaut.passes.spread_scales import spread_scales
from arenaut.passes.transpose_as_product import transpose_as_product
from arenaut.passes.write_out_control_flow import write_out_control_flow
from arenaut.plain import dataclass


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
    Pass(keep_requirements, "what ops ask of sizes is refused by their name, also where a rewrite merges them away"),
    Pass(decompose_composites, "a composite op without a kernel of its own becomes ops that have kernels"),
    Pass(fold_constants, "results that depend on no input are computed once, at load"),
    Pass(
        raise_recurrent,
        "a loop that steps through a sequence as LSTM, GRU or RNN do becomes that op, with one product for all inputs",
        part="fusion",
    ),
    Pass(
        write_out_control_flow,
        "a branch or loop whose outcome is known at load becomes plain nodes",
    ),
    Pass(
        read_sizes_from_inputs,
        "a Shape of a computed value reads the same sizes from an input, so that it keeps no value alive",
    ),
    Pass(remove_identities, "Identity, Dropout and neutral arithmetic would copy memory and change nothing"),
    Pass(merge_casts, "of two casts in a row the first is skipped where it loses nothing"),
    Pass(collapse_reshapes, "reshapes in a row become one reshape to the last shape"),
    Pass(cancel_transposes, "transposes in a row become one, or none where they cancel"),
    Pass(
        dequantise_late,
        "DequantizeLinear moves behind ops that only move elements, which then move bytes",
    ),
    Pass(
        transpose_as_product,
        "a transposed convolution of dequantised numbers becomes a convolution, which integers have, and moves",
        part="fusion",
    ),
    Pass(
        quantise_early,
        "QuantizeLinear moves before ops that only move elements: a result is rounded where it is computed",
    ),
    Pass(drop_requantising, "DequantizeLinear and QuantizeLinear of one scale in a row cancel"),
    Pass(
        raise_integer_products,
        "products of dequantised operands become integer products, which are several times as fast",
        part="fusion",
    ),
    Pass(
        average_bytes, "a mean of dequantised bytes sums the bytes, so that no floats are written for it", part="fusion"
    ),
    Pass(keep_weight_codes, "weights of 8 bits that floats are multiplied by stay bytes", part="packing"),
    Pass(fold_again, "constants of DequantizeLinear that no integer product reads are dequantised at load"),
    Pass(spread_scales, "quantisation by channels or blocks becomes arithmetic that elementwise tiles have"),
    Pass(
        fold_batch_norm,
        "a constant batch normalisation becomes part of the convolution's weights, or a scale and shift",
        part="fusion",
    ),
    Pass(fold_again, "weights and shapes that the rewrites above computed are constants again"),
    Pass(gather_early, "of a compressed embedding table only the rows that are read are converted to floats"),
    Pass(replace_known_gathers, "a Gather whose indices only sizes decide becomes a slice or one row"),
    Pass(
        absorb_pads,
        "a Pad becomes the padding of the convolution or pool after it, so that no padded copy is made",
        part="fusion",
    ),
    Pass(merge_common_subexpressions, "equal ops on the same values are computed once"),
    Pass(
        raise_activations,
        "an activation spelt out in several nodes becomes its standard op, one elementwise instruction",
        part="fusion",
    ),
    Pass(
        raise_norms,
        "a normalisation spelt out in several nodes becomes its standard op, which reads its operand once",
        part="fusion",
    ),
    Pass(
        merge_reductions,
        "a reduction of squares, magnitudes or exponentials becomes the standard op for it",
        part="fusion",
    ),
    Pass(expand_powers, "a power with a small constant exponent becomes multiplications, roots or a reciprocal"),
    Pass(
        raise_rotary,
        "a rotary embedding spelt out in several nodes becomes RotaryEmbedding, one read and one write",
        part="fusion",
    ),
    Pass(
        raise_attention,
        "attention spelt out in several nodes becomes Attention, which never holds all scores",
        part="fusion",
    ),
    Pass(
        fold_scales,
        "a constant factor before or after a product is multiplied into its constant weights",
        part="fusion",
    ),
    Pass(absorb_bias, "a per-channel constant that is added becomes the convolution's bias", part="fusion"),
    Pass(
        shuffle_late,
        "a shuffle of channels moves behind a depthwise convolution that strides, where there is less to move",
        part="fusion",
    ),
    Pass(merge_common_subexpressions, "masks and rotary angles that every layer repeats are computed once"),
    Pass(eliminate_dead_code, "nodes that nobody reads any more would hide that products share an operand"),
    Pass(
        merge_products,
        "products of one value with several constant weights (queries, keys, values) become one",
        part="fusion",
    ),
    Pass(join_heads, "queries and keys that lie in one product are normalised and rotated together", part="fusion"),
    Pass(
        keep_bytes_in_lines,
        "a softmax or layer normalisation between bytes reads and rounds them by lines, so that no floats are written",
        part="fusion",
    ),
    Pass(quantise_weights, "weights are asked for in 8 or 4 bits", part="packing"),
    Pass(keep_half_weights, "weights that 16-bit floats hold without loss are stored as these", part="packing"),
    Pass(
        hoist_reshapes,
        "a reshape after a product moves behind the elementwise ops that follow, so that they can join the product",
    ),
    Pass(collapse_reshapes, "reshapes that moved stand in a row with others"),
    Pass(eliminate_dead_code, "nodes whose results nobody reads are removed"),
    Pass(
        fuse_elementwise,
        "elementwise ops become one node that runs tile by tile in L1, or the epilogue of the product before them",
        part="tile driver",
    ),
    Pass(eliminate_dead_code, "nodes that fusion left without readers are removed"),
    Pass(share_constants, "equal constants become one array, which is packed and kept once"),
    Pass(
        choose_layouts, "convolutions and pools work on vectors of channels, so channels lie innermost", part="layout"
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
        check_time()
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
