"""Drawings of a plan: the memory map and the live bytes over the steps."""

from __future__ import annotations

from collections import Counter

from arenaut.report.page import escaped, grid, legend, plot, section
from arenaut.report.report import Report, size_text
from arenaut.results.plan import Block, Plan

HUES = 7
"""Ops with a colour of their own; the rest share one."""
PEER_HUES = 4


def peer_colours(count: int) -> list[str]:
    """The colours of so many peers, in their order."""
    return [f"var(--p{index % PEER_HUES})" for index in range(count)]


def _hues(plan: Plan) -> dict[str, str]:
    """A colour for each op that fills much of the map, largest area first."""
    areas: Counter[str] = Counter()
    for block in plan.blocks:
        if not block.scratch:
            areas[block.op] += block.bytes * (block.last + 1 - block.first)
    return {op: f"var(--c{index})" for index, (op, _) in enumerate(areas.most_common(HUES))}


def map_section(plan: Plan, title: str = "Memory map") -> str:
    if not plan.intermediate_bytes:
        return section(title, "There is no arena: everything lies in outputs and weights.")
    steps, arena = max(1, len(plan.order)), plan.intermediate_bytes
    hues = _hues(plan)
    drawn = sorted(plan.blocks, key=lambda block: not block.scratch)
    blocks = "\n".join(_block(block, plan, steps, arena, hues.get(block.op, "var(--other)")) for block in drawn)
    hatch = (
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="6" height="6" fill="var(--scratch)" fill-opacity="0.25"/>'
        '<rect width="2" height="6" fill="var(--scratch)"/></pattern></defs>'
    )
    entries = [(hue, op, False) for op, hue in hues.items()]
    if any(block.op not in hues and not block.scratch for block in plan.blocks):
        entries.append(("var(--other)", "other ops", False))
    if any(block.scratch for block in plan.blocks):
        entries.append(("var(--scratch)", "scratch", False))
    note = (
        f"{len(plan.blocks)} blocks, placed by {escaped(plan.method)}. Across: steps in the order they run. Up: offset "
        "in the arena. Colour: the op that first writes a block; point at a block for its tensors."
    )
    svg = f'<svg class="map" role="img" aria-label="memory map">{hatch}\n{grid()}\n{blocks}\n</svg>'
    return section(title, note, plot(svg, arena, steps), legend(entries))


def _block(block: Block, plan: Plan, steps: int, arena: int, hue: str) -> str:
    x, width = 100 * block.first / steps, 100 * (block.last + 1 - block.first) / steps
    height = 100 * block.bytes / arena
    y = 100 - 100 * block.offset / arena - height
    step = plan.order[block.first] if block.first < len(plan.order) else ""
    lines = [
        *block.name.split("+"),
        f"{block.op}: {size_text(block.bytes)} ({block.bytes:,} bytes) at offset {block.offset:,}",
        f"steps {block.first} to {block.last}; made by {step}",
    ]
    box = f'x="{x:.3f}%" y="{y:.3f}%" width="{width:.3f}%" height="{height:.3f}%"'
    style = "" if block.scratch else f' fill="{hue}"'
    kind = "block scratch" if block.scratch else "block"
    title = "\n".join(escaped(line, 300) for line in lines)
    drawn = f'<rect class="{kind}" {box}{style}><title>{title}</title></rect>'
    if not block.scratch and width >= 9 and height >= 5:
        label = f'<tspan x="7" y="15">{escaped(block.name.split("+")[-1], int(width * 1.25))}</tspan>'
        size = f'<tspan class="dim" x="7" y="30">{size_text(block.bytes)}</tspan>' if height >= 10 else ""
        drawn += f'<svg {box}><text class="label">{label}{size}</text></svg>'
    return drawn


def curve_section(report: Report, title: str = "Live bytes") -> str:
    plan = report.plan
    live, beside = plan.live_bytes, plan.arena_bytes - plan.intermediate_bytes
    if not live:
        return ""
    marks = [
        ("var(--accent)", "arenaut's plan", plan.arena_bytes, False),
        ("var(--bound)", "lower bound of this order", plan.lower_bound_bytes, False),
    ]
    for peer, colour in zip(report.peers, peer_colours(len(report.peers)), strict=True):
        marks.append((colour, f"{peer.engine}, {peer.setting}", peer.peak_bytes, True))
    top = max(1, *(mark[2] for mark in marks)) * 1.04
    points = "".join(f"L{i} {b + beside}L{i + 1} {b + beside}" for i, b in enumerate(live))
    path = f"M0 {beside}{points}L{len(live)} {beside}Z"
    area = (
        f'<svg x="0" y="0" width="100%" height="100%" viewBox="0 0 {len(live)} {top:.0f}" preserveAspectRatio="none">'
        f'<g transform="matrix(1 0 0 -1 0 {top:.0f})"><path class="live" d="{path}"/>'
        f'<rect class="outputs" width="{len(live)}" height="{beside}"/></g></svg>'
    )
    rules = "".join(_rule(colour, size, top, peer) for colour, _, size, peer in marks)
    entries = [(colour, f"{name}: {size_text(size)}", True) for colour, name, size, _ in marks]
    entries.insert(0, ("var(--accent)", "live in the arena", False))
    if beside:
        entries.insert(1, ("var(--other)", "outputs" + (" and bodies" if plan.body_bytes else ""), False))
    svg = f'<svg class="curve" role="img" aria-label="live bytes">{grid()}{area}{rules}</svg>'
    note = "What each step needs live at once, on top of the outputs."
    note += " Dashed: the most that each peer had in use in a run." if report.peers else ""
    return section(title, note, plot(svg, int(top), len(live)), legend(entries))


def _rule(colour: str, size: int, top: float, peer: bool) -> str:
    y = f"{100 - 100 * size / top:.3f}%"
    kind = "mark peer" if peer else "mark bound" if colour == "var(--bound)" else "mark"
    return f'<line class="{kind}" x1="0" x2="100%" y1="{y}" y2="{y}" stroke="{colour}"/>'
