"""What docs/ says is what the code does: generated pages are current, and everything is described somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.main import COMMANDS
from docs.generate import DOCS, pages
from rules.facts import FACTS
from rules.pack import default_pack

ROOT = Path(__file__).parent.parent
PAGES = pages()
MARKDOWN = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md")])


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name], "run: .venv/bin/python -m docs.generate"


def test_every_command_is_described() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"## hotline-watch {name}" not in text] == []


def test_every_option_is_described() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \| (?:yes)? ?\|$", PAGES["commands.md"], re.MULTILINE)
    assert len(rows) > 30
    assert [name for name, about in rows if not about.strip() and name.startswith("-")] == []


def test_every_fact_and_rule_is_described() -> None:
    text = (DOCS / "facts.md").read_text(encoding="utf-8")
    assert [fact.path for fact in FACTS if f"`{fact.path}`" not in text] == []
    assert [rule.id for rule in default_pack().rules if f"| {rule.id} | {rule.title} |" not in text] == []


def test_the_glossary_has_one_english_term_for_each_chinese_one() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", text, re.MULTILINE)[2:]
    chinese, english = [one for one, _ in terms], [one for _, one in terms]
    assert len(terms) > 40
    assert len(set(chinese)) == len(chinese)
    assert len(set(english)) == len(english)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []
