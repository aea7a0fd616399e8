"""Workbooks that would do harm, or are none: refused before they are unpacked, with what to do."""

import bz2
import resource
import struct
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streams.importing import ImportFault, open_table, xlsx, xlsx_strings
from streams.importing.mapping import Input
from streams.importing.xlsx import XlsxFile
from streams.importing.xlsx_package import DEPTH_MAX, ENTRIES_MAX
from tests.import_support import run
from tests.xlsx_support import HEADER, MAIN, PARTS, book, header_row, raw_book, repacked, row_of, shared, zipped

ROW = ["5", "A1", "x", "2020-01-02T03:04:05", "x"]
SHEET = "xl/worksheets/sheet1.xml"


def refused(path: Path, words: str) -> None:
    with pytest.raises(ImportFault, match=words) as caught:
        run(path, "citizen-messages")
    assert str(path) in str(caught.value)


def rewritten(path: Path, change: Callable[[zipfile.ZipFile], None]) -> Path:
    """Change what the container's directory says of its entries."""
    with zipfile.ZipFile(path, "a") as package:
        change(package)
        package._didModify = True  # type: ignore[attr-defined]
    return path


def claim(size: int) -> Callable[[zipfile.ZipFile], None]:
    def change(package: zipfile.ZipFile) -> None:
        package.getinfo(SHEET).file_size = size

    return change


