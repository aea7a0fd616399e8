"""The sealed record: of a complaint about somebody above this office's authority, all that the platform keeps."""

from typing import Literal

from models.base import Contract, Identifier, Time

ROUTE_TITLES = {"superior_petition_office": "直送上一级信访举报部门", "head_of_office": "直送本机关主要负责人"}


class SealedRecord(Contract):
    """An empty shell on `hw.sealed`: which ticket, when, and where it is to be handed over by hand. Nothing of what was said."""

    schema_version: Literal[1] = 1
    ticket_id: Identifier
    event_id: Identifier
    occurred_at: Time
    route: Literal["superior_petition_office", "head_of_office"]
