"""Masks identities and contact numbers inside free text, also where they are written in disguise.

A number is looked for in a *folded* copy of the text: NFKC, format characters stripped, Chinese numerals (〇–九, 幺) read as digits, up to
three separators between two digits; what is found is then masked in the text itself. ID numbers are known by their check digit (GB 11643:
weights 7 9 10 5 8 4 2 1 6 3 7 9 10 5 8 4 2, mod 11) or a birth date in the right place.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

PHONE_MASK = "〔电话〕"
ID_MASK = "〔证件号〕"
CONTACT_MASK = "〔联系方式〕"
NUMBER_MASK = "〔号码〕"
PLATE_MASK = "〔车牌〕"
NAME_MASK = "〔姓名〕"
PLACE_MASK = "〔门牌〕"

_NUMERALS = {character: str(digit) for digit, character in enumerate("〇一二三四五六七八九")}
_NUMERALS |= {
    "零": "0",
    "幺": "1",
    "壹": "1",
    "贰": "2",
    "叁": "3",
    "肆": "4",
    "伍": "5",
    "陆": "6",
    "柒": "7",
    "捌": "8",
    "玖": "9",
}
_SEPARATOR = r"[\s\-—–_.·•、,，/\\()\[\]（）*~:：杠]{0,3}"
_DIGITISH = "0-9０-９①-⑨⑴-⑼➀-➈𝟎-𝟿" + "".join(_NUMERALS)
_ENOUGH_DIGITS = re.compile(rf"(?:[{_DIGITISH}][^{_DIGITISH}]{{0,6}}){{7}}")


def _digits(count: int) -> str:
    return rf"(?:{_SEPARATOR}\d){{{count}}}"


_ID18 = re.compile(rf"(?<!\d)[1-9]{_digits(16)}{_SEPARATOR}[\dXx](?!\d)")
_ID15 = re.compile(rf"(?<!\d)[1-9]{_digits(14)}(?!\d)")
_MOBILE = re.compile(rf"(?<!\d)(?:\+?(?:0086|86){_SEPARATOR})?1{_SEPARATOR}[3-9]{_digits(9)}(?!\d)")
_LANDLINE = re.compile(r"(?<!\d)0\d{2,3}[\s\-—–()（）]{0,2}[2-8]\d{6,7}(?!\d)")
_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63})+")
_HOTLINE = re.compile(r"(?<!\d)[48]00[\s\-—–]?\d{3,4}[\s\-—–]?\d{3,4}(?!\d)")
_CARD = re.compile(rf"(?<!\d)[1-9]{_digits(15)}(?:{_SEPARATOR}\d){{0,3}}(?!\d)")
_LONG_NUMBER = re.compile(r"\d(?:[\s\-—–.]?\d){6,}")
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z][·\s]?[A-Z0-9]{4,5}[A-Z0-9挂学警港澳]"
)
_HOUSE = re.compile(
    r"[0-9０-９A-Za-z一二三四五六七八九十百〇零]+\s{0,2}(?:号楼|号院|号|號|栋|棟|幢|座|单元|單元|室|弄|户)(?:\s?[0-9０-９]{2,4}(?![0-9０-９年月元块万]))?"
    r"|(?<![0-9])[0-9０-９]{1,3}\s?[-—–－]\s?[0-9０-９]{1,3}\s?[-—–－]\s?[0-9０-９]{1,4}(?![0-9])"
)
_GROUP = re.compile(r"第?[0-9一二三四五六七八九十]+(?:组|社|队)")
_NAMED = re.compile(
    r"(?<=我叫)[\u4e00-\u9fff]{2,4}|(?<=我名叫)[\u4e00-\u9fff]{2,4}"
    r"|(?:(?<=举报人)|(?<=联系人)|(?<=投诉人)|(?<=姓名)|(?<=本人))\s?[::：(（]\s?[\u4e00-\u9fff]{2,4}|(?<=本人)(?!是|系|在|叫|对|因|于|为|家|想|名)[\u4e00-\u9fff]{2,3}(?=,|,|。|、)"
)
_ACCOUNT = re.compile(r"(?:微信|扣扣|QQ|qq|VX|vx|Vx|V信|v信)号?[\s是为:：]{0,3}[A-Za-z0-9][A-Za-z0-9_\-]{4,29}")
# What a text must hold for the longer searches to be worth their while.
_CAPITAL = re.compile(r"[A-Z]")
_ACCOUNT_SIGN = re.compile(r"[信扣QqVv]")
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"


def mask(text: str, names: Iterable[str] = ()) -> str:
    """Return the text with every phone, ID number, e-mail address, chat account and given name replaced by its mask."""
    if _ENOUGH_DIGITS.search(text):
        text = _mask_numbers(text)
    if "@" in text:
        text = _EMAIL.sub(CONTACT_MASK, text)
    if _CAPITAL.search(text):
        text = _PLATE.sub(PLATE_MASK, text)
    if _ACCOUNT_SIGN.search(text):
        text = _ACCOUNT.sub(CONTACT_MASK, text)
    for name in names:
        if len(name) >= 2 and name[0] in text:
            text = _spaced(name).sub(NAME_MASK, text)
    return text


@lru_cache(maxsize=1_000)
def _spaced(name: str) -> re.Pattern[str]:
    """Return what finds a name, also with blanks between its characters."""
    return re.compile(r"\s{0,2}".join(re.escape(part) for part in name))


@lru_cache(maxsize=10_000)
def mask_label(text: str) -> str:
    """Return a short text that comes again and again (a unit's name, a place, a category) masked: there no long number belongs."""
    return _LONG_NUMBER.sub(NUMBER_MASK, mask(text))


def mask_place(text: str) -> str:
    """Return the text with houses, flats and village groups masked: they lead to a home."""
    return _NAMED.sub(NAME_MASK, _GROUP.sub(PLACE_MASK, _HOUSE.sub(PLACE_MASK, text)))


def without_house(community: str) -> str:
    """Return a community's name without what leads to a house or a home in it; empty where nothing else is said."""
    found = _HOUSE.search(community)
    return community[: found.start()].rstrip() if found else community


def fold_digits(text: str, *, numerals: bool = True) -> tuple[str, list[int]]:
    """Return the text with disguised digits made plain, and for each character of it the offset in the original."""
    folded: list[str] = []
    offsets: list[int] = []
    for offset, character in enumerate(text):
        plain = _NUMERALS.get(character) if numerals else None
        if plain is None:
            plain = character if character.isascii() else unicodedata.normalize("NFKC", character)
            if not character.isascii() and unicodedata.category(character) in ("Cf", "Mn", "Me"):
                continue
        for part in plain:
            folded.append(part)
            offsets.append(offset)
    return "".join(folded), offsets


def _mask_numbers(text: str) -> str:
    # First with Chinese numerals as words: in 张三199… and …1234一直占线 they are no part of the number beside them.
    for numerals in (False, True):
        text = _mask_folded(text, *fold_digits(text, numerals=numerals))
    return text


def _mask_folded(text: str, folded: str, offsets: list[int]) -> str:
    spans: list[tuple[int, int, str]] = []
    for pattern, name, holds in (
        (_ID18, ID_MASK, _is_id_number),
        (_MOBILE, PHONE_MASK, None),
        (_ID15, ID_MASK, _is_old_id_number),
        (_CARD, NUMBER_MASK, None),
        (_LANDLINE, PHONE_MASK, None),
        (_HOTLINE, PHONE_MASK, None),
    ):
        for match in pattern.finditer(folded):
            start, end = match.span()
            if holds is not None and not holds(match.group()):
                continue
            if all(end <= taken_start or start >= taken_end for taken_start, taken_end, _ in spans):
                spans.append((start, end, name))
    for start, end, name in sorted(spans, reverse=True):
        text = text[: offsets[start]] + name + text[offsets[end - 1] + 1 :]
    return text


def _is_id_number(found: str) -> bool:
    plain = re.sub(r"[^0-9Xx]", "", found).upper()
    total = sum(int(digit) * weight for digit, weight in zip(plain, _ID_WEIGHTS, strict=False))
    return plain[17] == _ID_CHECKS[total % 11] or _is_birth_date(plain[6:14])


def _is_old_id_number(found: str) -> bool:
    return _is_birth_date("19" + re.sub(r"\D", "", found)[6:12])


def _is_birth_date(text: str) -> bool:
    year, month, day = int(text[:4]), int(text[4:6]), int(text[6:])
    return 1900 <= year <= 2100 and 1 <= month <= 12 and 1 <= day <= 31
