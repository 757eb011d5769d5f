"""How Attention and RotaryEmbedding become one kernel step each: heads split and merged by strides, the cache copied
into its outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from arenaut.ir.dims import Dim, floordiv
from arenaut.ir.errors import InvalidModelError
from arenaut.ir.graph import Node, Value
from arenaut.ir.ops.support.half_products import product_family
from arenaut.ir.place import Place
from arenaut.ir.record import Lower, NoRowError, Param


def lower_attention(b: Lower, node: Node) -> None:
    """Raises NoRowError for what the kernel does not do: score outputs, per-batch lengths, windows, short masks."""
    graph = node.graph
    scores = [v for v in node.outputs[3:] if v is not None]
    if any(v.uses or (graph is not None and graph.is_output(v)) for v in scores) or node.input(6) is not None:
        raise NoRowError("scores as an output, or key lengths per batch")
    if node.attr("left_window_size", -1) != -1 or node.attr("right_window_size", -1) != -1:
        raise NoRowError("a sliding window")
    query = _split(b, node.operand(0), node.attr("q_num_heads"))
    key, past = _cached(b, node, 1, 4)
    value, _ = _cached(b, node, 2, 5)
    mask = _mask(b, node.input(3), query, key)
    scale: float = node.attr("scale") or _default_scale(query)
    params: dict[str, Param] = {
        "scale": scale,
        "softcap": float(node.attr("softcap", 0.0) or 0.0),
        "causal": int(node.attr("is_causal", 0)),
        "causal_offset": past,
    }
    out = _result(b, node.output, query, _head_size(node.operand(2), node.attr("kv_num_heads")))
    family, rounded = product_family(b, "Attention", key.dtype, value.dtype)
    b.call(family, [query, key, value, mask], [out], {**params, **rounded})


def _default_scale(query: Place) -> float:
    depth = query.dims[3]
    if not isinstance(depth, int):
        raise NoRowError("the head size is symbolic")
    return float(1.0 / math.sqrt(depth))


def _split(b: Lower, x: Value, heads: int | None) -> Place:
    """[B, S, H * D] as [B, H, S, D]; 4-D inputs are that already."""
    if x.rank == 4:
        return b.stored(x)
    place = b.read(x)
    if not heads:
        raise InvalidModelError(f"'{x.name}' has three dims, so the op has to state the number of heads")
    if place.rank != 3:
        raise InvalidModelError(f"'{x.name}' has rank {place.rank}, expected 3 or 4")
    batch, length, width = place.dims
    return b.reshape(place, (batch, length, heads, width // heads)).permute((0, 2, 1, 3))


def _cached(b: Lower, node: Node, index: int, past_index: int) -> tuple[Place, Dim]:
    """Keys or values with the cache before them, in the present output; and the cache's length."""
    new = _split(b, node.operand(index), node.attr("kv_num_heads"))
    past_value = node.input(past_index)
    present = node.outputs[index] if index < len(node.outputs) else None
    if past_value is None:
        if present is not None:
            b.copy(new, b.write(present))
        return new, 0
    past = b.read(past_value) if present is None else b.stored(past_value)
    length = past.dims[2]
    total: Sequence[Dim] = (*past.dims[:2], length + new.dims[2], past.dims[3])
    whole = b.write(present) if present is not None else b.temp(new.dtype, total)
    b.copy(past, whole.slice(2, 0, length))
    b.copy(new, whole.slice(2, length, new.dims[2]))
    return whole, length


def _mask(b: Lower, mask: Value | None, query: Place, key: Place) -> Place | None:
    if mask is None:
        return None
    place = b.read(mask)
    while place.rank < 4:
        place = place.insert(0)
    if place.dims[3] != key.dims[2] and place.dims[3] != 1:
        raise NoRowError("a mask that is shorter than the keys")
    return place


def _head_size(x: Value, heads: int | None) -> Dim:
    return x.shape[3] if x.rank == 4 else floordiv(x.shape[2], heads or 1)


def _result(b: Lower, out: Value, query: Place, width: Dim) -> Place:
    """Where [B, H, S, E] goes: memory has the heads beside each other, since a merge of heads nearly always follows."""
    batch, heads, length = query.dims[:3]
    if out.rank == 3:
        return b.reshape(b.write(out), (batch, length, heads, width)).permute((0, 2, 1, 3))
    place = b.temp(query.dtype, (batch, length, heads, width)).permute((0, 2, 1, 3))
    b.alias(out, place)
    return place


def lower_rotary(b: Lower, node: Node) -> None:
    """Raises NoRowError where the head size is not known or the tables do not fit the kernel."""
    heads = node.attr("num_heads") or None
    x = _split(b, node.operand(0), heads)
    if x.rank != 4:
        raise NoRowError(f"an input of rank {x.rank}")
    size = x.dims[3]
    width = int(node.attr("rotary_embedding_dim", 0) or 0) or size
    if not isinstance(width, int) or width % 2:
        raise NoRowError(f"{width} elements of a head do not form pairs")
    positions = node.input(3)
    tables = [b.read(node.operand(i)) for i in (1, 2)]
    if any(t.rank != (3 if positions is None else 2) for t in tables):
        raise NoRowError("tables of an unexpected rank")
    at = None if positions is None else b.read(positions)
    params: dict[str, Param] = {"width": width, "interleaved": int(node.attr("interleaved", 0))}
    out = _result(b, node.output, x, x.dims[3])
    b.call("Rotary", [x, *tables, at], [out], params)
