"""Words that the glossary gave up stay away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "ir", "frontend", "passes", "planner", "cpp", "tests", "bench")
GIVEN_UP = {
    r"short[ _]way": "fast path",
    r"\bNO_HOST\b|\bhost_of\b": "the output that a guest lies in",
    r"\bcpp/bind\b": "cpp/python",
    r"\bis_apart\b": "is_nonoverlapping",
    r"plan\.regions\b": "plan.chains",
    r"record\w*\.most\b": "size_limit",
    r"\bStrided\b": "Place",
}


@pytest.mark.parametrize("pattern", GIVEN_UP)
def test_a_word_that_was_given_up_stays_away(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: say {GIVEN_UP[pattern]}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".cc", ".h", ".inc", ".pyi") and path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, "\n".join(found)


def test_the_glossary_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "GLOSSARY.md").read_text()
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|cc|h)|(?:\w+/)+)`", text))
    assert len(named) > 20
    places = [ROOT, ROOT / "src" / "arenaut"]
    missing = [name for name in sorted(named) if not any((place / name).exists() for place in places)]
    assert not missing, missing
