"""Edits of a YAML text: the data come to what is meant, and no comment, quote or blank line elsewhere moves."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alerting.yaml_splice import YamlText, flow
from models.strict_yaml import parse_yaml

TEXT = """\
# Head of the file

subscribers:   # the list
  # About one: why it is there
  - name: one          # its name
    url: "https://one.example/hook"   # quoted
    enabled:   true
    # ca_file: one.pem

  # About two
  - url: https://two.example/hook
    secret:            # a block
      # inside
      file: two.secret
    levels: [ red,  yellow ]   # spaced
    name: two
  - {name: three, url: 'https://three.example', levels: [red,]}
  # At the end of the list

# About removed names
removed: [old]   # gone
# The end
"""


def edited(text: str, do: Any) -> str:
    draft = YamlText(text)
    do(draft)
    return draft.text


def lines_changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines taken out and those put in."""
    old, new = before.splitlines(), after.splitlines()
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return old, new


ONE, TWO, THREE = (("subscribers", index) for index in range(3))


@pytest.mark.parametrize(
    ("do", "taken_out", "put_in"),
    [
        (lambda t: t.set(ONE, "enabled", False), ["    enabled:   true"], ["    enabled:   false"]),
        (lambda t: t.set(ONE, "revision", 2, after="name"), [], ["    revision: 2"]),
        (lambda t: t.set(ONE, "revision", 2), [], ["    revision: 2"]),
        (
            lambda t: t.set(ONE, "url", "https://b.example"),
            ['    url: "https://one.example/hook"   # quoted'],
            ["    url: 'https://b.example'   # quoted"],
        ),
        (lambda t: t.set(TWO, "enabled", False, after="name"), [], ["    enabled: false"]),
        (lambda t: t.set(TWO, "levels", ["red"]), ["    levels: [ red,  yellow ]   # spaced"], ["    levels: [red]   # spaced"]),
        (lambda t: t.set(TWO, "secret", {"file": "b"}), ["      file: two.secret"], ["      {file: b}"]),
        (
            lambda t: t.append((*TWO, "levels"), "blue"),
            ["    levels: [ red,  yellow ]   # spaced"],
            ["    levels: [ red,  yellow, blue ]   # spaced"],
        ),
        (
            lambda t: t.set(THREE, "enabled", False, after="name"),
            ["  - {name: three, url: 'https://three.example', levels: [red,]}"],
            ["  - {name: three, enabled: false, url: 'https://three.example', levels: [red,]}"],
        ),
        (lambda t: t.append(("subscribers",), {"name": "four", "rate_per_minute": 3}), [], ["  - name: four", "    rate_per_minute: 3"]),
        (lambda t: t.append(("removed",), "two"), ["removed: [old]   # gone"], ["removed: [old, two]   # gone"]),
        (lambda t: t.set((), "more", []), [], ["more: []"]),
        (lambda t: t.delete(("removed",), 0), ["removed: [old]   # gone"], ["removed: []   # gone"]),
        (
            lambda t: t.delete(("subscribers",), 0),
            TEXT.splitlines()[3:9],
            [],
        ),
        (lambda t: t.delete(("subscribers",), 1), TEXT.splitlines()[9:16], []),
        (lambda t: t.delete((*TWO, "levels"), 0), ["    levels: [ red,  yellow ]   # spaced"], ["    levels: [ yellow ]   # spaced"]),
        (lambda t: t.delete((*TWO, "levels"), 1), ["    levels: [ red,  yellow ]   # spaced"], ["    levels: [ red ]   # spaced"]),
    ],
)  # fmt: skip
def test_an_edit_changes_the_lines_it_is_about_and_no_other(do: Any, taken_out: list[str], put_in: list[str]) -> None:
    assert lines_changed(TEXT, edited(TEXT, do)) == (taken_out, put_in)


