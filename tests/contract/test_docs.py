"""The pages of docs/ have the form that docs/ARCHITECTURE.md promises, and their links lead somewhere."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.all import FOLDER, PAGES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
MOST_LINES = 15


@pytest.mark.parametrize("page", DECISIONS, ids=lambda p: p.stem[:4])
def test_a_decision_is_one_short_page(page: Path) -> None:
    text = page.read_text()
    number = re.match(r"(\d{4})-[a-z0-9-]+$", page.stem)
    assert number is not None and text.startswith(f"# {int(number[1])}. ")
    assert len(text.splitlines()) <= MOST_LINES
    assert "**Decision.**" in text


def test_decisions_have_numbers_of_their_own() -> None:
    numbers = [page.stem[:4] for page in DECISIONS]
    assert len(numbers) > 70 and len(set(numbers)) == len(numbers)


def test_every_measured_page_has_its_command() -> None:
    assert {page.stem for page in FOLDER.glob("*.md")} <= set(PAGES)
    for commands in PAGES.values():
        assert commands and all(find_spec(module) is not None for module, *_ in commands)


@pytest.mark.parametrize("page", [*DOCS.rglob("*.md"), ROOT / "README.md"], ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)\)", page.read_text())
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing, missing
