"""What a lineage's texts say: the findings of intake's screening, as the fold hears them and facts read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rules.event import Event
from rules.history import Lineage, Spoken, Ticket
from rules.text.result import Finding

CATEGORIES = (*(f"C{number:02d}" for number in range(1, 13)), "X1", "X2")
_ONLY_ASKS = frozenset({"consultation", "praise"})
SURE = 50


def counts(finding: Finding, request_type: str | None, field: str) -> bool:
    """Tell whether a finding counts: what a consultation or a praise says counts only where it accuses all the same."""
    return finding.accuses or field == "comment" or request_type not in _ONLY_ASKS


class Told(NamedTuple):
    """One finding that counts, and the text it was found in."""

    spoken: Spoken
    finding: Finding


Telling = Mapping[str, Sequence[Told]]
"""what counts, by category, in the order of CATEGORIES"""

_NOTHING: Telling = {}


def hear(lineage: Lineage, ticket: Ticket, event: Event, name: str, key: str) -> None:
    """Take what a text tells of; what stood there before is no longer said."""
    told = event.data.get("texts", {}).get(name)
    lineage.text_facts = None
    if lineage.texts.pop((ticket.ticket_id, key), None) is not None:
        lineage.retold.append(event)
    if told is not None:
        findings, private = told
        lineage.texts[ticket.ticket_id, key] = Spoken(
            event, name, tuple(Finding(*one) for one in findings), tuple(private)
        )


def speaks(lineage: Lineage, ticket: Ticket) -> bool:
    """Return whether any text of the ticket tells of anything."""
    return any(one == ticket.ticket_id for one, _ in lineage.texts)


def telling(lineage: Lineage) -> Telling:
    """Return what counts: what a consultation or a praise says counts only where it accuses all the same."""
    if not lineage.texts:
        return _NOTHING
    told: dict[str, list[Told]] = {}
    for spoken in lineage.texts.values():
        request_type = lineage.tickets[spoken.event.ticket_id].request_type
        for finding in spoken.findings:
            if counts(finding, request_type, spoken.field):
                told.setdefault(finding.category, []).append(Told(spoken, finding))
    return {category: told[category] for category in CATEGORIES if category in told}


def best(told: Sequence[Told]) -> Finding | None:
    """Return the surest finding."""
    return max((one.finding for one in told), key=lambda one: (one.confidence, one.specificity), default=None)


def confidence(told: Sequence[Told]) -> int:
    """Return the confidence of the surest finding, 0–100."""
    found = best(told)
    return found.confidence if found else 0


def specificity(told: Sequence[Told]) -> int:
    """Return the specificity of the surest finding, 0–5."""
    found = best(told)
    return found.specificity if found else 0


def severe(told: Sequence[Told]) -> bool:
    """Return whether any sure finding is told with what makes it worse."""
    return any(one.finding.severe and one.finding.confidence >= SURE for one in told)


def only_hinted(told: Sequence[Told]) -> bool:
    """Return whether it is told only without its words."""
    return bool(told) and all(one.finding.layer == "euphemism" for one in told)


def private(lineage: Lineage, told: Telling) -> int:
    """Return how many categories are told of private actors alone."""
    return len({category for one in lineage.texts.values() for category in one.private} - told.keys())
