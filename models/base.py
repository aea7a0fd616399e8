"""The base of every contract: frozen and strict, so that a value is what it says and never changes."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from models.times import parse_instant


class Contract(BaseModel):
    """A frozen, strict model that refuses unknown fields: what we ourselves say."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Incoming(BaseModel):
    """A frozen, strict model that keeps unknown fields: what others say to us."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", hide_input_in_errors=True)


class Level(StrEnum):
    """How urgent a warning is: blue (提示), yellow (督办), red (立即)."""

    BLUE = "blue"
    YELLOW = "yellow"
    RED = "red"


class Status(StrEnum):
    """What a version of a warning does to the one before it."""

    RAISED = "raised"
    ESCALATED = "escalated"
    CORRECTED = "corrected"
    RETRACTED = "retracted"


class Family(StrEnum):
    """Process (办理过程), text (内容) or aggregate (面上治理)."""

    PROCESS = "P"
    TEXT = "T"
    AGGREGATE = "G"


LEVEL_RANK: dict[Level | None, int] = {None: 0, Level.BLUE: 1, Level.YELLOW: 2, Level.RED: 3}


def _checked_time(value: object) -> object:
    if isinstance(value, str):
        parse_instant(value)  # its error is the field's error
    return value


# Printable text that does not begin with a space.
Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\p{C}\s][^\p{C}]*$")]
Time = Annotated[str, BeforeValidator(_checked_time), Field(json_schema_extra={"format": "date-time"}, max_length=40)]
ShortText = Annotated[str, Field(max_length=1_000)]
LongText = Annotated[str, Field(max_length=200_000)]
