"""A pack of rules: a folder of YAML files, read as a whole or not at all.

One file holds one rule: its conditions by level, its words, and the cases that prove it. The file's name begins with the rule's id. A
`pack.yaml` names the pack and the ids that were retired, which are never used again. A rule about what texts say has a `text:` section with
its cues; the words that decide what cues mean are in `words.yaml`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from models.base import LEVEL_RANK, Contract, Family, Level
from models.strict_yaml import ConfigFileError, Document, read_yaml
from rules.conditions import Condition, ConditionError, compile_condition
from rules.facts import BY_PATH
from rules.joined import CALLER_FACTS
from rules.text.files import TextSection, WordsFile
from rules.text.lexicon import Lexicon, LexiconBuilder

ABOUT = "pack.yaml"
WORDS = "words.yaml"
FALLING = (Level.RED, Level.YELLOW, Level.BLUE)

_RULE_ID = r"[A-Z][A-Z0-9]{1,3}"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class RuleCase(Contract):
    """A proof: with these facts (the rest at their neutral values) the rule gives this level."""

    name: str
    facts: dict[str, int | bool | str]
    level: Annotated[Literal["blue", "yellow", "red"] | None, Field(description="null: does not fire")]


class RuleFile(Contract):
    """A rule as its file says it."""

    id: Annotated[str, Field(pattern=_RULE_ID)]
    title: str
    version: Annotated[int, Field(ge=1)]
    status: Literal["stable", "test", "off"]
    family: Literal["P", "T", "G"]
    basis: Annotated[str, Field(min_length=1, description="the law or practice it rests on")]
    levels: dict[Literal["blue", "yellow", "red"], str]
    headline: str
    headlines: Annotated[
        dict[Literal["blue", "yellow", "red"], str],
        Field(description="words of a level where `headline` does not fit it"),
    ] = Field(default_factory=dict)
    accused: Literal[
        "returning",
        "blind",
        "repeated_return",
        "late_return",
        "not_accepting",
        "overdue",
        "extended",
        "resolving",
        "redone",
        "visited",
        "lead",
        "target",
        "none",
    ]
    text: TextSection | None = None
    runbook: Annotated[str, Field(min_length=1)]
    cases: list[RuleCase]


class PackFile(Contract):
    """What `pack.yaml` says."""

    name: str
    retired: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Rule:
    """A rule ready to be evaluated."""

    id: str
    title: str
    version: int
    status: str
    family: Family
    basis: str
    headline: str
    headlines: Mapping[Level, str]
    accused: str
    runbook: str
    conditions: Mapping[Level, Condition]
    cases: tuple[RuleCase, ...]
    text: TextSection | None = None

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Return every fact the rule reads."""
        return tuple(dict.fromkeys(path for condition in self.conditions.values() for path in condition.paths))

    @cached_property
    def told(self) -> tuple[str, ...]:
        """Return every fact that the rule's headlines tell."""
        words = (self.headline, *self.headlines.values())
        return tuple(dict.fromkeys(path for one in words for path in _PLACEHOLDER.findall(one)))


@dataclass(frozen=True)
class Pack:
    """All rules of a pack, by id, in order."""

    name: str
    rules: tuple[Rule, ...]
    lexicon: Lexicon = field(default_factory=Lexicon, compare=False)

    @property
    def active(self) -> tuple[Rule, ...]:
        """Return the rules that are not switched off."""
        return tuple(rule for rule in self.rules if rule.status != "off")

    @property
    def thresholds(self) -> dict[str, tuple[int, ...]]:
        """Return the numbers that any rule compares each clock fact with."""
        found: dict[str, set[int]] = {}
        for rule in self.active:
            for condition in rule.conditions.values():
                for path, number in condition.thresholds:
                    found.setdefault(path, set()).add(number)
        return {path: tuple(sorted(numbers)) for path, numbers in found.items()}


def default_pack() -> Pack:
    """Return the pack that comes with the service."""
    with default_folder() as folder:
        return load_pack(folder)


@contextmanager
def default_folder() -> Iterator[Path]:
    """Give the folder of the pack that comes with the service, as long as the block runs."""
    with resources.as_file(resources.files("rules") / "packs" / "default") as folder:
        yield folder


def rule_documents(folder: Path) -> dict[str, Document]:
    """Return the parsed file of each rule in a folder, by the id in its name: the lines that remarks point to. Raises ConfigFileError."""
    paths = [path for path in sorted(folder.glob("*.yaml")) if path.name not in (ABOUT, WORDS)]
    return {path.name.partition("-")[0]: read_yaml(path) for path in paths}


