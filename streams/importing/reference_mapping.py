"""How a row of another department's table becomes a row of reference data: the mapping file, and what a row says by it.

The language is that of event mappings (docs/import.md): `input`, `columns`, `{column}` templates. A citizen is named by phone, ID number or
the platform's own key; the first two become pseudonyms here, with the installation's secrets, and go no further.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field, ValidationError, model_validator

from models.base import Contract
from models.quarantine import RejectionReason
from models.reference import FIELDS, Label, PostRecord, ReferenceRecord, ReferenceTable, make_record, values_of
from models.strict_yaml import ConfigFileError, Document, parse_yaml, read_yaml
from models.ticket_event import Citizen
from models.times import ImpossibleTimeError, datetime_of, parse_instant
from rules.masking import fold_digits, mask_label
from rules.pseudonym import PseudonymKey, citizen_keys
from rules.reference import LEAST_CHARACTERS, words_of_post
from streams.importing.columns import Reader, readers
from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.header import checked_columns
from streams.importing.mapping import Column, Input, MappingFile, Place, Scalar
from streams.importing.templates import Cell, Template, TemplateError
from streams.importing.time_formats import check_times

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_IDENTITY = re.compile(r"1[3-9]\d{9}|0\d{9,11}|\d{15}|\d{17}[\dX]", re.ASCII)
"""a mobile or long-distance number, an old or a new ID number, and nothing else"""
_LABELS = frozenset({"name", "kind", "district", "street", "community"})

Written = Annotated[str, Field(min_length=1, max_length=200)]


class CitizenKey(Contract):
    """By what the table names a citizen: exactly one."""

    phone: Written | None = None
    id_number: Written | None = None
    key: Annotated[Written | None, Field(description="the pseudonym that events carry as citizen.key")] = None

    @model_validator(mode="after")
    def _one(self) -> CitizenKey:
        if sum(one is not None for one in (self.phone, self.id_number, self.key)) != 1:
            raise ValueError("give exactly one of phone, id_number and key")
        return self

    @property
    def named(self) -> tuple[str, str]:
        """Return by what, and the template that gives it."""
        return next((name, text) for name, text in self if text is not None)


class TableMappingFile(Contract):
    """A mapping as it is written."""

    mapping: Written
    title: Written
    table: Annotated[ReferenceTable, Field(strict=False)]
    source: Label = Field(description="who keeps the table, as evidence may name it")
    input: Input = Field(default_factory=Input)
    columns: dict[str, Column] = Field(default_factory=dict)
    key: Written | None = None
    citizen: CitizenKey | None = None
    valid_from: Written | None = None
    valid_to: Written | None = None
    fields: dict[str, Scalar | list[str]]
    unused: list[str] = Field(default_factory=list, description="columns known and left out on purpose")


@dataclass(frozen=True)
class TableMapping:
    """A mapping that passed every check that needs no data file."""

    file: TableMappingFile
    document: Document
    read_columns: dict[str, Place]
    """each column that it reads, and the place in the file that names it first"""

    def check_header(self, header: list[str], where: str, *, delimiter: str | None = None) -> list[str]:
        """Return the columns that it neither reads nor leaves out on purpose. Raises HeaderMismatch where one is missing."""
        optional = [name for name, column in self.file.columns.items() if column.optional]
        return checked_columns(
            header, self.read_columns, optional, self.file.unused, self.document, where=where, delimiter=delimiter
        )


def included_text(table: ReferenceTable) -> str:
    """Return the mapping of the plain layout of a table, to use as it is or to copy and change."""
    return (resources.files("streams.importing") / "reference_layouts" / f"{table}.yaml").read_text(encoding="utf-8")


def table_of(name_or_path: str) -> ReferenceTable | None:
    """Return the table that a mapping is of, an included one or a file; None: of ticket events, or nothing that can be read."""
    if name_or_path in list(ReferenceTable):
        return ReferenceTable(name_or_path)
    try:
        said = read_yaml(Path(name_or_path)).data
    except ConfigFileError:
        return None
    table = said.get("table") if isinstance(said, dict) else None
    if table is None:
        return None
    # One that does not exist is refused with its line when the mapping is read.
    return ReferenceTable(table) if table in list(ReferenceTable) else ReferenceTable.UNITS


def load_table_mapping(table: ReferenceTable, name_or_path: str) -> TableMapping:
    """Return the mapping in a file, or that of the table's plain layout by its name. Raises ConfigFileError with file:line."""
    is_included = name_or_path == table.value
    document = parse_yaml(included_text(table), f"{table}.yaml") if is_included else read_yaml(Path(name_or_path))
    file = document.validate(TableMappingFile)
    if file.table is not table:
        raise document.error(("table",), f"the mapping is one of the table {file.table}, not of {table}")
    if (file.citizen is None) == (table is ReferenceTable.CITIZENS) or (file.key is None) == (file.citizen is None):
        raise document.error((), "the table citizens has `citizen`, the others have `key`")
    if table is ReferenceTable.POSTS and (file.valid_from or file.valid_to):
        raise document.error(("valid_from",), "posts have no validity: an accusation of a former holder is sealed too")
    check_times(document, file.input, file.columns)
    known = FIELDS[table].model_fields
    for name in file.fields:
        if name not in known:
            raise document.error(("fields", name), f"{table} has no field {name!r}; there are {', '.join(known)}")
    for name, field in known.items():
        if field.is_required() and name not in file.fields:
            raise document.error(("fields",), f"{table} needs the field {name!r}")
    columns: dict[str, Place] = {}
    for place, text in _templates(file):
        try:
            template = Template(text)
        except TemplateError as error:
            raise document.error(place, str(error)) from None
        if len(template.columns) != len(template.tokens):
            raise document.error(place, "only columns of the row itself can be named here")
        for column in template.columns:
            columns.setdefault(column, place)
    for name in file.columns:
        if name not in columns:
            raise document.error(("columns", name), f"no template reads the column {name!r}")
    return TableMapping(file, document, columns)


