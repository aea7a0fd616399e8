"""A text and what surrounds its cues: sentences, clauses, and the words that decide what a cue means. Found only when somebody asks."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import NamedTuple

from rules.text.lexicon import ACTORS, Lexicon
from rules.text.normalize import Plain

MAX_WORDS = 4_000
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
    def _found(self) -> dict[str, list[Word]]:
        """Return the words by list; of actors that overlap, the longest alone: 小区里 is no 区里."""
        found: dict[str, list[Word]] = {}
        actors: list[Word] = []
        for last, (length, names) in self.lexicon.words.iter(self.text):
            for name in names:
                word = Word(last + 1 - length, last + 1, name)
                (actors if name in ACTORS else found.setdefault(name, [])).append(word)
        actors.sort(key=lambda word: (word.start - word.end, word.start, ACTORS.index(word.kind)))
        taken = bytearray(len(self.text))
        kept = []
        for word in actors[:MAX_WORDS]:
            if not any(taken[word.start : word.end]):
                taken[word.start : word.end] = b"\1" * (word.end - word.start)
                kept.append(word)
        hidden = bytearray(len(self.text))
        for word in sorted(kept):
            found.setdefault(word.kind, []).append(word)
            if word.kind == "no_actor":
                hidden[word.start : word.end] = b"\1" * (word.end - word.start)
        if any(hidden):
            for kind, words in found.items():
                if kind not in ACTORS:
                    found[kind] = [word for word in words if not all(hidden[word.start : word.end])]
        found["actors"] = sorted(word for word in kept if word.kind != "no_actor")
        return found

    def words(self, kind: str) -> list[Word]:
        """Return the words of a list, in their order; `actors` are all actors together."""
        return self._found.get(kind, [])

    def within(self, kind: str, start: int, end: int) -> list[Word]:
        """Return the words of a list that lie in a span."""
        words = self.words(kind)
        first = bisect_left(words, (start,))
        last = bisect_right(words, (end,))
        return [word for word in words[first:last] if word.end <= end]

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
