"""Sharing: merges buffers into alias classes, by one rule for in-place steps, Concat parts and views.

Two buffers of a class may occupy the same bytes at the same time only if
- writing the later one leaves those bytes as they are, by a chain of accepted `keeps` offers that each cover them; or
- one dies at the very step that first writes the other, and that step offers this pair at this distance.
Both have to hold for every size. What is compared are the ends of buffers and parts as they lie at the planned sizes,
so where ends move with the sizes, a merge also needs the proof that they never change places.
Of the merges that one result could make, those are made that keep the live bytes over the steps they touch lowest.
Among equals, and below a floor that the plan reaches in any case, the more the better: each saves a copy.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from arenaut.plain import dataclass
from arenaut.planner.forms import Form, plus, proved_order
from arenaut.planner.problem import BufferKind, Lifetime, Part, Problem, Share, aligned, positions


class Member(NamedTuple):
    """A buffer `offset` bytes after the start of its class."""

    buffer: int
    offset: int


class AcceptedShare(NamedTuple):
    """The offer `problem.steps[step].shares[offer]` holds in the plan."""

    step: int
    offer: int


@dataclass(frozen=True, slots=True)
class AliasClass:
    """Buffers that share one region of `size` bytes, live from position `first` to `last`, both included.

    `output` is the buffer of kind OUTPUT whose own memory the class lies in (and starts with), or -1 for the arena.
    """

    members: tuple[Member, ...]
    size: int
    first: int
    last: int
    output: int = -1
    known_after: int = -1


@dataclass(frozen=True, slots=True)
class Sharing:
    """Every used ARENA and OUTPUT buffer is in exactly one class."""

    classes: tuple[AliasClass, ...]
    accepted: tuple[AcceptedShare, ...]


class _Ends:
    """Where the members of a class and their parts end, as forms from the class's origin on.

    cuts: each end with its number at the planned sizes; spans: (start, end) of each member and part; even: whether two
    ends that differ as forms are one at the planned sizes, so that nothing is known of their order.
    """

    __slots__ = ("cuts", "even", "spans")

    def __init__(self, spans: Mapping[tuple[Form, Form], tuple[int, int]] = MappingProxyType({})) -> None:
        self.spans = set(spans)
        self.cuts: dict[Form, int] = {}
        for forms, numbers in spans.items():
            self.cuts |= zip(forms, numbers, strict=True)
        self.even = len(set(self.cuts.values())) < len(self.cuts)

    def add(self, other: "_Ends", shift: int, move: Form) -> None:
        """Those of `other` too, whose origin lies `shift` bytes after this one's, for every size `move`."""
        self.cuts |= {plus(cut, move): number + shift for cut, number in other.cuts.items()}
        self.spans |= {(plus(start, move), plus(end, move)) for start, end in other.spans}
        self.even = len(set(self.cuts.values())) < len(self.cuts)

    @property
    def proved(self) -> bool:
        """Whether the order of the ends at the planned sizes is their order at every size."""
        return not self.even and (len(self.cuts) <= 2 or proved_order(self.cuts, self.spans) is not None)


class _Group:
    """A class under construction. Positions of members count from an arbitrary origin; [low, high) is their hull.

    ends: None where no size of the problem ever changes.
    """

    __slots__ = ("cost", "ends", "first", "high", "last", "low", "members", "output", "recent")

    def __init__(
        self, buffer: int, size: int, life: Lifetime, output: int, cost: int, ends: _Ends | None = None
    ) -> None:
        self.members = [buffer]
        self.ends = ends
        self.recent = [buffer]  # what `_live_members` left: nothing of use to a later step is missing
        self.low, self.high = 0, size
        self.first, self.last = life
        self.output = output
        self.cost = cost  # arena bytes held while the class lives


@dataclass(slots=True)
class _Union:
    """Groups that might become one: each with the distance from its origin to that of the first, and that as a form."""

    shifts: dict[_Group, int]
    moves: dict[_Group, Form]
    offers: list[int]  # numbers of the shares of the step that hold in this union
    links: list[tuple[int, int]]  # keeps offers among them

    def cost(self) -> int:
        if any(group.output >= 0 for group in self.shifts):
            return 0
        low = min(group.low + shift for group, shift in self.shifts.items())
        return aligned(max(group.high + shift for group, shift in self.shifts.items()) - low)


