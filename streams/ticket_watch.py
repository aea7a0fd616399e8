"""What a partition of tickets tells while it works."""

from collections.abc import Mapping
from typing import Protocol

from models.alert import Alert
from rules.tickets import ConflictingBody, RefusedMerge, TooLarge


class TicketWatch(Protocol):
    """Who is told what happens: metrics and the log."""

    def warned(self, alert: Alert) -> None:
        """A version of a warning was issued."""

    def alarmed(self, alarm: ConflictingBody | RefusedMerge | TooLarge) -> None:
        """A security alarm, a refused merge, or a message that its ticket has no room for."""

    def too_late(self) -> None:
        """An event lay further behind the partition's clock than is allowed."""

    def expired(self, table: str, keys: int) -> None:
        """Keys of a table expired."""

    def ticked(self, at: int) -> None:
        """A tick was handled."""

    def broke(self, error: Exception) -> None:
        """A rule or fold raised on a message."""

    def unreadable(self) -> None:
        """A record was not a message of this service."""

    def wrote(self, table: str, partition: int, sizes: Mapping[str, int], changes: Mapping[str, int]) -> None:
        """Values of these sizes were written, of so many changes each."""
