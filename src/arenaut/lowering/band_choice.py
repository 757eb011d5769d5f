"""Which chains run in bands, and in how many: decided, like slices, by the live bytes of the whole program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from arenaut.ir.dims import evaluate, product
from arenaut.ir.target import Target
from arenaut.lowering.bands import ROW_AXIS, Chain, Finder, Rewriter, Span, heights_of, middle, spans_of
from arenaut.lowering.live import CLOSE_ENOUGH, SLOWEST, WORTH_BYTES, WORTH_SHARE, Profile, profile_of, work_of
from arenaut.lowering.problem import Facts
from arenaut.lowering.program import Lowered, SlicedChain
from arenaut.plain import cached_property, dataclass, replace
from arenaut.planner import aligned

MOST_BANDS = 8
LEAST_SAVING = 1 / 8
"""Of the peak, by all bands together: less is not worth the steps."""
STEP_COST = 150 * 1000
STEPS_SHARE = 1 / 24
"""What one more step takes, in bytes moved, since each is split among threads and joined on its own; and what all steps
that chains add may take of the whole program's time."""
MOST_PARTS = 12
"""Steps of a chain before its last one."""
FURTHEST = 8
"""How many steps behind a peak a chain over it may end."""
MOST_CHAINS = 24
LEAST_PIXELS = 128
LEAST_HEAVY_PIXELS, HEAVY_PIXEL = 64, 256 * 1024
"""What a step makes of an image in a band at least: fewer pixels do not fill blocks of kernels and two threads; of
pixels that take so much work (in bytes moved), fewer are enough. Winograd's tiles are filled by a line of each."""


def run_bands(lowered: Lowered, target: Target, env: Mapping[str, int], facts: Facts | None = None) -> Lowered:
    """The program with those chains in bands that lower its peak, or the program itself. env: sizes of symbols.
    facts: of steps, at these sizes; grows."""
    facts = Facts() if facts is None else facts
    finder = Finder(lowered)
    if not any(_has_windows(finder, index) for index in range(len(lowered.steps))):
        return lowered
    before = profile_of(lowered, env, facts)
    chosen = _choose(finder, before, env)
    if not chosen:
        return lowered
    changed = Rewriter(lowered, target, {chain.end: (chain, bands) for chain, bands in chosen}).run()
    changed = replace(changed, chains=(*lowered.chains, *(_described(lowered, *each, env) for each in chosen)))
    saved = before.peak - profile_of(changed, env, facts).peak
    return lowered if saved < max(WORTH_BYTES, LEAST_SAVING * before.peak) else changed


def _has_windows(finder: Finder, index: int) -> bool:
    """Whether some operand of the step is read by windows: without any, no chain is worth it."""
    rows = finder.rows(index)
    return rows is not None and any(reach is not None and reach.extent > 1 for reach in rows.reaches)


def _described(lowered: Lowered, chain: Chain, bands: int, env: Mapping[str, int]) -> SlicedChain:
    whole, banded = 0, 0
    heights = heights_of(lowered, chain, env)
    spans = middle(spans_of(chain, heights, bands))
    for part in chain.parts:
        out = lowered.steps[part].outputs[0]
        assert out is not None
        size = evaluate(lowered.buffers[out.buffer].bytes, env)
        whole += size
        banded += size * _rows(spans[part]) // max(1, evaluate(heights[part], env))
    node = lowered.steps[chain.end].node
    names = tuple(lowered.steps[part].node.name for part in chain.parts)
    return SlicedChain(node.name or node.op, names, bands, whole, banded, by_rows=True)


