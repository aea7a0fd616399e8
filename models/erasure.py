"""The record of an erasure: who asked that a citizen be forgotten, why, and what came of it."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from models.base import Contract, Time

REASON_LENGTH_MAX = 500


class ErasureStep(StrEnum):
    """How far an erasure has come: a closed set."""

    ASKED = "asked"
    """The owners of the tables were told."""
    DONE = "done"
    """No table names the citizen any more."""
    UNFINISHED = "unfinished"
    """Some table still did when it was looked at last: ask again."""


class ErasureRecord(Contract):
    """One step of an erasure, on hw.erasures under its request; citizens stand there as their marks, which lead back to nobody."""

    schema_version: Literal[1] = 1
    request: Annotated[str, Field(max_length=64)]
    step: ErasureStep
    citizens: tuple[str, ...]
    reason: Annotated[str, Field(min_length=1, max_length=REASON_LENGTH_MAX)]
    asked_by: Annotated[str, Field(max_length=128)]
    at: Time
    report: dict[str, Any] | None = Field(None, description="what was removed where, and what stays until when")
