"""A report as one HTML page that needs no network. Every text of the model goes through `_text`."""

from __future__ import annotations

import base64
import hashlib
import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from arenaut.measure.render import significant
from arenaut.report.report import Report, memory_rows, ratio_to_plan, size_text
from arenaut.results.plan import Block, Plan
from arenaut.results.profile import StepProfile
from arenaut.results.text import shown

HUES = 7
"""Ops with a colour of their own; the rest share one."""
PEER_HUES = 4
SHOWN_ROWS = 15
"""Rows of a table before the rest is folded away."""


def report_html(report: Report) -> str:
    """The page. Its policy allows nothing but its own style and script, whatever the model's names hold."""
    folder = resources.files("arenaut") / "data"
    style = (folder / "report.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    parts = [
        _header(report),
        _tiles(report),
        _memory_section(report),
        _map_section(report.plan),
        _curve_section(report),
        _buffer_section(report.plan),
        _region_section(report.plan),
        _sharing_section(report.plan),
        _step_section(report),
        _op_section(report),
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(report.model)}: arenaut report</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f'\n</main>\n<div id="tip" role="status"></div>\n<script>{script}</script>\n</body>\n</html>\n'
    )


def _text(text: str, limit: int = 10_000) -> str:
    return html.escape(shown(text, limit))


def _section(title: str, note: str, *body: str) -> str:
    about = f'<p class="note">{note}</p>\n' if note else ""
    return f"<section>\n<h2>{title}</h2>\n{about}" + "\n".join(body) + "\n</section>"


# -- what it is ------------------------------------------------------------------------------------------------


def _header(report: Report) -> str:
    sizes = ", ".join(f"{name} = {size}" for name, size in report.binding.items())
    threads = f"{report.threads} thread{'s' if report.threads != 1 else ''}"
    facts = ", ".join(each for each in (sizes, threads, report.machine) if each)
    ends = f"{_text(', '.join(report.inputs), 600)} → {_text(', '.join(report.outputs), 600)}"
    return f"<header>\n<h1>{_text(report.model, 200)}</h1>\n<p>{_text(facts, 600)}</p>\n<p>{ends}</p>\n</header>"


def _tiles(report: Report) -> str:
    plan = report.plan
    over = plan.arena_bytes - plan.lower_bound_bytes
    tight = "equal to its lower bound" if over == 0 else f"{size_text(over)} over its lower bound"
    winograd = f"{size_text(plan.winograd_bytes)} for Winograd" if plan.winograd_bytes else ""
    tiles = [
        (size_text(plan.arena_bytes), "memory of a run", tight),
        (size_text(plan.intermediate_bytes), "arena", f"scratch in it up to {size_text(plan.scratch_bytes)}"),
        (size_text(plan.output_bytes), "outputs", f"+ {size_text(plan.body_bytes)} bodies" if plan.body_bytes else ""),
        (size_text(plan.packed_weight_bytes), "packed weights", winograd or "outside the arena"),
        (f"{significant(report.total_microseconds / 1e3)} ms", "all steps", f"{len(report.steps)} steps"),
        (f"{report.stored_nodes} → {report.optimised_nodes}", "nodes", "stored → optimised"),
    ]
    cells = (
        f'<div class="tile"><b>{number}</b><span>{name}</span><small>{note}</small></div>'
        for number, name, note in tiles
    )
    return '<div class="tiles">\n' + "\n".join(cells) + "\n</div>"


def _memory_section(report: Report) -> str:
    rows = memory_rows(report)
    missing = "".join(f'<p class="note">{_text(line)}</p>\n' for line in report.missing)
    if len(rows) == 1:
        return _section("Against other engines", "", missing) if missing else ""
    most = max(size for _, _, size in rows)
    colours = ["var(--accent)", *_peer_colours(len(rows) - 1)]
    cells = [
        [_name(engine), _name(setting), _n(size_text(size)), _n(ratio_to_plan(report, size)), _bar(size, most, colour)]
        for (engine, setting, size), colour in zip(rows, colours, strict=True)
    ]
    note = (
        "Intermediates, kernel scratch and outputs of a warm run. Inputs and weights do not count; buffers that a "
        "peer's kernels take from the C heap are not seen."
    )
    return _section(
        "Against other engines", note, _table(("engine", "setting", "#bytes", "#ratio", ""), cells), missing
    )


