"""The search for packings, against every packing of small problems, and its proofs."""

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from arenaut.planner import Rect, aligned, pack
from arenaut.planner.bound import lower_bound
from arenaut.planner.packing import Packer
from arenaut.planner.search import Outcome, Search, Searcher, peel


@st.composite
def rectangles(draw: st.DrawFn, max_count: int, positions: int) -> list[Rect]:
    rects = []
    for _ in range(draw(st.integers(1, max_count))):
        first = draw(st.integers(0, positions - 1))
        rects.append(Rect(64 * draw(st.integers(0, 4)), first, draw(st.integers(first, positions - 1))))
    return rects


def optimum(rects: list[Rect]) -> int:
    """The smallest arena. First fit in ascending order of any packing's offsets needs no more than that packing."""
    packer = Packer(rects)
    return min(packer.place(order)[1] for order in permutations(range(len(rects))))


def search(rects: list[Rect], capacity: int) -> Search:
    packer = Packer(rects)
    searcher = Searcher(packer.sizes, [(rect.first, rect.last) for rect in rects], packer.meets)
    return searcher.search(range(len(rects)), capacity, patience=10**6, work=10**9)


def test_a_gap_above_the_bound_is_proved() -> None:
    # No packing of these reaches the maximum of live bytes: rare, and found by trying many small problems.
    rects = [
        *(Rect(128, 0, 3), Rect(192, 0, 2), Rect(128, 3, 5), Rect(64, 3, 6)),
        *(Rect(64, 4, 6), Rect(64, 4, 5), Rect(192, 6, 7), Rect(128, 7, 7)),
    ]
    assert (lower_bound(rects), optimum(rects)) == (320, 384)
    assert search(rects, 320).outcome is Outcome.IMPOSSIBLE
    packing = pack(rects, "max")
    assert (packing.bound_bytes, packing.arena_bytes, packing.proved) == (320, 384, True)


@given(rectangles(6, 6))
@settings(max_examples=60, deadline=None)
def test_the_most_effort_finds_and_proves_the_optimum(rects: list[Rect]) -> None:
    packing = pack(rects, "max")
    assert packing.arena_bytes == optimum(rects)
    assert packing.proved


@given(rectangles(6, 6), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_a_capacity_is_met_or_refuted(rects: list[Rect], lines: int) -> None:
    best, capacity = optimum(rects), 64 * lines
    result = search(rects, capacity)
    if capacity >= best:
        assert result.outcome is Outcome.FOUND
        assert sorted(result.order) == list(range(len(rects)))
        assert Packer(rects).place(result.order)[1] <= capacity
    else:
        assert result.outcome is Outcome.IMPOSSIBLE
        assert capacity < result.at_least <= best


@given(rectangles(14, 8), st.integers(0, 16), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_what_is_peeled_fits_wherever_the_core_lies(rects: list[Rect], lines: int, random: object) -> None:
    packer = Packer(rects)
    core, peeled = peel(packer.sizes, packer.meets, 64 * lines)
    random.shuffle(core)  # type: ignore[attr-defined]
    offsets, _ = packer.place([*core, *peeled])
    for index in peeled:
        assert rects[index].size == 0 or offsets[index] + aligned(rects[index].size) <= 64 * lines
