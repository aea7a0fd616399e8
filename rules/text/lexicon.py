"""A pack's words, compiled: what is looked for in a text, and what decides what it means there.

Two scans read a text. The first finds the literals of all cues; it is all that most texts get. The second, for texts with a hit, finds the
words around it. Both are Aho-Corasick automata, so their time grows with the text alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ahocorasick
import re2

from models.strict_yaml import ConfigFileError, Document
from rules.text.files import TextSection, WordsFile
from rules.text.normalize import normalize
from rules.text.phrases import Phrase, PhraseError, expand, parse_phrase

KINDS = ("own_actor", "cues", "mild", "broad", "weak", "hints", "innocent")
ACTORS = ("official", "generic", "collective", "staff", "frontline", "private", "no_actor")
PATTERN_WORDS = ("time", "amount", "place", "person", "evidence")
MAX_REPETITION = 1000

_LISTS = frozenset({"official", "private", "staff"})


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue of one category. `groups` are its parts: indexes of literal groups, or None for a list of words.yaml."""

    category: str
    kind: str
    source: str
    groups: tuple[int | None, ...]
    pattern: Any = None
    """of a pattern: what must be found around the words of its one group"""


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
    openers: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """literal group → the cues that it begins"""
    literals: Any = None
    """automaton: literal → (length, its groups)"""
    words: Any = None
    """automaton: word → (length, the lists it stands in)"""
    details: dict[str, Any] = field(default_factory=dict)
    """RE2 patterns by list: time, amount, place, person, evidence"""
    boundary_characters: frozenset[str] = frozenset()

    def without_text(self) -> bool:
        """Return whether the pack screens nothing."""
        return not self.categories


class LexiconBuilder:
    """Collects the sections of a pack's files. Every error is a ConfigFileError that names file and line."""

    def __init__(self, words: WordsFile, document: Document) -> None:
        self._lexicon = Lexicon()
        self._groups: dict[tuple[str, ...], int] = {}
        self._variants = {
            normalize(standard).text: tuple(normalize(other).text for other in others)
            for standard, others in words.variants.items()
        }
        self._take_words(words, document)

    def add(self, rule_id: str, title: str, section: TextSection, document: Document) -> None:
        """Take one category. Raises ConfigFileError."""
        for kind in KINDS:
            for index, source in enumerate(getattr(section, kind)):
                phrase = self._phrase(source, document, ("text", kind, index))
                self._lexicon.cues.append(Cue(rule_id, kind, source, self._grouped(phrase)))
        for index, entry in enumerate(section.patterns):
            near = self._phrase(entry.near, document, ("text", "patterns", index, "near"))
            if len(near.parts) != 1:
                raise document.error(("text", "patterns", index, "near"), "takes words, without gaps")
            pattern = _pattern(entry.re, document, ("text", "patterns", index, "re"))
            self._lexicon.cues.append(Cue(rule_id, "pattern", entry.re, self._grouped(near), pattern))
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
        openers: dict[int, list[int]] = {}
        for index, cue in enumerate(lexicon.cues):
            first = cue.groups[0]
            assert first is not None  # a cue begins with words
            openers.setdefault(first, []).append(index)
        lexicon.openers = {group: tuple(indexes) for group, indexes in openers.items()}
        by_literal: dict[str, list[int]] = {}
        for literals, group in self._groups.items():
            for literal in literals:
                by_literal.setdefault(literal, []).append(group)
        lexicon.literals = _automaton({literal: (len(literal), tuple(groups)) for literal, groups in by_literal.items()})
        lexicon.boundary_characters = frozenset(
            end for literal in by_literal if len(literal) <= 3 for end in (literal[0], literal[-1])
        )
        return lexicon

    def _grouped(self, phrase: Phrase) -> tuple[int | None, ...]:
        groups: list[int | None] = []
        for words, name in zip(phrase.parts, phrase.lists, strict=True):
            if name is not None:
                groups.append(None)
                continue
            literals = tuple(sorted(expand(words, self._variants)))
            groups.append(self._groups.setdefault(literals, len(self._groups)))
        return tuple(groups)

    def _take_words(self, words: WordsFile, document: Document) -> None:
        lists: dict[str, list[str]] = {}
        for name in WordsFile.model_fields:
            if name in PATTERN_WORDS:
                self._lexicon.details[name] = _any_of(getattr(words, name), document, (name,))
            elif name != "variants":
                for word in getattr(words, name):
                    for form in expand((normalize(word).text,), self._variants):
                        if form:
                            lists.setdefault(form, []).append(name)
        self._lexicon.words = _automaton({word: (len(word), tuple(names)) for word, names in lists.items()})


def _automaton(values: Mapping[str, Any]) -> Any:
    automaton = ahocorasick.Automaton()
    for word, value in values.items():
        automaton.add_word(word, value)
    automaton.make_automaton()
    return automaton


def _pattern(source: str, document: Document, path: tuple[str | int, ...]) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    try:
        return re2.compile(source, options)
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
