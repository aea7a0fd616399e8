"""Made-up tables of tickets, as a hotline's nightly export would be: as CSV of any size, as a large XLSX workbook; streamed to disk.

The same arguments give the same bytes. The columns are those of the included mapping `fixed-three-returns`.
"""

import csv
import random
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape

COLUMNS = [
    "工单编号", "来源渠道", "诉求类型", "内容分类1级", "内容分类2级", "标题", "诉求内容", "来电号码", "被反映区",
    "街道乡镇", "村社区", "发生地址", "紧急程度", "登记时间", "主办单位", "主协办", "派单时间", "处理时限",
    "签收时间", "先行联系时间", "已退单次数", "退单部门1", "退单时间1", "退单理由1", "退单部门2", "退单时间2",
    "退单理由2", "退单部门3", "退单时间3", "退单理由3", "办结时间", "办理结果", "是否解决",
]  # fmt: skip
_FIRST = datetime(2025, 1, 1)  # noqa: DTZ001 - a table's times have no zone
_UNITS = [
    f"{name}{kind}" for name in "甲乙丙丁戊己庚辛" for kind in ("街道办事处", "镇人民政府", "区住建局", "区城管局")
]
_WORDS = [a + b for a in "路灯噪声施工停车供水电梯垃圾道路" for b in "不亮堵塞扰民破损漏水无人处理反复多次"]
_RETURN = "不属于本单位职责范围"


def rows(tickets: int, night: int, *, new_share: float, changed_share: float, gone_share: float) -> Iterator[list[str]]:
    """Yield a table's rows. Each night after the first has new tickets, changed ones, and lacks some of the night before."""
    draw = random.Random(f"snapshot {night}")
    total = tickets + int(tickets * new_share) * night
    for number in range(total):
        chance = draw.random()
        if night and chance < gone_share:
            continue
        yield _row(number, moved=bool(night) and chance > 1 - changed_share)


def _row(number: int, *, moved: bool) -> list[str]:
    """Return a ticket's row; `moved`: it was returned and resolved since the night before."""
    day = _FIRST + timedelta(seconds=25 * number)
    word, unit = _WORDS[number % len(_WORDS)], _UNITS[number % len(_UNITS)]
    other = _UNITS[(number + 5) % len(_UNITS)]
    returned = number % 9 == 0
    place = f"{number % 40 + 1}号"
    return [
        f"{day:%y%m%d}{number:09d}", "电话", "投诉" if number % 3 else "求助", "城乡建设", "市政设施", f"反映{word}",
        f"来电人反映{place}{word},已经{number % 30}天,{_WORDS[(number * 7) % len(_WORDS)]},希望有关部门尽快核实处理并答复。",
        f"199-0000-{number % 10_000:04d}", "某区", unit[:3], f"第{number % 200}社区", f"某路{place}", "普通", _text(day), unit, "主办",
        _text(day + timedelta(hours=1)), _text(day + timedelta(days=7)), _text(day + timedelta(hours=3)), _text(day + timedelta(hours=9)),
        str(returned + moved), *((other, _text(day + timedelta(hours=2)), _RETURN) if returned else ("", "", "")),
        *((unit, _text(day + timedelta(days=2)), _RETURN) if moved else ("", "", "")), "", "", "",
        _text(day + timedelta(days=4)) if moved or number % 2 else "", "已处理" if moved or number % 2 else "",
        "解决" if moved or number % 2 else "",
    ]  # fmt: skip


def _text(moment: datetime) -> str:
    return moment.isoformat(" ")


def write_csv(path: Path, table: Iterator[list[str]]) -> int:
    """Write a CSV file in UTF-8; return the number of its rows."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in table:
            writer.writerow(row)
            count += 1
    return count


def write_xlsx(path: Path, table: Iterator[list[str]], bytes_wanted: int, words: int) -> int:
    """Write a workbook of about so many bytes; return the number of its rows.

    Every text is a shared one and most are used once, as in a real export: that is what fills a reader's memory. `words` are added
    to each ticket's content.
    """
    draw = random.Random(7)
    strings: dict[str, int] = {}
    count = unique = 0
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package,
        tempfile.TemporaryFile() as texts,
    ):
        for name, content in _PARTS.items():
            package.writestr(name, content)
        with package.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(f"{_HEAD}<worksheet {_MAIN}><sheetData>".encode())
            for number, cells in enumerate(_with_header(table), 1):
                if number > 1:
                    cells[6] += "".join(draw.choices(_WORDS, k=words))
                unique = _write_row(sheet, texts, number, cells, strings, unique)
                count = number - 1
                if number % 1_000 == 0 and path.stat().st_size + texts.tell() // 3.4 > bytes_wanted:
                    break
            sheet.write(b"</sheetData></worksheet>")
        with package.open("xl/sharedStrings.xml", "w", force_zip64=True) as shared:
            shared.write(f"{_HEAD}<sst {_MAIN}>".encode())
            texts.seek(0)
            while chunk := texts.read(1 << 20):
                shared.write(chunk)
            shared.write(b"</sst>")
    return count


def _with_header(table: Iterator[list[str]]) -> Iterator[list[str]]:
    yield list(COLUMNS)
    yield from table


def _write_row(
    sheet: IO[bytes], texts: IO[bytes], number: int, cells: list[str], strings: dict[str, int], unique: int
) -> int:
    told = []
    for column, cell in enumerate(cells):
        if not cell:
            continue
        at = strings.get(cell)
        if at is None:
            at = unique
            unique += 1
            texts.write(f"<si><t>{escape(cell)}</t></si>".encode())
            if len(strings) < 10_000:
                strings[cell] = at
        told.append(f'<c r="{_letters(column)}{number}" t="s"><v>{at}</v></c>')
    sheet.write(f'<row r="{number}">{"".join(told)}</row>'.encode())
    return unique


def _letters(column: int) -> str:
    return chr(65 + column) if column < 26 else "A" + chr(65 + column - 26)


_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPES = f"{_PACKAGE}/content-types"
_LINKS = f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'


def _link(number: int, kind: str, target: str) -> str:
    return f'<Relationship Id="r{number}" Type="{_RELATIONS}/{kind}" Target="{target}"/>'


_PARTS = {
    "[Content_Types].xml": f'{_HEAD}<Types xmlns="{_TYPES}"><Default Extension="xml" ContentType="application/xml"/></Types>',
    "_rels/.rels": f"{_LINKS}{_link(1, 'officeDocument', 'xl/workbook.xml')}</Relationships>",
    "xl/workbook.xml": f'{_HEAD}<workbook {_MAIN} xmlns:r="{_RELATIONS}"><sheets>'
    '<sheet name="工单" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": _LINKS
    + _link(1, "worksheet", "worksheets/sheet1.xml")
    + _link(2, "sharedStrings", "sharedStrings.xml")
    + "</Relationships>",
}