def test_a_claim_of_five_gigabytes_is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = rewritten(book(tmp_path, {"a": [HEADER, ROW]}), claim(5 << 30))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(
        path,
        r"claims an entry that unpacks to 5120 MiB, \d+ times its size: refused as a zip bomb, nothing was unpacked",
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_entries_that_are_plausible_alone_and_too_many_together_are_refused(tmp_path: Path) -> None:
    def change(package: zipfile.ZipFile) -> None:
        for entry in package.infolist():
            entry.file_size, entry.compress_size = 1 << 30, 1 << 29

    refused(
        rewritten(book(tmp_path, {"a": [HEADER, ROW]}), change), "entries that unpack to 9216 MiB|unpack to [0-9]+ MiB"
    )


def test_a_bomb_that_is_honest_of_its_size_is_refused_by_its_ratio(tmp_path: Path) -> None:
    refused(raw_book(tmp_path, header_row() + " " * (20 << 20)), r"\d{3,4} times its size: refused as a zip bomb")


def test_an_entry_that_holds_more_than_it_says_gives_no_more_than_it_says(tmp_path: Path) -> None:
    path = raw_book(tmp_path, header_row() + row_of(2, ROW) + " " * 100_000)
    refused(rewritten(path, claim(400)), "cut off or damaged")


TWICE = [
    ("two rows of one number", row_of(2, ROW) + row_of(2, ROW), "has row 2 twice, or not in its order"),
    ("rows out of their order", row_of(3, ROW) + row_of(2, ROW), "has row 2 twice, or not in its order"),
    (
        "a cell twice",
        '<row r="2"><c r="A2"><v>5</v></c><c r="B2"><v>1</v></c><c r="A2"><v>6</v></c></row>',
        "row 2, has a cell twice",
    ),
]


@pytest.mark.parametrize(("rows", "words"), [case[1:] for case in TWICE], ids=[case[0] for case in TWICE])
def test_a_place_that_stands_twice_refuses_the_workbook_for_one_would_be_lost(
    tmp_path: Path, rows: str, words: str
) -> None:
    refused(raw_book(tmp_path, header_row() + rows), words)


def test_thousands_of_entries_are_refused(tmp_path: Path) -> None:
    parts = {f"xl/{at}.bin": b"" for at in range(ENTRIES_MAX)}
    refused(raw_book(tmp_path, header_row(), parts), "claims 50[0-9]+ entries")


def test_a_directory_that_says_it_has_millions_of_entries_is_not_read(tmp_path: Path) -> None:
    def change(content: bytearray) -> None:
        at = content.rfind(b"PK\x05\x06")
        struct.pack_into("<HHI", content, at + 8, 60_000, 60_000, 500 << 20)

    refused(repacked(raw_book(tmp_path, header_row()), change), "claims 60000 entries")


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = raw_book(tmp_path, header_row())
    with zipfile.ZipFile(path, "a") as package, pytest.warns(UserWarning, match="Duplicate name"):
        package.writestr(SHEET, "<worksheet/>")
    refused(path, "two entries have the same name")


def test_a_password_and_an_uncommon_packing_are_told_apart_from_damage(tmp_path: Path) -> None:
    def locked(package: zipfile.ZipFile) -> None:
        package.getinfo(SHEET).flag_bits |= 1

    refused(rewritten(raw_book(tmp_path, header_row()), locked), "has a password")
    path = raw_book(tmp_path, header_row())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as package:
        package.writestr("xl/media.bin", bz2.compress(b"x"))
    refused(path, "packed in a way that no spreadsheet program uses")


NO_WORKBOOKS = [
    ("cut off", lambda whole: whole[:-40], "cut off or damaged"),
    ("only its first bytes", lambda whole: whole[:30], "cut off or damaged"),
    ("another ZIP", lambda _: zipped({"data.csv": b"id\n1\n"}), "is a ZIP file but no XLSX workbook"),
    ("a text document", lambda _: zipped({**_bytes(), "_rels/.rels": b"<Relationships/>"}), "no XLSX workbook"),
    ("a part is missing", lambda _: zipped(_bytes()), "sheet1.xml is missing"),
]


def _bytes() -> dict[str, bytes]:
    return {name: content.encode() for name, content in PARTS.items()}


@pytest.mark.parametrize(
    ("change", "words"), [case[1:] for case in NO_WORKBOOKS], ids=[case[0] for case in NO_WORKBOOKS]
)
def test_what_is_no_workbook_is_refused(tmp_path: Path, change: Callable[[bytes], bytes], words: str) -> None:
    path = raw_book(tmp_path, header_row())
    path.write_bytes(change(path.read_bytes()))
    refused(path, words)


LAUGHS = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
XML_REFUSED = [
    ("a document type", f"{LAUGHS}<worksheet {MAIN}><sheetData/></worksheet>", "a document type declaration"),
    ("an entity of a file", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', "a document type declaration"),
    ("elements without end", f"<worksheet {MAIN}>" + "<a>" * (DEPTH_MAX + 1), f"nested deeper than {DEPTH_MAX}"),
    ("a tag without end", f"<worksheet {MAIN}><sheetData><row r='{'1' * (3 << 20)}'", "a tag of more than"),
    ("a thousand names", f"<worksheet {MAIN}>" + "".join(f"<a{at}/>" for at in range(1_100)), "thousand different"),
    ("no XML", "id,user\n1,2\n", "syntax error"),
    ("XML that ends early", f"<worksheet {MAIN}><sheetData>", "no element found"),
    ("a row out of reach", f'<worksheet {MAIN}><sheetData><row r="1048577"/></sheetData></worksheet>', "a row beyond"),
    (
        "a column out of reach",
        f'<worksheet {MAIN}><sheetData><row><c r="XFE1"><v>1</v></c></row></sheetData></worksheet>',
        "a cell beyond",
    ),
    (
        "a text that is not there",
        f'<worksheet {MAIN}><sheetData><row><c t="s"><v>7</v></c></row></sheetData></worksheet>',
        "names a text that the workbook does not have",
    ),
]


@pytest.mark.parametrize(("sheet", "words"), [case[1:] for case in XML_REFUSED], ids=[case[0] for case in XML_REFUSED])
def test_a_sheet_that_no_spreadsheet_program_writes_is_refused(tmp_path: Path, sheet: str, words: str) -> None:
    # Not packed, or its ratio alone would have it refused.
    path = tmp_path / "data.xlsx"
    with zipfile.ZipFile(path, "w") as package:
        for name, content in {**PARTS, SHEET: sheet}.items():
            package.writestr(name, content)
    refused(path, words)


def test_entities_in_the_shared_texts_are_refused_too(tmp_path: Path) -> None:
    parts = shared(f"{LAUGHS}<sst><si><t>&b;</t></si></sst>")
    refused(raw_book(tmp_path, header_row(), parts), r"sharedStrings\.xml: a document type declaration")


LONG = f"<sst><si><t>{'长' * 200_000}</t></si></sst>"


def test_a_row_that_names_one_long_text_thousands_of_times_is_refused(tmp_path: Path) -> None:
    cells = "<c t='s'><v>0</v></c>" * 16_000
    path = raw_book(tmp_path, f"{header_row()}<row r='2'>{cells}</row>", shared(LONG))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "sheet '表', row 2: a row of more than 4194304 characters: if it is genuine, export it as CSV")
    refused(
        raw_book(tmp_path, f"<row r='1'>{cells}</row>", shared(LONG)), "sheet '表', row 1: a row of more than 4194304"
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_many_rows_that_name_one_long_text_are_read_one_at_a_time(tmp_path: Path) -> None:
    cells = "<c t='s'><v>0</v></c>" * 5
    rows = "".join(f"<row r='{number}'>{cells}</row>" for number in range(2, 400))
    with closing(open_table(raw_book(tmp_path, header_row() + rows, shared(LONG)), Input())) as table:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert [len("".join(cells)) for _, cells in table.rows()] == [1_000_000] * 398
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_more_shared_texts_than_memory_has_room_for_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_strings, "TEXTS_MAX", 3)
    parts = shared("<sst><si/><si/><si/><si/></sst>")
    refused(raw_book(tmp_path, header_row(), parts), r"sharedStrings\.xml: more than 3 different texts: .* as CSV")


def test_merged_cells_that_overlap_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merges = '<mergeCell ref="A1:XFD2"/>' * 100_000
    sheet = f"<worksheet {MAIN}><sheetData>{header_row()}</sheetData><mergeCells>{merges}</mergeCells></worksheet>"
    path = raw_book(tmp_path, sheet.encode())
    spread, looked_at = xlsx._OpenSheet._spread, []

    def counted(*arguments: Any) -> int:
        looked_at.append(arguments)
        return spread(*arguments)

    monkeypatch.setattr(xlsx._OpenSheet, "_spread", counted)
    with pytest.raises(ImportFault, match="merges the same cells of its header twice"):
        open_table(path, Input(header_rows=2))
    assert len(looked_at) == 2, "the second one is refused, and no other is looked at"


def test_a_text_of_gigabytes_is_cut_where_it_is_too_long_to_be_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "data.xlsx"
    long = ("<c t='inlineStr'><is><t>" + "长" * (3 << 20) + "</t></is></c>").encode()
    with zipfile.ZipFile(path, "w") as package:
        for name, content in PARTS.items():
            package.writestr(name, content)
        with package.open(SHEET, "w") as sheet:
            sheet.write(f"<worksheet {MAIN}><sheetData>{header_row()}<row r='2'>".encode())
            for _ in range(4):
                sheet.write(long)
            sheet.write(b"</row></sheetData></worksheet>")
    _, rejected, _ = run(path, "citizen-messages")
    assert [(one.line, one.reason) for one in rejected] == [(2, "too_large")]


def test_no_file_stays_open_where_a_workbook_is_refused(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for sheet in (header_row(), "<row><c t='s'><v>7</v></c></row>", ""):
        with pytest.raises(ImportFault):
            XlsxFile(raw_book(tmp_path, sheet), Input(header_rows=2, skip_rows=3))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
