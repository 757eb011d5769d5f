import pytest

from arenaut.measure.render import time_text
from arenaut.results.text import wrapped


def test_long_lines_go_on_further_in_and_lose_nothing() -> None:
    text = "short\n  in   x: " + "name, " * 30 + "\n" + "z" * 50
    lines = wrapped(text, 40).splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[0] == "short" and lines[1].startswith("  in   x: ") and lines[2].startswith("      name")
    assert "".join(lines).replace(" ", "") == text.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    ("microseconds", "text"), [(8.051, "8.05 µs"), (999.0, "999 µs"), (13_400.0, "13.4 ms"), (2.5e6, "2.50 s")]
)
def test_times_have_three_digits_in_a_fitting_unit(microseconds: float, text: str) -> None:
    assert time_text(microseconds) == text
