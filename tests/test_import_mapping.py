"""The mapping file: what is taken, and what is refused with its line."""

from pathlib import Path

import pytest

from models.strict_yaml import ConfigFileError, parse_yaml
from streams.importing import included_mappings, load_mapping
from streams.importing.loading import check_mapping
from streams.importing.templates import Template, TemplateError

GOOD = """\
mapping: tickets
title: 工单
columns:
  at: {as: time}
key: nr
order_by: {column: step, as: number}
ticket_id: "{nr}"
constants: {source: here}
events:
  - name: registered
    type: registered
    when: [{row: first}]
    event_id: "{nr}-{step}"
    occurred_at: "{at}"
    fields:
      title: "{title}"
"""


def test_the_two_included_mappings_pass_every_check() -> None:
    assert included_mappings() == ["citizen-messages", "incident-event-log"]
    for name in included_mappings():
        assert load_mapping(name).file.mapping == name


def test_a_mapping_is_read_from_a_file_and_knows_the_columns_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "tickets.yaml"
    path.write_text(GOOD, encoding="utf-8")
    mapping = load_mapping(str(path))
    assert set(mapping.read_columns) == {"nr", "step", "at", "title"}
    assert mapping.check_header(["nr", "step", "at", "title", "colour"]) == ["colour"]


def test_a_name_that_is_no_mapping_is_answered_with_those_that_are() -> None:
    with pytest.raises(ConfigFileError, match=r"no such mapping.*citizen-messages, incident-event-log"):
        load_mapping("no-such")


def test_a_column_that_the_file_lacks_is_named_with_the_line_that_wants_it() -> None:
    mapping = check_mapping(parse_yaml(GOOD, "m.yaml"))
    with pytest.raises(ConfigFileError, match=r"m\.yaml:16: the file has no column 'title'"):
        mapping.check_header(["nr", "step", "at"])


REFUSED = [
    ("an unknown key", ("title: 工单", "titel: 工单"), 1, "title"),
    ("a key twice", ("key: nr", "key: nr\nkey: nr"), 6, "stands twice"),
    ("an alias", ("title: 工单", "title: &a 工单"), 2, "aliases"),
    ("no events", (GOOD[GOOD.index("events:") :], "events: []\n"), 9, "at least 1"),
    ("an event type nobody knows", ("type: registered", "type: registred"), 11, "no event type"),
    ("a field the type has not", ('title: "{title}"', 'unit_id: "{title}"'), 16, "no field 'unit_id'"),
    ("a nested field nobody knows", ('title: "{title}"', 'place.planet: "{title}"'), 16, "no field"),
    ("a group of fields as one", ('title: "{title}"', 'place: "{title}"'), 16, "no field"),
    ("a constant of the wrong kind", ('title: "{title}"', "urgency: huge"), 16, "'urgency' can have"),
    ("a value map to what cannot be", ("  at:", "  title: {values: {a: no}}\n  at:"), 4, "'title' can have"),
    ("a brace alone", ('"{title}"', '"{title"'), 16, "brace"),
    ("previous without a key", ("key: nr\norder_by: {column: step, as: number}\n", ""), 10, "need a `key`"),
    ("an order without a key", ("key: nr\n", ""), 5, "`order_by` needs a `key`"),
    ("a time that is not said to be one", ("columns:\n  at: {as: time}\n", ""), 12, "as: time"),
    ("a column nothing reads", ("  at:", "  other: {as: number}\n  at:"), 4, "reads the column 'other'"),
    ("a zone that is none", ("{as: time}", "{as: time, zone: Beijing}"), 4, "zone"),
    ("two kinds in one condition", ("{row: first}", "{row: first, empty: title}"), 12, "exactly one"),
    ("a test without its column", ("{row: first}", "{row: first, equals: a}"), 12, "exactly one"),
    ("a constant that is not the import's to set", ("source: here", "ticket_id: here"), 8, "cannot be a constant"),
    ("a constant of the wrong type", ("source: here", "backfill: here"), 8, "wrong type"),
    ("an encoding nobody reads", ("title: 工单", "title: 工单\ninput: {encoding: latin-9}"), 3, "encoding"),
]


@pytest.mark.parametrize(("change", "line", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_slip_is_refused_with_its_line(change: tuple[str, str], line: int, words: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(ConfigFileError) as caught:
        check_mapping(parse_yaml(GOOD.replace(*change, 1), "m.yaml"))
    assert str(caught.value).startswith(f"m.yaml:{line}:"), str(caught.value)
    assert words in str(caught.value)


def test_two_events_may_not_share_a_name() -> None:
    again = GOOD[GOOD.index("  - name") :]
    with pytest.raises(ConfigFileError, match=r"m\.yaml:17: two events are named"):
        check_mapping(parse_yaml(GOOD + again, "m.yaml"))


def test_a_template_gives_nothing_where_one_of_its_cells_is_empty() -> None:
    cells = {"a": "1", "b": None}
    assert Template("x-{a}").render(lambda name, _: cells[name]) == "x-1"
    assert Template("x-{a}-{b}").render(lambda name, _: cells[name]) is None


def test_a_template_of_one_cell_keeps_its_type() -> None:
    assert Template("{a}").render(lambda *_: True) is True
    assert Template("{a}.").render(lambda *_: 3) == "3."


def test_previous_of_a_builtin_has_no_meaning() -> None:
    with pytest.raises(TemplateError):
        Template("{previous.row.line}")


def test_the_example_in_the_documentation_passes_every_check() -> None:
    text = (Path(__file__).parent.parent / "docs" / "import.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n", 1)[1].split("```", 1)[0]
    assert check_mapping(parse_yaml(example, "docs/import.md")).file.key == "工单编号"
    for name in included_mappings():
        assert name in text