class Sharer:
    """What can be said of one problem's offers before its order is known; shares along any number of orders."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.sizes = [buffer.size for buffer in problem.buffers]
        self.costs = [aligned(b.size) if b.kind is BufferKind.ARENA else 0 for b in problem.buffers]
        self.scratch = [aligned(step.scratch_bytes) for step in problem.steps]
        pieces: dict[int, list[tuple[int, int, int]]] = {}
        for index, step in enumerate(problem.steps):
            for number in step.writes:
                pieces.setdefault(number, []).append((*step.written_range(number, self.sizes[number]), index))
        self.changes = any(buffer.form is not None for buffer in problem.buffers)
        self.parts: dict[int, list[Part]] = {}  # where sizes change
        for part in (part for step in problem.steps for part in step.parts if self.changes):
            self.parts.setdefault(part.buffer, []).append(part)
        # (start, end, step) of each write, of the buffers that several steps write
        self.pieces = {number: written for number, written in pieces.items() if len(written) > 1}
        self.offers: list[dict[int, list[int]]] = []  # per step: written buffer -> admissible shares, by their number
        for step in problem.steps:
            by_write: dict[int, list[int]] = {}
            for number, share in enumerate(step.shares):
                if self.admissible(share):
                    by_write.setdefault(share.write, []).append(number)
            self.offers.append(by_write)

    def admissible(self, share: Share) -> bool:
        """Whether kinds and sizes allow an offer."""
        write, read = self.problem.buffers[share.write], self.problem.buffers[share.read]
        if write.kind is BufferKind.FIXED or read.kind is BufferKind.FIXED or not write.size or not read.size:
            return False
        if read.kind is BufferKind.OUTPUT and not share.keeps:
            return False
        if write.known_after != read.known_after:
            return False
        if not (share.keeps or share.any_size) and write.size != read.size:
            return False
        start, end = share.offset, share.offset + write.size
        return (start >= 0 and end <= read.size) or (start <= 0 and end >= read.size)

    def ends(self, buffer: int) -> _Ends | None:
        """Those of a buffer alone."""
        if not self.changes:
            return None
        parts = self.parts.get(buffer, ()) if buffer in self.pieces else ()
        spans = {part.exact: (part.start, part.start + part.size) for part in parts}
        return _Ends({((), self.problem.buffers[buffer].exact): (0, self.sizes[buffer])} | spans)

    def along(self, order: Sequence[int], lifetimes: Sequence[Lifetime | None], floor_bytes: int = 0) -> "SharedOrder":
        """Merges buffers into classes along `order`; `lifetimes` are those of the buffers in this order.

        `floor_bytes`: live bytes that the plan may reach in any case, so that no merge need avoid them.
        """
        return SharedOrder(self, order, lifetimes, floor_bytes)


class SharedOrder:
    """The classes that one order allows."""

    def __init__(
        self, rules: Sharer, order: Sequence[int], lifetimes: Sequence[Lifetime | None], floor_bytes: int
    ) -> None:
        self.rules = rules
        self.problem = rules.problem
        self.floor = floor_bytes
        self.sizes = rules.sizes
        self.order = order
        self.place = [0] * len(self.sizes)  # bytes from the origin of the buffer's group
        self.form: dict[int, Form] = {}  # of its place, where that is not 0 for every size
        self.links: dict[int, list[int]] = {}  # from a buffer to those whose bytes its write keeps
        self.accepted: list[AcceptedShare] = []
        unused = Lifetime(0, -1)
        self.lives = [life or unused for life in lifetimes]
        self.groups: dict[int, _Group] = {}  # of the buffers that some offer made a group for
        change = [0] * (len(order) + 1)
        for cost, life in zip(rules.costs, self.lives, strict=True):
            change[life.first] += cost
            change[life.last + 1] -= cost
        self.position = positions(order) if rules.pieces else []  # of each step, where anyone asks
        self.live = []  # bytes live at each position
        total = 0
        for index, delta in zip(order, change, strict=False):
            total += delta
            self.live.append(total + rules.scratch[index])
        for position, index in enumerate(order):
            if rules.offers[index]:
                self._consider_step(position, index)

    @property
    def peak_bytes(self) -> int:
        """Maximum of live bytes, scratch included: the lower bound of the rectangles that the classes make."""
        return max(self.live, default=0)

    def _consider_step(self, position: int, index: int) -> None:
        shares = self.problem.steps[index].shares
        for write, offered in self.rules.offers[index].items():
            numbers = [n for n in offered if self._life(write, *self._covered(shares[n])).first == position]
            # Latest-born part first: each prefix of the list reserves the destination for the shortest time.
            keeping = sorted((n for n in numbers if shares[n].keeps), key=lambda n: -self._group(shares[n].read).first)
            if keeping and self._accept_most(position, index, keeping):
                continue
            # Longest-lived class first: one long rectangle packs better than several that take turns.
            destroying = [n for n in numbers if not shares[n].keeps and self.lives[shares[n].read].last == position]
            destroying.sort(key=lambda n: (shares[n].any_size, self._group(shares[n].read).first))
            for number in destroying:
                if self._takes_over(position, index, number) or self._accept_most(position, index, [number]):
                    break

    def _covered(self, share: Share) -> tuple[int, int]:
        """(start, end) in `write` of the bytes that it would have in common with `read`."""
        return max(0, -share.offset), min(self.sizes[share.write], self.sizes[share.read] - share.offset)

    def _life(self, buffer: int, start: int, end: int) -> Lifetime:
        """From the first write to the bytes [start, end) of `buffer` to its last use."""
        life = self.lives[buffer]
        pieces = self.rules.pieces.get(buffer)
        if pieces is None:
            return life
        births = [self.position[step] for low, high, step in pieces if low < end and start < high]
        return Lifetime(min(births, default=life.first), life.last)

    def _links(self, share: Share, position: int) -> bool:
        """Whether what both buffers cover stays equal: no other step writes it in `write`, no later one in `read`."""
        if not share.keeps:
            return False
        step = self.order[position]
        start, end = self._covered(share)
        others = self.rules.pieces.get(share.write, ())
        if any(low < end and start < high for low, high, writer in others if writer != step):
            return False
        return all(self.position[writer] < position for _, _, writer in self.rules.pieces.get(share.read, ()))

    def _group(self, buffer: int) -> _Group:
        group = self.groups.get(buffer)
        if group is None:
            output = buffer if self.problem.buffers[buffer].kind is BufferKind.OUTPUT else -1
            cost, ends = self.rules.costs[buffer], self.rules.ends(buffer)
            group = _Group(buffer, self.sizes[buffer], self.lives[buffer], output, cost, ends)
            self.groups[buffer] = group
        return group

    def _takes_over(self, position: int, index: int, number: int) -> bool:
        """The common case, done at once: the result fills a class of which nothing but `read` is live any more."""
        share = self.problem.steps[index].shares[number]
        group, cost = self._group(share.read), self.rules.costs[share.write]
        group.recent = [member for member in group.recent if self.lives[member].last >= position]
        if (
            share.write in self.groups
            or share.offset
            or self.place[share.read] != group.low
            or self.sizes[share.write] != group.high - group.low
            or group.cost != cost
            or group.recent != [share.read]
        ):
            return False
        group.members.append(share.write)
        group.recent.append(share.write)
        group.last = self.lives[share.write].last
        self.groups[share.write] = group
        self.place[share.write] = self.place[share.read]
        ends = self.rules.ends(share.write)
        if group.ends is not None and ends is not None:
            self.form[share.write] = self.form.get(share.read, ())
            group.ends.add(ends, self.place[share.write], self.form[share.write])
        self.live[position] -= cost
        self.accepted.append(AcceptedShare(index, number))
        return True

    def _accept_most(self, position: int, index: int, numbers: list[int]) -> bool:
        """Accepts a prefix of these offers to one written buffer: the longest of those that keep the peak lowest."""
        options: list[tuple[_Union, list[tuple[int, int]]]] = []
        while numbers:
            union = self._union(position, index, numbers)
            if union.offers:
                options.append((union, self._change(union)))
            numbers = union.offers[:-1]
        changes = [change for _, change in options if change]
        start = min((change[0][0] for change in changes), default=0)
        end = max((change[-1][0] for change in changes), default=0)
        peaks = [self._peak(change, start, end) for _, change in options]
        allowed = max(self.floor, min(self._peak([], start, end), *peaks)) if options else 0
        for (union, change), peak in zip(options, peaks, strict=True):
            if peak <= allowed:
                self._commit(union, index, change)
                return True
        return False

    def _union(self, position: int, index: int, numbers: list[int]) -> _Union:
        """The groups joined by those of the offers that are legal, taken one by one."""
        shares = self.problem.steps[index].shares
        target = shares[numbers[0]].write
        union = _Union({self._group(target): 0}, {self._group(target): ()}, [], [])
        for number in numbers:
            share = shares[number]
            group = self._group(share.read)
            shift = self.place[target] - share.offset - self.place[share.read]
            move = plus(self.form.get(target, ()), plus(share.exact, self.form.get(share.read, ())), -1)
            linked = self._links(share, position)
            if linked:
                union.links.append((share.write, share.read))
            if group in union.shifts:
                legal = (union.shifts[group], union.moves[group]) == (shift, move) and linked
            else:
                legal = self._joins(union, group, shift, position) and self._keep_order(union, group, shift, move)
            if legal:
                union.shifts[group], union.moves[group] = shift, move
                union.offers.append(number)
            elif linked:
                union.links.pop()
        return union

    def _joins(self, union: _Union, group: _Group, shift: int, position: int) -> bool:
        shifts = union.shifts | {group: shift}
        outputs = [g for g in shifts if g.output >= 0]
        if len(outputs) > 1:
            return False
        if outputs:
            owner = outputs[0].output
            start = self.place[owner] + shifts[outputs[0]]
            end = start + self.sizes[owner]
            if any(g.low + s < start or g.high + s > end for g, s in shifts.items()):
                return False
        for other, other_shift in union.shifts.items():
            mine = self._live_members(group, other.first, position)
            theirs = self._live_members(other, group.first, position)
            for m in mine:
                for n in theirs:
                    if not self._compatible(m, self.place[m] + shift, n, self.place[n] + other_shift, shifts, union):
                        return False
        return True

    def _keep_order(self, union: _Union, group: _Group, shift: int, move: Form) -> bool:
        """Whether all ends of the groups together keep their order for every size."""
        if group.ends is None:
            return True
        together = _Ends()
        for each, by, form in [*((g, union.shifts[g], union.moves[g]) for g in union.shifts), (group, shift, move)]:
            if each.ends is not None:
                together.add(each.ends, by, form)
        return together.proved

    def _live_members(self, group: _Group, since: int, position: int) -> list[int]:
        """Members whose last use is not before `since`, a position."""
        if since < position:
            return [m for m in group.members if self.lives[m].last >= since]
        group.recent = [m for m in group.recent if self.lives[m].last >= position]
        return group.recent

    def _compatible(self, m: int, at_m: int, n: int, at_n: int, shifts: dict[_Group, int], union: _Union) -> bool:
        low, high = max(at_m, at_n), min(at_m + self.sizes[m], at_n + self.sizes[n])
        if low >= high:
            return True
        life_m, life_n = self._life(m, low - at_m, high - at_m), self._life(n, low - at_n, high - at_n)
        if life_m.last < life_n.first or life_n.last < life_m.first:
            return True
        if life_m.last == life_n.first and self._offered(life_n.first, n, m, at_n - at_m):
            return True
        if life_n.last == life_m.first and self._offered(life_m.first, m, n, at_m - at_n):
            return True
        return self._same_content(m, n, low, high, shifts, union)

    def _offered(self, position: int, write: int, read: int, offset: int) -> bool:
        """Whether the step at `position` offers to lay `write` `offset` bytes after the start of `read`."""
        step = self.problem.steps[self.order[position]]
        return any(
            share.write == write and share.read == read and share.offset == offset and self.rules.admissible(share)
            for share in step.shares
        )

    def _same_content(self, m: int, n: int, low: int, high: int, shifts: dict[_Group, int], union: _Union) -> bool:
        """Whether writing the later-born of m and n keeps the bytes [low, high) as the other has them."""
        at_m, at_n = (self.place[b] + shifts[self._group(b)] for b in (m, n))
        if self._life(m, low - at_m, high - at_m).first > self._life(n, low - at_n, high - at_n).first:
            m, n = n, m
        kept = self.links.get(n, []) + [read for write, read in union.links if write == n]
        if m in kept:
            return True
        for other in kept:
            start = self.place[other] + shifts[self._group(other)]
            covers = start <= low and start + self.sizes[other] >= high
            if covers and self._same_content(m, other, low, high, shifts, union):
                return True
        return False

    def _change(self, union: _Union) -> list[tuple[int, int]]:
        """(position, bytes) from which on the live bytes would differ by that much more, sorted, without zeros."""
        cost = union.cost()
        first = min(group.first for group in union.shifts)
        last = max(group.last for group in union.shifts)
        change: dict[int, int] = {first: cost}
        change[last + 1] = change.get(last + 1, 0) - cost
        for group in union.shifts:
            change[group.first] = change.get(group.first, 0) - group.cost
            change[group.last + 1] = change.get(group.last + 1, 0) + group.cost
        return sorted((position, delta) for position, delta in change.items() if delta)

    def _peak(self, change: list[tuple[int, int]], start: int, end: int) -> int:
        """Maximum of live bytes over the positions [start, end), which contain all of `change`, once it is applied."""
        edges = [(start, 0), *change, (end, 0)]
        peak, extra = 0, 0
        for (low, delta), (high, _) in pairwise(edges):
            extra += delta
            if low < high:
                peak = max(peak, max(self.live[low:high]) + extra)
        return peak

    def _commit(self, union: _Union, index: int, change: list[tuple[int, int]]) -> None:
        cost = union.cost()
        extra = 0
        for (start, delta), (end, _) in pairwise(change):
            extra += delta
            if extra:
                for position in range(start, end):
                    self.live[position] += extra
        self.accepted.extend(AcceptedShare(index, number) for number in union.offers)
        for write, read in union.links:
            self.links.setdefault(write, []).append(read)
        keeper = max(union.shifts, key=lambda group: len(group.members))
        base = union.shifts[keeper]
        for group, shift in union.shifts.items():
            if group is keeper:
                continue
            move = plus(union.moves[group], union.moves[keeper], -1)
            for member in group.members:
                self.place[member] += shift - base
                self.groups[member] = keeper
                if move:
                    self.form[member] = plus(self.form.get(member, ()), move)
            if keeper.ends is not None and group.ends is not None:
                keeper.ends.add(group.ends, shift - base, move)
            keeper.members += group.members
            keeper.recent += group.recent
            keeper.low = min(keeper.low, group.low + shift - base)
            keeper.high = max(keeper.high, group.high + shift - base)
            keeper.first, keeper.last = min(keeper.first, group.first), max(keeper.last, group.last)
            keeper.output = max(keeper.output, group.output)
        keeper.cost = cost

    def sharing(self) -> Sharing:
        """The classes, those of the lowest buffer first, and the offers that hold."""
        classes = []
        done: set[_Group] = set()
        for number, (buffer, life) in enumerate(zip(self.problem.buffers, self.lives, strict=True)):
            group = self.groups.get(number)
            if buffer.kind is BufferKind.FIXED or life.last < 0 or group in done:
                continue
            output = number if buffer.kind is BufferKind.OUTPUT else -1
            if group is None:
                member = Member(number, 0)
                classes.append(AliasClass((member,), buffer.size, *life, output, buffer.known_after))
                continue
            done.add(group)
            origin = self.place[group.output] if group.output >= 0 else group.low
            members = tuple(Member(b, self.place[b] - origin) for b in sorted(group.members))
            size = group.high - origin
            classes.append(AliasClass(members, size, group.first, group.last, group.output, buffer.known_after))
        return Sharing(tuple(classes), tuple(self.accepted))
