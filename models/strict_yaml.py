"""YAML files of people's making (rules, subscribers, mappings), read strictly, with file:line in every error.

What plain loaders let through and this one refuses: aliases (396 bytes can expand to 2 GB), tags of any kind, two documents, duplicate
keys (the last would win in silence), keys that are no text, files over 1 MiB. Types are then checked strictly, so that an unquoted `no`,
which YAML reads as false, is an error where a text is wanted.
"""

import errno
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

MAX_FILE_BYTES = 1024 * 1024
MAX_DEPTH = 20

Model = TypeVar("Model", bound=BaseModel)
_TYPE_TRIED = re.compile(r"constrained-\w+|[\w-]+[\[(].*|(?:[A-Z][a-z]+){2,}")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
KeyPath = tuple[str | int, ...]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where it is built in: a tenth of the time, the same documents"""


class ConfigFileError(ValueError):
    """A file that cannot be taken; the message is `file:line: what is wrong and what to do`."""

    def __init__(self, source: str, line: int, problem: str) -> None:
        super().__init__(f"{source}:{line}: {problem}")
        self.source = source
        self.line = line
        self.problem = problem


class Document:
    """A parsed file: its `data`, and the line of each place in it."""

    def __init__(self, source: str, data: Any, lines: dict[KeyPath, int]) -> None:
        self.source = source
        self.data = data
        self._lines = lines

    def line_of(self, path: KeyPath) -> int:
        """Return the 1-based line of a place, or of the nearest thing around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def error(self, path: KeyPath, problem: str) -> ConfigFileError:
        """Return an error that points to a place in the file."""
        return ConfigFileError(self.source, self.line_of(path), problem)

    def validate(self, model: type[Model]) -> Model:
        """Return the data as a model. Raises ConfigFileError at the line of the first fault, never showing the value."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(self._said(first["loc"]))
            problem = first["msg"].removeprefix("Value error, ")
            raise self.error(first["loc"], f"{where or 'file'}: {problem}") from None

    def _said(self, path: KeyPath) -> Iterator[str]:
        """Yield the parts of a place as people wrote them: of several types that were tried, pydantic adds which one."""
        for part in path:
            if isinstance(part, int) or not _TYPE_TRIED.fullmatch(part):
                yield str(part)


def read_plain(path: Path, bytes_max: int) -> bytes:
    """Return what is in a regular file, at most one byte more than `bytes_max`.

    Raises OSError, also for a pipe or a device: reading one might never end.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as file:
        return file.read(bytes_max + 1)


def read_yaml(path: Path) -> Document:
    """Return the one document in a YAML file. Raises ConfigFileError."""
    try:
        content = read_plain(path, MAX_FILE_BYTES)
        if len(content) > MAX_FILE_BYTES:
            raise ConfigFileError(str(path), 1, f"over {MAX_FILE_BYTES} bytes, which is all that is read")
        text = content.decode()
    except OSError as error:
        raise ConfigFileError(str(path), 1, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigFileError(str(path), 1, "is not UTF-8") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Document:
    """Return the one document in a text; `source` names it in errors. Raises ConfigFileError."""
    if len(text.encode()) > MAX_FILE_BYTES:
        raise ConfigFileError(source, 1, f"over {MAX_FILE_BYTES} bytes")
    try:
        _refuse_aliases(text, source)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigFileError(source, mark.line + 1 if mark else 1, error.problem or "is not YAML") from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigFileError(source, 1, "is not YAML") from None
    if node is None:
        raise ConfigFileError(source, 1, "is empty")
    lines: dict[KeyPath, int] = {}
    return Document(source, _build(node, (), lines, source), lines)


def _refuse_aliases(text: str, source: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH + 1:  # before anything is built, which goes as deep
            raise ConfigFileError(source, line, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigFileError(source, line, "anchors and aliases are not taken: write the value out")
        if getattr(event, "tag", None):
            raise ConfigFileError(source, line, "tags are not taken: write plain values")


def _build(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], source: str) -> Any:
    line = node.start_mark.line + 1
    lines[path] = line
    if len(path) > MAX_DEPTH:
        raise ConfigFileError(source, line, f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(node, path, lines, source)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), lines, source) for index, item in enumerate(node.value)]
    if node.tag == "tag:yaml.org,2002:int" and not _DECIMAL.fullmatch(node.value):
        # YAML reads 010 as eight, and 1:30 as ninety.
        raise ConfigFileError(
            source, line, "a number that YAML reads otherwise than people: write it as a plain decimal, or in quotes"
        )
    try:
        return _SCALARS.construct_object(node)
    except (ValueError, yaml.YAMLError):
        raise ConfigFileError(source, line, "a value that cannot be read: put it in quotes") from None


def _build_mapping(node: yaml.MappingNode, path: KeyPath, lines: dict[KeyPath, int], source: str) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
            raise ConfigFileError(source, line, "a key that is no text: put it in quotes")
        key = key_node.value
        if key in built:
            raise ConfigFileError(source, line, f"the key {key!r} stands twice")
        built[key] = _build(value_node, (*path, key), lines, source)
        lines[(*path, key)] = line
    return built


class _Scalars(yaml.constructor.SafeConstructor):
    """Constructs single values; times stay text, so that they are parsed by our own rules."""


_Scalars.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)
_SCALARS = _Scalars()
