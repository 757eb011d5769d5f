"""Packing against its definition and, on small cases, against every possible packing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenaut import _native
from arenaut.planner import Effort, Rect, aligned, first_fit, pack
from arenaut.planner.bound import live_bytes, lower_bound
from arenaut.planner.validate import check_packing


@st.composite
def rectangles(draw: st.DrawFn, max_count: int = 12, positions: int = 10) -> list[Rect]:
    rects = []
    for _ in range(draw(st.integers(0, max_count))):
        first = draw(st.integers(0, positions - 1))
        last = draw(st.integers(first, positions - 1))
        rects.append(Rect(draw(st.integers(0, 10)) * 50, first, last, draw(st.sampled_from((0, 0, 0, 1)))))
    return rects


def plain_first_fit(rects: list[Rect], placement_order: tuple[int, ...]) -> list[int]:
    """First fit straight from its definition: try every multiple of the alignment."""
    offsets: dict[int, int] = {}
    for index in placement_order:
        rect = rects[index]
        offset = 0
        while rect.size and any(
            offset < offsets[other] + aligned(rects[other].size)
            and offsets[other] < offset + aligned(rect.size)
            and rect.first <= rects[other].last
            and rects[other].first <= rect.last
            for other in offsets
        ):
            offset += 64
        offsets[index] = offset
    return [offsets[index] for index in range(len(rects))]


@given(rectangles(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_first_fit_is_what_it_says(rects: list[Rect], random: object) -> None:
    order = list(range(len(rects)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert first_fit(rects, order) == plain_first_fit(rects, tuple(order))


@given(rectangles(max_count=30), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_native_resolver_places_alike(rects: list[Rect], random: object) -> None:
    order = list(range(len(rects)))
    random.shuffle(order)  # type: ignore[attr-defined]
    native = _native.resolve([(rect.size, rect.first, rect.last) for rect in rects], order)
    assert list(native) == first_fit(rects, order)


@given(rectangles(), st.sampled_from(("fast", "default")))
@settings(max_examples=150, deadline=None)
def test_packings_are_sound_and_replay(rects: list[Rect], effort: Effort) -> None:
    packing = pack(rects, effort)
    assert check_packing(rects, packing.offsets, packing.arena_bytes) == []
    assert list(packing.offsets) == first_fit(rects, packing.placement_order)
    assert packing.bound_bytes == lower_bound(rects) <= packing.arena_bytes
    assert packing.arena_bytes == max(
        (o + aligned(r.size) for o, r in zip(packing.offsets, rects, strict=True)), default=0
    )
    stages = [rects[index].stage for index in packing.placement_order]
    assert stages == sorted(stages)
    assert packing == pack(rects, effort)


def test_live_bytes_count_both_ends() -> None:
    assert live_bytes([Rect(1, 0, 1), Rect(65, 1, 2), Rect(0, 0, 2)], 4) == [64, 192, 128, 0]
    assert lower_bound([]) == 0


@pytest.mark.parametrize("size", [0, 1, 64])
def test_a_single_rectangle(size: int) -> None:
    packing = pack([Rect(size, 0, 0)])
    assert (packing.offsets, packing.arena_bytes, packing.proved) == ((0,), aligned(size), True)
