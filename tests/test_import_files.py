"""Files that cannot be trusted as a whole are refused with what to do; nothing is sent of them."""

import gzip
import os
from pathlib import Path

import pytest

from streams.importing import ImportFault, JsonLines, Sample, load_mapping, run_import, run_lines
from tests.import_support import run

HEADER = "id,user,title,time,text\n"
ROW = "5,A1,路灯不亮,2020-01-02T03:04:05,北门外路灯不亮。\n"


def file_of(tmp_path: Path, content: bytes, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


REFUSED = [
    ("empty", b"", "is empty"),
    ("empty inside gzip", gzip.compress(b""), "is empty"),
    ("no header", b"\n5,A1\n", ":1: the first line is to name the columns.*skip_rows"),
    ("two columns of one name", b"id,user,id\n", ":1: columns 1 and 3 have the same name.*is there no header"),
    ("a column without name", b"id,,title\n", ":1: column 2 has no name"),
    ("UTF-16", (HEADER + ROW).encode("utf-16"), "UTF-16: save it as UTF-8"),
    ("neither of the encodings", b"id,\xff\xff\xff\n", "neither UTF-8 nor GB18030"),
    ("an old workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old .xls workbook, or one with a password"),
    ("a web page called a table", b"\n<html><table><tr><td>id</td></tr></table>", "is a web page or XML"),
    ("a row without end", HEADER.encode() + b'"a\n",' * 900_000, "a row of more than"),
    ("a line without end", HEADER.encode() + b"x" * 4_300_000, "a row of more than"),
    ("gzip cut off", gzip.compress((HEADER + ROW * 9000).encode())[:-20], "gzip is cut off or damaged after line"),
    ("gzip cut off at its head", gzip.compress((HEADER + ROW).encode())[:12], "damaged after line 0"),
    ("gzip with a wrong byte", b"\x1f\x8b\x08\x00" + b"\xff" * 40, "damaged after line 0"),
    ("an open quote in the header", b'id,"user\n', ":1: a quote is opened here that nothing closes"),
    ("an open quote in the header's second line", b'id,"us\ner","ti\ntle\n', ":2: a quote is opened here"),
    ("a text behind a quote in the header", b'id,"us"er\n', ":1: the header cannot be read: behind a closing quote"),
    ("quoted names parted otherwise", b'"id";"user";"title"\n', ":1: .*parted by ';': set `delimiter: \";\"`"),
    ("a ZIP file without entries", b"PK\x05\x06" + b"\0" * 18, "a ZIP file with nothing in it"),
]


@pytest.mark.parametrize(("content", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ImportFault, match=words):
        run(file_of(tmp_path, content), "citizen-messages")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFault, match="cannot be read: No such file"):
        run(tmp_path / "none.csv", "citizen-messages")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFault, match="cannot be read"):
        run(tmp_path, "citizen-messages")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_plain_and_gzip_with_and_without_byte_order_mark_are_read(tmp_path: Path, pack: type, encoding: str) -> None:
    events, rejected, _ = run(file_of(tmp_path, pack((HEADER + ROW).encode(encoding))), "citizen-messages")
    assert rejected == []
    assert [event["title"] for event in events] == ["路灯不亮"]


TOLD_WRONGLY = [
    ("the header", "编号,标题\n".encode("gb18030"), "utf-8", ":1: byte 0xB1 is not utf-8.*--encoding gb18030"),
    ("the rows", (HEADER + ROW).encode("gb18030"), "utf-8", ":2: byte 0xB5 is not utf-8"),
]


@pytest.mark.parametrize(
    ("content", "encoding", "words"), [case[1:] for case in TOLD_WRONGLY], ids=[case[0] for case in TOLD_WRONGLY]
)
def test_a_file_in_another_encoding_than_it_is_told_to_be_is_refused(
    tmp_path: Path, content: bytes, encoding: str, words: str
) -> None:
    with pytest.raises(ImportFault, match=words):
        run(file_of(tmp_path, content), load_mapping("citizen-messages").with_input(encoding=encoding))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("told", ["auto", "gb18030"])
