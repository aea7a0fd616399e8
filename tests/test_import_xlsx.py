"""XLSX workbooks: what is read of them, and what of a cell cannot be taken."""

import datetime as dt
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.strict_yaml import ConfigFileError
from streams.importing import ImportFault, load_mapping, open_table
from streams.importing.faults import RowFault
from streams.importing.mapping import Input
from streams.importing.xlsx_sheet import column_number, number_text
from streams.importing.xlsx_workbook import shows_date
from tests.import_support import mapping_of, run
from tests.xlsx_support import HEADER, MAIN, book, header_row, raw_book, row_of, shared, shared_book

MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5)  # noqa: DTZ001 - a workbook's times have no zone
ROW = ["5", "A1", "路灯不亮", MOMENT, "北门外路灯不亮。"]


def rows_of(path: Path, **options: Any) -> list[tuple[int, Any]]:
    table = open_table(path, Input(**options))
    try:
        return [(line, str(cells) if isinstance(cells, RowFault) else cells) for line, cells in table.rows()]
    finally:
        table.close()


def test_a_workbook_is_read_like_a_csv_file_and_dates_whatever_they_look_like(tmp_path: Path) -> None:
    def german(workbook: Any) -> None:
        workbook.active["D2"].number_format = "dd.mm.yyyy hh:mm"

    events, rejected, report = run(book(tmp_path, {"留言": [HEADER, ROW]}, german), "citizen-messages")
    assert rejected == []
    assert events[0]["occurred_at"] == "2020-01-02T03:04:05+08:00"
    assert events[0]["content"] == "北门外路灯不亮。"
    assert report.read_as == "xlsx"


def test_dates_are_read_where_the_mapping_expects_another_layout_for_texts(tmp_path: Path) -> None:
    mapping = load_mapping("citizen-messages").with_input(times=["%d/%m/%Y"])
    told = ["6", "A1", "x", "3/1/2020", "x"]
    events, rejected, _ = run(book(tmp_path, {"a": [HEADER, ROW, told]}), mapping)
    assert rejected == []
    assert [event["occurred_at"] for event in events] == ["2020-01-02T03:04:05+08:00", "2020-01-03T00:00:00+08:00"]


def test_numbers_truth_values_and_texts_come_as_a_person_sees_them(tmp_path: Path) -> None:
    cells = [1, 2.5, 1e3, -7, True, "=A1", "  x  ", 0.1, 123456789012345, dt.time(9, 30), dt.date(2025, 6, 18), "007"]
    names = [f"c{at}" for at in range(len(cells))]

    def as_text(workbook: Any) -> None:
        workbook.active["F2"].data_type = "s"  # a text that begins with =, as an export writes it

    assert rows_of(book(tmp_path, {"a": [names, cells]}, as_text))[0][1] == [
        "1",
        "2.5",
        "1000",
        "-7",
        "TRUE",
        "=A1",
        "x",
        "0.1",
        "123456789012345",
        "09:30:00",
        "2025-06-18T00:00:00",
        "007",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-999999999999999", "-999999999999999"),
        ("1.0", "1"),
        ("-0.5", "-0.5"),
        ("1E3", "1000"),
        ("4.35E-2", "0.0435"),
    ],
)
def test_a_number_is_told_without_exponent_and_exactly(text: str, expected: str) -> None:
    assert number_text(text) == expected


@pytest.mark.parametrize("text", ["2.5091210110811539E+17", "1e999", "nan", "0x10", "-1E15", "1_0", "1000000000000000"])
def test_a_number_that_is_none_or_was_rounded_is_a_fault(text: str) -> None:
    assert isinstance(number_text(text), RowFault)


CELLS_REJECTED = [
    ("a formula without a result", "<c><f>1+1</f><v/></c>", "formula_without_result", "never calculated"),
    ("a formula with nothing at all", "<c><f>NOW()</f></c>", "formula_without_result", "never calculated"),
    ("an error", '<c t="e"><f>A9</f><v>#REF!</v></c>', "error_in_cell", "#N/A"),
    ("a rounded number", "<c><v>2.5091210110811539E+17</v></c>", "rounded_number", "15 digits"),
    ("a number rounded and written in full", "<c><v>250912101108115409</v></c>", "rounded_number", "15 digits"),
    ("a number that is none", "<c><v>1e999</v></c>", "bad_number", "larger than any"),
    ("no number", "<c><v>x</v></c>", "bad_number", "not a number"),
    ("a text too long", f'<c t="inlineStr"><is><t>{"x" * 262_145}</t></is></c>', "too_large", "262144"),
]


