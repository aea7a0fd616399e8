"""Mapping files: found, read, checked.

A mapping is refused as a whole, with file:line, for anything that could only be a slip: an unknown key, an event type, a
field or a value that the contract does not have, a column that nothing reads or that the file lacks.
"""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from models.strict_yaml import ConfigFileError, Document, parse_yaml, read_yaml
from models.ticket_event import MODEL_BY_TYPE, Base
from streams.importing.mapping import Column, Condition, EventTemplate, Mapping, MappingFile, Place, Scalar
from streams.importing.templates import Template, TemplateError, is_builtin
from streams.importing.time_formats import check_times

_BUILT_BY_THE_IMPORT = ("event_id", "ticket_id", "type", "occurred_at", "seq")


def included_mappings() -> list[str]:
    """Return the names of the mappings that come with the product."""
    folder = resources.files("streams.importing") / "mappings"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_mapping(name_or_path: str) -> Mapping:
    """Return a mapping by the name of an included one, or by its path. Raises ConfigFileError."""
    if name_or_path in included_mappings():
        return check_mapping(parse_yaml(text_of(name_or_path), f"{name_or_path}.yaml"))
    return check_mapping(read_yaml(_path_of(name_or_path)))


def text_of(name_or_path: str) -> str:
    """Return a mapping as it is written. Raises ConfigFileError where there is none that can be read."""
    if name_or_path in included_mappings():
        return (resources.files("streams.importing") / "mappings" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
    path = _path_of(name_or_path)
    read_yaml(path)
    return path.read_text(encoding="utf-8")


def _path_of(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if not path.exists() and path.suffix not in {".yaml", ".yml"}:
        names = ", ".join(included_mappings())
        raise ConfigFileError(name_or_path, 1, f"no such mapping: give a file, or one of the included: {names}")
    return path


def check_mapping(document: Document) -> Mapping:
    """Return the mapping in a document. Raises ConfigFileError at the line of the first fault."""
    file = document.validate(MappingFile)
    columns: dict[str, Place] = {}
    for place, text in _templates(file):
        try:
            template = Template(text)
        except TemplateError as error:
            raise document.error(place, str(error)) from None
        if template.previous and file.key is None:
            raise document.error(place, "{previous.…} needs a `key`: without one no row has a previous row")
        for column in template.columns:
            columns.setdefault(column, place)
    for name, place in _plain_columns(file):
        columns.setdefault(name, place)
    if is_builtin(next(iter(file.keys), "")):
        raise document.error(("key",), "the key is a column, not a name of the mapping language")
    _check_shape(file, document)
    for name in file.columns:
        if name not in columns:
            raise document.error(("columns", name), f"no template or condition reads the column {name!r}")
    return Mapping(file, document, columns, _remembered(file))


def _check_shape(file: MappingFile, document: Document) -> None:
    check_times(document, file.input, file.columns)
    if len(set(file.keys)) != len(file.keys):
        raise document.error(("key",), "the key names a column twice")
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
        _check_fields(file, document, index, event)
        if file.key is None and any(_needs_key(condition) for condition in event.when):
            raise document.error(
                ("events", index, "when"), "`row`, `changed`, `unchanged` and `increased` need a `key`"
            )
        if any(inner.row == "vanished" for condition in event.when for inner in condition.any or ()):
            raise document.error(
                ("events", index, "when"), "`row: vanished` stands alone or beside others, not in `any`"
            )


def _remembered(file: MappingFile) -> dict[str, bool]:
    """Return the columns of a row that the next snapshot is compared with; whether as they stand, not only their equality."""
    found: dict[str, bool] = {}
    for event in file.events:
        texts = [event.event_id or "", event.occurred_at]
        texts += [one for value in event.fields.values() for one in (value if isinstance(value, list) else [value])
                  if isinstance(one, str)]  # fmt: skip
        templates = [Template(text) for text in texts]
        for condition in event.when:
            for name, as_it_stands in condition.compared():
                found[name] = found.get(name, False) or as_it_stands
        for template in templates:
            found |= dict.fromkeys(template.previous, True)
        if event.of_vanished:  # nothing is left of its row but what is remembered
            read = [name for template in [*templates, Template(file.ticket_id)] for name in template.columns]
            read += [name for condition in event.when for name in condition.columns()]
            found |= dict.fromkeys(read, True)
    return found


def _needs_key(condition: Condition) -> bool:
    own = condition.row or condition.changed or condition.increased or condition.unchanged
    return own is not None or any(_needs_key(inner) for inner in condition.any or ())


def _check_fields(file: MappingFile, document: Document, index: int, event: EventTemplate) -> None:
    for target, value in event.fields.items():
        place: Place = ("events", index, "fields", target)
        adapter = _type_of(MODEL_BY_TYPE[event.type], target)
        if adapter is None:
            raise document.error(place, f"a {event.type!r} event has no field {target!r} to set here")
        template = Template(value) if isinstance(value, str) else None
        if isinstance(value, list) or (template is not None and template.tokens and template.single_column is None):
            continue  # composed of several texts: what comes out is seen when rows are converted
        if template is None or template.single_column is None:
            _check_value(document, place, adapter, target, value)
            continue
        column = template.single_column
        for text, mapped in (file.columns.get(column, Column()).values or {}).items():
            _check_value(document, ("columns", column, "values", text), adapter, target, mapped)


def _check_value(document: Document, place: Place, adapter: TypeAdapter[Any], target: str, value: Scalar) -> None:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise document.error(place, f"not a value that {target!r} can have: {problem}") from None


def _type_of(model: type[BaseModel], target: str) -> TypeAdapter[Any] | None:
    """Return what checks values of the field, None where the event has no such field to set."""
    head, _, rest = target.partition(".")
    if head not in model.model_fields or head in _BUILT_BY_THE_IMPORT:
        return None
    field = model.model_fields[head]
    inner = next(_models_in(field.annotation), None)
    if inner is not None:
        return _type_of(inner, rest) if rest else None
    annotation: Any = field.annotation
    for constraint in field.metadata:
        annotation = Annotated[annotation, constraint]
    return None if rest else TypeAdapter(annotation)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _templates(file: MappingFile) -> Iterator[tuple[Place, str]]:
    yield ("ticket_id",), file.ticket_id
    for index, event in enumerate(file.events):
        if event.event_id is not None:
            yield ("events", index, "event_id"), event.event_id
        yield ("events", index, "occurred_at"), event.occurred_at
        for target, value in event.fields.items():
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    yield ("events", index, "fields", target), text


def _plain_columns(file: MappingFile) -> Iterator[tuple[str, Place]]:
    for name in file.keys:
        yield name, ("key",)
    if file.order_by is not None:
        yield file.order_by.column, ("order_by", "column")
    for index, event in enumerate(file.events):
        for number, condition in enumerate(event.when):
            for name in condition.columns():
                yield name, ("events", index, "when", number)
