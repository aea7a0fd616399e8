"""What may be shown of a text that comes from anywhere: a name in a file, a cell, a line.

It may hold what moves a terminal's cursor, what turns the writing round, or half characters, which cannot be written at all.
"""

import re

# Controls, marks that turn the writing round, line and paragraph separators, half characters.
_DANGEROUS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def is_plain(text: str) -> bool:
    """Return whether a text can be shown as it is: one line, no controls, nothing that turns the writing round."""
    return text.isprintable() or _DANGEROUS.search(text) is None


def plain(text: str, *, kept: str = "") -> str:
    """Return a text of the same length that can be shown, whatever it was; `kept`: characters that may stay, such as line ends."""
    if text.isprintable():
        return text
    return _DANGEROUS.sub(lambda found: found.group() if found.group() in kept else _REPLACEMENT, text)


def escaped(text: str) -> str:
    """Return a line of JSON with what `plain` takes out of texts written as JSON's own escapes."""
    return text if text.isprintable() else _DANGEROUS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
