"""A text and what surrounds its cues: sentences, clauses, and the words that decide what a cue means. Found only when somebody asks."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import NamedTuple

from rules.text.lexicon import ACTORS, Lexicon
from rules.text.normalize import Plain

MAX_WORDS = 20_000
_MANY = 12
_Raw = tuple[int, int, str]
_ACTORS = frozenset(ACTORS)
_RANK = {name: rank for rank, name in enumerate(ACTORS)}
_SENTENCE_END = re.compile(r"[。!?;\n…]")
_CLAUSE_END = re.compile(r"[。!?;\n…,:、]")


class Word(NamedTuple):
    """A word of words.yaml in the plain text."""

    start: int
    end: int
    kind: str


class Span(NamedTuple):
    """A piece of the plain text."""

    start: int
    end: int


class Context:
    """One text, in its plain form, read by one lexicon."""

    def __init__(self, lexicon: Lexicon, plain: Plain) -> None:
        self.lexicon = lexicon
        self.plain = plain
        self.text = plain.text

    @cached_property
    def _words(self) -> dict[str, list[_Raw]]:
        """The words of the text by list, each list in order; of actors that overlap, the longest alone: 小区里 is no 区里."""
        found: dict[str, list[_Raw]] = {}
        actors: list[_Raw] = []
        values = self.lexicon.words.values
        for index, start, end in self.lexicon.words.matches(self.text)[:MAX_WORDS]:
            for name in values[index]:
                if name in _ACTORS:
                    actors.append((start, end, name))
                elif name in found:
                    found[name].append((start, end, name))
                else:
                    found[name] = [(start, end, name)]
        if actors:
            _settle(found, actors, len(self.text))
        return found

    def words(self, kind: str) -> list[Word]:
        """Return the words of a list in the whole text, in their order; `actors` are all actors together."""
        return self.within(kind, 0, len(self.text))

    def within(self, kind: str, start: int, end: int) -> list[Word]:
        """Return the words of a list that lie in a span."""
        words = self._words.get(kind)
        if not words:
            return []
        if len(words) >= _MANY:
            first = bisect_left(words, (start,))
            words = words[first : bisect_left(words, (end,), first)]
        return [Word(*word) for word in words if word[0] >= start and word[1] <= end]

    def any_within(self, kind: str, start: int, end: int) -> bool:
        """Tell whether a word of a list lies in a span."""
        words = self._words.get(kind)
        if not words:
            return False
        if len(words) >= _MANY:
            return bool(self.within(kind, start, end))
        return any(first >= start and last <= end for first, last, _ in words)

    @cached_property
    def whole(self) -> dict[str, Word]:
        """Return of the lists that count wherever they stand the first word in the text."""
        found: dict[str, Word] = {}
        for index, start, end in self.lexicon.whole.matches(self.text):
            for name in self.lexicon.whole.values[index]:
                found.setdefault(name, Word(start, end, name))
        return found

    @cached_property
    def _sentences(self) -> tuple[list[int], list[Span]]:
        return _spans(_SENTENCE_END, self.text)

    @cached_property
    def _clauses(self) -> tuple[list[int], list[Span]]:
        return _spans(_CLAUSE_END, self.text)

    def sentence(self, at: int) -> Span:
        """Return the sentence around a place."""
        ends, spans = self._sentences
        return spans[bisect_right(ends, at)]

    def clause(self, at: int) -> Span:
        """Return the clause around a place."""
        ends, spans = self._clauses
        return spans[bisect_right(ends, at)]

    @property
    def opening(self) -> Span:
        """Return the first sentence."""
        return self._sentences[1][0]


def _spans(mark: re.Pattern[str], text: str) -> tuple[list[int], list[Span]]:
    """Return where the pieces of a text end, and the pieces, the last one with no mark after it included."""
    ends = [match.end() for match in mark.finditer(text)]
    return ends, [Span(start, end) for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def _settle(found: dict[str, list[_Raw]], actors: list[_Raw], size: int) -> None:
    """Keep of actors that overlap the longest, and drop what stands inside a word that means another thing."""
    actors.sort(key=_longest_first)
    taken, hidden = bytearray(size), False
    kept: list[_Raw] = []
    for word in actors:
        first, last, kind = word
        if not (taken[first] or taken[last - 1] or any(taken[first:last])):
            mark = 2 if kind == "no_actor" else 1
            taken[first:last] = bytes([mark]) * (last - first)
            hidden = hidden or mark == 2
            kept.append(word)
    kept.sort()
    if hidden:
        for name, words in found.items():
            found[name] = [
                word for word in words if taken[word[0]] != 2 or any(one != 2 for one in taken[word[0] : word[1]])
            ]
    for word in kept:
        found.setdefault(word[2], []).append(word)
    found["actors"] = [word for word in kept if word[2] != "no_actor"]


def _longest_first(word: _Raw) -> tuple[int, int, int]:
    return word[0] - word[1], word[0], _RANK[word[2]]
