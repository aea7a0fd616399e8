"""Which files an installation is configured by: the settings file, all that it names, and the secrets that those name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.strict_yaml import ConfigFileError, read_yaml
from streams.archive import Source
from streams.archive_header import CONFIG, ELSEWHERE
from streams.settings import Settings

_SECRET = frozenset({"file", "key_file"})
_FILES = _SECRET | {"cert_file", "ca_file"}
_NOT_CONFIGURATION = frozenset({"data_dir", "broker_jars"})


class MissingFileError(Exception):
    """The configuration names a file that is not there."""


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """What goes into a backup. `main`: the settings file's name; `elsewhere`: where files lay that are not below its folder,
    by their names in the backup; `from_environment`: variables whose secrets no backup can hold; `folder`: that of the
    settings file.
    """

    main: str | None = None
    sources: tuple[Source, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    from_environment: tuple[str, ...] = ()
    folder: str | None = None


def config_files(settings: Settings, config: Path | None, data_dir: Path) -> ConfigFiles:
    """Return the files of a configuration, but those below the data directory, which are its own. Raises MissingFileError,
    ConfigFileError.
    """
    config = None if config is None else config.absolute()
    folder = None if config is None else config.parent
    variables: list[str] = []
    found: dict[Path, None] = {} if config is None else {config: None}
    for path in (*_named_by(settings), *_secrets(settings, variables)):
        found.setdefault(path.absolute())
    sources, elsewhere = [], {}
    for number, path in enumerate(found):
        if path.is_relative_to(data_dir.absolute()):
            continue
        if not path.exists():
            raise MissingFileError(f"{path} is named by the configuration and is not there")
        inside = folder is not None and path.is_relative_to(folder)
        if inside and folder:
            name = f"{CONFIG}/{path.relative_to(folder).as_posix()}"
        else:
            name = _free_name(number, path, folder)
            elsewhere[name] = str(path)
        sources += [Source(name, path), *_below(path, name)]
    unique = {source.name: source for source in (*_parents(sources, folder), *sources)}
    files = tuple(unique[name] for name in sorted(unique))
    if config is None:
        return ConfigFiles(None, files, elsewhere, tuple(dict.fromkeys(variables)))
    return ConfigFiles(config.name, files, elsewhere, tuple(dict.fromkeys(variables)), str(config.parent))


def _free_name(number: int, path: Path, folder: Path | None) -> str:
    """Return a name for a file from elsewhere that no file of an earlier restore has, which may lie beside the settings."""
    while True:
        name = f"{ELSEWHERE}/{number}-{path.name}"
        if folder is None or not (folder / name).exists():
            return name
        number += 1000


def missing_files(settings: Settings, folder: Path) -> tuple[Path, ...]:
    """Return the files of a configuration that are not there; no document outside `folder` is opened for what it names.

    Raises ConfigFileError.
    """
    outside = {
        name: None
        for name in ("subscribers_file", "api_clients_file")
        if (path := getattr(settings, name)) is not None and not path.resolve().is_relative_to(folder.resolve())
    }
    named = (*_named_by(settings), *_secrets(settings.model_copy(update=outside), []))
    return tuple(path for path in dict.fromkeys(Path(os.path.normpath(path)) for path in named) if not path.exists())


def secret_files(settings: Settings) -> tuple[Path, ...]:
    """Return every file that holds a secret, as the settings and the files that they name say. Raises ConfigFileError."""
    found = [key.secret_file for key in settings.pseudonym_keys]
    found += [settings.kafka_key_file, settings.kafka_password_file]
    referred = (path for path in _secrets(settings, [], _SECRET))
    return tuple(dict.fromkeys(path.absolute() for path in (*found, *referred) if path is not None))


def _named_by(settings: Settings) -> Iterator[Path]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        # Silences begin without a file.
        if isinstance(value, Path) and name not in _NOT_CONFIGURATION and (value.exists() or name != "silences_file"):
            yield value


def _secrets(settings: Settings, variables: list[str], fields: frozenset[str] = _FILES) -> Iterator[Path]:
    for key in settings.pseudonym_keys:
        if key.secret_file is not None:
            yield key.secret_file
        if key.secret_env is not None:
            variables.append(key.secret_env)
    if settings.kafka_password_env is not None:
        variables.append(settings.kafka_password_env)
    for path in (settings.subscribers_file, settings.api_clients_file):
        if path is not None and path.exists():
            yield from _referred(read_yaml(path).data, path.parent, variables, fields)


def _referred(data: Any, folder: Path, variables: list[str], fields: frozenset[str]) -> Iterator[Path]:
    """Yield every file that a document refers to; note the variables that it does."""
    if isinstance(data, list):
        for one in data:
            yield from _referred(one, folder, variables, fields)
    elif isinstance(data, dict):
        for name, value in data.items():
            if name in fields and isinstance(value, str):
                yield folder / value
            elif name == "env" and isinstance(value, str):
                variables.append(value)
            else:
                yield from _referred(value, folder, variables, fields)


def _parents(sources: list[Source], folder: Path | None) -> Iterator[Source]:
    """Yield the folders between the settings file and what lies deeper: for their modes."""
    for source in sources:
        if folder is None or not source.name.startswith(f"{CONFIG}/"):
            continue
        for parent in source.path.parents:
            if parent == folder or not parent.is_relative_to(folder):
                break
            yield Source(f"{CONFIG}/{parent.relative_to(folder).as_posix()}", parent)


def _below(path: Path, name: str) -> Iterator[Source]:
    if path.is_dir():
        for one in sorted(path.rglob("*")):
            if one.is_file() or one.is_dir():
                yield Source(f"{name}/{one.relative_to(path).as_posix()}", one)


__all__ = ["ConfigFileError", "ConfigFiles", "MissingFileError", "config_files", "secret_files"]
