"""What a workbook says of itself: its sheets, where its shared texts lie, and which cell styles show a date."""

import posixpath
import re
from typing import NamedTuple

from streams.importing.faults import ImportFault
from streams.importing.xlsx_package import Package, safe_parser

_ROOT = "_rels/.rels"
_SHEETS_MAX = 1_000
_STYLES_MAX = 100_000
_LITERAL = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
# Numbers of the formats that every program knows: those of dates, East Asian ones among them.
_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})


class Sheet(NamedTuple):
    """A sheet: its name, its entry in the package, and whether the workbook shows it."""

    name: str
    entry: str
    visible: bool


class Workbook(NamedTuple):
    """What is needed to read cells."""

    sheets: list[Sheet]
    shared_strings: str | None
    date_styles: frozenset[str]
    """the style numbers, as cells name them, whose numbers are dates"""
    since_1904: bool


def read_workbook(package: Package) -> Workbook:
    """Return what a package's workbook says. Raises ImportFault where there is none that can be read."""
    if _ROOT not in package.names:
        raise ImportFault(
            f"{package.raw.name} is a ZIP file but no XLSX workbook: give the workbook or CSV file itself"
        )
    main = next((target for kind, target in _relations(package, _ROOT).values() if kind == "officeDocument"), None)
    if main is None or main.endswith(".bin"):
        raise ImportFault(f"{package.raw.name} is no XLSX workbook (XLSB, ODS?): save it as .xlsx")
    folder, name = posixpath.split(main)
    relations = _relations(package, f"{folder}/_rels/{name}.rels")
    found, since_1904 = _sheets(package, main)
    sheets = [
        Sheet(title, relations[link][1], visible)
        for title, link, visible in found
        if link in relations and relations[link][0] == "worksheet"
    ]
    by_kind = dict(relations.values())
    styles = by_kind.get("styles")
    dates = frozenset() if styles not in package.names else _date_styles(package, styles)
    return Workbook(sheets, by_kind.get("sharedStrings"), dates, since_1904)


def shows_date(code: str) -> bool:
    """Tell whether a number format shows a day or a time of day: it names years, months, days, hours or seconds."""
    first = _LITERAL.sub("", code.partition(";")[0]).lower()
    return "general" not in first and any(letter in first for letter in "ymdhs")


def _relations(package: Package, entry: str) -> dict[str, tuple[str, str]]:
    """Return, for each id, (the last part of the relation's kind, the entry it leads to)."""
    folder = posixpath.dirname(posixpath.dirname(entry))
    found: dict[str, tuple[str, str]] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", "")))
            found[attributes.get("Id", "")] = (attributes.get("Type", "").rpartition("/")[2], target.lstrip("/"))

    package.read_all(entry, safe_parser(start, _nothing))
    return found


def _sheets(package: Package, entry: str) -> tuple[list[tuple[str, str, bool]], bool]:
    found: list[tuple[str, str, bool]] = []
    since_1904 = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal since_1904
        if name == "sheet" and len(found) < _SHEETS_MAX:
            link = next((value for key, value in attributes.items() if key.rpartition(":")[2] == "id"), "")
            found.append((attributes.get("name", ""), link, attributes.get("state", "visible") == "visible"))
        elif name == "workbookPr":
            since_1904 = attributes.get("date1904", "0") in ("1", "true")

    package.read_all(entry, safe_parser(start, _nothing))
    return found, since_1904


def _date_styles(package: Package, entry: str) -> frozenset[str]:
    own: dict[str, str] = {}
    formats: list[str] = []
    inside = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        if name == "numFmt" and len(own) < _STYLES_MAX:
            own[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif name == "cellXfs":
            inside = True
        elif name == "xf" and inside and len(formats) < _STYLES_MAX:
            formats.append(attributes.get("numFmtId", "0"))

    def end(name: str) -> None:
        nonlocal inside
        if name == "cellXfs":
            inside = False

    package.read_all(entry, safe_parser(start, end))
    return frozenset(str(number) for number, used in enumerate(formats) if _is_date(used, own))


def _is_date(used: str, own: dict[str, str]) -> bool:
    if used in own:
        return shows_date(own[used])
    return used.isdecimal() and int(used) in _DATE_FORMATS


def _nothing(_: str) -> None:
    """Take no notice of an element's end."""
