"""Checks the cues of a pack against each other, and against the dictionary. Pure; what a file says alone is checked when it is loaded.

Errors: a category of which no fact tells; a cue that is an accusing one and innocent at once (innocent words win, so it never counts);
a cue in two tiers of one category (the stronger wins, so the other never counts). Warnings: a cue twice in one list; a short cue
inside a frequent word.

The last one: a cue of at most three characters is also found inside a longer word (本家 in 资本家), and the boundary gate, which only
stops a cue that is cut out of two words, lets it pass. So each frequent word that holds such a cue must be known to its category: as
innocent, or as a longer cue of its own. Everyday words (weak) are left out: they count only where the second layer agrees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Literal, NamedTuple

import jieba

from models.strict_yaml import Document
from rules.text.boundaries import SHORT, inside_a_word
from rules.text.files import TextSection
from rules.text.lexicon import KINDS, Cue, Lexicon
from rules.text.scan import Hit

INNOCENT = "innocent"
_STRONGEST_FIRST = ("own_actor", "cues", "mild", "broad", "hints", "weak", INNOCENT)
FREQUENT = 500
"""times a word stands in the corpus behind jieba's dictionary (60 million words), from which it is a frequent one"""
_TOLD = 5
"""words that one warning names"""

Severity = Literal["error", "warning"]


class Problem(NamedTuple):
    """Something wrong with a pack's cues, and where."""

    severity: Severity
    source: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.problem}"


class Section(NamedTuple):
    """The cues of one category as its file says them."""

    rule_id: str
    text: TextSection
    document: Document


class _Placed(NamedTuple):
    """A cue, and where it stands in its file."""

    cue: Cue
    place: int
    document: Document

    @property
    def line(self) -> int:
        return self.document.line_of(("text", self.cue.kind, self.place))

    def problem(self, severity: Severity, problem: str) -> Problem:
        return Problem(severity, self.document.source, self.line, f"“{self.cue.source}” in {self.cue.kind}: {problem}")


def lint(
    sections: Iterable[Section], lexicon: Lexicon, known: Collection[str], frequencies: Mapping[str, int]
) -> list[Problem]:
    """Return everything wrong with the cues of a lexicon, by file and line.

    `known` are the categories that facts tell of; `frequencies` the frequent words (`frequent_words`).
    """
    problems = []
    for section in sections:
        if section.rule_id not in known:
            path = ("text",)
            problem = f"no fact tells of the category {section.rule_id}, so its cues never count: use one of {', '.join(known)}"
            problems.append(Problem("error", section.document.source, section.document.line_of(path), problem))
        placed = _placed(section, lexicon)
        problems += _contradictions(placed)
        problems += _inside_words(placed, lexicon, frequencies)
    return sorted(problems, key=lambda one: (one.source, one.line, one.problem))


def frequent_words(at_least: int = FREQUENT) -> dict[str, int]:
    """Return the words of jieba's dictionary that are that frequent, with how frequent they are."""
    with jieba.get_module_res("dict.txt") as stream:
        lines = stream.read().decode("utf-8").splitlines()
    pairs = (line.split(" ")[:2] for line in lines)
    return {word: int(count) for word, count in pairs if int(count) >= at_least}


def _placed(section: Section, lexicon: Lexicon) -> list[_Placed]:
    """Return a category's cues with their places, the strongest first. The lexicon holds them in the order of their file."""
    cues = [cue for cue in lexicon.cues if cue.category == section.rule_id and cue.pattern is None]
    places = [index for kind in KINDS for index in range(len(getattr(section.text, kind)))]
    placed = [_Placed(cue, place, section.document) for cue, place in zip(cues, places, strict=True)]
    return sorted(placed, key=lambda one: _STRONGEST_FIRST.index(one.cue.kind))


def _contradictions(placed: list[_Placed]) -> Iterator[Problem]:
    """Yield what is said twice of the same words. Cues are the same where a text fits both by the same words."""
    for one, other in _pairs(placed):
        shared = _shared(one.cue, other.cue)
        if shared is None:
            continue
        words = "" if shared == one.cue.source == other.cue.source else f" (both fit “{shared}”)"
        if one.cue.kind == other.cue.kind:
            if one.cue.parts == other.cue.parts:
                yield other.problem("warning", f"stands there already, on line {one.line}: take one away")
        elif other.cue.kind == INNOCENT:
            yield one.problem("error", f"is innocent too, on line {other.line}{words}, and never counts: take one away")
        else:
            yield other.problem("error", f"is in {one.cue.kind} too, on line {one.line}{words}: take one away")


def _pairs(placed: list[_Placed]) -> Iterator[tuple[_Placed, _Placed]]:
    """Yield the cues that begin with the same words, each pair once, the stronger first: others cannot be the same."""
    by_words: dict[tuple[int, str], list[int]] = {}
    for number, one in enumerate(placed):
        for word in one.cue.parts[0] or ():  # a cue begins with words
            by_words.setdefault((len(one.cue.parts), word), []).append(number)
    pairs = {pair for numbers in by_words.values() for pair in combinations(sorted(set(numbers)), 2)}
    for first, second in sorted(pairs):
        yield placed[first], placed[second]


def _shared(one: Cue, other: Cue) -> str | None:
    """Return words that fit both cues, or None. A part None stands for the officials."""
    words = []
    for part, its in zip(one.parts, other.parts, strict=True):
        if part is None or its is None:
            if part is not its:
                return None
            words.append("{official}")
            continue
        both = [word for word in part if word in its]
        if not both:
            return None
        words.append(both[0])
    return "…".join(words)


def _inside_words(placed: list[_Placed], lexicon: Lexicon, frequencies: Mapping[str, int]) -> Iterator[Problem]:
    literals = {word: one for one in reversed(placed) if len(one.cue.parts) == 1 for word in one.cue.parts[0] or ()}
    short = {
        word: one for word, one in literals.items() if len(word) <= SHORT and one.cue.kind not in (INNOCENT, "weak")
    }
    found: dict[str, list[str]] = {}
    for frequent in frequencies:
        for start, cue in _cues_in(frequent, short):
            hit = Hit(start, start + len(cue), short[cue].cue.category, short[cue].cue.kind, cue)
            if not _covered(frequent, hit, literals) and not inside_a_word(frequent, hit, lexicon.boundary_characters):
                found.setdefault(cue, []).append(frequent)
    for cue, words in found.items():
        told = "、".join(sorted(words, key=lambda word: -frequencies[word])[:_TOLD])
        yield short[cue].problem(
            "warning",
            f"is found in frequent words too ({told}): add them to `innocent`, or as cues where they are meant",
        )


def _cues_in(word: str, short: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield the short cues inside a longer word, with their places."""
    for length in range(1, min(SHORT, len(word) - 1) + 1):
        for start in range(len(word) - length + 1):
            if word[start : start + length] in short:
                yield start, word[start : start + length]


def _covered(word: str, hit: Hit, literals: Mapping[str, _Placed]) -> bool:
    """Tell whether another cue of the category takes the hit's place: a longer one, or an innocent one as long."""
    length = hit.end - hit.start
    for size in range(length, len(word) + 1):
        for start in range(max(0, hit.start - size + 1), min(hit.end, len(word) - size + 1)):
            other = literals.get(word[start : start + size])
            if other is not None and (size > length or other.cue.kind == INNOCENT):
                return True
    return False
