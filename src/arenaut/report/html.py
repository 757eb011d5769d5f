"""A report as one HTML page: what costs most first, then memory, then the details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arenaut.measure.render import significant, time_text
from arenaut.report.drawings import curve_section, map_section, peer_colours
from arenaut.report.page import (
    bar_cell,
    escaped,
    joined_cell,
    name_cell,
    number_cell,
    one_table,
    page,
    section,
    table,
    tiles,
)
from arenaut.report.report import (
    Cost,
    EngineTime,
    Report,
    costs,
    memory_rows,
    ratio_to_plan,
    size_text,
    split_small,
)
from arenaut.results.plan import Plan
from arenaut.results.profile import StepProfile


def report_html(report: Report) -> str:
    """The page, which needs no network."""
    parts = [
        header(report.model, report),
        _tiles(report),
        _cost_section(report),
        _peer_section(report),
        map_section(report.plan),
        curve_section(report),
        _buffer_section(report.plan),
        _region_section(report.plan),
        _sharing_section(report.plan),
        _op_section(report),
    ]
    return page(f"{report.model}: arenaut report", parts)


# -- what it is ------------------------------------------------------------------------------------------------


def header(title: str, report: Report) -> str:
    """The model's name, what it was bound to, and the shapes that its inputs and outputs had."""
    sizes = ", ".join(f"{name} = {size}" for name, size in report.binding.items())
    threads = f"{report.threads} thread{'s' if report.threads != 1 else ''}"
    facts = ", ".join(each for each in (sizes, threads, report.machine) if each)
    ends = f"{escaped(', '.join(report.inputs), 600)} → {escaped(', '.join(report.outputs), 600)}"
    return f"<header>\n<h1>{escaped(title, 200)}</h1>\n<p>{escaped(facts, 600)}</p>\n<p>{ends}</p>\n</header>"


def _tiles(report: Report) -> str:
    plan = report.plan
    over = plan.arena_bytes - plan.lower_bound_bytes
    tight = "equal to its lower bound" if over == 0 else f"{size_text(over)} over its lower bound"
    winograd = f"{size_text(plan.winograd_bytes)} for Winograd" if plan.winograd_bytes else ""
    return tiles([
        (time_text(report.total_microseconds), "all steps", f"{len(report.steps)} steps"),
        (size_text(plan.arena_bytes), "memory of a run", tight),
        (size_text(plan.intermediate_bytes), "arena", f"scratch in it up to {size_text(plan.scratch_bytes)}"),
        (size_text(plan.output_bytes), "outputs", f"+ {size_text(plan.body_bytes)} bodies" if plan.body_bytes else ""),
        (size_text(plan.packed_weight_bytes), "packed weights", winograd or "outside the arena"),
        (f"{report.stored_nodes} → {report.optimised_nodes}", "nodes", "stored → optimised"),
    ])  # fmt: skip


# -- time ------------------------------------------------------------------------------------------------------


def _cost_section(report: Report) -> str:
    """Ops by their share, then steps; steps too short to matter are one line."""
    total = report.total_microseconds or 1.0
    by_op = costs(report.steps, lambda step: step.op)
    ops = [_cost_row(cost, total, by_op[0].microseconds) for cost in by_op]
    large, small = split_small(report.steps, total)
    slowest = max((step.microseconds for _, step in large), default=0.0)
    rows = [_step_row(position, step, total, slowest) for position, step in large]
    if small:
        rest = sum(step.microseconds for _, step in small)
        kinds = ", ".join(dict.fromkeys(step.op for _, step in sorted(small, key=lambda each: -each[1].microseconds)))
        rows.append([
            number_cell(""), name_cell(f"{len(small)} steps of less than 0.1 % each"), name_cell(kinds, 60),
            number_cell(f"{rest:,.1f}"), number_cell(_share(rest, total)), number_cell(""), number_cell(""),
            bar_cell(slowest, (rest, "var(--other)")),
        ])  # fmt: skip
    kernels = costs(report.steps, lambda step: step.kernel)
    by_kernel = one_table(
        ("kernel", "#steps", "#µs", "#share", "#GFLOP/s", ""),
        [_cost_row(cost, total, kernels[0].microseconds) for cost in kernels],
    )
    heads = ("#step", "node", "kernel", "#µs", "#share", "#operands", "#GFLOP/s", "")
    note = (
        "Medians on random feeds. Ops joined by + are one kernel. Operands: the bytes that a step's inputs and outputs "
        "span."
    )
    return section(
        "What costs most",
        note,
        table(("op", "#steps", "#µs", "#share", "#GFLOP/s", ""), ops, 8),
        f"<details open><summary>By step, slowest first</summary>{table(heads, rows, 10)}</details>",
        f"<details><summary>By kernel</summary>{by_kernel}</details>",
    )


def _cost_row(cost: Cost, total: float, most: float) -> list[str]:
    return [
        name_cell(cost.name),
        number_cell(str(cost.steps)),
        number_cell(f"{cost.microseconds:,.1f}"),
        number_cell(_share(cost.microseconds, total)),
        number_cell(_rate(cost.flops, cost.microseconds)),
        bar_cell(most, (cost.microseconds, "var(--accent)")),
    ]


def _share(part: float, total: float) -> str:
    return f"{100 * part / total:.1f} %"


def _rate(flops: int, microseconds: float) -> str:
    return significant(flops / microseconds / 1e3) if flops and microseconds else ""


def _step_row(position: int, step: StepProfile, total: float, slowest: float) -> list[str]:
    return [
        number_cell(str(position)),
        name_cell(step.name),
        name_cell(f"{step.kernel} {step.variant}".strip()),
        number_cell(f"{step.microseconds:,.1f}"),
        number_cell(_share(step.microseconds, total)),
        number_cell(size_text(step.bytes)),
        number_cell(_rate(step.flops, step.microseconds)),
        bar_cell(slowest, (step.microseconds, "var(--accent)")),
    ]


