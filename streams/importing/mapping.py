"""The mapping file: which column becomes which field of which event. Its language is described in docs/import.md.

These are the shapes; what a mapping must be beyond its shape is checked in loading.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from models.base import Contract
from models.strict_yaml import ConfigFileError, Document
from streams.importing.header import checked_columns

Name = Annotated[str, Field(min_length=1, max_length=200)]
Texts = Annotated[list[str], Field(min_length=1)]
Scalar = str | bool | int | float
Place = tuple[str | int, ...]


def _parting(delimiter: str) -> str:
    if len(delimiter) != 1 or delimiter in '"\r\n\0' or delimiter.isalnum():
        raise ValueError(
            'what parts two cells: one character, such as "," or ";" or "\\t"; no letter, digit, quote or line end'
        )
    return delimiter


class Input(Contract):
    """How the file is read."""

    encoding: Literal["auto", "utf-8", "gb18030"] = Field(
        default="auto", description="of a CSV file; auto: by its bytes"
    )
    delimiter: Annotated[str, AfterValidator(_parting)] = ","
    sheets: Texts | None = Field(default=None, description="of a workbook: names, or patterns as `2025*`")
    skip_rows: Annotated[int, Field(ge=0, le=100)] = Field(default=0, description="rows above the header")
    header_rows: Annotated[int, Field(ge=1, le=5)] = Field(
        default=1, description="more than one: names are joined by /"
    )
    repeated_names: Literal["refuse", "number"] = Field(default="refuse", description="number: 时间, 时间.2, 时间.3")
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
    optional: bool = Field(default=False, description="a file without this column is read as if its cells were empty")


class OrderBy(Contract):
    """What orders the rows of one key; rows that tie stay as they stand in the file."""

    column: Name
    kind: Literal["number", "text", "time"] = Field(alias="as")


class Condition(Contract):
    """One condition on a row: exactly one of its kinds. Cells are compared as they stand in the file."""

    row: Literal["first", "not_first", "last", "not_last", "vanished"] | None = None
    empty: Name | None = None
    not_empty: Name | None = None
    changed: Name | None = Field(
        default=None, description="differs from the key's previous row; never true of the first"
    )
    new: Name | None = Field(default=None, description="not empty, and other than in the previous row if there is one")
    unchanged: Name | None = Field(default=None, description="as in the previous row; never true of the first")
    increased: Name | None = Field(default=None, description="a number greater than in the key's previous row")
    column: Name | None = None
    equals: str | None = None
    among: Texts | None = Field(default=None, alias="in")
    not_among: Texts | None = Field(default=None, alias="not_in")
    any: Annotated[list["Condition"], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Condition":
        kinds = [self.row, *self._own(), self.any]
        tests = [self.equals, self.among, self.not_among]
        if sum(kind is not None for kind in kinds) != 1:
            names = "row, empty, not_empty, changed, new, unchanged, increased, column, any"
            raise ValueError(f"a condition has exactly one of {names}")
        if sum(test is not None for test in tests) != (self.column is not None):
            raise ValueError("`column` goes with exactly one of equals, in, not_in, and they with nothing else")
        return self

    def columns(self) -> Iterator[str]:
        """Yield the columns it looks at."""
        yield from (name for name in self._own() if name is not None)
        for inner in self.any or ():
            yield from inner.columns()

    def compared(self) -> Iterator[tuple[str, bool]]:
        """Yield the columns whose cell in the previous row it needs, and whether as it stands, not only its equality."""
        for name in (self.changed, self.new, self.unchanged):
            if name is not None:
                yield name, False
        if self.increased is not None:
            yield self.increased, True
        for inner in self.any or ():
            yield from inner.compared()

    def _own(self) -> tuple[str | None, ...]:
        return self.empty, self.not_empty, self.changed, self.new, self.unchanged, self.increased, self.column


class EventTemplate(Contract):
    """One event that a row may give."""

    name: Name
    type: Name
    event_id: Name | None = Field(default=None, description="left out: made of source, ticket, name and content")
    occurred_at: Name
    when: list[Condition] = Field(default_factory=list, description="all must hold")
    fields: dict[str, Scalar | list[str]] = Field(default_factory=dict)

    @property
    def of_vanished(self) -> bool:
        """Tell whether it is an event of a ticket that is missing in a snapshot."""
        return any(condition.row == "vanished" for condition in self.when)


class MappingFile(Contract):
    """A mapping as it is written."""

    mapping: Name
    title: Name
    input: Input = Field(default_factory=Input)
    columns: dict[str, Column] = Field(default_factory=dict)
    key: Name | Annotated[list[Name], Field(min_length=1, max_length=5)] | None = None
    order_by: OrderBy | None = None
    ticket_id: Name
    seq: bool = False
    constants: dict[str, Scalar] = Field(default_factory=dict)
    events: Annotated[list[EventTemplate], Field(min_length=1)]
    unused: list[str] = Field(default_factory=list, description="columns known and left out on purpose")

    @property
    def keys(self) -> list[str]:
        """Return the columns that make the key; none where every row stands for itself."""
        if self.key is None:
            return []
        return [self.key] if isinstance(self.key, str) else self.key


@dataclass(frozen=True)
class Mapping:
    """A mapping that passed every check that needs no data file."""

    file: MappingFile
    document: Document
    read_columns: dict[str, Place]
    """Each column that the mapping reads, and the place in the file that names it first."""
    remembered: dict[str, bool]
    """What of a row the next snapshot is compared with: as it stands, or only whether it is the same"""

    def check_header(self, header: list[str], where: str = "the file", *, delimiter: str | None = None) -> list[str]:
        """Return the columns that the mapping neither reads nor leaves out on purpose, as they may be shown.

        Raises HeaderMismatch where a column is missing that the mapping reads and does not call optional.
        """
        optional = [name for name in self.read_columns if self.is_optional(name)]
        return checked_columns(
            header, self.read_columns, optional, self.file.unused, self.document, where=where, delimiter=delimiter
        )

    def is_optional(self, name: str) -> bool:
        """Tell whether a file may lack the column."""
        column = self.file.columns.get(name)
        return column is not None and column.optional

    def with_input(self, **changed: object) -> "Mapping":
        """Return the mapping for a file that is read otherwise. Raises ConfigFileError for what is not known."""
        try:
            settings = Input.model_validate({**self.file.input.model_dump(), **changed})
        except ValidationError as error:
            name = str(error.errors(include_url=False, include_input=False)[0]["loc"][0])
            told = "only auto, utf-8 and gb18030 are known" if name == "encoding" else "not a value it can have"
            raise ConfigFileError(f"--{name}", 1, told) from None
        return replace(self, file=self.file.model_copy(update={"input": settings}))

    def with_iso_times(self) -> "Mapping":
        """Return the mapping for a workbook, whose dates are given as ISO times whatever they look like to people."""
        columns = {
            name: column if column.times is None else column.model_copy(update={"times": _with_iso(column.times)})
            for name, column in self.file.columns.items()
        }
        settings = self.file.input.model_copy(update={"times": _with_iso(self.file.input.times)})
        return replace(self, file=self.file.model_copy(update={"input": settings, "columns": columns}))


def _with_iso(times: list[str]) -> list[str]:
    return times if "iso" in times else [*times, "iso"]
