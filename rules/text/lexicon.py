"""A pack's words, compiled: what is looked for in a text, and what decides what it means there.

Two scans read a text. The first finds the literals of all cues; it is all that most texts get. The second, for texts with a hit, finds the
words around it. Both are Aho-Corasick automata, so their time grows with the text alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ahocorasick_rs
import re2

from models.strict_yaml import ConfigFileError, Document
from rules.text.files import TextSection, WordsFile
from rules.text.normalize import normalize
from rules.text.phrases import GAP, Phrase, PhraseError, expand, parse_phrase

KINDS = ("own_actor", "cues", "mild", "broad", "weak", "hints", "innocent")
ACTORS = ("official", "generic", "collective", "staff", "frontline", "private", "no_actor")
WHOLE = ("clearing", "media")
PATTERN_WORDS = ("time", "amount", "place", "person", "evidence")
_LISTS = frozenset({"official"})


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds words in a text, all in one pass; each word carries a value."""

    automaton: Any
    values: tuple[Any, ...]

    def matches(self, text: str) -> list[tuple[int, int, int]]:
        """Return each word's number in `values`, start and end, overlapping ones too."""
        found: list[tuple[int, int, int]] = self.automaton.find_matches_as_indexes(text, overlapping=True)
        return found


def _automaton(values: Mapping[str, Any]) -> Finder:
    return Finder(ahocorasick_rs.AhoCorasick(list(values), store_patterns=False), tuple(values.values()))


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue of one category. Its parts are alternatives, or None for the officials of words.yaml; it is looked for from its `anchor`,
    the longest part, if it can be one without words that stand in every other text."""

    category: str
    kind: str
    source: str
    parts: tuple[tuple[str, ...] | None, ...]
    anchor: int
    pattern: Any = None
    """of a pattern: what must be found around its words"""
    needs: tuple[tuple[str, ...], ...] = ()
    """its other parts: of each a word must stand near"""


@dataclass(frozen=True, slots=True)
class Category:
    """One category, compiled."""

    id: str
    title: str
    counterpart: bool
    severe: Any


@dataclass(slots=True)
class Lexicon:
    """All categories and words of a pack. Build it with `LexiconBuilder`; never changed afterwards."""

    categories: dict[str, Category] = field(default_factory=dict)
    cues: list[Cue] = field(default_factory=list)
    anchors: Finder = field(default_factory=lambda: _automaton({}))
    """literal → the plain cues that it is, the other cues that it anchors"""
    reach: int = 0
    """characters around its anchor within which a whole cue lies"""
    words: Finder = field(default_factory=lambda: _automaton({}))
    """word → the lists it stands in"""
    whole: Finder = field(default_factory=lambda: _automaton({}))
    """the same, of the words that count wherever they stand in a text"""
    specifics: Any = None
    """RE2 set: time, amount, place, person, evidence, in this order"""
    boundary_characters: frozenset[str] = frozenset()

    def specifics_in(self, text: str) -> tuple[int, ...]:
        """Return which of time, amount, place, person and evidence (0–4) a text names."""
        return tuple(self.specifics.Match(text) or ())


class LexiconBuilder:
    """Collects the sections of a pack's files. Every error is a ConfigFileError that names file and line."""

    def __init__(self, words: WordsFile, document: Document) -> None:
        self._lexicon = Lexicon()
        self._variants = {
            normalize(standard).text: tuple(normalize(other).text for other in others)
            for standard, others in words.variants.items()
        }
        for standard, others in self._variants.items():
            if not standard or not all(others):
                raise document.error(("variants",), "a variant, or what it stands for, is blank")
        self._common = frozenset(normalize(word).text for word in words.common)
        self._take_words(words, document)

    def add(self, rule_id: str, title: str, section: TextSection, document: Document) -> None:
        """Take one category. Raises ConfigFileError."""
        for kind in KINDS:
            for index, source in enumerate(getattr(section, kind)):
                phrase = self._phrase(source, document, ("text", kind, index))
                self._lexicon.cues.append(self._cue(rule_id, kind, source, phrase))
        for index, entry in enumerate(section.patterns):
            near = self._phrase(entry.near, document, ("text", "patterns", index, "near"))
            pattern = _pattern(entry.re, document, ("text", "patterns", index, "re"))
            self._lexicon.cues.append(self._cue(rule_id, "pattern", entry.re, near, pattern))
        severe = _any_of(section.severe, document, ("text", "severe"))
        self._lexicon.categories[rule_id] = Category(rule_id, title, section.counterpart, severe)

    def _phrase(self, source: str, document: Document, path: tuple[str | int, ...]) -> Phrase:
        try:
            return parse_phrase(source, _LISTS)
        except PhraseError as error:
            raise document.error(path, str(error)) from None

    def build(self) -> Lexicon:
        """Return the compiled lexicon."""
        lexicon = self._lexicon
        anchored: dict[str, tuple[list[Cue], list[Cue]]] = {}
        for cue in lexicon.cues:
            for literal in cue.parts[cue.anchor] or ():
                plain, chained = anchored.setdefault(literal, ([], []))
                (plain if len(cue.parts) == 1 and cue.pattern is None else chained).append(cue)
        lexicon.anchors = _automaton(
            {literal: (tuple(plain), tuple(chained)) for literal, (plain, chained) in anchored.items()}
        )
        lexicon.boundary_characters = frozenset(
            end for literal in anchored if len(literal) <= 3 for end in (literal[0], literal[-1])
        )
        return lexicon

    def _cue(self, rule_id: str, kind: str, source: str, phrase: Phrase, pattern: Any = None) -> Cue:
        parts = tuple(
            None if name is not None else expand(words, self._variants)
            for words, name in zip(phrase.parts, phrase.lists, strict=True)
        )
        lengths = [min(map(len, part)) if part else 0 for part in parts]
        anchor = max(
            range(len(parts)), key=lambda index: (self._common.isdisjoint(parts[index] or ()), lengths[index], -index)
        )
        needs = tuple(part for index, part in enumerate(parts) if part and index != anchor)
        reach = sum(GAP + max(map(len, part)) for part in needs)
        self._lexicon.reach = max(self._lexicon.reach, reach)
        return Cue(rule_id, kind, source, parts, anchor, pattern, needs)

    def _take_words(self, words: WordsFile, document: Document) -> None:
        lists: dict[str, list[str]] = {}
        whole: dict[str, list[str]] = {}
        for name in WordsFile.model_fields:
            if name in PATTERN_WORDS or name in ("variants", "common"):
                continue
            into = whole if name in WHOLE else lists
            for word in getattr(words, name):
                for form in expand((normalize(word).text,), self._variants):
                    if form:
                        into.setdefault(form, []).append(name)
        self._lexicon.words = _automaton({word: tuple(names) for word, names in lists.items()})
        self._lexicon.whole = _automaton({word: tuple(names) for word, names in whole.items()})
        self._lexicon.specifics = _set_of(words, document)


