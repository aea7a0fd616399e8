"""The mapping file: what is taken, and what is refused with its line."""

from pathlib import Path

import pytest

from models.strict_yaml import ConfigFileError, parse_yaml
from streams.importing import included_mappings, load_mapping
from streams.importing.faults import RowReason
from streams.importing.header import HeaderMismatch, Missing
from streams.importing.loading import check_mapping
from streams.importing.templates import Template, TemplateError
from tests.snapshot_support import Nights

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


def test_the_included_mappings_pass_every_check() -> None:
    assert included_mappings() == [
        "citizen-messages",
        "fixed-three-returns",
        "incident-event-log",
        "return-counter",
        "two-part-visits",
    ]
    for name in included_mappings():
        assert load_mapping(name).file.mapping == name


def test_a_mapping_is_read_from_a_file_and_knows_the_columns_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "tickets.yaml"
    path.write_text(GOOD, encoding="utf-8")
    mapping = load_mapping(str(path))
    assert set(mapping.read_columns) == {"nr", "step", "at", "title"}
    assert mapping.check_header(["nr", "step", "at", "title", "colour"]) == ["colour"]


def test_a_name_that_is_no_mapping_is_answered_with_those_that_are() -> None:
    with pytest.raises(ConfigFileError, match=r"no such mapping.*citizen-messages, fixed-three-returns"):
        load_mapping("no-such")


def test_a_column_that_the_file_lacks_is_named_with_the_line_that_wants_it() -> None:
    mapping = check_mapping(parse_yaml(GOOD, "m.yaml"))
    with pytest.raises(
        ConfigFileError, match=r"m\.yaml:16: the file has no column 'title'; columns that nothing reads"
    ):
        mapping.check_header(["nr", "step", "at"])


def test_every_column_that_the_file_lacks_is_named_with_what_may_be_meant() -> None:
    mapping = check_mapping(parse_yaml(GOOD, "m.yaml"))
    with pytest.raises(HeaderMismatch, match=r"has no column 'at', nor 'title' \(line 16\)") as caught:
        mapping.check_header(["nr", "step", "titles"])
    assert caught.value.missing == [Missing("at", None), Missing("title", "titles")]
    assert caught.value.unread == ["titles"]


def test_a_column_that_is_optional_may_be_missing() -> None:
    text = GOOD.replace("  at:", "  title: {optional: true}\n  at:")
    mapping = check_mapping(parse_yaml(text, "m.yaml"))
    assert mapping.check_header(["nr", "step", "at", "x"]) == ["x"]


def test_a_mapping_knows_what_the_next_snapshot_is_compared_with() -> None:
    text = GOOD.replace("[{row: first}]", "[{any: [{new: title}, {increased: step}]}]")
    text = text.replace('title: "{title}"', 'title: "{title}{previous.unit}"')
    assert check_mapping(parse_yaml(text, "m.yaml")).remembered == {"title": False, "step": True, "unit": True}


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
    ("an event of the vanished among others", ("{row: first}", "{any: [{row: vanished}]}"), 12, "stands alone"),
    ("unchanged without a key", (GOOD[GOOD.index("key:") : GOOD.index("ticket_id")], ""), 10, "need a `key`"),
    ("a key that names a column twice", ("key: nr", "key: [nr, nr]"), 5, "twice"),
    ("a key of the language", ("key: nr", "key: file.time"), 5, "the key is a column"),
    (
        "more header rows than a table has",
        ("title: 工单", "title: 工单\ninput: {header_rows: 9}"),
        3,
        "less than or equal",
    ),
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


DOCUMENT = (Path(__file__).parent.parent / "docs" / "import.md").read_text(encoding="utf-8")


def test_every_mapping_in_the_documentation_passes_every_check_and_the_included_ones_are_described() -> None:
    examples = [block.split("```", 1)[0] for block in DOCUMENT.split("```yaml\n")[1:]]
    keys = [check_mapping(parse_yaml(example, "docs/import.md")).file.key for example in examples]
    assert keys == ["工单号", "工单编号"]
    assert [name for name in included_mappings() if f"**`{name}`**" not in DOCUMENT] == []
    assert [reason for reason in RowReason if f"`{reason}`" not in DOCUMENT] == []


def test_the_whole_example_in_the_documentation_gives_what_is_said_there(tmp_path: Path) -> None:
    table, example = (DOCUMENT.split(f"```{kind}\n", 1)[1].split("```", 1)[0] for kind in ("csv", "yaml"))
    nights = Nights(tmp_path, check_mapping(parse_yaml(example, "docs/import.md")))
    path = tmp_path / "table.csv"
    path.write_text(table, encoding="utf-8")
    assert nights.take_file(path, at="2025-06-04T02:00:00+08:00").events.total() == 6
    path.write_text(
        table.replace(
            "甲街道办事处,2025-06-01 09:00,2025-06-09 18:00,,,",
            "乙局,2025-06-04 09:00,2025-06-12 18:00,甲街道办事处,2025-06-04 08:00,",
        ),
        encoding="utf-8",
    )
    nights.take_file(path, at="2025-06-05T02:00:00+08:00")
    assert nights.since(6) == [
        ("250601-1", "return_approved", "甲街道办事处"),
        ("250601-1", "dispatched", "乙局"),
    ]