def test_gb18030_is_found_by_itself_and_read_where_it_is_said(tmp_path: Path, pack: type, told: str) -> None:
    mapping = load_mapping("citizen-messages").with_input(encoding=told)
    events, _, report = run(file_of(tmp_path, pack((HEADER + ROW).encode("gb18030"))), mapping)
    assert events[0]["title"] == "路灯不亮"
    assert report.read_as == "csv gb18030"


def test_gb18030_with_its_own_byte_order_mark_is_read(tmp_path: Path) -> None:
    content = ("\ufeff" + HEADER + ROW).encode("gb18030")
    events, rejected, report = run(file_of(tmp_path, content), "citizen-messages")
    assert ([event["title"] for event in events], rejected, report.read_as) == (["路灯不亮"], [], "csv gb18030")


def test_the_encoding_is_found_behind_a_long_head_of_plain_ascii(tmp_path: Path) -> None:
    plain = "".join(f"{number},A1,light,2020-01-02T03:04:05,{'dark ' * 40}\n" for number in range(6_000))
    _, rejected, report = run(file_of(tmp_path, (HEADER + plain + "x" + ROW).encode("gb18030")), "citizen-messages")
    assert (report.rows, rejected, report.read_as) == (6_001, [], "csv gb18030")


def test_one_bad_byte_among_good_rows_costs_its_row_only(tmp_path: Path) -> None:
    bad = b"6,A1,\xff,2020-01-02T03:04:05,x\n"
    good = ROW.replace("5,", "7,", 1)
    events, rejected, _ = run(file_of(tmp_path, (HEADER + ROW).encode() + bad + good.encode()), "citizen-messages")
    assert [tuple(one) for one in rejected] == [(3, "not_decodable", "column 'title': byte 0xFF is not utf-8", "")]
    assert [event["ticket_id"] for event in events] == ["5", "7"]


def test_lines_are_counted_through_cells_that_span_several(tmp_path: Path) -> None:
    text = HEADER + '5,A1,x,2020-01-02T03:04:05,"one\ntwo\nthree"\n\n6,A1,x,never,x\n'
    events, rejected, report = run(file_of(tmp_path, text.encode()), "citizen-messages")
    assert events[0]["content"] == "one\ntwo\nthree"
    assert [(one.line, one.reason) for one in rejected] == [(6, "bad_time")]
    assert (report.rows, report.blank_lines) == (2, 1)


OPEN_QUOTES = [
    ("in a row", ROW + '6,A1,"open,2020-01-02T03:04:05,x\n7,A1,x,2020-01-02T03:04:05,x\n', 3),
    ("in a later line of a row", '5,A1,"one\ntwo","open,2020-01-02T03:04:05,x\n' + ROW, 3),
    ("behind a quote in a cell", '5,A1,"a ""word"" \n"", open,2020-01-02T03:04:05,x\n' + ROW, 2),
    ("in the last line", ROW + '6,A1,x,2020-01-02T03:04:05,"x', 3),
    ("before more than a cell can hold", ROW + '6,A1,"open,2020-01-02T03:04:05,x\n' + ROW * 9_000, 3),
]


@pytest.mark.parametrize(("text", "line"), [case[1:] for case in OPEN_QUOTES], ids=[case[0] for case in OPEN_QUOTES])
def test_a_quote_that_nothing_closes_refuses_the_file_with_the_line_that_opens_it(
    tmp_path: Path, text: str, line: int
) -> None:
    with pytest.raises(ImportFault, match=rf"data\.csv:{line}: a quote is opened here that nothing closes"):
        run(file_of(tmp_path, (HEADER + text).encode()), "citizen-messages")