def load_pack(folder: Path) -> Pack:
    """Return the pack in a folder. Raises ConfigFileError (`file:line: …`) at the first thing wrong with any file of it."""
    if not folder.is_dir():
        raise ConfigFileError(str(folder), 1, "is no folder of rules")
    about = read_yaml(folder / ABOUT).validate(PackFile)
    rules: dict[str, Rule] = {}
    builder = _read_words(folder)
    for path in sorted(folder.glob("*.yaml")):
        if path.name in (ABOUT, WORDS):
            continue
        document = read_yaml(path)
        rule = _load_rule(document, path)
        if rule.text is not None:
            if builder is None:
                raise document.error(("text",), f"cues need {WORDS} beside them: copy it from the default pack")
            if rule.status != "off":
                builder.add(rule.id, rule.title, rule.text, document)
        if rule.id in rules:
            raise document.error(("id",), f"the rule {rule.id} stands twice in this pack")
        if rule.id in about.retired:
            raise document.error(("id",), f"the id {rule.id} is retired: take a new one")
        rules[rule.id] = rule
    if not rules:
        raise ConfigFileError(str(folder), 1, "holds no rule")
    lexicon = builder.build() if builder is not None else Lexicon()
    return Pack(about.name, tuple(rules[rule_id] for rule_id in sorted(rules)), lexicon)


def _read_words(folder: Path) -> LexiconBuilder | None:
    path = folder / WORDS
    if not path.exists():
        return None
    document = read_yaml(path)
    return LexiconBuilder(document.validate(WordsFile), document)


def _load_rule(document: Document, path: Path) -> Rule:
    file = document.validate(RuleFile)
    if not path.name.startswith(f"{file.id}-"):
        raise document.error(("id",), f"the file of rule {file.id} must be named {file.id}-….yaml")
    if not file.levels:
        raise document.error(("levels",), "names no level")
    conditions: dict[Level, Condition] = {}
    for level in FALLING:
        if level.value in file.levels:
            try:
                conditions[level] = compile_condition(file.levels[level.value])
            except ConditionError as error:
                raise document.error(("levels", level.value), f"{level.value}: {error}") from None
    _check_callers(file, conditions, document)
    _check_words(file, document)
    _check_cases(file, document)
    return Rule(
        file.id,
        file.title,
        file.version,
        file.status,
        Family(file.family),
        file.basis,
        file.headline,
        {Level(level): words for level, words in file.headlines.items()},
        file.accused,
        file.runbook,
        conditions,
        tuple(file.cases),
        file.text,
    )


def _check_callers(file: RuleFile, conditions: dict[Level, Condition], document: Document) -> None:
    """A flag on a citizen may lower a level of what counts complaints. It hides nothing, least of all what texts say of misconduct."""
    lowest = min(conditions, key=lambda level: LEVEL_RANK[level])
    for level, condition in conditions.items():
        read = next((path for path in condition.paths if path.startswith(CALLER_FACTS)), None)
        if read is not None and (file.family == "T" or level is lowest):
            where = "a rule about texts" if file.family == "T" else "the lowest level"
            raise document.error(
                ("levels", level.value),
                f"{level.value}: {where} may not read {read}: a flag on a citizen lowers a level, it hides no warning",
            )


def _check_words(file: RuleFile, document: Document) -> None:
    for path, words in (
        (("headline",), file.headline),
        *((("headlines", level), words) for level, words in file.headlines.items()),
    ):
        for placeholder in _PLACEHOLDER.findall(words):
            if placeholder not in BY_PATH:
                raise document.error(path, f"unknown fact {placeholder!r} in the headline")
        if "疑似" not in words:
            raise document.error(path, "the headline must say 疑似: a warning is not a finding")


def _check_cases(file: RuleFile, document: Document) -> None:
    for index, case in enumerate(file.cases):
        for path, value in case.facts.items():
            fact = BY_PATH.get(path)
            if fact is None:
                raise document.error(("cases", index, "facts", path), f"unknown fact {path}")
            if type(value).__name__ != {"int": "int", "bool": "bool", "string": "str"}[fact.kind]:
                raise document.error(("cases", index, "facts", path), f"{path} is a {fact.kind}")
    if not any(case.level for case in file.cases) or all(case.level for case in file.cases):
        raise document.error(("cases",), "needs at least one case that fires and one that does not")
