"""The scan: where cues stand in a text, the longest first."""

from __future__ import annotations

from typing import NamedTuple

from rules.text.context import Context
from rules.text.lexicon import Cue
from rules.text.phrases import GAP

MAX_HITS = 200
"""hits looked at in one text; what a text of thousands of cues says is said by the first of them"""

MAX_PATTERN_TRIES = 20
BEFORE, AFTER = 40, 60
"""how far around its words a pattern looks"""

_BREAKS = frozenset("。!?;,:、\n")
_RANK = {"innocent": 0, "own_actor": 1, "cues": 2, "mild": 2, "pattern": 3, "broad": 3, "hints": 4, "weak": 5}

Place = tuple[int, int]


class Hit(NamedTuple):
    """A cue in the plain form of a text."""

    start: int
    end: int
    category: str
    kind: str
    source: str


def find_cues(context: Context) -> list[Hit]:
    """Return the cues in the text, each category's longest where they overlap, in the order of their places."""
    lexicon, text = context.lexicon, context.text
    groups: dict[int, list[Place]] = {}
    for last, (length, numbers) in lexicon.literals.iter(text):
        place = (last + 1 - length, last + 1)
        for number in numbers:
            known = groups.get(number)
            if known is None:
                groups[number] = [place]
            elif len(known) < MAX_HITS:
                known.append(place)
    found: list[Hit] = []
    for opener in groups.keys() & lexicon.openers.keys():
        for index in lexicon.openers[opener]:
            cue = lexicon.cues[index]
            if cue.pattern is not None:
                found += _around(text, cue, groups[opener])
            elif len(cue.groups) == 1:
                found += [Hit(start, end, cue.category, cue.kind, cue.source) for start, end in groups[opener]]
            elif all(number is None or number in groups for number in cue.groups):
                found += _chained(context, cue, groups)
    return _longest(found) if found else found


def _around(text: str, cue: Cue, places: list[Place]) -> list[Hit]:
    """Return what a pattern finds around its words."""
    hits = []
    for start, end in places[:MAX_PATTERN_TRIES]:
        first = max(0, start - BEFORE)
        match = cue.pattern.search(text[first : end + AFTER])
        if match is not None:
            hits.append(Hit(first + match.start(), first + match.end(), cue.category, cue.kind, cue.source))
    return hits


def _chained(context: Context, cue: Cue, groups: dict[int, list[Place]]) -> list[Hit]:
    """Return where a cue's parts follow each other, no gap being longer than `GAP` or crossing punctuation."""
    hits = []
    for start, end in groups[cue.groups[0]]:  # type: ignore[index]  # a cue begins with words
        for number in cue.groups[1:]:
            places = (
                groups[number]
                if number is not None
                else [(word.start, word.end) for kind in ("official", "collective", "generic") for word in context.words(kind)]
            )
            following = [place for place in places if end <= place[0] <= end + GAP]
            if not following:
                break
            nearest = min(following, key=lambda place: (place[0], -place[1]))
            if not _BREAKS.isdisjoint(context.text[end : nearest[0]]):
                break
            end = nearest[1]
        else:
            hits.append(Hit(start, end, cue.category, cue.kind, cue.source))
    return hits


def _longest(found: list[Hit]) -> list[Hit]:
    """Of a category's hits that overlap keep the longest; words that make a cue innocent take it away."""
    found.sort(key=lambda hit: (hit.start - hit.end, _RANK[hit.kind], hit.start, hit.source))
    kept: list[Hit] = []
    taken: dict[str, bytearray] = {}
    length = max(hit.end for hit in found)
    for hit in found[: 20 * MAX_HITS]:
        mask = taken.setdefault(hit.category, bytearray(length))
        if not any(mask[hit.start : hit.end]):
            mask[hit.start : hit.end] = b"\1" * (hit.end - hit.start)
            if hit.kind != "innocent":
                kept.append(hit)
    return sorted(kept)[:MAX_HITS]