def test_rows_that_a_misplaced_quote_joins_are_left_out_and_told_by_their_lines(tmp_path: Path) -> None:
    text = HEADER + '6,A1,"open,2020-01-02T03:04:05,x\n7,A1,"x",2020-01-02T03:04:05,x\n' + ROW
    events, rejected, _ = run(file_of(tmp_path, text.encode()), "citizen-messages")
    assert [event["ticket_id"] for event in events] == ["5"]
    assert [(one.line, one.reason) for one in rejected] == [(2, "bad_quoting")]
    assert rejected[0].detail.startswith("lines 2–3 are taken as one row and left out")


def test_a_cell_without_end_is_rejected(tmp_path: Path) -> None:
    text = HEADER + f"6,A1,x,2020-01-02T03:04:05,{'x' * 300_000}\n" + ROW
    events, rejected, _ = run(file_of(tmp_path, text.encode()), "citizen-messages")
    assert [(one.line, one.reason) for one in rejected] == [(2, "too_large")]
    assert [event["ticket_id"] for event in events] == ["5"]


@pytest.mark.parametrize("mapping", ["citizen-messages", None], ids=["a table", "events"])
def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path: Path, mapping: str | None) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, kind in [(pipe, "a named pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a folder")]:
        with pytest.raises(ImportFault, match=f"cannot be read: it is {kind}: give a regular file"):
            run(path, mapping) if mapping is not None else run_lines(path, Sample(1))


def test_a_control_character_is_told_with_the_column_that_has_it(tmp_path: Path) -> None:
    text = HEADER + "5\a,A1,x,2020-01-02T03:04:05,x\n6,A1,x\a,2020-01-02T03:04:05,x\n" + ROW
    _, rejected, _ = run(file_of(tmp_path, text.encode()), "citizen-messages")
    assert [(one.line, one.reason) for one in rejected] == [(2, "invalid_field")]
    assert "event_id: " in rejected[0].detail
    assert "made of the column 'id'" in rejected[0].detail


def test_columns_without_a_name_at_the_end_are_taken_as_long_as_they_are_empty(tmp_path: Path) -> None:
    text = HEADER.strip() + ",,\n" + ROW.strip() + ",, \n" + ROW.strip().replace("5,", "6,", 1) + ",,x\n"
    events, rejected, _ = run(file_of(tmp_path, text.encode()), "citizen-messages")
    assert [event["ticket_id"] for event in events] == ["5"]
    assert [(one.line, one.reason) for one in rejected] == [(3, "ragged")]


def test_a_title_above_the_header_is_passed_over_where_the_mapping_says_so(tmp_path: Path) -> None:
    mapping = load_mapping("citizen-messages").with_input(skip_rows=2)
    text = "某市留言,,,,\n\n" + HEADER + ROW + "6,A1,x,never,x\n"
    events, rejected, _ = run(file_of(tmp_path, text.encode()), mapping)
    assert [event["ticket_id"] for event in events] == ["5"]
    assert rejected[0].line == 5


def test_what_a_spreadsheet_would_take_for_a_formula_is_text(tmp_path: Path) -> None:
    texts = ["=1+1", "+86 199-0000-0001", "-1", "@SUM(A1)", '=HYPERLINK(""http://x"")', "＝cmd"]
    rows = "".join(f'{at},A1,"{text}",2020-01-02T03:04:05,x\n' for at, text in enumerate(texts))
    events, _, _ = run(file_of(tmp_path, (HEADER + rows).encode()), "citizen-messages")
    assert sorted(event["title"] for event in events) == sorted(text.replace('""', '"') for text in texts)


def test_a_damaged_file_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("before\n")
    broken = file_of(tmp_path, gzip.compress((HEADER + ROW * 9000).encode())[:-20])
    with pytest.raises(ImportFault):
        run_import(broken, load_mapping("citizen-messages"), JsonLines(str(target)))
    assert target.read_text() == "before\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "out.jsonl"]


def test_a_target_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFault, match="cannot be written"):
        JsonLines(str(tmp_path / "none" / "out.jsonl"))
