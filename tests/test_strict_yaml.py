"""YAML of people's making: what plain loaders let through is refused, with file:line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import Field

from models.base import Contract
from models.strict_yaml import MAX_FILE_BYTES, ConfigFileError, parse_yaml, read_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
)


class _Settings(Contract):
    name: str
    days: int = Field(1, ge=1)
    share: float = Field(0.5, ge=0, le=1, allow_inf_nan=False)
    tags: list[str] = Field([])
    live: bool = False


REFUSED: dict[str, tuple[str, int]] = {
    "an alias bomb": (BOMB, 1),
    "an anchor": ("name: x\ntags: &t [a]\n", 2),
    "an alias": ("name: x\ntags: *t\n", 2),
    "a Python tag": ("name: x\ntags: !!python/object/apply:os.system ['true']\n", 2),
    "a plain tag": ("name: !!str x\n", 1),
    "a key twice": ("name: x\ndays: 2\n\nname: y\n", 4),
    "two documents": ("name: x\n---\nname: y\n", 2),
    "no for a text": ("days: 2\nname: no\n", 2),
    "a number for a text": ("name: 12\n", 1),
    "a text for a number": ("name: x\ndays: '2'\n", 2),
    "a number below its bound": ("name: x\ndays: -1\n", 2),
    "a number in eights": ("name: x\ndays: 010\n", 2),
    "a number in sixties": ("name: x\ndays: 1:30\n", 2),
    "an infinite number": ("name: x\nshare: .inf\n", 2),
    "not a number": ("name: x\nshare: .nan\n", 2),
    "an unknown field": ("name: x\n\nnmae: y\n", 3),
    "a missing field": ("days: 2\n", 1),
    "a wrong item": ("name: x\ntags:\n  - a\n  - 1\n", 4),
    "a key that is no text": ("name: x\n1: y\n", 2),
    "on for a key": ("name: x\non: true\n", 2),
    "a list for a key": ("name: x\n? [a]\n: y\n", 2),
    "a merge key": ("name: x\n<<: {days: 2}\n", 2),
    "nothing": ("", 1),
    "only a comment": ("# name: x\n", 1),
    "broken YAML": ("name: x\ntags: [a\n", 3),
    "a tab for indentation": ("name: x\ntags:\n\t- a\n", 3),
    "a control character": ("name: \x01\n", 1),
    "a list": ("- a\n", 1),
    "too deep": ("name: " + "[" * 30 + "]" * 30, 1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_file_and_line(name: str) -> None:
    text, line = REFUSED[name]
    with pytest.raises(ConfigFileError) as caught:
        parse_yaml(text, "some/file.yaml").validate(_Settings)
    assert str(caught.value).startswith(f"some/file.yaml:{line}: ")


def test_the_error_does_not_show_the_value() -> None:
    with pytest.raises(ConfigFileError) as caught:
        parse_yaml("name: x\ndays: hush-hush-hush\n", "f").validate(_Settings)
    assert "hush" not in str(caught.value)


def test_a_good_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: 'no'\ndays: 3\nshare: 0.25\ntags: [a, 中文]\nlive: true\n", encoding="utf-8")
    assert read_yaml(path).validate(_Settings) == _Settings(
        name="no", days=3, share=0.25, tags=["a", "中文"], live=True
    )


def test_a_time_stays_text() -> None:
    assert parse_yaml("at: 2025-06-18T09:00:00+08:00\nday: 2025-06-18\n", "f").data == {
        "at": "2025-06-18T09:00:00+08:00",
        "day": "2025-06-18",
    }


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ConfigFileError, match=r"big\.yaml:1: over 1048576 bytes"):
        read_yaml(path)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")  # opened to be read, it would wait for a writer
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero"), tmp_path):
        with pytest.raises(ConfigFileError, match="cannot be read"):
            read_yaml(path)


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "gbk.yaml").write_bytes("name: 中文".encode("gbk"))
    with pytest.raises(ConfigFileError, match="not UTF-8"):
        read_yaml(tmp_path / "gbk.yaml")