@pytest.mark.parametrize(
    ("cell", "reason", "words"), [case[1:] for case in CELLS_REJECTED], ids=[case[0] for case in CELLS_REJECTED]
)
def test_a_cell_that_cannot_be_taken_faithfully_costs_its_row_only(
    tmp_path: Path, cell: str, reason: str, words: str
) -> None:
    bad = row_of(2, ["6", "A1"]).replace("</row>", f"{cell}</row>")
    good = row_of(3, ["7", "A1", "x", "2020-01-02T03:04:05", "x"])
    events, rejected, _ = run(raw_book(tmp_path, header_row() + bad + good), "citizen-messages")
    assert [(one.sheet, one.line, one.reason) for one in rejected] == [("表", 2, reason)]
    assert rejected[0].detail.startswith("column 'title': ")
    assert words in rejected[0].detail
    assert [event["ticket_id"] for event in events] == ["7"]


def test_a_formula_is_taken_by_the_result_that_is_stored_and_counted(tmp_path: Path) -> None:
    cells = '<c t="str"><f>"a"&amp;"b"</f><v>ab</v></c><c><f>A1</f><v>3</v></c><c t="str"><f>""</f><v></v></c>'
    table = raw_book(tmp_path, row_of(1, ["a", "b", "c"]) + f'<row r="2">{cells}</row>')
    assert rows_of(table) == [(2, ["ab", "3", ""])]
    _, _, report = run(
        raw_book(tmp_path, header_row() + '<row r="2"><c><f>1+1</f><v>2</v></c></row>'), "citizen-messages"
    )
    assert report.formulas == 1


def test_a_formula_of_a_column_that_nothing_reads_costs_nothing(tmp_path: Path) -> None:
    path = book(tmp_path, {"a": [[*HEADER, "sum"], [*ROW, "=SUM(A1:A9)"]]})
    events, rejected, report = run(path, "citizen-messages")
    assert (len(events), rejected, report.formulas) == (1, [], 0)
    assert report.columns_not_read == ["sum"]


def test_a_cell_keeps_its_column_whatever_is_left_out_before_it(tmp_path: Path) -> None:
    row = '<row r="4"><c r="C4" t="inlineStr"><is><t>x</t></is></c><c r="AB4"><v>5</v></c></row>'
    names = [f"c{at}" for at in range(28)]
    found = rows_of(raw_book(tmp_path, row_of(1, names) + row))
    assert found == [(4, ["", "", "x", *[""] * 24, "5"])]
    assert [column_number(name) for name in ("A", "Z", "AA", "XFD", "", "a")] == [0, 25, 26, 16_383, -1, -1]


def test_rich_texts_are_joined_and_how_they_are_read_aloud_is_left_out(tmp_path: Path) -> None:
    texts = (
        '<sst><si><r><t>路灯</t></r><r><rPr/><t xml:space="preserve"> 不亮</t></r><rPh sb="0" eb="1"><t>ロ</t></rPh></si>'
        "<si><t>a_x000A_b</t></si></sst>"
    )
    relations = (
        '<Relationships><Relationship Id="s" Type="x/worksheet" Target="worksheets/sheet1.xml"/>'
        '<Relationship Id="t" Type="x/sharedStrings" Target="sharedStrings.xml"/></Relationships>'
    )
    sheet = row_of(1, ["a", "b"]) + '<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>'
    parts = {"xl/sharedStrings.xml": texts, "xl/_rels/workbook.xml.rels": relations}
    assert rows_of(raw_book(tmp_path, sheet, parts)) == [(2, ["路灯 不亮", "a\nb"])]


def test_the_years_of_1904_are_counted_from_there(tmp_path: Path) -> None:
    def mac(workbook: Any) -> None:
        workbook.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904

    assert rows_of(book(tmp_path, {"a": [["at"], [MOMENT]]}, mac)) == [(2, ["2020-01-02T03:04:05"])]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("yyyy-mm-dd", True),
        ("m/d/yy h:mm", True),
        ('yyyy"年"m"月"d"日"', True),
        ("[$-804]aaaa;@", False),
        ("h:mm:ss", True),
        ("General", False),
        ("0.00E+00", False),
        ('#,##0.00" days"', False),
        ("[Red]0.00", False),
        ("0.00_);(0.00)", False),
        ("@", False),
    ],
)
def test_a_number_format_tells_whether_it_shows_a_date(code: str, expected: bool) -> None:
    assert shows_date(code) is expected