def _templates(file: TableMappingFile) -> Iterator[tuple[Place, str]]:
    for name, text in (("key", file.key), ("valid_from", file.valid_from), ("valid_to", file.valid_to)):
        if text is not None:
            yield (name,), text
    if file.citizen is not None:
        yield ("citizen", file.citizen.named[0]), file.citizen.named[1]
    for name, value in file.fields.items():
        if isinstance(value, str):
            yield ("fields", name), value
        elif isinstance(value, list):
            yield from ((("fields", name, index), text) for index, text in enumerate(value))


class RecordMaker:
    """Makes records of rows. `columns`: what the rows' cells are, in order."""

    def __init__(
        self, mapping: TableMapping, columns: Sequence[str], keys: Sequence[PseudonymKey], loaded_at: str
    ) -> None:
        self._file, self._keys = mapping.file, keys
        self._about = {"source": mapping.file.source, "loaded_at": loaded_at}
        self._places = {name: place for place, name in enumerate(columns)}
        # The readers look at `columns` and `input` alone, which are the same in both kinds of mapping.
        self._readers: dict[str, Reader] = readers(cast(MappingFile, mapping.file), list(columns))
        file = mapping.file
        self._fields = {name: self._value(value) for name, value in file.fields.items()}
        self._from, self._to = (None if one is None else self._get(one) for one in (file.valid_from, file.valid_to))
        named = file.citizen.named if file.citizen is not None else ("key", file.key or "")
        self._by, self._key = named[0], self._get(named[1])
        if file.citizen is not None and self._by != "key" and not keys:
            raise ImportFault(
                f"the table names citizens by {self._by}: set `pseudonym_keys` in the settings, as the workers have them"
            )

    def of_row(self, cells: Sequence[str]) -> list[ReferenceRecord]:
        """Return the row's records: one, or of a citizen one for each secret in use. Raises RowFault, which shows no cell."""
        fields = {name: value for name, get in self._fields.items() if (value := get(cells)) is not None}
        for name in _LABELS & fields.keys():
            fields[name] = mask_label(str(fields[name]).strip())
        period = (_day(self._from, cells, "valid_from"), _day(self._to, cells, "valid_to"))
        try:
            return [
                _checked(make_record(self._file.table, key, fields, period, **self._about))
                for key in self._keys_of(cells)
            ]
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"] if part != self._file.table)
            is_missing = first["type"] == "missing"
            reason = RejectionReason.MISSING_FIELD if is_missing else RejectionReason.INVALID_FIELD
            raise RowFault(reason, f"{where or 'row'}: {first['msg']}") from None

    def _keys_of(self, cells: Sequence[str]) -> list[str]:
        value = self._key(cells)
        said = "" if value is None else str(value)
        if self._file.citizen is None:
            found = [said] if said else []
        else:
            if self._by == "key" and _IDENTITY.fullmatch(re.sub(r"[^0-9A-Z]", "", fold_digits(said)[0].upper())):
                raise RowFault(
                    RejectionReason.INVALID_FIELD,
                    "key: a phone or ID number: map it as `phone` or `id_number`, so that it becomes a pseudonym",
                )
            try:
                found = citizen_keys(Citizen.model_validate({self._by: said}), self._keys) if said else []
            except ValidationError:
                raise RowFault(RejectionReason.INVALID_FIELD, f"{self._by}: too long or not plain text") from None
        if not found:
            raise RowFault(RowReason.MISSING_KEY, f"nothing stands where `{self._by}` is read")
        return found

    def _value(self, value: Scalar | list[str]) -> Callable[[Sequence[str]], Any]:
        if isinstance(value, str):
            return self._get(value)
        if isinstance(value, list):
            gets = [self._get(text) for text in value]
            return lambda cells: [str(one) for get in gets if (one := get(cells)) is not None] or None
        return lambda _: value

    def _get(self, text: str) -> Callable[[Sequence[str]], Cell | None]:
        template = Template(text)
        places, column = self._places, self._readers
        return lambda cells: template.render(lambda name, _: column[name](cells[places[name]]))