def _set_of(words: WordsFile, document: Document) -> Any:
    found = re2.Set.SearchSet(_options())
    for name in PATTERN_WORDS:
        checked = _any_of(getattr(words, name), document, (name,))
        found.Add(checked.pattern if checked is not None else r"[^\x00-\x{10FFFF}]")
    try:
        found.Compile()
    except Exception:  # RE2's own, which says no more than that it failed
        raise document.error(
            (PATTERN_WORDS[0],), "RE2 refuses time, amount, place, person and evidence together: too large"
        ) from None
    return found


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 16 << 20
    return options


def _pattern(source: str, document: Document, path: tuple[str | int, ...]) -> Any:
    try:
        return re2.compile(source, _options())
    except re2.error as error:
        told = error.args[0] if error.args else "is no pattern"
        told = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
        raise document.error(path, f"RE2 refuses the pattern: {told}") from None


def _any_of(sources: Iterable[str], document: Document, path: tuple[str | int, ...]) -> Any:
    """Return one pattern that finds any of them; None where there is none. Each is tried alone first, for an error with its line."""
    checked = []
    for index, source in enumerate(sources):
        _pattern(source, document, (*path, index))
        checked.append(f"(?:{source})")
    return _pattern("|".join(checked), document, path) if checked else None


__all__ = ["ACTORS", "Category", "ConfigFileError", "Cue", "Lexicon", "LexiconBuilder"]