# -- other engines ---------------------------------------------------------------------------------------------


def _peer_section(report: Report) -> str:
    """Time beside memory, a line for each engine and setting."""
    title = "Against other engines"
    missing = "".join(f'<p class="note">{escaped(line)}</p>\n' for line in report.missing)
    rows = memory_rows(report)
    times = {time.engine: time for time in report.times}
    if len(rows) == 1 and len(times) < 2:
        return section(title, "", missing) if missing else ""
    colours = ["var(--accent)", *peer_colours(len(rows) - 1)]
    most = max(size for _, _, _, size in rows)
    cells = [
        [
            name_cell(f"{engine} {version}".strip()),
            name_cell(setting),
            number_cell(size_text(size)),
            number_cell(ratio_to_plan(report, size)),
            bar_cell(most, (size, colour)),
            *_time_cells(times.pop(engine, None), report.times),
        ]
        for (engine, version, setting, size), colour in zip(rows, colours, strict=True)
    ]
    cells += [
        [name_cell(f"{time.engine} {time.version}"), *[name_cell("")] * 3, bar_cell(0),
         *_time_cells(time, report.times)]
        for time in times.values()
    ]  # fmt: skip
    note = (
        "Memory: intermediates, kernel scratch and outputs of a warm run; inputs, weights and what a peer's kernels "
        "take from the C heap do not count. Time: medians of runs in turns, each engine in a process of its own; "
        "above 1x arenaut is faster."
    )
    heads = ("engine", "setting", "#memory", "#ratio", "", "#time", "#ratio", "")
    return section(title, note, table(heads, cells), missing)


def _time_cells(time: EngineTime | None, times: Sequence[EngineTime]) -> list[str]:
    if time is None:
        return [number_cell(""), number_cell(""), bar_cell(0)]
    most = max(each.microseconds for each in times)
    colour = "var(--accent)" if time.engine == "arenaut" else "var(--other)"
    return [
        number_cell(time_text(time.microseconds)),
        number_cell(f"{time.ratio:.2f}x"),
        bar_cell(most, (time.microseconds, colour)),
    ]


# -- details ---------------------------------------------------------------------------------------------------


def _buffer_section(plan: Plan) -> str:
    blocks = sorted(plan.blocks, key=lambda block: -block.bytes)
    if not blocks:
        return ""
    rows = [
        [
            joined_cell(block.name),
            name_cell(block.op),
            number_cell(size_text(block.bytes)),
            number_cell(f"{block.offset:,}"),
            number_cell(f"{block.first} – {block.last}"),
            bar_cell(blocks[0].bytes, (block.bytes, "var(--scratch)" if block.scratch else "var(--accent)")),
        ]
        for block in blocks
    ]
    note = "Tensors joined by + take turns in the same bytes."
    return section("Largest buffers", note, table(("tensors", "op", "#bytes", "#offset", "#steps", ""), rows))


def _region_section(plan: Plan) -> str:
    """What never exists whole, and what lies in outputs."""
    if not plan.chains and not plan.guests:
        return ""
    slices = [
        [
            name_cell(chain.product),
            name_cell(", ".join(dict.fromkeys(chain.steps)), 120),
            number_cell(f"{chain.slices} bands" if chain.by_rows else str(chain.slices)),
            number_cell(size_text(chain.hidden_bytes)),
            number_cell(size_text(chain.slice_bytes)),
        ]
        for chain in plan.chains
    ]
    guests = [
        [
            joined_cell(guest.name),
            name_cell(guest.output),
            number_cell(size_text(guest.bytes)),
            number_cell(f"{guest.first} – {guest.last}"),
        ]
        for guest in sorted(plan.guests, key=lambda guest: -guest.bytes)
    ]
    tables = [table(("last step", "made slice by slice", "#slices", "#whole", "#a slice"), slices)] if slices else []
    tables += [table(("tensors", "lie in output", "#bytes", "#steps"), guests)] if guests else []
    note = "Chains that run depth first, and intermediates in the memory of outputs that are written later."
    return section("Not in the arena", note, *tables)


def _sharing_section(plan: Plan) -> str:
    if not plan.sharing and not plan.views:
        return ""
    shared = [
        [
            name_cell(each.write),
            name_cell(each.read),
            f"<td class='how'>{'in place' if each.in_place else 'made there'}</td>",
            number_cell(size_text(each.bytes)),
            number_cell(str(each.step)),
        ]
        for each in sorted(plan.sharing, key=lambda each: -each.bytes)
    ]
    views = [[name_cell(view.name), name_cell(view.op), name_cell(view.of)] for view in plan.views]
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
    body = [table(("buffer", "lies in", "how", "#bytes", "#step"), shared)] if shared else []
    if views:
        listed = table(("view", "op", "of"), views)
        body.append(f"<details><summary>{len(views)} view{'s' if len(views) != 1 else ''}</summary>{listed}</details>")
    return section("Shared memory", " ".join(notes), *body)


def _op_section(report: Report) -> str:
    note = "How many nodes of each op the file holds, and how many run. Ops joined by + are one fused node."
    stored, optimised = (
        f"<div>{table((title, '#nodes'), _counted(ops))}</div>"
        for title, ops in (("stored", report.stored_ops), ("optimised", report.optimised_ops))
    )
    return section("Graph", note, f'<div class="columns">{stored}{optimised}</div>')


def _counted(ops: Mapping[str, int]) -> list[list[str]]:
    return [[name_cell(op), number_cell(str(count))] for op, count in ops.items()]
