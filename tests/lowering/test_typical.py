"""What unknown sizes count for while a program is planned."""

from __future__ import annotations

from dataclasses import replace

from arenaut.lowering.typical import IMAGE_SIDE, REPRESENTATIVE_SIZE, WAVEFORM_LENGTH, Typical, typical_of
from tests.support.lowering import lowered

IMAGE = "t (float[b, 3, h, 8] x) => (float[b, 3, h, 8] y) { y = Exp (x) }"
TABLE = "t (float[n, 8] x) => (float[n, 8] y) { y = Exp (x) }"


def test_the_first_dim_of_images_is_one_sample() -> None:
    sizes = Typical(lowered(IMAGE)).sizes
    assert (sizes["b"], sizes["h"]) == (1, REPRESENTATIVE_SIZE)


def test_a_number_of_rows_is_no_batch() -> None:
    assert Typical(lowered(TABLE)).sizes["n"] == REPRESENTATIVE_SIZE
    both = "t (float[b, s] x) => (float[b, s] y) { y = Exp (x) }"
    assert Typical(lowered(both)).sizes["b"] == 1


def test_hints_come_first() -> None:
    sizes = Typical(lowered(IMAGE), {"b": 5, "h": 7}).sizes
    assert (sizes["b"], sizes["h"]) == (5, 7)


def test_what_the_pipeline_chose_is_kept() -> None:
    program = lowered(IMAGE)
    chosen = Typical(program, {"b": 9})
    assert typical_of(replace(program, typical=chosen)) is chosen
    assert typical_of(program).sizes["b"] == 1


def test_what_windows_slide_over_is_an_image_or_a_waveform() -> None:
    image = """t (float[b, 3, h, w] x, float[8, 3, 3, 3] f) => (float[b, 8, p, q] y) { y = Conv (x, f) }"""
    sizes = Typical(lowered(image)).sizes
    assert (sizes["b"], sizes["h"], sizes["w"]) == (1, IMAGE_SIDE, IMAGE_SIDE)
    sound = """t (float[b, 1, s] x, float[8, 1, 16] f) => (float[b, 8, p] y) { y = Conv (x, f) }"""
    assert Typical(lowered(sound)).sizes["s"] == WAVEFORM_LENGTH
    features = """t (float[b, 80, s] x, float[8, 80, 3] f) => (float[b, 8, p] y) { y = Conv (x, f) }"""
    assert Typical(lowered(features)).sizes["s"] == REPRESENTATIVE_SIZE


def test_an_input_is_long_enough_that_nothing_is_empty() -> None:
    text = """t (float[b, n] x) => (float[b, m] y)
    <int64[1] start = {{{start}}}, int64[1] end = {{1000000000}}, int64[1] axis = {{1}}>
    {{ c = Slice (x, start, end, axis)  e = Exp (c)  y = Softmax (e) }}"""
    assert Typical(lowered(text.format(start=8))).sizes["n"] == REPRESENTATIVE_SIZE
    assert Typical(lowered(text.format(start=400))).sizes["n"] == 1000
    assert Typical(lowered(text.format(start=4000))).sizes["n"] == WAVEFORM_LENGTH
    assert Typical(lowered(text.format(start=100000))).sizes["n"] == REPRESENTATIVE_SIZE
