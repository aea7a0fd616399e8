"""The mapping file: what is taken, and what is refused with its line."""

import re
from pathlib import Path

import pytest

from models.strict_yaml import ConfigFileError, parse_yaml
from streams.importing import included_mappings, load_mapping
from streams.importing.faults import RowReason
from streams.importing.header import HeaderMismatch, Missing
from streams.importing.loading import check_mapping
from streams.importing.templates import Template, TemplateError
from streams.importing.time_formats import problem_of
from tests.import_support import run, write
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
    with pytest.raises(ConfigFileError, match=r"m\.yaml:16: the file has no column 'title'; it has 3 columns: rename"):
        mapping.check_header(["nr", "step", "at"])


def test_every_column_that_the_file_lacks_is_named_with_the_place_of_what_may_be_meant() -> None:
    mapping = check_mapping(parse_yaml(GOOD, "m.yaml"))
    words = r"has no column 'at', nor 'title' \(line 16\) \(is its column 3 meant\?\); it has 3 columns"
    with pytest.raises(HeaderMismatch, match=words) as caught:
        mapping.check_header(["nr", "step", "titles"])
    assert caught.value.missing == [Missing("at", None), Missing("title", 3)]
    assert caught.value.columns == 3


PERSONAL = ["250601-1", "投诉\x1b[31m", "199-0000-0001", "张某反映路灯不亮。", "titles"]


@pytest.mark.parametrize("are_optional", [False, True])
def test_of_a_row_that_is_no_header_nothing_is_shown(are_optional: bool) -> None:
    all_optional = "".join(f"  {name}: {{optional: true}}\n" for name in ("nr", "step", "title"))
    text = (
        GOOD.replace("  at: {as: time}", f"{all_optional}  at: {{as: time, optional: true}}") if are_optional else GOOD
    )
    header = PERSONAL if are_optional else [*PERSONAL, "title"]
    with pytest.raises(HeaderMismatch) as caught:
        check_mapping(parse_yaml(text, "m.yaml")).check_header(header)
    told = str(caught.value) + repr(vars(caught.value))
    assert f"it has {len(header)} columns" in told
    assert [cell for cell in PERSONAL if cell in told] == []
    assert "\x1b" not in told


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("备注", "备注"),
        ("col\x1b[2Jour\u202e", "col\ufffd[2Jour\ufffd"),
        ("199-0000-0001", "(column 5)"),
        ("电话 1 9 9 0 0 0 0", "(column 5)"),
        ("２０２５０６０１", "(column 5)"),
        ("2025-06-01 08:00", "(column 5)"),
        ("来电人反映路灯不亮。", "(column 5)"),
        ("长" * 41, "长" * 39 + "…"),
        ("2025年", "2025年"),
    ],
)
def test_a_column_that_nothing_reads_is_named_unless_its_name_may_be_data(name: str, shown: str) -> None:
    mapping = check_mapping(parse_yaml(GOOD, "m.yaml"))
    assert mapping.check_header(["nr", "step", "at", "title", name]) == [shown]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_file_parted_otherwise_than_the_mapping_says_is_told_by_what(tmp_path: Path, delimiter: str) -> None:
    table = "id,user,title,time,text\n5,A1,x,2020-01-02T03:04:05,x\n".replace(",", delimiter)
    with pytest.raises(HeaderMismatch) as caught:
        run(write(tmp_path, table), "citizen-messages")
    assert f"it has 1 column, and its names are parted by {delimiter!r}: set `delimiter: " in str(caught.value)


@pytest.mark.parametrize("delimiter", ['"\\n"', "'\"'", "x", "'7'", '""', '",,"'])
def test_a_delimiter_that_parts_nothing_is_refused(delimiter: str) -> None:
    with pytest.raises(ConfigFileError, match=r"m\.yaml:\d+: input\.delimiter: what parts two cells"):
        check_mapping(parse_yaml(f"input: {{delimiter: {delimiter}}}\n{GOOD}", "m.yaml"))


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ("%Q", "cannot be read: it has a directive that is unknown or stands twice"),
        ("%Y-%m-%d %Y", "stands twice"),
        ("%Y-%m-%d %", "cannot be read"),
        ("%H:%M", "does not tell the day"),
        ("%Y-%m %H:%M", "does not tell the day"),
        ("%Y-%m-%d %M", "does not tell the time of day"),
        ("%Y-%m-%d %I:%M", "%I needs %p"),
        ("isoo", "names no part of a time"),
    ],
)
def test_a_time_format_by_which_no_time_can_be_read_is_refused_with_its_line(layout: str, words: str) -> None:
    of_file = GOOD.replace("columns:", f'input:\n  times: [iso, "{layout}"]\ncolumns:')
    of_column = GOOD.replace("as: time", f'as: time, times: ["{layout}"]')
    for text in (of_file, of_column):
        with pytest.raises(ConfigFileError, match=f"m.yaml:4: the time format '{re.escape(layout)}'") as caught:
            check_mapping(parse_yaml(text, "m.yaml"))
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "layout",
    ["iso", "%Y/%m/%d", "%Y年%m月%d日 %H时%M分", "%d/%m/%y %I:%M %p", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%j", "%Y%m%d%H"],
)
def test_a_time_format_that_tells_a_day_is_taken(layout: str) -> None:
    assert problem_of(layout) is None


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
