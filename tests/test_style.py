"""Style that no linter knows: sizes, clocks, sleeps, and ids that are never used again."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.strict_yaml import read_yaml

ROOT = Path(__file__).parent.parent
PACKAGES = ("models", "rules", "alerting", "streams", "console", "cli", "docs", "benchmarks")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# The receiver is the other end of a webhook, not part of what judges or sends.
PURE = sorted(
    path
    for package in ("models", "rules", "alerting")
    for path in (ROOT / package).rglob("*.py")
    if path.name != "receiver.py"
)
FILE_LINES_MAX = 450
LONGER: dict[str, int] = {}
FUNCTION_LINES_MAX = 70

CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("date", "today"),
    ("datetime", "today"),
}
RANDOM = {"random", "secrets", "uuid1", "uuid4", "urandom"}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _calls(path: Path) -> Iterator[tuple[str, str, ast.Call]]:
    """Yield each call as (what is before the last dot, the name, the call)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                base = node.func.value
                owner = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
                yield owner, node.func.attr, node
            elif isinstance(node.func, ast.Name):
                yield "", node.func.id, node


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGER.get(_name(path), FILE_LINES_MAX)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize("path", PURE, ids=_name)
def test_what_is_judged_asks_no_clock(path: Path) -> None:
    assert [(owner, name) for owner, name, _ in _calls(path) if (owner, name) in CLOCKS] == []


@pytest.mark.parametrize("path", [path for path in PURE if path.parts[-2] in ("rules", "models")], ids=_name)
def test_what_is_judged_is_not_left_to_chance_and_does_no_io(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"random", "secrets", "socket", "subprocess", "os", "asyncio", "threading", "time", "httpx"}
    assert [name for _, name, _ in _calls(path) if name in RANDOM] == []
    if path.name not in ("pack.py", "strict_yaml.py"):  # which read the rules
        assert [name for _, name, _ in _calls(path) if name in ("open", "read_text", "read_bytes")] == []


@pytest.mark.parametrize("path", TESTS, ids=_name)
def test_no_test_sleeps(path: Path) -> None:
    for owner, name, call in _calls(path):
        if name != "sleep" or owner not in ("time", "asyncio"):
            continue
        waits_for_nothing = owner == "asyncio" and [ast.unparse(one) for one in call.args] == ["0"]
        assert waits_for_nothing, f"line {call.lineno}: wait on a condition instead"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_every_module_and_public_definition_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), "the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            is_model = isinstance(node, ast.ClassDef) and any(isinstance(one, ast.Name) for one in node.bases)
            assert ast.get_docstring(node) or is_model, node.name


def test_a_rules_file_is_named_after_its_id_and_no_retired_id_is_used() -> None:
    for folder in (ROOT / "rules" / "packs").iterdir():
        retired = read_yaml(folder / "pack.yaml").data.get("retired", [])
        ids = [path.name.split("-")[0] for path in folder.glob("*-*.yaml")]
        assert len(ids) == len(set(ids)) > 0
        assert not set(ids) & set(retired)


def test_no_phone_number_but_made_up_ones_is_in_the_tree() -> None:
    golden = [path for path in (ROOT / "tests" / "golden").rglob("*") if path.is_file()]
    assert any(path.parent.name == "state" for path in golden)
    found = {
        (path.name, number)
        for path in (*SOURCES, *TESTS, *golden, *ROOT.rglob("docs/*.md"))
        for number in re.findall(r"(?<![\d.])1[3-9]\d{9}(?![\d.])", path.read_text(encoding="utf-8"))
        if not number.startswith("1990000")
    }
    assert found == set()