def _peer_colours(count: int) -> list[str]:
    return [f"var(--p{index % PEER_HUES})" for index in range(count)]


# -- memory over time ------------------------------------------------------------------------------------------


def _hues(plan: Plan) -> dict[str, str]:
    """A colour for each op that fills much of the map, largest area first."""
    areas: Counter[str] = Counter()
    for block in plan.blocks:
        if not block.scratch:
            areas[block.op] += block.bytes * (block.last + 1 - block.first)
    return {op: f"var(--c{index})" for index, (op, _) in enumerate(areas.most_common(HUES))}


def _map_section(plan: Plan) -> str:
    if not plan.intermediate_bytes:
        return _section("Memory map", "There is no arena: everything lies in outputs and weights.")
    steps, arena = max(1, len(plan.order)), plan.intermediate_bytes
    hues = _hues(plan)
    drawn = sorted(plan.blocks, key=lambda block: not block.scratch)
    blocks = "\n".join(_block(block, plan, steps, arena, hues.get(block.op, "var(--other)")) for block in drawn)
    hatch = (
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="6" height="6" fill="var(--scratch)" fill-opacity="0.25"/>'
        '<rect width="2" height="6" fill="var(--scratch)"/></pattern></defs>'
    )
    legend = [(hue, op, False) for op, hue in hues.items()]
    if any(block.op not in hues and not block.scratch for block in plan.blocks):
        legend.append(("var(--other)", "other ops", False))
    if any(block.scratch for block in plan.blocks):
        legend.append(("var(--scratch)", "scratch", False))
    note = (
        f"{len(plan.blocks)} blocks, placed by {_text(plan.method)}. Across: steps in the order they run. Up: offset "
        "in the arena. Colour: the op that first writes a block; point at a block for its tensors."
    )
    svg = f'<svg class="map" role="img" aria-label="memory map">{hatch}\n{_grid()}\n{blocks}\n</svg>'
    return _section("Memory map", note, _plot(svg, arena, steps), _legend(legend))


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
    title = "\n".join(_text(line, 300) for line in lines)
    drawn = f'<rect class="{kind}" {box}{style}><title>{title}</title></rect>'
    if not block.scratch and width >= 9 and height >= 5:
        label = f'<tspan x="7" y="15">{_text(block.name.split("+")[-1], int(width * 1.25))}</tspan>'
        size = f'<tspan class="dim" x="7" y="30">{size_text(block.bytes)}</tspan>' if height >= 10 else ""
        drawn += f'<svg {box}><text class="label">{label}{size}</text></svg>'
    return drawn


def _curve_section(report: Report) -> str:
    plan = report.plan
    live, beside = plan.live_bytes, plan.arena_bytes - plan.intermediate_bytes
    if not live:
        return ""
    marks = [
        ("var(--accent)", "arenaut's plan", plan.arena_bytes, False),
        ("var(--bound)", "lower bound of this order", plan.lower_bound_bytes, False),
    ]
    for peer, colour in zip(report.peers, _peer_colours(len(report.peers)), strict=True):
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
    legend = [(colour, f"{name}: {size_text(size)}", True) for colour, name, size, _ in marks]
    legend.insert(0, ("var(--accent)", "live in the arena", False))
    if beside:
        legend.insert(1, ("var(--other)", "outputs" + (" and bodies" if plan.body_bytes else ""), False))
    svg = f'<svg class="curve" role="img" aria-label="live bytes">{_grid()}{area}{rules}</svg>'
    note = "What each step needs live at once, on top of the outputs."
    note += " Dashed: the most that each peer had in use in a run." if report.peers else ""
    return _section("Live bytes", note, _plot(svg, int(top), len(live)), _legend(legend))


def _rule(colour: str, size: int, top: float, peer: bool) -> str:
    y = f"{100 - 100 * size / top:.3f}%"
    kind = "mark peer" if peer else "mark bound" if colour == "var(--bound)" else "mark"
    return f'<line class="{kind}" x1="0" x2="100%" y1="{y}" y2="{y}" stroke="{colour}"/>'


def _grid() -> str:
    return "".join(f'<line class="grid" x1="0" x2="100%" y1="{y}%" y2="{y}%"/>' for y in (25, 50, 75))


def _plot(svg: str, top: int, steps: int) -> str:
    """A drawing with sizes up its left side, from 0 to `top` bytes, and step numbers below."""
    sizes = "".join(
        f'<span style="bottom:{part}%">{size_text(top * part // 100)}</span>' for part in (0, 25, 50, 75, 100)
    )
    marks = sorted({round((steps - 1) * part / 4) for part in range(5)})
    numbers = "".join(
        f'<span style="left:{100 * (mark + 0.5) / steps:.2f}%">{"step " if mark == 0 else ""}{mark}</span>'
        for mark in marks
    )
    return f'<div class="plot"><div class="ticks">{sizes}</div>{svg}<div class="steps">{numbers}</div></div>'


def _legend(entries: Iterable[tuple[str, str, bool]]) -> str:
    """(colour, text, whether it is a line)."""
    items = (
        f'<li><i{" class=rule" if rule else ""} style="background:{colour}"></i>{_text(name, 120)}</li>'
        for colour, name, rule in entries
    )
    return '<ul class="legend">' + "".join(items) + "</ul>"


# -- tables ----------------------------------------------------------------------------------------------------


def _n(text: str) -> str:
    return f'<td class="n">{html.escape(text)}</td>'


def _name(text: str, limit: int = 160) -> str:
    return f'<td class="name">{_text(text, limit)}</td>'


def _joined(names: str) -> str:
    """The cell of a block's tensors: the first two by name, all when pointed at."""
    tensors = names.split("+")
    text = "<br>+ ".join(_text(name, 72) for name in tensors[:2])
    more = f"<br>+ {len(tensors) - 2} more" if len(tensors) > 2 else ""
    return f'<td class="name" title="{_text(" + ".join(tensors), 2000)}">{text}{more}</td>'


def _bar(value: float, most: float, colour: str) -> str:
    width = 100 * value / most if most else 0.0
    bar = f'<rect width="{width:.2f}%" height="100%" rx="2" fill="{colour}"/>'
    return f'<td class="bar"><svg aria-hidden="true">{bar}</svg></td>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """rows of finished cells; a head that starts with # stands over numbers. Rows over SHOWN_ROWS are folded away."""
    folded = _one_table(heads, rows[SHOWN_ROWS:])
    rest = f"<details><summary>{len(rows) - SHOWN_ROWS} more</summary>{folded}</details>" if rows[SHOWN_ROWS:] else ""
    return _one_table(heads, rows[:SHOWN_ROWS]) + rest


def _one_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th class="n">{h[1:]}</th>' if h.startswith("#") else f"<th>{h}</th>" for h in heads)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _buffer_section(plan: Plan) -> str:
    blocks = sorted(plan.blocks, key=lambda block: -block.bytes)
    if not blocks:
        return ""
    rows = [
        [
            _joined(block.name),
            _name(block.op),
            _n(size_text(block.bytes)),
            _n(f"{block.offset:,}"),
            _n(f"{block.first} – {block.last}"),
            _bar(block.bytes, blocks[0].bytes, "var(--scratch)" if block.scratch else "var(--accent)"),
        ]
        for block in blocks
    ]
    note = "Tensors joined by + take turns in the same bytes."
    return _section("Largest buffers", note, _table(("tensors", "op", "#bytes", "#offset", "#steps", ""), rows))


def _region_section(plan: Plan) -> str:
    """What never exists whole, and what lies in outputs."""
    if not plan.chains and not plan.guests:
        return ""
    slices = [
        [
            _name(chain.product),
            _name(", ".join(dict.fromkeys(chain.steps)), 120),
            _n(str(chain.slices)),
            _n(size_text(chain.hidden_bytes)),
            _n(size_text(chain.slice_bytes)),
        ]
        for chain in plan.chains
    ]
    guests = [
        [_joined(guest.name), _name(guest.output), _n(size_text(guest.bytes)), _n(f"{guest.first} – {guest.last}")]
        for guest in sorted(plan.guests, key=lambda guest: -guest.bytes)
    ]
    tables = [_table(("product", "made slice by slice", "#slices", "#whole", "#a slice"), slices)] if slices else []
    tables += [_table(("tensors", "lie in output", "#bytes", "#steps"), guests)] if guests else []
    note = "Chains that run depth first, and intermediates in the memory of outputs that are written later."
    return _section("Not in the arena", note, *tables)


