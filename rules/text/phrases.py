"""Cues as analysts write them: plain words, or parts with gaps between them.

    吃拿卡要                      the words themselves
    收…红包                       a gap of up to eight characters, none of them punctuation
    给/送/塞…{official}…钱/红包    alternatives; {official} stands for any word of that list in words.yaml

Blanks around a part do not count. Matching is by one scan for all literals and then by position: time grows with the text, not with the
number of cues.
"""

import re
from dataclasses import dataclass

from rules.text.normalize import normalize

GAP = 8
_LIST = re.compile(r"\{([a-z_]+)\}")
_FORBIDDEN = re.compile(r"[\s。!?;,:]")


class PhraseError(ValueError):
    """A cue that cannot be taken, and why."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A cue: parts in their order, each a set of alternatives; a part that names a list has that name alone in `lists`."""

    source: str
    parts: tuple[tuple[str, ...], ...]
    lists: tuple[str | None, ...]

    @property
    def plain(self) -> bool:
        """Return whether it is words alone, without a gap or a list."""
        return len(self.parts) == 1 and self.lists[0] is None


def parse_phrase(source: str, lists: frozenset[str]) -> Phrase:
    """Return the cue. Raises PhraseError; `lists` are the names that braces may hold."""
    parts: list[tuple[str, ...]] = []
    names: list[str | None] = []
    for piece in source.replace("...", "…").split("…"):
        part = piece.strip()
        found = _LIST.fullmatch(part)
        if found:
            if found.group(1) not in lists:
                raise PhraseError(f"{source!r}: no list {found.group(1)!r} in words.yaml")
            parts.append(())
            names.append(found.group(1))
            continue
        words = tuple(dict.fromkeys(normalize(word.strip()).text for word in part.split("/")))
        if not all(words) or any("{" in word or "}" in word for word in words):
            raise PhraseError(f"{source!r}: an empty part, or braces that don't stand alone")
        for word in words:
            if _FORBIDDEN.search(word):
                raise PhraseError(f"{source!r}: a cue holds no blank and no punctuation")
        parts.append(words)
        names.append(None)
    if names[0] is not None:
        raise PhraseError(f"{source!r}: a cue begins with words, not with a list")
    if len(parts) == 1 and any(len(word) < 2 for word in parts[0]):
        raise PhraseError(f"{source!r}: a cue of one character would be found everywhere")
    return Phrase(source, tuple(parts), tuple(names))


def expand(words: tuple[str, ...], variants: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the words and how speech recognition or a hasty hand writes them."""
    found = dict.fromkeys(words)
    for word in words:
        for standard, others in variants.items():
            if standard in word:
                found |= dict.fromkeys(word.replace(standard, other) for other in others)
    return tuple(found)
