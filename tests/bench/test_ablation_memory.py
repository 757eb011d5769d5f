from arenaut.planner import BufferInfo, BufferKind, Problem, Share, StepUse
from bench.ablation_memory import VARIANTS, arena, document, fifo_order, packed, plot, without_shares

FIXED = BufferInfo(64, BufferKind.FIXED)
STEPS = (
    StepUse((0,), (1,)),
    StepUse((1,), (2,), (Share(2, 1),)),
    StepUse((2,), (3,), (Share(3, 2, keeps=True),)),
    StepUse((3,), (4,)),
)
PROBLEM = Problem(
    STEPS, (FIXED, BufferInfo(512), BufferInfo(512), BufferInfo(256), BufferInfo(1024, BufferKind.OUTPUT))
)


def test_variants_leave_out_what_they_say() -> None:
    assert arena(PROBLEM) == 512  # what the last step reads; in place, and inside what it is part of
    assert arena(without_shares(PROBLEM, keeps=True), hosting=False) == 1024
    assert arena(without_shares(PROBLEM, keeps=None), hosting=False) == 1024
    assert arena(PROBLEM, hosting=False) == packed(PROBLEM, order="stored", placement="size", hosting=False) == 512
    assert [len(step.shares) for step in without_shares(PROBLEM, keeps=False).steps] == [0, 1, 0, 0]


def test_fifo_goes_breadth_first() -> None:
    buffers = (FIXED, *(BufferInfo(64) for _ in range(5)))
    chains = (StepUse((0,), (1,)), StepUse((1,), (2,)), StepUse((0,), (3,)), StepUse((3,), (4,)), StepUse((2, 4), (5,)))
    assert fifo_order(Problem(chains, buffers)) == [0, 2, 1, 3, 4]


def test_the_page_has_means_and_every_model() -> None:
    even = {variant.name: 2048 for variant in VARIANTS}
    results = {"one": even, "two": even | {"no slices": 8192}}
    page = document(results, {"three": "no such op"}, "python bench/ablation_memory.py")
    assert "| no slices | no chain runs depth first | 2.00 | 4.00 | 1 of 2 |" in page
    assert "| nothing | no fusion, no sharing, first fit in order of birth | 1.00 | 1.00 | 0 of 2 |" in page
    assert "| two |  | 2 | 8 |" in page and "- three: no such op" in page
    drawing = plot(results)
    assert drawing.startswith("<svg") and drawing.count("<rect") == len(VARIANTS) + 1