def _sharing_section(plan: Plan) -> str:
    if not plan.sharing and not plan.views:
        return ""
    shared = [
        [
            _name(each.write),
            _name(each.read),
            f"<td class='how'>{'in place' if each.in_place else 'made there'}</td>",
            _n(size_text(each.bytes)),
            _n(str(each.step)),
        ]
        for each in sorted(plan.sharing, key=lambda each: -each.bytes)
    ]
    views = [[_name(view.name), _name(view.op), _name(view.of)] for view in plan.views]
    notes = []
    if shared:
        pairs = "1 pair of buffers shares" if len(shared) == 1 else f"{len(shared)} pairs of buffers share"
        notes.append(
            f"{pairs} memory: written over an operand (in place), or held in one place so that nothing is copied "
            "(made there)."
        )
    if views:
        tensors = "1 tensor is a view" if len(views) == 1 else f"{len(views)} tensors are views"
        notes.append(f"{tensors} of memory that another tensor has.")
    body = [_table(("buffer", "lies in", "how", "#bytes", "#step"), shared)] if shared else []
    if views:
        table = _table(("view", "op", "of"), views)
        body.append(f"<details><summary>{len(views)} view{'s' if len(views) != 1 else ''}</summary>{table}</details>")
    return _section("Shared memory", " ".join(notes), *body)


@dataclass(frozen=True)
class _KernelTotal:
    microseconds: float
    flops: int
    steps: int


def _by_kernel(steps: Sequence[StepProfile]) -> dict[str, _KernelTotal]:
    """Totals per kernel, slowest first."""
    names = dict.fromkeys(step.kernel for step in steps)
    totals = {}
    for name in names:
        own = [step for step in steps if step.kernel == name]
        totals[name] = _KernelTotal(sum(s.microseconds for s in own), sum(s.flops for s in own), len(own))
    return dict(sorted(totals.items(), key=lambda item: -item[1].microseconds))


def _rate(flops: int, microseconds: float) -> str:
    return significant(flops / microseconds / 1e3) if flops and microseconds else ""


def _step_section(report: Report) -> str:
    total = report.total_microseconds or 1.0
    kernels = [
        [
            _name(name),
            _n(str(each.steps)),
            _n(f"{each.microseconds:,.1f}"),
            _n(f"{100 * each.microseconds / total:.1f} %"),
            _n(_rate(each.flops, each.microseconds)),
        ]
        for name, each in _by_kernel(report.steps).items()
    ]
    slowest = max((step.microseconds for step in report.steps), default=0.0)
    order = sorted(range(len(report.steps)), key=lambda number: -report.steps[number].microseconds)
    rows = [_step_row(number, report.steps[number], total, slowest) for number in order]
    heads = ("#step", "node", "kernel", "#µs", "#share", "#operands", "#GFLOP/s", "")
    note = "Mean times on random feeds, slowest first. Operands: the bytes that a step's inputs and outputs span."
    folded = _one_table(("kernel", "#steps", "#µs", "#share", "#GFLOP/s"), kernels)
    return _section(
        "Time per step", note, _table(heads, rows), f"<details><summary>By kernel</summary>{folded}</details>"
    )


def _step_row(number: int, step: StepProfile, total: float, slowest: float) -> list[str]:
    kernel = f"{step.kernel} {step.variant}".strip()
    return [
        _n(str(number)),
        _name(step.name),
        _name(kernel),
        _n(f"{step.microseconds:,.1f}"),
        _n(f"{100 * step.microseconds / total:.1f} %"),
        _n(size_text(step.bytes)),
        _n(_rate(step.flops, step.microseconds)),
        _bar(step.microseconds, slowest, "var(--accent)"),
    ]


def _op_section(report: Report) -> str:
    note = "How many nodes of each op the file holds, and how many run. Ops joined by + are one fused node."
    stored, optimised = (
        f"<div>{_table((title, '#nodes'), _counted(ops))}</div>"
        for title, ops in (("stored", report.stored_ops), ("optimised", report.optimised_ops))
    )
    return _section("Graph", note, f'<div class="columns">{stored}{optimised}</div>')


def _counted(ops: Mapping[str, int]) -> list[list[str]]:
    return [[_name(op), _n(str(count))] for op, count in ops.items()]
