"""What a subscriber was last told by one rule about one case, while it is in force."""

from dataclasses import dataclass

from models.base import Family, Level


@dataclass(frozen=True, slots=True)
class Told:
    """The version of a warning that a subscriber was told last. A retraction ends it.

    What an older version of the service stored knows the alert alone; such a warning inhibits nothing and is not
    repeated.
    """

    alert_id: str
    level: Level | None
    at: int | None
    """When it was last told, a reminder too; microseconds."""
    repeats: int = 0
    """Reminders of this version so far."""
    family: Family | None = None
    sequence: int | None = None
    """The version's number in its case."""
