"""Text from an alert as it may stand in a chat message: nothing in it is markup, mentions anybody or leads anywhere.

The robots' dialects of Markdown escape differently, or not at all; so what could be markup is replaced by its full-width
form, which people read alike. A dot within what clients would make a link of becomes a middle dot.
"""

import re
import unicodedata

_MARKUP = "<>[](){}*_`~#@|!\\&\"'$^"
_FULL_WIDTH = {ord(one): chr(ord(one) + 0xFEE0) for one in _MARKUP}
# Other dots that a client may take for the dot of a host's name.
_DOTS = {0xFF0E: "·", 0xFF61: "·", 0x2024: "·"}
_TABLE = _FULL_WIDTH | _DOTS
_HOST_DOT = re.compile(r"(?<=\w)\.(?=[^\W\d_]{2})")
_ADDRESS = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", re.ASCII)
_SLASHES = "\uff0f\uff0f"
_ELLIPSIS = "…"


def plain(text: str) -> str:
    """Return the text on one line, with nothing in it that a chat client would act on."""
    kept = "".join(_one(character) for character in text)
    told = " ".join(kept.split()).translate(_TABLE).replace("//", _SLASHES)
    told = _HOST_DOT.sub("·", told)
    return _ADDRESS.sub(lambda match: match.group().replace(".", "·"), told)


def _one(character: str) -> str:
    if character.isspace():
        return " "
    # Control, format (direction, zero width), private and unassigned characters; separators of lines.
    kind = unicodedata.category(character)
    return "" if kind[0] == "C" else " " if kind[0] == "Z" else character


def clip(text: str, bytes_max: int) -> str:
    """Return the text in at most so many bytes of UTF-8, no character split, with an ellipsis where it was cut.
    Precondition: `bytes_max` is at least 3.
    """
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    return encoded[: bytes_max - len(_ELLIPSIS.encode())].decode(errors="ignore") + _ELLIPSIS
