"""What a lineage's texts say: the findings of intake's screening, as facts read them."""

from __future__ import annotations

from collections.abc import Iterator

from rules.event import Event
from rules.history import Lineage, Spoken
from rules.text.result import Finding

CATEGORIES = (*(f"C{number:02d}" for number in range(1, 13)), "X1", "X2")
_ONLY_ASKS = frozenset({"consultation", "praise"})
SURE = 50


def findings(lineage: Lineage, category: str) -> Iterator[tuple[Spoken, Finding]]:
    """Yield what counts of a category: what a consultation or a praise says counts only where it accuses all the same."""
    for spoken in lineage.texts.values():
        asks = lineage.tickets[spoken.event.ticket_id].request_type in _ONLY_ASKS and spoken.field != "comment"
        for finding in spoken.findings:
            if finding.category == category and (finding.accuses or not asks):
                yield spoken, finding


def _best(lineage: Lineage, category: str) -> Finding | None:
    return max(
        (finding for _, finding in findings(lineage, category)),
        key=lambda finding: (finding.confidence, finding.specificity),
        default=None,
    )


def confidence(lineage: Lineage, category: str) -> int:
    """Return the confidence of the surest finding, 0–100."""
    best = _best(lineage, category)
    return best.confidence if best else 0


def specificity(lineage: Lineage, category: str) -> int:
    """Return the specificity of the surest finding, 0–5."""
    best = _best(lineage, category)
    return best.specificity if best else 0


def severe(lineage: Lineage, category: str) -> bool:
    """Return whether any sure finding is told with what makes it worse."""
    return any(finding.severe and finding.confidence >= SURE for _, finding in findings(lineage, category))


def categories(lineage: Lineage) -> tuple[str, ...]:
    """Return the categories that count, in their order."""
    told = {finding.category for one in lineage.texts.values() for finding in one.findings}
    return tuple(name for name in CATEGORIES if name in told and any(True for _ in findings(lineage, name)))


def only_hinted(lineage: Lineage, category: str) -> bool:
    """Return whether a category is told only without its words."""
    found = [finding for _, finding in findings(lineage, category)]
    return bool(found) and all(finding.layer == "euphemism" for finding in found)


def speaking(lineage: Lineage, category: str) -> list[Event]:
    """Return the events whose words tell of a category."""
    return [spoken.event for spoken, _ in findings(lineage, category)]


def spoken(lineage: Lineage) -> list[Event]:
    """Return the events with words that tell of anything."""
    return [one.event for one in lineage.texts.values()]


def private(lineage: Lineage) -> int:
    """Return how many categories are told of private actors alone."""
    told = {category for one in lineage.texts.values() for category in one.private}
    return sum(not any(True for _ in findings(lineage, category)) for category in told)


__all__ = [
    "CATEGORIES",
    "Spoken",
    "categories",
    "confidence",
    "findings",
    "only_hinted",
    "private",
    "severe",
    "speaking",
    "specificity",
    "spoken",
]