def test_several_sheets_are_read_one_after_the_other_and_lines_name_their_sheet(tmp_path: Path) -> None:
    bad = ["7", "A1", "x", "never", "x"]
    swapped = [[*reversed(HEADER)], [*reversed(["8", *ROW[1:]])]]
    path = book(tmp_path, {"1月": [HEADER, ROW], "说明": [["本表说明"]], "2月": [HEADER, bad], "3月": swapped})
    mapping = load_mapping("citizen-messages").with_input(sheets=["*月"])
    events, rejected, report = run(path, mapping)
    assert sorted(event["ticket_id"] for event in events) == ["5", "8"]
    assert [one.as_dict() for one in rejected] == [
        {"sheet": "2月", "line": 2, "reason": "bad_time", "detail": rejected[0].detail}
    ]
    assert report.rows == 3


def test_rows_without_a_key_have_lines_of_their_own_in_every_sheet(tmp_path: Path) -> None:
    text = """\
mapping: m
title: m
input: {sheets: ["*"]}
columns: {at: {as: time}}
ticket_id: "T{row.line}"
events:
  - {name: r, type: registered, occurred_at: "{at}"}
"""
    path = book(tmp_path, {"a": [["at"], [MOMENT]], "b": [["at"], [MOMENT]]})
    events, _, _ = run(path, mapping_of(text))
    assert [event["ticket_id"] for event in events] == ["T2", "T2000002"]


def test_which_of_several_sheets_is_meant_must_be_said(tmp_path: Path) -> None:
    path = book(tmp_path, {"甲": [HEADER, ROW], "乙": [HEADER, ROW]})
    with pytest.raises(ImportFault, match=r"several sheets: 甲, 乙: choose with --sheet"):
        run(path, "citizen-messages")
    with pytest.raises(ImportFault, match="has no sheet '丙'; it has: 甲, 乙"):
        run(path, load_mapping("citizen-messages").with_input(sheets=["丙"]))


def test_empty_and_hidden_sheets_are_not_asked_about(tmp_path: Path) -> None:
    def hide(workbook: Any) -> None:
        workbook["藏"].sheet_state = "hidden"

    path = book(tmp_path, {"甲": [HEADER, ROW], "Sheet2": [], "藏": [["x"]]}, hide)
    assert len(run(path, "citizen-messages")[0]) == 1
    with pytest.raises(ImportFault, match="no sheet that is shown has a cell"):
        run(book(tmp_path, {"Sheet1": []}), "citizen-messages")


def test_a_sheet_with_other_columns_is_refused_by_name(tmp_path: Path) -> None:
    path = book(tmp_path, {"甲": [HEADER, ROW], "乙": [HEADER[:3], ["6", "A1", "x"]]})
    with pytest.raises(ImportFault, match=r"sheet '乙' lacks columns that '甲' has: time, text"):
        run(path, load_mapping("citizen-messages").with_input(sheets=["*"]))


MERGED = [
    ["某市热线工单", None, None, None, None, None, None],
    ["工单\n编号", "退单1", None, None, "退单2", None, "备注"],
    [None, "部门", "时间", "理由", "部门", "时间", None],
    ["T1", "甲", MOMENT, "不属", "乙", MOMENT, "x"],
]
MERGED_NAMES = ["工单编号", "退单1/部门", "退单1/时间", "退单1/理由", "退单2/部门", "退单2/时间", "备注"]


def test_merged_headers_are_joined_by_what_the_workbook_merges(tmp_path: Path) -> None:
    def merge(workbook: Any) -> None:
        for cells in ("A1:G1", "A2:A3", "B2:D2", "E2:F2", "G2:G3"):
            workbook.active.merge_cells(cells)

    table = open_table(book(tmp_path, {"a": MERGED}, merge), Input(skip_rows=1, header_rows=2))
    assert table.header == MERGED_NAMES
    assert [line for line, _ in table.rows(["工单编号"])] == [4]
    table.close()


def test_a_group_that_is_merged_ends_where_the_merge_ends(tmp_path: Path) -> None:
    rows = [["编号", "退单", None, None], [None, "部门", "时间", "状态"], ["1", "甲", "x", "y"]]
    table = open_table(
        book(tmp_path, {"a": rows}, lambda workbook: workbook.active.merge_cells("B1:C1")), Input(header_rows=2)
    )
    assert table.header == ["编号", "退单/部门", "退单/时间", "状态"]
    table.close()


def test_without_merges_a_group_reaches_to_the_next_one(tmp_path: Path) -> None:
    table = open_table(book(tmp_path, {"a": MERGED[1:]}), Input(header_rows=2))
    assert table.header == MERGED_NAMES
    table.close()
    text = "\n".join(",".join(str(cell or "").replace("\n", "") for cell in row) for row in MERGED[1:3])
    path = tmp_path / "data.csv"
    path.write_text(text + "\n", encoding="utf-8")
    table = open_table(path, Input(header_rows=2))
    assert table.header == MERGED_NAMES
    table.close()


