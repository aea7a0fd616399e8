"""One plain form of a text for matching, with a map back to the original's offsets.

NFKC, traditional to simplified (OpenCC's characters), lower case; format characters and the blanks between Chinese characters are dropped,
a character that comes three times or more in a row stands once. One character of the original may become several (㎏) or none (a
zero-width space): `Plain.original` says which of them a span came from. Linear in the text's length; characters are numbers in one array,
so that a text costs a few array operations.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import opencc
from numpy.typing import NDArray

MAX_CHARACTERS = 20_000
"""What is screened of a text; a ticket's own words are a few hundred characters long."""

Codes = NDArray[np.uint32]

_KNOWN = 0x20000
"""characters from here on are rare ideographs, kept as they are, and tags, dropped"""
_DROPPED, _BLANK, _BREAK = 0, 0x20, 0x0A
_SEVERAL = 0x110000
"""numbers from here on stand for a text of several characters"""
_MORE = np.uint32(1 << 30)
_END, _FORMAT, _END_CODE = "\x01", "\x02", 1
"""what separates texts that are made plain together: a control character, which a text has no use for"""


@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """A text's plain form. Where `origins` is None, both have the same offsets."""

    text: str
    codes: Codes
    """the code points of `text`"""
    origins: NDArray[np.intp] | None = None
    """for each character of the plain form its offset in the original"""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the original that a span of the plain form came from."""
        if self.origins is None or start >= end:
            return start, end
        return int(self.origins[start]), int(self.origins[end - 1]) + 1


def normalize(text: str) -> Plain:
    """Return the plain form of at most `MAX_CHARACTERS` of the text."""
    return normalize_all((text,))[0]


def normalize_all(texts: Sequence[str]) -> list[Plain]:
    """Return the plain form of each text: all in the same few array operations."""
    cut = [text[:MAX_CHARACTERS].replace(_END, _FORMAT) for text in texts]
    joined = _END.join(cut)
    table = _table()
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    if not len(codes):
        return [Plain("", codes) for _ in texts]
    plain = table.simple.take(codes, mode="clip")
    same = plain[1:] == plain[:-1]
    origins = None
    if plain.max() >= _MORE or "\n\n" in joined or (same[1:] & same[:-1]).any():
        plain, origins = _plainer(plain & (_MORE - 1), codes, table.several)
    text = plain.tobytes().decode("utf-32-le")
    found: list[Plain] = []
    start = begins = 0
    for original, end in zip(cut, [*(plain == _END_CODE).nonzero()[0].tolist(), len(plain)], strict=True):
        places = None if origins is None else origins[start:end] - begins
        found.append(Plain(text[start:end], plain[start:end], places))
        start, begins = end + 1, begins + len(original) + 1
    return found


def _plainer(plain: Codes, codes: Codes, several: tuple[str, ...]) -> tuple[Codes, NDArray[np.intp]]:
    """Return the characters that stay, and their offsets in the original."""
    if codes.max() >= _KNOWN:
        plain = np.where(codes >= 0xE0000, _DROPPED, np.where(codes >= _KNOWN, codes, plain)).astype(np.uint32)
    origins = _spoken(plain).nonzero()[0]
    plain = plain[origins]
    once = _first_of_runs(plain).nonzero()[0]
    plain, origins = plain[once], origins[once]
    return _expanded(plain, origins, several) if plain.max(initial=0) >= _SEVERAL else (plain, origins)


def _spoken(plain: Codes) -> NDArray[np.bool_]:
    """Return which characters say anything; of blanks, one between two Latin letters or digits."""
    kept: NDArray[np.bool_] = plain != _DROPPED
    blanks = (plain == _BLANK).nonzero()[0]
    if len(blanks):
        kept[blanks] = False
        apart = blanks[1:] != blanks[:-1] + 1
        starts = blanks[np.concatenate(([True], apart))]
        ends = blanks[np.concatenate((apart, [True]))] + 1
        inner = (starts > 0) & (ends < len(plain))
        starts, ends = starts[inner], ends[inner]
        kept[starts[_latin(plain[starts - 1]) & _latin(plain[ends])]] = True
    return kept


def _latin(characters: Codes) -> NDArray[np.bool_]:
    """Return which are digits or small Latin letters."""
    found: NDArray[np.bool_] = (characters - 0x30 < 10) | (characters - 0x61 < 26)  # below zero is very large here
    return found


def _first_of_runs(plain: Codes) -> NDArray[np.bool_]:
    """Return which characters stay where one that comes three times or more in a row, a line break twice, stands once."""
    kept = np.ones(len(plain), dtype=np.bool_)
    twice = (plain[1:] == plain[:-1]).nonzero()[0]
    if len(twice):
        characters = plain[twice]
        again = (twice[1:] == twice[:-1] + 1) & ((characters[1:] < 0x30) | (characters[1:] > 0x39))
        again &= characters[1:] != _END_CODE
        kept[twice[:-1][again] + 1] = False
        kept[twice[1:][again] + 1] = False
        kept[twice[characters == _BREAK] + 1] = False
    return kept


def _expanded(plain: Codes, origins: NDArray[np.intp], several: tuple[str, ...]) -> tuple[Codes, NDArray[np.intp]]:
    """Return the same with what stands for several characters written out; each of them points to where it came from."""
    parts: list[str] = []
    lengths = np.ones(len(plain), dtype=np.intp)
    done = 0
    for place in np.flatnonzero(plain >= _SEVERAL).tolist():
        instead = several[int(plain[place]) - _SEVERAL]
        parts += (plain[done:place].tobytes().decode("utf-32-le"), instead)
        lengths[place] = len(instead)
        done = place + 1
    parts.append(plain[done:].tobytes().decode("utf-32-le"))
    written = np.frombuffer("".join(parts).encode("utf-32-le"), dtype=np.uint32)
    return written, np.repeat(origins, lengths)


@dataclass(frozen=True, slots=True)
class _Table:
    simple: Codes
    """code point → what it becomes: one character, nothing, or a number for several; with `_MORE` added where that is not all to be done"""
    several: tuple[str, ...]


@cache
def _table() -> _Table:
    simple = np.arange(_KNOWN, dtype=np.uint32)
    several: list[str] = []
    simplified = _simplified()
    for code in (*range(0x00A0, 0x3400), *range(0xF900, 0xFB00), *range(0xFE00, 0x10000), *range(0x1D400, 0x1D800)):
        character = chr(code)
        if character == "…":
            continue
        if unicodedata.category(character) in ("Cf", "Mn", "Me", "Cc", "Cs", "Co"):
            simple[code] = _DROPPED
            continue
        plain = "".join(simplified.get(part, part) for part in unicodedata.normalize("NFKC", character).lower())
        if len(plain) == 1:
            simple[code] = ord(plain)
        else:
            plain = plain.replace(" ", "")
            simple[code] = _SEVERAL + len(several) if len(plain) > 1 else ord(plain) if plain else _DROPPED
            several += [plain] if len(plain) > 1 else []
    simple[0xD800:0xE000] = _DROPPED
    simple[0:0x20] = _DROPPED
    simple[0x7F:0xA0] = _DROPPED
    simple[_BREAK] = _BREAK
    simple[_END_CODE] = _END_CODE
    simple[[0x09, 0x0B, 0x0C, 0x0D, 0x3000, 0xA0]] = _BLANK
    simple[ord("A") : ord("Z") + 1] += 0x20
    for character, plain in simplified.items():
        simple[ord(character)] = ord(plain)
    special = (simple == _DROPPED) | (simple == _BLANK) | (simple >= _SEVERAL)
    special[-1] = True  # all that lies beyond the table
    simple[special] += _MORE
    return _Table(simple, tuple(several))


@cache
def _simplified() -> dict[str, str]:
    converter = opencc.OpenCC("t2s")
    characters = [chr(code) for code in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))]
    # One character a line: a phrase of two must not be turned as a whole.
    plain = converter.convert("\n".join(characters)).split("\n")
    return {one: other for one, other in zip(characters, plain, strict=True) if one != other and len(other) == 1}
