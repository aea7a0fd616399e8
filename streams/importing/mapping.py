"""The mapping file: which column becomes which field of which event. Its language is described in docs/import.md.

A mapping is refused as a whole, with file:line, for anything that could only be a slip: an unknown key, an event type
or a field that the contract does not have, a column that nothing reads or that the file lacks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from models.base import Contract
from models.strict_yaml import ConfigFileError, Document, parse_yaml, read_yaml
from models.ticket_event import MODEL_BY_TYPE, Base
from streams.importing.templates import Template, TemplateError, is_builtin

Name = Annotated[str, Field(min_length=1, max_length=200)]
Texts = Annotated[list[str], Field(min_length=1)]
Scalar = str | bool | int | float
Place = tuple[str | int, ...]

_BUILT_BY_THE_IMPORT = ("event_id", "ticket_id", "type", "occurred_at", "seq")


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


def included_mappings() -> list[str]:
    """Return the names of the mappings that come with the product."""
    folder = resources.files("streams.importing") / "mappings"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_mapping(name_or_path: str) -> Mapping:
    """Return a mapping by the name of an included one, or by its path. Raises ConfigFileError."""
    if name_or_path in included_mappings():
        text = (resources.files("streams.importing") / "mappings" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
        return check_mapping(parse_yaml(text, f"{name_or_path}.yaml"))
    path = Path(name_or_path)
    if not path.exists() and path.suffix not in {".yaml", ".yml"}:
        names = ", ".join(included_mappings())
        raise ConfigFileError(name_or_path, 1, f"no such mapping: give a file, or one of the included: {names}")
    return check_mapping(read_yaml(path))


def check_mapping(document: Document) -> Mapping:
    """Return the mapping in a document. Raises ConfigFileError at the line of the first fault."""
    file = document.validate(MappingFile)
    columns: dict[str, Place] = {}
    for place, text in _templates(file):
        try:
            template = Template(text)
        except TemplateError as error:
            raise document.error(place, str(error)) from None
        if template.uses_previous and file.key is None:
            raise document.error(place, "{previous.…} needs a `key`: without one no row has a previous row")
        for column in template.columns:
            columns.setdefault(column, place)
    for name, place in _plain_columns(file):
        columns.setdefault(name, place)
    _check_shape(file, document)
    for name in file.columns:
        if name not in columns:
            raise document.error(("columns", name), f"no template or condition reads the column {name!r}")
    return Mapping(file, document, columns)


def _check_shape(file: MappingFile, document: Document) -> None:
    if file.order_by is not None and file.key is None:
        raise document.error(("order_by",), "`order_by` needs a `key`: it orders the rows of one key")
    for name, value in file.constants.items():
        if name not in Base.model_fields or name in _BUILT_BY_THE_IMPORT:
            raise document.error(("constants", name), f"{name!r} cannot be a constant: source, backfill and test can")
        if isinstance(value, bool) != (name != "source"):
            raise document.error(("constants", name), f"{name!r} is of the wrong type")
    for name in file.columns:
        if is_builtin(name):
            raise document.error(("columns", name), f"{name!r} is a name of the mapping language, not a column's")
    seen: set[str] = set()
    for index, event in enumerate(file.events):
        if event.name in seen:
            raise document.error(("events", index, "name"), f"two events are named {event.name!r}")
        seen.add(event.name)
        if event.type not in MODEL_BY_TYPE:
            raise document.error(("events", index, "type"), f"{event.type!r} is no event type of the contract")
        time = Template(event.occurred_at).single_column
        if time is not None and file.columns.get(time, Column()).kind != "time":
            raise document.error(("events", index, "occurred_at"), f"say `as: time` for {time!r} under `columns`")
        for target in event.fields:
            if not _has_field(MODEL_BY_TYPE[event.type], target):
                place = ("events", index, "fields", target)
                raise document.error(place, f"a {event.type!r} event has no field {target!r} to set here")
        if file.key is None and any(_needs_key(condition) for condition in event.when):
            raise document.error(("events", index, "when"), "`row`, `changed` and `increased` need a `key`")


def _needs_key(condition: Condition) -> bool:
    own = condition.row or condition.changed or condition.increased
    return own is not None or any(_needs_key(inner) for inner in condition.any or ())


def _has_field(model: type[BaseModel], target: str) -> bool:
    head, _, rest = target.partition(".")
    if head not in model.model_fields or head in _BUILT_BY_THE_IMPORT:
        return False
    inner = next((one for one in _models_in(model.model_fields[head].annotation)), None)
    return _has_field(inner, rest) if inner is not None and rest else inner is None and not rest


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _templates(file: MappingFile) -> Iterator[tuple[Place, str]]:
    yield ("ticket_id",), file.ticket_id
    for index, event in enumerate(file.events):
        yield ("events", index, "event_id"), event.event_id
        yield ("events", index, "occurred_at"), event.occurred_at
        for target, value in event.fields.items():
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    yield ("events", index, "fields", target), text


def _plain_columns(file: MappingFile) -> Iterator[tuple[str, Place]]:
    if file.key is not None:
        yield file.key, ("key",)
    if file.order_by is not None:
        yield file.order_by.column, ("order_by", "column")
    for index, event in enumerate(file.events):
        for number, condition in enumerate(event.when):
            for name in condition.columns():
                yield name, ("events", index, "when", number)
