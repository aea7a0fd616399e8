"""What can go wrong in an import. No message holds a cell's value: cells are citizens' words.

Exception
├── ImportFault    the import cannot start or go on; exit status 2
│   └── SinkFault  it is not the file's fault: Kafka or the target; the same file may be taken later
└── RowFault       one row is rejected, the rest goes on
"""

from enum import StrEnum

from models.quarantine import RejectionReason


class RowReason(StrEnum):
    """Why a row is rejected: a closed set. What the event contract refuses keeps the contract's reason."""

    RAGGED = "ragged"
    BAD_QUOTING = "bad_quoting"
    FORMULA_WITHOUT_RESULT = "formula_without_result"
    ERROR_IN_CELL = "error_in_cell"
    ROUNDED_NUMBER = "rounded_number"
    NOT_DECODABLE = "not_decodable"
    NUL = "nul"
    MISSING_KEY = "missing_key"
    BAD_ORDER = "bad_order"
    UNKNOWN_VALUE = "unknown_value"
    BAD_NUMBER = "bad_number"
    BAD_TIME = "bad_time"
    DUPLICATE_EVENT_ID = "duplicate_event_id"
    DUPLICATE_KEY = "duplicate_key"
    TOO_MANY_IN_ONE_PLACE = "too_many_in_one_place"
    TOO_LARGE = "too_large"


class ImportFault(Exception):
    """The import cannot start, or cannot go on."""


class SinkFault(ImportFault):
    """Where the events go cannot take them now."""


class RowFault(Exception):
    """One row cannot be taken: the reason from a closed set, and a detail for people."""

    def __init__(self, reason: RowReason | RejectionReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