def _checked(record: ReferenceRecord) -> ReferenceRecord:
    if isinstance(record, PostRecord):
        words = words_of_post(record.key, values_of(record.fields))
        if len(words) < 1 + (record.fields.holder is not None):
            told = f"key or holder: a title or name has {LEAST_CHARACTERS} characters or more"
            raise RowFault(RejectionReason.INVALID_FIELD, told)
    return record


def _day(get: Callable[[Sequence[str]], Cell | None] | None, cells: Sequence[str], what: str) -> str | None:
    value = get(cells) if get is not None else None
    if value is None:
        return None
    text = str(value)
    if _DAY.fullmatch(text):
        return text
    try:
        return datetime_of(parse_instant(text)).date().isoformat()
    except ImpossibleTimeError:
        raise RowFault(
            RowReason.BAD_TIME, f"{what}: no day such as 2025-01-31: say `as: time` and its format"
        ) from None


def with_iso_times(mapping: TableMapping) -> TableMapping:
    """Return the mapping for a workbook, whose dates are given as ISO times whatever they look like to people."""

    def more(times: list[str]) -> list[str]:
        return [*dict.fromkeys([*times, "iso"])]

    file = mapping.file
    columns = {
        name: column if column.times is None else column.model_copy(update={"times": more(column.times)})
        for name, column in file.columns.items()
    }
    settings = file.input.model_copy(update={"times": more(file.input.times)})
    return replace(mapping, file=file.model_copy(update={"input": settings, "columns": columns}))


def with_input(mapping: TableMapping, **changed: object) -> TableMapping:
    """Return the mapping for a file that is read otherwise. Raises ConfigFileError for what is not known."""
    try:
        settings = Input.model_validate({**mapping.file.input.model_dump(), **changed})
    except ValidationError as error:
        name = str(error.errors(include_url=False, include_input=False)[0]["loc"][0])
        raise ConfigFileError(f"--{name}", 1, "not a value it can have") from None
    return replace(mapping, file=mapping.file.model_copy(update={"input": settings}))
