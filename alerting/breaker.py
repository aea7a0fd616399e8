"""The circuit breaker of one endpoint: pure. While it is open nobody calls; then one call tries whether it is back.

A delivery's own schedule (retry.py) says when *it* may be tried again. The breaker speaks for the endpoint: five failures
in a row, or one 429, and the hundreds of thousands that may wait for a dead endpoint are not each tried in vain. It lives
in memory alone: after a restart the first calls find out again.
"""

from dataclasses import dataclass, replace

from alerting.retry import RELIEF, RETRY_AFTER_MAX
from models.delivery import Outcome
from models.times import MINUTE, SECOND

FAILURES_MAX = 5
OPEN_SCHEDULE = (10 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE)
"""Microseconds it stays open the 1st, 2nd … time in a row; then the last again and again."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """Where an endpoint stands. Instants in microseconds."""

    failures: int = 0
    """In a row."""
    openings: int = 0
    """In a row: since the last call that was accepted."""
    open_until: int | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the endpoint is being spared, or is tried for the first time after that."""
        return self.open_until is not None

    def ready_at(self) -> int:
        """Return the instant from which a call may be made; 0: at any time."""
        return self.open_until or 0

    def after(self, outcome: Outcome, now: int, retry_after: int | None = None, scale: float = 1.0) -> "Breaker":
        """Return the breaker after a call that came to `outcome` at the instant `now`."""
        if outcome is Outcome.ACCEPTED:
            return Breaker()
        failures = self.failures + 1
        spared = outcome is Outcome.TOO_MANY_REQUESTS or retry_after is not None
        if not spared and not self.is_open and failures < FAILURES_MAX:
            return Breaker(failures, self.openings)
        wait = OPEN_SCHEDULE[min(self.openings, len(OPEN_SCHEDULE) - 1)]
        if outcome is Outcome.TOO_MANY_REQUESTS:
            wait = max(wait, RELIEF)
        wait = int(wait * scale)
        if retry_after is not None:
            wait = max(wait, min(max(retry_after, 0), RETRY_AFTER_MAX))
        return Breaker(failures, self.openings + 1, now + wait)

    def moved(self, by: int) -> "Breaker":
        """Return the breaker on a clock that was moved by so many microseconds."""
        return self if self.open_until is None else replace(self, open_until=self.open_until + by)
