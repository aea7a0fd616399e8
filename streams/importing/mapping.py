"""The mapping file: which column becomes which field of which event. Its language is described in docs/import.md.

These are the shapes; what a mapping must be beyond its shape is checked in loading.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from models.base import Contract
from models.strict_yaml import ConfigFileError, Document

Name = Annotated[str, Field(min_length=1, max_length=200)]
Texts = Annotated[list[str], Field(min_length=1)]
Scalar = str | bool | int | float
Place = tuple[str | int, ...]


class Input(Contract):
    """How the file is read."""

    encoding: Literal["utf-8", "gb18030"] = "utf-8"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    empty: list[str] = Field(default_factory=lambda: [""], description="cells that say nothing")
    times: Texts = Field(default_factory=lambda: ["iso"], description="`iso` or strptime formats, tried in order")
    zone: Annotated[str, Field(pattern=r"^[+-](0\d|1[0-4]):[0-5]\d$")] = "+08:00"


class Column(Contract):
    """How the cells of one column are read, where it differs from the rest."""

    kind: Literal["text", "number", "time"] = Field(default="text", alias="as")
    empty: list[str] | None = None
    values: dict[str, Scalar] | None = None
    otherwise: Literal["reject", "keep", "drop"] = Field(
        default="reject", description="what a value outside `values` gets"
    )
    times: Texts | None = None
    zone: Annotated[str, Field(pattern=r"^[+-](0\d|1[0-4]):[0-5]\d$")] | None = None


class OrderBy(Contract):
    """What orders the rows of one key; rows that tie stay as they stand in the file."""

    column: Name
    kind: Literal["number", "text", "time"] = Field(alias="as")


class Condition(Contract):
    """One condition on a row: exactly one of its kinds. Cells are compared as they stand in the file."""

    row: Literal["first", "not_first", "last", "not_last"] | None = None
    empty: Name | None = None
    not_empty: Name | None = None
    changed: Name | None = Field(
        default=None, description="differs from the key's previous row; never true of the first"
    )
    increased: Name | None = Field(default=None, description="a number greater than in the key's previous row")
    column: Name | None = None
    equals: str | None = None
    among: Texts | None = Field(default=None, alias="in")
    not_among: Texts | None = Field(default=None, alias="not_in")
    any: Annotated[list["Condition"], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Condition":
        kinds = [self.row, self.empty, self.not_empty, self.changed, self.increased, self.column, self.any]
        tests = [self.equals, self.among, self.not_among]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("a condition has exactly one of row, empty, not_empty, changed, increased, column, any")
        if sum(test is not None for test in tests) != (self.column is not None):
            raise ValueError("`column` goes with exactly one of equals, in, not_in, and they with nothing else")
        return self

    def columns(self) -> Iterator[str]:
        """Yield the columns it looks at."""
        for name in (self.empty, self.not_empty, self.changed, self.increased, self.column):
            if name is not None:
                yield name
        for inner in self.any or ():
            yield from inner.columns()


class EventTemplate(Contract):
    """One event that a row may give."""

    name: Name
    type: Name
    event_id: Name
    occurred_at: Name
    when: list[Condition] = Field(default_factory=list, description="all must hold")
    fields: dict[str, Scalar | list[str]] = Field(default_factory=dict)


class MappingFile(Contract):
    """A mapping as it is written."""

    mapping: Name
    title: Name
    input: Input = Field(default_factory=Input)
    columns: dict[str, Column] = Field(default_factory=dict)
    key: Name | None = None
    order_by: OrderBy | None = None
    ticket_id: Name
    seq: bool = False
    constants: dict[str, Scalar] = Field(default_factory=dict)
    events: Annotated[list[EventTemplate], Field(min_length=1)]
    unused: list[str] = Field(default_factory=list, description="columns known and left out on purpose")


@dataclass(frozen=True)
class Mapping:
    """A mapping that passed every check that needs no data file."""

    file: MappingFile
    document: Document
    read_columns: dict[str, Place]
    """Each column that the mapping reads, and the place in the file that names it first."""

    def check_header(self, header: list[str]) -> list[str]:
        """Return the columns that the mapping neither reads nor leaves out on purpose.

        Raises ConfigFileError for a column that the file lacks.
        """
        for column, place in self.read_columns.items():
            if column not in header:
                raise self.document.error(
                    place, f"the file has no column {column!r}; it has: {', '.join(header)[:300]}"
                )
        known = {*self.read_columns, *self.file.unused}
        return [column for column in header if column not in known]

    def with_encoding(self, encoding: str) -> "Mapping":
        """Return the mapping for a file in another encoding. Raises ConfigFileError for one that is not known."""
        try:
            settings = Input.model_validate({**self.file.input.model_dump(), "encoding": encoding})
        except ValidationError:
            raise ConfigFileError("--encoding", 1, "only utf-8 and gb18030 are known") from None
        return replace(self, file=self.file.model_copy(update={"input": settings}))
