"""Workbooks for the tests of the import: by openpyxl, which knows nothing of our reader, and by hand where it would not write them."""

import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import openpyxl
from openpyxl.worksheet.worksheet import Worksheet

HEADER = ["id", "user", "title", "time", "text"]

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
PARTS = {
    "[Content_Types].xml": "<Types/>",
    "_rels/.rels": f'<Relationships {_RELATIONS}><Relationship Id="a" Type="{_OFFICE}/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{_OFFICE}"><sheets><sheet name="表" sheetId="1" r:id="s"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships {_RELATIONS}><Relationship Id="s" Type="{_OFFICE}/worksheet" '
    'Target="/xl/worksheets/sheet1.xml"/></Relationships>',
}


def book(tmp_path: Path, sheets: dict[str, Iterable[list[Any]]], change: Callable[[Any], None] | None = None) -> Path:
    """Write a workbook by openpyxl; `change` may do more to it before."""
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet: Worksheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    if change is not None:
        change(workbook)
    path = tmp_path / "data.xlsx"
    workbook.save(path)
    return path


def raw_book(tmp_path: Path, sheet: str | bytes, parts: dict[str, str | bytes] | None = None) -> Path:
    """Write a workbook by hand: its one sheet's `sheetData` (or, as bytes, the whole part), and other parts."""
    whole = (
        sheet if isinstance(sheet, bytes) else f"<worksheet {MAIN}><sheetData>{sheet}</sheetData></worksheet>".encode()
    )
    path = tmp_path / "data.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in {**PARTS, "xl/worksheets/sheet1.xml": whole, **(parts or {})}.items():
            package.writestr(name, content)
    return path


def shared(content: str) -> dict[str, str | bytes]:
    """Return the parts of a workbook that has shared texts."""
    relations = PARTS["xl/_rels/workbook.xml.rels"].replace(
        "</Relationships>", '<Relationship Id="t" Type="x/sharedStrings" Target="sharedStrings.xml"/></Relationships>'
    )
    return {"xl/_rels/workbook.xml.rels": relations, "xl/sharedStrings.xml": content}


def shared_book(tmp_path: Path, rows: list[list[str]]) -> Path:
    """Write a workbook as spreadsheet programs do, and openpyxl does not: each text once, and cells that name it by its number."""
    numbers: dict[str, int] = {}
    told = []
    for row in rows:
        cells = "".join(f'<c t="s"><v>{numbers.setdefault(cell, len(numbers))}</v></c>' for cell in row)
        told.append(f"<row>{cells}</row>")
    texts = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in numbers)
    return raw_book(tmp_path, "".join(told), shared(f"<sst {MAIN}>{texts}</sst>"))


def header_row() -> str:
    """Return the header as a row of inline texts."""
    return row_of(1, HEADER)


def row_of(number: int, cells: Iterable[str]) -> str:
    """Return a row of inline texts."""
    told = "".join(f'<c t="inlineStr"><is><t xml:space="preserve">{cell}</t></is></c>' for cell in cells)
    return f'<row r="{number}">{told}</row>'


def repacked(path: Path, change: Callable[[bytearray], None]) -> Path:
    """Change a workbook's bytes."""
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    return path


def zipped(parts: dict[str, bytes]) -> bytes:
    """Return a ZIP container."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return target.getvalue()
