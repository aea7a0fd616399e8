"""Has this subscriber got this alert already? One pure function; its answer is a reason."""

from collections.abc import Collection
from enum import StrEnum


class DedupReason(StrEnum):
    """Why an alert is looked at, or is not: a closed set, and a metric's label."""

    NEW = "new"
    QUEUED = "queued"
    HELD = "held"
    SEEN = "seen"


def dedup(alert_id: str, queued: Collection[str], held: Collection[str], seen: Collection[str]) -> DedupReason:
    """Return whether an alert is new to a subscriber, given the ids on their way to it, those held back for it, and
    those it was sent before.
    """
    if alert_id in queued:
        return DedupReason.QUEUED
    if alert_id in held:
        return DedupReason.HELD
    if alert_id in seen:
        return DedupReason.SEEN
    return DedupReason.NEW