def test_columns_of_one_name_are_numbered_where_the_mapping_says_so(tmp_path: Path) -> None:
    path = book(tmp_path, {"a": [["编号", "退单时间", "退单时间", "退单时间"], ["1", "x", "y", "z"]]})
    with pytest.raises(ImportFault, match=r"sheet 'a', row 1: columns 2 and 3 have the same name.*repeated_names"):
        open_table(path, Input())
    table = open_table(path, Input(repeated_names="number"))
    assert list(table.rows(["退单时间.3", "退单时间"])) == [(2, ["z", "x"])]
    table.close()


def test_a_missing_column_is_refused_with_the_mappings_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"citizen-messages\.yaml:\d+: the file has no column 'text'"):
        run(book(tmp_path, {"a": [HEADER[:4], ROW[:4]]}), "citizen-messages")


def test_a_value_beyond_the_named_columns_costs_its_row(tmp_path: Path) -> None:
    _, rejected, _ = run(book(tmp_path, {"a": [HEADER, [*ROW, None, "x"]]}), "citizen-messages")
    assert [(one.line, one.reason) for one in rejected] == [(2, "ragged")]


def test_rows_without_a_cell_are_blank_lines(tmp_path: Path) -> None:
    path = book(tmp_path, {"a": [HEADER, [], [], ROW, ["  "]]})
    events, rejected, report = run(path, "citizen-messages")
    assert (len(events), rejected, report.rows, report.blank_lines) == (1, [], 1, 2)


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**14), 10**14),
    st.floats(-1e14, 1e14).map(lambda number: float(f"{number:.10g}")),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20).filter(
        lambda text: not text.startswith("=") and "_x" not in text and not text.startswith("#")
    ),
    st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2099, 1, 1)).map(lambda at: at.replace(microsecond=0)),  # noqa: DTZ001
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=8))
def test_what_is_read_is_what_openpyxl_reads(tmp_path: Path, rows: list[list[Any]]) -> None:
    path = book(tmp_path, {"a": [["a", "b", "c"], *rows]})
    with closing(openpyxl.load_workbook(path, read_only=True)) as theirs:
        found = list(theirs.active.iter_rows(min_row=2, max_col=3, values_only=True))
    expected = [[_told(cell) for cell in row] for row in found]
    assert [cells for _, cells in rows_of(path)] == [row for row in expected if any(row)]


def _told(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, int | float):
        return str(int(value)) if value == int(value) else f"{value:.15g}"
    return str(value).strip()


def test_how_far_it_is_goes_up_to_the_files_size(tmp_path: Path) -> None:
    draw = random.Random(3)
    path = shared_book(tmp_path, [["a", "b"], *[[f"{draw.random()}", f"{draw.random()}"] for _ in range(20_000)]])
    told: list[int] = []
    with closing(open_table(path, Input(), told.append)) as table:
        before = len(told)
        assert sum(1 for _ in table.rows()) == 20_000
    assert before > 3  # the shared texts, which come before the first row, are most of the file
    assert told == sorted(told)
    assert 0.9 * path.stat().st_size < told[-1] <= path.stat().st_size


def test_shared_texts_are_found_by_number_in_any_order(tmp_path: Path) -> None:
    draw = random.Random(7)
    texts = [f"{at}" + "路灯" * draw.randrange(200) for at in range(3_000)]
    rows = [[draw.choice(texts) for _ in range(3)] for _ in range(2_000)]
    path = shared_book(tmp_path, [["a", "b", "c"], *rows])
    assert [cells for _, cells in rows_of(path)] == rows


def test_shared_texts_are_read_as_spreadsheet_programs_write_them(tmp_path: Path) -> None:
    texts = (
        "<si><t>a</t></si><si><t>b</t></si><si><r><t>路</t></r><r><rPr/><t>灯</t></r><rPh><t>lu</t></rPh></si>"
        "<si><t>甲_x000D_乙 &lt;1&gt;</t></si><si/><si><t> </t></si>"
    )
    rows = [[0, 1], [2, 3], [4, 2], [4, 5], [3, 3]]

    def cell_of(number: int) -> str:
        return f'<c t="s"><v>{number}</v></c>'

    told = "".join(f"<row>{''.join(cell_of(cell) for cell in row)}</row>" for row in rows)
    path = raw_book(tmp_path, told, shared(f"<sst {MAIN}>{texts}</sst>"))
    assert rows_of(path) == [(2, ["路灯", "甲\r乙 <1>"]), (3, ["", "路灯"]), (5, ["甲\r乙 <1>", "甲\r乙 <1>"])]
