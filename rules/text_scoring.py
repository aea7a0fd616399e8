"""Scores what screening found in a labelled set against its labels. Pure counting; no text comes here.

Recall is over labels: of all labels expected, line by line, the share that was found. Precision is over labels too: of all labels
found, on lines with and without expected ones, the share that was expected. The false-alarm rate is over lines that expect nothing:
the share that is flagged at all, and the share that is flagged yellow or red. Each share comes with its 95 % Wilson interval.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.base import LEVEL_RANK, Level

NONE = "none"
"""in the confusion table: nothing expected, nothing found"""
_Z95 = 1.959963984540054
_YELLOW = LEVEL_RANK[Level.YELLOW]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of a set: what it expects and what was found."""

    line: int
    id: str | None
    expected: frozenset[str]
    found: Mapping[str, Level]
    """category → the level that its rule gives"""
    level: Level | None
    """of the whole text"""

    @property
    def missed(self) -> frozenset[str]:
        """Return what was expected and not found."""
        return self.expected - self.found.keys()

    @property
    def flagged(self) -> bool:
        """Return whether the text gets any level."""
        return self.level is not None


class Share(NamedTuple):
    """A part of a whole."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """Return the share, or None of an empty whole."""
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % Wilson score interval (Wilson 1927); of an empty whole everything is possible."""
        if not self.whole:
            return 0.0, 1.0
        n, p = self.whole, self.part / self.whole
        centre = p + _Z95**2 / (2 * n)
        spread = _Z95 * math.sqrt(p * (1 - p) / n + _Z95**2 / (4 * n * n))
        scale = 1 + _Z95**2 / n
        return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


@dataclass(frozen=True, slots=True)
class Scores:
    """The four shares, of all categories or of one."""

    recall: Share
    precision: Share
    flagged: Share
    """false alarms at any level"""
    raised: Share
    """false alarms at yellow or red"""


def score(outcomes: Sequence[Outcome]) -> Scores:
    """Return the shares over all categories."""
    hits = sum(len(one.expected) - len(one.missed) for one in outcomes)
    quiet = [one for one in outcomes if not one.expected]
    return Scores(
        Share(hits, sum(len(one.expected) for one in outcomes)),
        Share(hits, sum(len(one.found) for one in outcomes)),
        Share(sum(one.flagged for one in quiet), len(quiet)),
        Share(sum(LEVEL_RANK[one.level] >= _YELLOW for one in quiet), len(quiet)),
    )


def score_category(outcomes: Sequence[Outcome], category: str) -> Scores:
    """Return the shares of one category; its false alarms are those on lines that expect nothing at all."""
    expecting = [one for one in outcomes if category in one.expected]
    finding = [one for one in outcomes if category in one.found]
    hits = sum(category in one.found for one in expecting)
    quiet = [one for one in outcomes if not one.expected]
    return Scores(
        Share(hits, len(expecting)),
        Share(hits, len(finding)),
        Share(sum(category in one.found for one in quiet), len(quiet)),
        Share(sum(LEVEL_RANK[one.found.get(category)] >= _YELLOW for one in quiet), len(quiet)),
    )


def categories_in(outcomes: Iterable[Outcome]) -> list[str]:
    """Return every category that is expected or found anywhere, sorted."""
    return sorted({name for one in outcomes for name in (*one.expected, *one.found)})


def confusion(outcomes: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    """Return in how many lines a category is expected (outer) and a category is found (inner).

    A line with several labels counts in the row of each, one in which several are found in each column; `none` stands for no label at all.
    """
    table: dict[str, Counter[str]] = {}
    for one in outcomes:
        for expected in one.expected or (NONE,):
            table.setdefault(expected, Counter()).update(tuple(one.found) or (NONE,))
    return {row: dict(sorted(table[row].items())) for row in sorted(table)}


def worst_misses(outcomes: Iterable[Outcome], most: int) -> list[Outcome]:
    """Return at most so many lines with a label missed: first those where nothing at all was found, then by labels missed."""
    missed = [one for one in outcomes if one.missed]
    return sorted(missed, key=lambda one: (bool(one.found), -len(one.missed), one.line))[:most]


def worst_false_alarms(outcomes: Iterable[Outcome], most: int) -> list[Outcome]:
    """Return at most so many lines that expect nothing and are flagged, the highest level first."""
    alarmed = [one for one in outcomes if not one.expected and one.flagged]
    return sorted(alarmed, key=lambda one: (-LEVEL_RANK[one.level], -len(one.found), one.line))[:most]


def as_record(outcomes: Sequence[Outcome], most: int) -> dict[str, Any]:
    """Return all scores by name, as `evaluate text --json` prints them. Holds ids and line numbers, and no text."""
    return {
        "lines": len(outcomes),
        "lines_with_labels": sum(bool(one.expected) for one in outcomes),
        "lines_without_labels": sum(not one.expected for one in outcomes),
        "overall": _scores(score(outcomes)),
        "by_category": {name: _scores(score_category(outcomes, name)) for name in categories_in(outcomes)},
        "confusion_lines_by_expected_then_found": confusion(outcomes),
        "worst_misses": [_outcome(one) for one in worst_misses(outcomes, most)],
        "worst_false_alarms": [_outcome(one) for one in worst_false_alarms(outcomes, most)],
    }


def _scores(scores: Scores) -> dict[str, Any]:
    lines = "lines_without_labels"
    return {
        "recall": _share(scores.recall, "labels_expected_and_found", "labels_expected"),
        "precision": _share(scores.precision, "labels_expected_and_found", "labels_found"),
        "false_alarm_rate": _share(scores.flagged, f"{lines}_flagged", lines),
        "false_alarm_rate_yellow_or_red": _share(scores.raised, f"{lines}_flagged_yellow_or_red", lines),
    }


def _share(share: Share, part: str, whole: str) -> dict[str, Any]:
    low, high = share.interval
    value = None if share.value is None else round(share.value, 4)
    return {part: share.part, whole: share.whole, "value": value, "low_95": round(low, 4), "high_95": round(high, 4)}


def _outcome(one: Outcome) -> dict[str, Any]:
    return {
        "line": one.line,
        "id": one.id,
        "expected": sorted(one.expected),
        "found": dict(sorted(one.found.items())),
        "missed": sorted(one.missed),
        "level": one.level,
    }
