"""The scan: where cues stand in a text, the longest first."""

from __future__ import annotations

from typing import NamedTuple

from rules.text.context import Context
from rules.text.lexicon import Cue
from rules.text.phrases import GAP

MAX_HITS = 100
"""hits looked at in one text; what a text of thousands of cues says is said by the first of them"""

MAX_FOUND = 4_000
BEFORE, AFTER = 40, 60
"""how far around its words a pattern looks"""

_BREAKS = frozenset("。!?;,:、\n")
_RANK = {"innocent": 0, "own_actor": 1, "cues": 2, "mild": 2, "pattern": 3, "broad": 3, "hints": 4, "weak": 5}

_OFFICIAL = frozenset({"official", "generic", "collective"})


class Hit(NamedTuple):
    """A cue in the plain form of a text."""

    start: int
    end: int
    category: str
    kind: str
    source: str


def find_cues(context: Context) -> list[Hit]:
    """Return the cues in the text, each category's longest where they overlap, in the order of their places."""
    text, lexicon = context.text, context.lexicon
    found: list[Hit] = []
    reach, values = lexicon.reach, lexicon.anchors.values
    for index, start, end in lexicon.anchors.matches(text):
        plain, chained = values[index]
        found += [Hit(start, end, cue.category, cue.kind, cue.source) for cue in plain]
        if not chained:
            continue
        near = text[max(0, start - reach) : end + reach]
        for cue in chained:
            for need in cue.needs:  # most cues with gaps end here: a part of theirs stands nowhere near
                if not any(word in near for word in need):
                    break
            else:
                hit = _chained(context, cue, start, end)
                if hit is not None and cue.pattern is not None:
                    hit = _around(text, cue, hit.start, hit.end)
                if hit is not None:
                    found.append(hit)
        if len(found) > MAX_FOUND:
            break
    return _longest(found) if found else found


def _around(text: str, cue: Cue, start: int, end: int) -> Hit | None:
    """Return what a pattern finds around its words."""
    first = max(0, start - BEFORE)
    match = cue.pattern.search(text[first : end + AFTER])
    return Hit(first + match.start(), first + match.end(), cue.category, cue.kind, cue.source) if match else None


def _chained(context: Context, cue: Cue, start: int, end: int) -> Hit | None:
    """Return a cue whose parts follow each other around its anchor, no gap being longer than `GAP` or crossing punctuation."""
    text, parts, anchor = context.text, cue.parts, cue.anchor
    for part in reversed(parts[:anchor]):
        found = _before(text, part or (), start)
        if found is None:
            return None
        start = found
    for part in parts[anchor + 1 :]:
        found = _after(text, part, end) if part is not None else _official_after(context, end)
        if found is None:
            return None
        end = found
    return Hit(start, end, cue.category, cue.kind, cue.source)


def _before(text: str, part: tuple[str, ...], start: int) -> int | None:
    """Return where the nearest of some words begins before a place."""
    nearest = -1
    for word in part:
        nearest = max(nearest, text.rfind(word, max(0, start - GAP - len(word)), start))
    if nearest < 0:
        return None
    return nearest if _BREAKS.isdisjoint(text[nearest:start]) else None


def _after(text: str, part: tuple[str, ...], end: int) -> int | None:
    """Return where the nearest of some words ends after a place."""
    nearest, length = len(text), 0
    for word in part:
        at = text.find(word, end, end + GAP + len(word))
        if 0 <= at < nearest or (at == nearest and len(word) > length):
            nearest, length = at, len(word)
    return nearest + length if length and _BREAKS.isdisjoint(text[end:nearest]) else None


def _official_after(context: Context, end: int) -> int | None:
    """Return where the nearest official ends after a place."""
    found = [word for word in context.within("actors", end, end + 2 * GAP) if word.kind in _OFFICIAL]
    if not found or found[0].start > end + GAP or not _BREAKS.isdisjoint(context.text[end : found[0].start]):
        return None
    return found[0].end


def _longest(found: list[Hit]) -> list[Hit]:
    """Of a category's hits that overlap keep the longest; words that make a cue innocent are kept in its place."""
    found.sort(key=lambda hit: (hit.start - hit.end, _RANK[hit.kind], hit.start, hit.source))
    kept: list[Hit] = []
    taken: dict[str, bytearray] = {}
    length = max(hit.end for hit in found)
    for hit in found[: 40 * MAX_HITS]:
        mask = taken.setdefault(hit.category, bytearray(length))
        if not any(mask[hit.start : hit.end]):
            mask[hit.start : hit.end] = b"\1" * (hit.end - hit.start)
            kept.append(hit)
    return sorted(kept)[:MAX_HITS]
