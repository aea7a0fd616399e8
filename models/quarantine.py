"""The quarantine record: why an input was refused and where it lies; and what an operator did about it. Neither ever holds the
input's text or a value out of it.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from models.base import Contract, Time

SENDER_PATTERN = r"^[A-Za-z][A-Za-z0-9._:/-]{0,63}$"
BECAUSE_LENGTH_MAX = 500


class RejectionReason(StrEnum):
    """Why an input is refused: a closed set, and a metric's label."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    BYTE_ORDER_MARK = "byte_order_mark"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    DUPLICATE_KEY = "duplicate_key"
    BAD_NUMBER = "bad_number"
    BAD_TEXT = "bad_text"
    NOT_AN_OBJECT = "not_an_object"
    UNSUPPORTED_VERSION = "unsupported_version"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    IMPOSSIBLE_TIME = "impossible_time"
    IN_THE_FUTURE = "in_the_future"
    TOO_LATE = "too_late"
    MERGE_CYCLE = "merge_cycle"
    UNREADABLE = "unreadable"
    POISON = "poison"


class QuarantineRecord(Contract):
    """One refused input: its reason, the field at fault, and where to find it again; never its text."""

    reason: RejectionReason
    detail: str
    field: str | None = None
    topic: str
    partition: int
    offset: int
    size_bytes: int
    sha256: str
    quarantined_at: Time
    source: Annotated[str | None, Field(pattern=SENDER_PATTERN)] = Field(
        None, description="which system sent it, where the input can be read so far and names one that is no text"
    )

    @property
    def key(self) -> str:
        """Return the record's Kafka key, and what operators call it by."""
        return quarantine_key(self.topic, self.partition, self.offset)


class QuarantineAction(StrEnum):
    """What was done about a refused input: a closed set."""

    REPLAYED = "replayed"
    """Sent through once more, after what was wrong had been mended."""
    DROPPED = "dropped"
    """Given up, for a reason that somebody answers for."""


class QuarantineDecision(Contract):
    """What an operator did about one refused input, on hw.quarantine-decisions under its key; the last one stands."""

    schema_version: Literal[1] = 1
    action: QuarantineAction
    topic: str
    partition: int
    offset: int
    sha256: str
    because: Annotated[str, Field(max_length=BECAUSE_LENGTH_MAX)] = ""
    decided_by: Annotated[str, Field(max_length=128)]
    decided_at: Time
    sent_to: int | None = Field(None, description="of a replay: the offset at which the input lies now")

    @property
    def key(self) -> str:
        """Return the record's Kafka key: that of the quarantine record."""
        return quarantine_key(self.topic, self.partition, self.offset)


def quarantine_key(topic: str, partition: int, offset: int) -> str:
    """Return what a refused input is called: where it lies."""
    return f"{topic}-{partition}-{offset}"
