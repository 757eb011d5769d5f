"""The list of mutants: each names tests that are there, and each choice of the kernels is among them."""

from __future__ import annotations

import re

from arenaut import _native
from arenaut.native.rows import all_rows
from tests.mutation.mutants import ROOT, all_mutants


def test_mutants_have_one_name_and_tests_that_exist() -> None:
    mutants = all_mutants()
    assert len({m.name for m in mutants}) == len(mutants)
    assert all((ROOT / path).exists() for m in mutants for path in m.tests)


def test_every_row_and_choice_has_its_mutants() -> None:
    forced = {m.forced for m in all_mutants() if m.forced is not None}
    text = "".join(p.read_text() for p in (ROOT / "cpp" / "kernels").rglob("*.[ch]*"))
    names = set(re.findall(r'ARN_CHOICE\(\s*"([^"<]+)"', text))
    left_out = names - {choice.rpartition("=")[0] for choice in forced}
    assert (
        left_out <= {f"{name.split('/')[0]}/{f}" for name in names for f, _, _ in _native.features()}
        and len(names) > 30
    )
    assert {f"{name}=0" for name in names - left_out} <= forced
    assert sum(m.name.startswith("row ") for m in all_mutants()) == len(all_rows())
