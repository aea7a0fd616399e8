"""Reference data: what other departments' tables say of units, posts, citizens and projects, for intake to join by key.

One record on the compacted topic `hw.reference` is one row of one table; a tombstone deletes it. A row may hold for a time only, so one key
may have several rows, one for each validity. A citizen is named by the keyed pseudonym that events carry, never by phone or ID number.

A row's version is a hash of what it says; a table's version is a hash of its rows in any order (`sum_of`), so that the same rows have the
same version however they came: by one load or by many, from the topic or from a file.
"""

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from models.base import Contract, Identifier, Time
from models.units import Day, UnitKind, UnitLevel

Label = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\p{C}\s][^\p{C}]*$")]
POSTS_MAX = 500
"""Each text is searched for every post, so they are few."""
ROWS_MAX = 2_000_000
"""Of all tables together: a worker holds them in memory."""
_SUMS = 2**64
_SHOWN = 12
_written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ReferenceTable(StrEnum):
    """The tables there are."""

    UNITS = "units"
    POSTS = "posts"
    CITIZENS = "citizens"
    PROJECTS = "projects"


class UnitFields(Contract):
    """A unit that handles tickets; the key is its id. For names and facts: routing and conflicts of interest go by the unit registry."""

    name: Label
    kind: Annotated[UnitKind | None, Field(strict=False)] = None
    level: Annotated[UnitLevel | None, Field(strict=False)] = None


class PostFields(Contract):
    """A post whose accusers bypass the platform; the key is its title, with its area. It adds to `posts_file`, and takes nothing away."""

    route: Literal["superior_petition_office", "head_of_office"]
    holder: Annotated[str, Field(min_length=2, max_length=40)] | None = Field(None, description="the holder's name")


class CitizenFields(Contract):
    """What is flagged of a citizen; the key is the pseudonym. No more than is used: a flag is personal information."""

    frequent_caller: bool = Field(description="calls often, in the eyes of whoever keeps the table (频繁来电)")
    calls: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(None, description="how often, where it is counted")


class ProjectFields(Contract):
    """A project (改造、征收、办证…); the key is its id. Tickets are met by `project_id`, else by the place and category named here."""

    name: Label
    kind: Label | None = None
    district: Label | None = None
    street: Label | None = None
    community: Label | None = None
    category: Annotated[tuple[Label, ...], Field(max_length=4, strict=False)] = Field(
        (), description="the first levels of a ticket's category; none: any category"
    )

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if self.category and not (self.district or self.street or self.community):
            raise ValueError("category: without a place it would meet every ticket of the category")
        return self


Fields = UnitFields | PostFields | CitizenFields | ProjectFields
FIELDS: dict[ReferenceTable, type[Fields]] = {
    ReferenceTable.UNITS: UnitFields,
    ReferenceTable.POSTS: PostFields,
    ReferenceTable.CITIZENS: CitizenFields,
    ReferenceTable.PROJECTS: ProjectFields,
}

Values = tuple[Any, ...]
"""A row's fields in the order of its model: what is hashed, and what is held in memory."""


class _Record(Contract):
    schema_version: Literal[1] = 1
    key: Identifier
    valid_from: Day | None = Field(None, description="its first day, in Asia/Shanghai")
    valid_to: Day | None = Field(None, description="the first day on which it holds no more")
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="hash of table, key, validity and fields")]
    source: Label = Field(description="who keeps the table")
    loaded_at: Time

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.valid_from is not None and self.valid_to is not None and self.valid_from >= self.valid_to:
            raise ValueError("valid_to: not after valid_from (it is the first day on which the row holds no more)")
        if self.version != row_version(self.table, self.key, (self.valid_from, self.valid_to), values_of(self.fields)):  # type: ignore[attr-defined]
            raise ValueError("version: not the hash of what the row says")
        return self


class UnitRecord(_Record):
    table: Literal["units"]
    fields: UnitFields


class PostRecord(_Record):
    table: Literal["posts"]
    fields: PostFields
    # An accusation of whoever held the post last year bypasses the platform too.
    valid_from: None = None
    valid_to: None = None


class CitizenRecord(_Record):
    table: Literal["citizens"]
    fields: CitizenFields


class ProjectRecord(_Record):
    table: Literal["projects"]
    fields: ProjectFields


ReferenceRecord = UnitRecord | PostRecord | CitizenRecord | ProjectRecord
REFERENCE_RECORD: Any = Annotated[ReferenceRecord, Field(discriminator="table")]
_RECORDS: TypeAdapter[ReferenceRecord] = TypeAdapter(REFERENCE_RECORD, config=ConfigDict(hide_input_in_errors=True))


def read_record(value: bytes) -> ReferenceRecord:
    """Return the record in a line or a Kafka value. Raises ValidationError, whose text shows no input."""
    return _RECORDS.validate_json(value)


def make_record(
    table: ReferenceTable,
    key: str,
    fields: dict[str, Any],
    period: tuple[str | None, str | None],
    *,
    source: str,
    loaded_at: str,
) -> ReferenceRecord:
    """Return the record of a row, with its version. Raises ValidationError."""
    said = FIELDS[table].model_validate(fields)
    return _RECORDS.validate_python(
        {
            "table": table.value,
            "key": key,
            "fields": said,
            "valid_from": period[0],
            "valid_to": period[1],
            "version": row_version(table, key, period, values_of(said)),
            "source": source,
            "loaded_at": loaded_at,
        }
    )


def values_of(fields: Fields) -> Values:
    """Return the values in the order of the model."""
    return tuple(fields.__dict__.values())


def row_version(table: str, key: str, period: tuple[str | None, str | None], values: Values) -> str:
    """Return the hash of what a row says, 16 hexadecimal digits."""
    return hashlib.blake2b(_written((str(table), key, *period, *values)).encode(), digest_size=8).hexdigest()


def sum_of(total: int, row: str, sign: int = 1) -> int:
    """Return a table's sum with one row's version added, or with sign -1 taken away. The order does not matter."""
    return (total + sign * int(row, 16)) % _SUMS


def table_version(table: str, total: int) -> str:
    """Return how evidence names a table's version: `units@1a2b3c4d5e6f`."""
    return f"{table}@{total:016x}"[: len(table) + 1 + _SHOWN]


def record_key(table: str, key: str, valid_from: str | None) -> str:
    """Return the key of a record on the topic, as JSON: table, key, and its first day where it has one."""
    parts = (str(table), key) if valid_from is None else (str(table), key, valid_from)
    return _written(parts)


def key_of(record: ReferenceRecord) -> str:
    """Return the record's key on the topic."""
    return record_key(record.table, record.key, record.valid_from)


def parts_of(key: bytes | None) -> tuple[ReferenceTable, str, str | None]:
    """Return table, key and first day of a record's key. Raises ValueError where it is none of ours."""
    parts = json.loads(key or b"null")
    if not isinstance(parts, list) or len(parts) not in (2, 3) or not all(isinstance(one, str) for one in parts):
        raise ValueError("not the key of a reference record")
    return ReferenceTable(parts[0]), parts[1], parts[2] if len(parts) == 3 else None
