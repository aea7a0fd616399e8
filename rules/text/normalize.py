"""One plain form of a text for matching, with a map back to the original's offsets.

NFKC, traditional to simplified (OpenCC's characters), lower case; format characters and the blanks between Chinese characters are dropped, a
character that comes three times or more in a row stands once. One character of the original may become several (㎏) or none (a zero-width
space): `Plain.original` says which of them a span came from. Linear in the text's length.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import opencc

MAX_CHARACTERS = 20_000
"""What is screened of a text; a ticket's own words are a few hundred characters long."""

_BLANKS = re.compile(r"[ \t\r\f\v]+")
_RUN = re.compile(r"([^0-9])\1{2,}")
_PUNCTUATION = tuple(zip("，！？：；（）～", ",!?:;()~", strict=True))
_BREAKS = re.compile(r"\n{2,}")


@dataclass(frozen=True, slots=True)
class Plain:
    """A text's plain form. Where `pieces` is empty, both have the same offsets."""

    text: str
    pieces: tuple[tuple[int, int], ...] = ()
    """where the shift between the two changes: (offset in the plain form, offset in the original)"""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the original that a span of the plain form came from."""
        if not self.pieces or start >= end:
            return start, end
        return self._back(start), self._back(end - 1) + 1

    def _back(self, offset: int) -> int:
        plain, original = self.pieces[bisect_right(self.pieces, (offset, 1 << 60)) - 1]
        return original + offset - plain


def normalize(text: str) -> Plain:
    """Return the plain form of at most `MAX_CHARACTERS` of the text."""
    text = text[:MAX_CHARACTERS]
    table, changing, uneven = _table(), _changing(), _uneven()
    if not (_BLANKS.search(text) or _RUN.search(text) or "\n\n" in text or uneven.search(text)):
        return Plain(_each(text, table, changing))
    pieces: list[str] = []
    marks: list[tuple[int, int]] = []
    done = written = 0
    for start, end, instead in _changes(text, table, uneven):
        if start < done:
            continue
        if start > done:
            marks.append((written, done))
            pieces.append(_each(text[done:start], table, changing))
            written += start - done
        for part in instead:  # every character that comes of it points to where it came from
            marks.append((written, start))
            pieces.append(part)
            written += 1
        done = end
    if done < len(text):
        marks.append((written, done))
        pieces.append(_each(text[done:], table, changing))
    return Plain("".join(pieces), tuple(marks))


def _each(text: str, table: dict[int, str], changing: re.Pattern[str]) -> str:
    """Return a text whose characters become one each. Most need no more than their punctuation made plain; the table costs ten times as much."""
    quick = text.lower()
    for wide, narrow in _PUNCTUATION:
        if wide in quick:
            quick = quick.replace(wide, narrow)
    return text.translate(table) if changing.search(quick) else quick


def _changes(text: str, table: dict[int, str], uneven: re.Pattern[str]) -> list[tuple[int, int, str]]:
    """Return what does not become one character for one: start, end, and what stands there instead."""
    found = [(one.start(), one.end(), table.get(ord(one.group()), "")) for one in uneven.finditer(text)]
    for blank in _BLANKS.finditer(text):
        start, end = blank.span()
        between_letters = start > 0 and end < len(text) and text[start - 1].isascii() and text[end].isascii()
        found.append((start, end, " " if between_letters else ""))
    found += [(one.start(), one.end(), table.get(ord(one.group(1)), one.group(1))[:1]) for one in _RUN.finditer(text)]
    found += [(one.start(), one.end(), "\n") for one in _BREAKS.finditer(text)]
    return sorted(found)


@cache
def _table() -> dict[int, str]:
    """Return for each character that has another plain form what it becomes ("" for none)."""
    table: dict[int, str] = {}
    simplified = _simplified()
    for code in (*range(0x00A0, 0x3400), *range(0xF900, 0xFB00), *range(0xFE00, 0x10000), *range(0x1D400, 0x1D800)):
        character = chr(code)
        if character == "…":
            continue
        if unicodedata.category(character) in ("Cf", "Mn", "Me", "Cc", "Cs", "Co"):
            table[code] = ""
            continue
        plain = unicodedata.normalize("NFKC", character).lower()
        if plain != character:
            table[code] = "".join(simplified.get(part, part) for part in plain)
    for code in (*range(0x20), 0x7F, *range(0xD800, 0xE000), *range(0xE0000, 0xE01F0)):
        if code not in (0x09, 0x0A, 0x0B, 0x0C, 0x0D):
            table[code] = ""
    table |= {ord(character): character.lower() for character in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    table |= {ord(character): plain for character, plain in simplified.items()}
    return table


@cache
def _simplified() -> dict[str, str]:
    converter = opencc.OpenCC("t2s")
    characters = [chr(code) for code in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))]
    # One character a line: a phrase of two must not be turned as a whole.
    plain = converter.convert("\n".join(characters)).split("\n")
    return {one: other for one, other in zip(characters, plain, strict=True) if one != other and len(other) == 1}


@cache
def _uneven() -> re.Pattern[str]:
    """Return what finds the characters that do not become exactly one."""
    return _class_of(code for code, plain in _table().items() if len(plain) != 1)


@cache
def _changing() -> re.Pattern[str]:
    """Return what finds the characters that become another."""
    return _class_of(_table())


def _class_of(codes: Iterable[int]) -> re.Pattern[str]:
    ranges: list[list[int]] = []
    for code in sorted(codes):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return re.compile("[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges) + "]")
