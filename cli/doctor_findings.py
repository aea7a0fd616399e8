"""What `doctor` finds: one finding a thing looked at, with its remedy where something is wrong."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Area(StrEnum):
    """What was looked at: a closed set."""

    SETTINGS = "settings"
    SECRETS = "secrets"
    MODES = "modes"
    SUBSCRIBERS = "subscribers"
    RULES = "rules"
    CALENDAR = "calendar"
    API = "api"
    MACHINE = "machine"
    DISK = "disk"
    PORTS = "ports"
    SECURITY = "security"
    BROKER = "broker"
    PERMISSIONS = "permissions"
    TOPICS = "topics"
    CLOCK = "clock"
    SERVICES = "services"


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and somebody should look."""
    PROBLEM = "problem"
    """It does not work, or identities or secrets are open to others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `remedy`: what to do; none where all is well."""

    area: Area
    severity: Severity
    what: str
    remedy: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


def ok(area: Area, what: str) -> Finding:
    """Return that something is well."""
    return Finding(area, Severity.OK, what)


def warning(area: Area, what: str, remedy: str) -> Finding:
    """Return that somebody should look."""
    return Finding(area, Severity.WARNING, what, remedy)


def problem(area: Area, what: str, remedy: str) -> Finding:
    """Return that something does not work."""
    return Finding(area, Severity.PROBLEM, what, remedy)
