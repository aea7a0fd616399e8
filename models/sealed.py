"""The sealed record: of a complaint about somebody above this office's authority, all that the platform keeps."""

from typing import Literal

from models.base import Contract, Identifier, Time


class SealedRecord(Contract):
    """An empty shell on `hw.sealed`: which ticket, when, and where it is to be handed over by hand. Nothing of what was said."""

    schema_version: Literal[1] = 1
    ticket_id: Identifier
    event_id: Identifier
    occurred_at: Time
    route: Literal["superior_petition_office", "head_of_office"]