def test_comments_stay_with_what_they_stand_above() -> None:
    after = edited(TEXT, lambda text: text.delete(("subscribers",), 0))
    assert "# About two\n  - url" in after
    after = edited(TEXT, lambda text: text.delete(("subscribers",), 2))
    assert "# About removed names\nremoved" in after
    assert "# At the end of the list" in after


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("subscribers: []  # nobody\n# end\n", "subscribers:  # nobody\n  - name: a\n# end\n"),
        ("subscribers: []", "subscribers:\n  - name: a\n"),
        ("subscribers: [\n  # nobody\n]\n", "subscribers: [{name: a}\n  # nobody\n]\n"),
        ("{subscribers: []}\n", "{subscribers: [{name: a}]}\n"),
        ("subscribers:\n- name: b\nremoved: []\n", "subscribers:\n- name: b\n- name: a\nremoved: []\n"),
        ("subscribers:\n-   name: b\n", "subscribers:\n-   name: b\n- name: a\n"),
        ("subscribers:\n  -\n    name: b\n    # ca: x\n", "subscribers:\n  -\n    name: b\n    # ca: x\n  - name: a\n"),
        ("subscribers: [{name: b}, ]\n", "subscribers: [{name: b}, {name: a}, ]\n"),
    ],
)
def test_an_item_is_put_at_the_end_in_the_style_of_the_sequence(text: str, expected: str) -> None:
    assert edited(text, lambda draft: draft.append(("subscribers",), {"name": "a"})) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("subscribers:  # who\n  # b\n  - name: b\n", "subscribers: []  # who\n"),
        ("subscribers:\n  -\n    name: b\nremoved: []\n", "subscribers: []\nremoved: []\n"),
        ("subscribers: [{name: b}]\n", "subscribers: []\n"),
        ("- x\n", "- x\n"),
    ],
)
def test_the_last_item_leaves_an_empty_sequence(text: str, expected: str) -> None:
    if text == expected:
        with pytest.raises((LookupError, TypeError, AttributeError)):
            edited(text, lambda draft: draft.delete(("subscribers",), 0))
        return
    assert edited(text, lambda draft: draft.delete(("subscribers",), 0)) == expected


@pytest.mark.parametrize("at", [("nobody",), ("subscribers", 9)])
def test_a_place_that_is_not_there_is_an_error(at: tuple[Any, ...]) -> None:
    with pytest.raises(LookupError):
        YamlText(TEXT).set(at, "a", 1)


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), max_size=20) | st.sampled_from(
    [
        "no",
        "null",
        "1",
        "1.5",
        "0x10",
        "12:30:00",
        "2025-06-18",
        "~",
        "",
        "- a",
        "a: b",
        "#x",
        "'",
        '"',
        "{",
        "*a",
        "!x",
    ]
)
SCALARS = TEXTS | st.booleans() | st.integers(-(10**9), 10**9)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXTS, SCALARS, max_size=3)


@given(VALUES)
def test_a_value_is_read_as_it_was_written(value: Any) -> None:
    assert parse_yaml(f"[a, {flow(value)}]\n", "text").data == ["a", value]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 9), st.sampled_from(["url", "enabled", "new"]), SCALARS),
        st.tuples(st.just("append"), st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1)),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(st.just("remove name"), TEXTS),
    ),
    max_size=6,
)


@example([("remove name", "\u00a0"), ("remove name", "")])
@example([("remove name", "\u3000"), ("delete", 0)])
@given(STEPS)
def test_any_edits_come_to_the_data_that_are_meant(steps: list[tuple[Any, ...]]) -> None:
    text, data = YamlText(TEXT), copy.deepcopy(parse_yaml(TEXT, "text").data)
    items = data["subscribers"]
    for kind, *what in steps:
        if kind == "append":
            items.append(what[0])
            text.append(("subscribers",), what[0])
        elif kind == "remove name":
            data["removed"].append(what[0])
            text.append(("removed",), what[0])
        elif items and kind == "delete":
            del items[what[0] % len(items)]
            text.delete(("subscribers",), what[0] % (len(items) + 1))
        elif items:
            index = what[0] % len(items)
            items[index][what[1]] = what[2]
            text.set(("subscribers", index), what[1], what[2], after="name")
        assert parse_yaml(text.text, "text").data == data
    assert text.text.startswith("# Head of the file\n")
    assert "# About removed names\n" in text.text
