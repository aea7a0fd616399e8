"""The rate of one endpoint: calls keep a distance, so that no minute ever sees more than allowed, also after a restart."""

from dataclasses import dataclass

from models.times import MINUTE


@dataclass(frozen=True, slots=True)
class Rate:
    """When the next call may be made. Instants in microseconds."""

    per_minute: int | None
    next_at: int = 0

    def after_call(self, now: int) -> "Rate":
        """Return the rate after a call that begins at the instant `now`."""
        if self.per_minute is None:
            return self
        return Rate(self.per_minute, max(now, self.next_at) + MINUTE // self.per_minute)