def _rows(span: Span) -> int:
    rows = span.high - span.first
    assert isinstance(rows, int)
    return rows


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A chain in time: from its first step to its last, where all of it would run. budget: what its steps may add."""

    chain: Chain
    lowered: Lowered
    profile: Profile
    env: Mapping[str, int]
    budget: float

    @property
    def first(self) -> int:
        return self.chain.parts[0]

    @property
    def last(self) -> int:
        return self.chain.end

    @cached_property
    def sizes(self) -> dict[int, int]:
        """Bytes of what each part makes."""
        made = {part: self.lowered.steps[part].outputs[0] for part in self.chain.parts}
        return {part: self.profile.size(out.buffer) for part, out in made.items() if out is not None}

    @cached_property
    def heights(self) -> Mapping[int, int]:
        """Rows of what each step makes."""
        heights = heights_of(self.lowered, self.chain, self.env)
        return {index: rows for index, rows in heights.items() if isinstance(rows, int)}

    @cached_property
    def others(self) -> tuple[int, ...]:
        """By position from `first` on, what the chain would add to what is live, but for its bands: what it reads and
        writes lasts all the while, what lies between is gone."""
        profile, span = self.profile, range(self.first, self.last + 1)
        hidden = {self.lowered.steps[part].outputs[0].buffer for part in self.chain.parts}  # type: ignore[union-attr]
        steps = [profile.problem.steps[i] for i in self.chain.steps]
        lasting = {b for step in steps for b in (*step.reads, *step.writes)} - hidden
        homes = {id(home): home for b in hidden if (home := profile.homes.get(b)) is not None}
        gone = [home for home in homes.values() if all(member.buffer in hidden for member in home.members)]
        out = self.lowered.steps[self.last].outputs[0]
        assert out is not None
        home = profile.homes.get(out.buffer)
        # A result that lies where an operand ends cannot, once it is made in bands.
        apart = home is not None and self.last > home.first and len(home.members) > 1
        more = profile.size(out.buffer) if apart and home not in gone else 0
        return tuple(
            more
            + sum([profile.extra(b, at) for b in lasting])
            - sum([aligned(home.size) for home in gone if home.first <= at <= home.last])
            for at in span
        )

    @cached_property
    def most(self) -> int:
        """The most bands that neither starve kernels nor move too much."""
        steps, chain = self.lowered.steps, self.chain
        work = sum([work_of(self.lowered, steps[i], self.env) for i in chain.steps])
        affordable = 1 + int(max(0.0, self.budget) / (STEP_COST * len(chain.steps)))
        for bands in range(min(MOST_BANDS, affordable), 1, -1):
            spans = spans_of(chain, self.heights, bands)
            if len(spans) != bands:
                continue
            now = middle(spans)
            moved = sum([self._kept(part, now) for part in chain.parts]) * 4 * (bands - 1)  # out and in, read and write
            if moved <= SLOWEST * work and all(self._fills(index, now[index]) for index in chain.steps):
                return bands
        return 1

    def _kept(self, part: int, now: Mapping[int, Span]) -> int:
        low, first = now[part].low, now[part].first
        assert isinstance(low, int) and isinstance(first, int)
        return self.sizes[part] * (low - first) // max(1, self.heights[part])

    def _fills(self, index: int, span: Span) -> bool:
        """Whether the rows that a step makes in a band keep kernels and threads busy."""
        step = self.lowered.steps[index]
        out = step.outputs[0]
        assert out is not None and isinstance(span.high, int) and isinstance(span.low, int)
        row = evaluate(product(out.dims[ROW_AXIS + 1 :]), self.env)
        pixels = row * (span.high - span.low) // self.chain.rows[index].unit
        if LEAST_HEAVY_PIXELS <= pixels < LEAST_PIXELS:
            whole = evaluate(out.dims[0], self.env) * row * self.heights[index]
            return work_of(self.lowered, step, self.env) >= HEAVY_PIXEL * whole
        return pixels >= LEAST_PIXELS

    def bands_live(self, bands: int) -> int:
        """The most bytes of bands, and of rows kept for the next one, that are live at once."""
        chain = self.chain
        now = middle(spans_of(chain, self.heights, bands))
        live = kept = sum([self._kept(part, now) for part in chain.parts])
        most, alive = live, dict[int, int]()
        for index in chain.steps:
            if index in self.sizes:
                alive[index] = self.sizes[index] * _rows(now[index]) // max(1, self.heights[index])
            most = max(most, kept + sum(alive.values()))
            alive = {
                part: size for part, size in alive.items() if max(reader for reader, _ in chain.reads[part]) > index
            }
        return most

    def level(self, live: Sequence[int], bands: int) -> int:
        """The most that is live from `first` to `last`, in so many bands."""
        return self.around(live) + self.bands_live(bands)

    def around(self, live: Sequence[int]) -> int:
        """The same without the bands themselves: no number of them brings less."""
        return max(live[self.first + at] + change for at, change in enumerate(self.others))

    def fewest(self, live: Sequence[int], level: int) -> int:
        """The fewest bands that bring the chain to `level`; as many as may be where none do."""
        return next((n for n in range(2, self.most) if self.level(live, n) <= level), self.most)


def _choose(finder: Finder, profile: Profile, env: Mapping[str, int]) -> list[tuple[Chain, int]]:
    """The chains to cut, with the fewest bands that bring each below what no cut can lower.

    As long as a chain helps where most is live, the one that helps most is cut as far as it can be.
    """
    live = list(profile.live)
    budget = STEPS_SHARE * sum([work_of(finder.lowered, step, env) for step in finder.lowered.steps])
    chosen: list[tuple[_Candidate, list[int], int]] = []
    taken: set[int] = set()
    while len(chosen) < MOST_CHAINS:
        top = max(live)
        where = live.index(top)
        best, low = None, top
        for each in _over(finder, profile, env, budget, where):
            overlaps = bool(taken.intersection(range(each.first, each.last + 1)))
            if overlaps or each.around(live) >= low or each.most == 1:  # the dearest question last
                continue
            level = each.level(live, each.most)
            if level < low:
                best, low = each, level
        if best is None:
            break
        chosen.append((best, list(live), top))
        taken |= set(range(best.first, best.last + 1))
        budget -= STEP_COST * len(best.chain.steps) * (best.most - 1)
        live[best.first : best.last + 1] = [low] * len(best.others)
    lowest = max(live, default=0)
    found: list[tuple[Chain, int]] = []
    for each, before, top in chosen:
        if top * (1 - WORTH_SHARE) > lowest:
            level = min(int(lowest * (1 + CLOSE_ENOUGH)), int(top * (1 - WORTH_SHARE)))
            found.append((each.chain, each.fewest(before, level)))
    return found


def _over(finder: Finder, profile: Profile, env: Mapping[str, int], budget: float, where: int) -> Iterator[_Candidate]:
    """Chains that begin at or before a position and end there or soon after."""
    for end in range(where, min(where + FURTHEST, len(finder.lowered.steps))):
        for chain in finder.chains(end, MOST_PARTS):
            if chain.parts[0] <= where:
                yield _Candidate(chain, finder.lowered, profile, env, budget)
