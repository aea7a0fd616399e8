"""The quarantine record: why an input was refused and where it lies. It never holds the input's text or a value out of it."""

from enum import StrEnum

from models.base import Contract, Time


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
