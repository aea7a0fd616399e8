"""A text and what surrounds its cues: sentences, clauses, and the words that decide what a cue means. Found only when somebody asks."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from typing import NamedTuple

from rules.text.lexicon import ACTORS, Lexicon
from rules.text.normalize import Plain

MAX_WORDS = 2_000
"""of one sentence"""
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
        self._sentences: dict[int, dict[str, list[Word]]] = {}
        self._everywhere: dict[str, list[Word]] = {}

    def _read(self, index: int) -> dict[str, list[Word]]:
        """Return the words of one sentence by list; of actors that overlap, the longest alone: 小区里 is no 区里."""
        known = self._sentences.get(index)
        if known is not None:
            return known
        ends = self._sentence_ends
        start = ends[index - 1] if index else 0
        end = ends[index] if index < len(ends) else len(self.text)
        found: dict[str, list[Word]] = {}
        actors: list[Word] = []
        for number, (first, last, names) in enumerate(self.lexicon.words.iter(self.text[start:end])):
            if number >= MAX_WORDS:
                break
            for name in names:
                word = Word(start + first, start + last, name)
                if name in _ACTORS:
                    actors.append(word)
                else:
                    found.setdefault(name, []).append(word)
        _settle(found, actors, start, end)
        self._sentences[index] = found
        return found

    def words(self, kind: str) -> list[Word]:
        """Return the words of a list in the whole text, in their order; `actors` are all actors together."""
        known = self._everywhere.get(kind)
        if known is None:
            known = self._everywhere[kind] = self.within(kind, 0, len(self.text))
        return known

    def within(self, kind: str, start: int, end: int) -> list[Word]:
        """Return the words of a list that lie in a span."""
        if start >= end:
            return []
        ends = self._sentence_ends
        first, last = bisect_right(ends, start), bisect_right(ends, end - 1)
        if first == last:
            there = self._read(first).get(kind)
            return [word for word in there if word.start >= start and word.end <= end] if there else []
        return [
            word
            for index in range(first, last + 1)
            for word in self._read(index).get(kind, ())
            if word.start >= start and word.end <= end
        ]

    @cached_property
    def whole(self) -> dict[str, Word]:
        """Return of the lists that count wherever they stand the first word in the text."""
        found: dict[str, Word] = {}
        for start, end, names in self.lexicon.whole.iter(self.text):
            for name in names:
                found.setdefault(name, Word(start, end, name))
        return found

    def any_within(self, kind: str, start: int, end: int) -> bool:
        """Tell whether a word of a list lies in a span."""
        return bool(self.within(kind, start, end))

    @cached_property
    def _sentence_ends(self) -> list[int]:
        return [match.end() for match in _SENTENCE_END.finditer(self.text)]

    @cached_property
    def _clause_ends(self) -> list[int]:
        return [match.end() for match in _CLAUSE_END.finditer(self.text)]

    def sentence(self, at: int) -> Span:
        """Return the sentence around a place."""
        return self._around(self._sentence_ends, at)

    def clause(self, at: int) -> Span:
        """Return the clause around a place."""
        return self._around(self._clause_ends, at)

    def _around(self, ends: list[int], at: int) -> Span:
        index = bisect_right(ends, at)
        return Span(ends[index - 1] if index else 0, ends[index] if index < len(ends) else len(self.text))

    @cached_property
    def opening(self) -> Span:
        """Return the first sentence."""
        return self.sentence(0)


def _settle(found: dict[str, list[Word]], actors: list[Word], start: int, end: int) -> None:
    """Keep of actors that overlap the longest, and drop what stands inside a word that means another thing."""
    if not actors:
        return
    actors.sort(key=lambda word: (word.start - word.end, word.start, _RANK[word.kind]))
    taken, hidden = bytearray(end - start), False
    kept: list[Word] = []
    for word in actors:
        first, last = word.start - start, word.end - start
        if not (taken[first] or taken[last - 1] or any(taken[first:last])):
            mark = 2 if word.kind == "no_actor" else 1
            taken[first:last] = bytes([mark]) * (last - first)
            hidden = hidden or mark == 2
            kept.append(word)
    kept.sort()
    if hidden:
        for kind, words in found.items():
            found[kind] = [word for word in words if not all(one == 2 for one in taken[word.start - start : word.end - start])]
    for word in kept:
        found.setdefault(word.kind, []).append(word)
    found["actors"] = [word for word in kept if word.kind != "no_actor"]
