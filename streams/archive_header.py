"""What a backup file says of itself, and which names its members may have. All of it is read strictly: it may come from anywhere."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from models.shown import is_plain, plain
from models.times import parse_instant

FORMAT: Final = "hotline-watch-backup"
VERSION: Final = 1
DATA, CONFIG, ELSEWHERE = "data", "config", "elsewhere"
TREES = frozenset({DATA, CONFIG, ELSEWHERE})
_NAME_LENGTH_MAX = 4096


def cleaned(text: str) -> str:
    """Return a name as it can be shown, whatever it was."""
    return plain(text[:_NAME_LENGTH_MAX])


def is_member_name(name: str) -> bool:
    """Return whether a name stays below the folder that it is put into, is written in one way only, and can be shown."""
    path = PurePosixPath(name)
    inside = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
    return inside and str(path) == name and len(name) <= _NAME_LENGTH_MAX and is_plain(name)


def _instant(text: str) -> str:
    parse_instant(text)
    return text


def _plain_path(text: str) -> str:
    if not PurePosixPath(text).is_absolute() or not is_plain(text):
        raise ValueError("no plain absolute path")
    return text


def _file_name(text: str) -> str:
    if not is_member_name(text) or "/" in text:
        raise ValueError("no plain file name")
    return text


def _elsewhere_name(text: str) -> str:
    if not is_member_name(text) or PurePosixPath(text).parts[0] != ELSEWHERE:
        raise ValueError(f"no name below {ELSEWHERE}/")
    return text


_Path = Annotated[str, Field(max_length=_NAME_LENGTH_MAX), AfterValidator(_plain_path)]
_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


class Header(BaseModel):
    """The header. `config`: the settings file's name below `config/`, None where no configuration is in it; `elsewhere`: where files lay
    that were not below its folder, by their names; `folder`: the settings file's; `from_environment`: variables with secrets,
    which no backup can hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal["hotline-watch-backup"] = FORMAT
    version: Literal[1] = VERSION
    made_at: Annotated[str, Field(max_length=40), AfterValidator(_instant)] | None = None
    made_by: Annotated[str, Field(pattern=r"^[ -~]{1,80}$")] | None = None
    cluster_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    config: Annotated[str, AfterValidator(_file_name)] | None = None
    elsewhere: dict[Annotated[str, AfterValidator(_elsewhere_name)], _Path] = {}
    folder: _Path | None = None
    from_environment: list[_Variable] = []

    @model_validator(mode="after")
    def _together(self) -> Header:
        if (self.config is None) != (self.folder is None):
            raise ValueError("config and folder belong together")
        return self
