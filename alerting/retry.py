"""When to try again: a schedule as data, and one pure function over it.

The intervals and the jitter follow what large webhook senders do. The jitter is drawn from the delivery's id and the
attempt, not from chance, so that a restart, a second worker and a test all come to the same instant.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from models.delivery import DeliveryStatus, Outcome
from models.times import DAY, HOUR, MINUTE, SECOND, instant_of

SCHEDULE = (5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""Microseconds to wait after the 1st, 2nd … failed attempt; after the last of them, its interval again and again."""
JITTER = 0.2
RELIEF = 60 * SECOND
"""The least wait after an answer (429) or a silence (timeout) that says: too much."""
RETRY_AFTER_MAX = DAY
_RELIEF_OUTCOMES = frozenset({Outcome.TOO_MANY_REQUESTS, Outcome.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt means for its delivery."""

    status: DeliveryStatus
    next_at: int | None
    """The instant of the next attempt, None where there is none."""


def judge(
    delivery_id: str, attempts: int, outcome: Outcome, now: int, retry_after: int | None = None, scale: float = 1.0
) -> Verdict:
    """Return what the outcome of the `attempts`-th attempt means.

    `now` and the result are instants; `retry_after`: what the receiver asked for, in microseconds from now; `scale`
    shrinks the schedule (for demos and tests), not the receiver's own wish.
    """
    if outcome is Outcome.ACCEPTED:
        return Verdict(DeliveryStatus.DELIVERED, None)
    if outcome is Outcome.GONE:
        return Verdict(DeliveryStatus.DISABLED, None)
    wait = SCHEDULE[min(attempts, len(SCHEDULE)) - 1] * jitter_factor(delivery_id, attempts)
    if outcome in _RELIEF_OUTCOMES:
        wait = max(wait, RELIEF)
    wait *= scale
    if retry_after is not None:
        wait = max(wait, min(max(retry_after, 0), RETRY_AFTER_MAX))
    status = DeliveryStatus.EXHAUSTED if attempts > len(SCHEDULE) else DeliveryStatus.PENDING
    return Verdict(status, now + int(wait))


def jitter_factor(delivery_id: str, attempt: int) -> float:
    """Return a factor within 1 ± JITTER, always the same one for an attempt of a delivery."""
    digest = hashlib.sha256(f"{delivery_id}\n{attempt}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return 1 + JITTER * (2 * share - 1)


def parse_retry_after(value: str | None, now: int) -> int | None:
    """Return what a Retry-After header asks for, in microseconds from `now`, within 0 and 24 hours; None if it says
    nothing readable.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:10]) * SECOND, RETRY_AFTER_MAX)
    try:
        moment = parsedate_to_datetime(value)
        wait = instant_of(moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(wait, 0), RETRY_AFTER_MAX)


def utc_of(instant: int) -> datetime:
    """Return the instant as a datetime in UTC (a signer may relabel any other zone)."""
    return datetime.fromtimestamp(instant // SECOND, UTC)
