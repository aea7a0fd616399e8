"""The silences file: strict to read, safe to write by several at once, and never half written."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alerting.silences import (
    DuplicateSilenceError,
    SilenceOverError,
    SilencesFileError,
    UnknownSilenceError,
    add_silence,
    expire_silence,
    load_silences,
    not_over,
)
from models.silence import Silence, SilenceState
from models.strict_yaml import ConfigFileError
from models.times import HOUR, parse_instant

START = parse_instant("2025-06-18T08:00:00")
FIELDS: dict[str, Any] = {
    "id": "S-12",
    "matchers": {"units": ["U-A"]},
    "starts_at": "2025-06-18T08:00:00+08:00",
    "ends_at": "2025-06-20T18:00:00+08:00",
    "author": "张某",
    "comment": "施工期间集中处理",
    "created_at": "2025-06-18T08:00:00+08:00",
}


def silence(**fields: Any) -> Silence:
    return Silence.model_validate(FIELDS | fields)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "silences.yaml"


def ids(path: Path) -> list[str]:
    return [one.id for one in load_silences(path)]


# --- one silence ---

REFUSED: dict[str, dict[str, Any]] = {
    "no matcher": {"matchers": {}},
    "a matcher that is empty": {"matchers": {"units": ["U-A"], "rules": []}},
    "a matcher that says nothing": {"matchers": {"units": ["U-A"], "rules": None}},
    "an unknown matcher": {"matchers": {"unit": ["U-A"]}},
    "an entry twice": {"matchers": {"units": ["U-A", "U-A"]}},
    "a level that is none": {"matchers": {"levels": ["purple"]}},
    "everything red": {"matchers": {"levels": ["red"]}},
    "red of a rule": {"matchers": {"levels": ["yellow", "red"], "rules": ["P01"]}},
    "red of a subscriber": {"matchers": {"levels": ["red"], "subscribers": ["platform"]}},
    "no end": {"ends_at": None},
    "an end at the start": {"ends_at": FIELDS["starts_at"]},
    "an end before the start": {"ends_at": "2025-06-18T07:59:59+08:00"},
    "more than ninety days": {"ends_at": "2025-09-16T08:00:01+08:00"},
    "a time that is none": {"starts_at": "2025-06-31T08:00:00"},
    "no author": {"author": ""},
    "an author over two lines": {"author": "张某\n李某"},
    "three characters of a reason": {"comment": "施工中"},
    "blanks for a reason": {"comment": "施    "},
    "an id with a blank": {"id": "S 12"},
    "an end before its time by nobody": {"expired_at": "2025-06-19T08:00:00"},
    "somebody who ended it at no time": {"expired_by": "李某"},
    "an unknown field": {"severity": "high"},
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_silence_without_bounds_or_reason_is_refused(what: str) -> None:
    with pytest.raises(ValidationError):
        silence(**REFUSED[what])


@pytest.mark.parametrize(
    ("matchers", "covers_red"),
    [
        ({"rules": ["P01"]}, False),
        ({"subscribers": ["platform"], "streets": ["甲街道"]}, False),
        ({"units": ["U-A"]}, True),
        ({"tickets": ["T-1"], "rules": ["P01"]}, True),
        ({"cases": ["case-1"], "levels": ["red"]}, True),
        ({"cases": ["case-1"], "levels": ["blue"]}, False),
    ],
)
def test_red_is_meant_only_where_a_case_ticket_or_unit_is_named(
    matchers: dict[str, list[str]], covers_red: bool
) -> None:
    assert silence(matchers=matchers).matchers.may_cover_red is covers_red


def test_a_silence_of_exactly_ninety_days_is_taken() -> None:
    assert silence(ends_at="2025-09-16T08:00:00+08:00").ends == START + 90 * 24 * HOUR


def test_a_time_without_offset_is_china_s() -> None:
    assert silence(starts_at="2025-06-18T08:00:00").starts == START


@given(st.integers(-50, 150), st.none() | st.integers(-50, 150))
def test_a_silence_is_pending_then_active_then_over(now_hours: int, expired_hours: int | None) -> None:
    ended: dict[str, Any] = {}
    if expired_hours is not None:
        day, hour = divmod(8 + expired_hours, 24)
        ended = {"expired_at": f"2025-06-{18 + day:02}T{hour:02}:00:00", "expired_by": "李某"}
    end_hours = min(58, 58 if expired_hours is None else expired_hours)
    state = silence(**ended).state(START + now_hours * HOUR)
    if now_hours >= end_hours:
        assert state is SilenceState.OVER
    else:
        assert state is (SilenceState.ACTIVE if now_hours >= 0 else SilenceState.PENDING)


# --- reading ---


def test_a_missing_file_holds_no_silence(path: Path) -> None:
    assert load_silences(path) == ()


def test_what_is_over_is_left_out_where_one_asks_for_it(path: Path) -> None:
    later = silence(id="S-13", starts_at="2025-06-21T08:00:00", ends_at="2025-06-22T08:00:00")
    both = (silence(), later)
    assert not_over(both, START) == both
    assert not_over(both, silence().ends) == (later,)
    assert not_over(both, later.ends) == ()


BROKEN: dict[str, tuple[str, int]] = {
    "nothing in it": ("", 1),
    "no list": ("silences:\n", 1),
    "an id twice": ("silences:\n" + 2 * "- {id: S-1, matchers: {rules: [P01]}, starts_at: 2025-06-18T08:00:00, "
                    "ends_at: 2025-06-19T08:00:00, author: 张某, comment: 集中处理, created_at: 2025-06-18T08:00:00}\n", 3),
    "an end that is missing": ("silences:\n- id: S-1\n  matchers: {rules: [P01]}\n  starts_at: 2025-06-18T08:00:00\n"
                               "  author: 张某\n  comment: 集中处理\n  created_at: 2025-06-18T08:00:00\n", 2),
    "a key twice": ("silences: []\nsilences: []\n", 2),
    "an alias": ("silences: *all\n", 1),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_file_that_is_not_in_order_is_refused_by_line_and_not_written_to(what: str, path: Path) -> None:
    text, line = BROKEN[what]
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigFileError) as caught:
        load_silences(path)
    assert (caught.value.source, caught.value.line) == (str(path), line)
    with pytest.raises(ConfigFileError):
        add_silence(path, silence())
    assert path.read_text(encoding="utf-8") == text


def test_a_path_that_cannot_be_read_is_no_missing_file(path: Path) -> None:
    path.write_text("silences: []\n")
    with pytest.raises(ConfigFileError, match="cannot be read"):
        load_silences(path / "below")
    with pytest.raises(SilencesFileError, match="cannot be written"):
        add_silence(path / "below", silence())


# --- adding ---


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"matchers": {"rules": ["P01", "P02"], "levels": ["blue", "yellow"], "families": ["P"], "streets": ["甲街道"]}},
        {"author": "no", "comment": "true: [1] #2 'x' \"y\""},
        {"matchers": {"units": ["0012", "1e3", "yes", "2025-06-18", "a: b", "- c", "*d"]}},
    ],
    ids=["one unit", "several matchers", "words that YAML would misread", "ids that YAML would misread"],
)
def test_what_is_added_is_read_back_as_it_was(fields: dict[str, Any], path: Path) -> None:
    first, second = silence(**fields), silence(id="S-13")
    add_silence(path, first)
    add_silence(path, second)
    assert load_silences(path) == (first, second)


def test_comments_in_the_file_stay_where_they_are(path: Path) -> None:
    add_silence(path, silence())
    text = path.read_text(encoding="utf-8").replace("  - id: S-12", "  # 见会议纪要第三号\n  - id: S-12  # 甲街道")
    path.write_text(text, encoding="utf-8")
    add_silence(path, silence(id="S-13"))
    assert path.read_text(encoding="utf-8").startswith(text)
    expire_silence(path, "S-12", START + HOUR, "李某")
    assert "  # 见会议纪要第三号\n  - id: S-12  # 甲街道\n" in path.read_text(encoding="utf-8")


def test_an_id_is_given_once(path: Path) -> None:
    add_silence(path, silence())
    expire_silence(path, "S-12", START + HOUR, "李某")
    with pytest.raises(DuplicateSilenceError, match="S-12 already"):
        add_silence(path, silence())


def test_the_file_keeps_its_mode_and_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    path.write_text("silences: []\n")
    path.chmod(0o640)
    link = tmp_path / "elsewhere" / "link.yaml"
    link.parent.mkdir()
    link.symlink_to(path)
    add_silence(link, silence())
    assert path.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert ids(path) == ids(link) == ["S-12"]


def test_no_file_comes_to_be_that_would_not_be_read(path: Path) -> None:
    padding = "# " + "x" * (1024 * 1024 - 100) + "\n"
    path.write_text(f"{padding}silences: []\n", encoding="utf-8")
    with pytest.raises(SilencesFileError, match="move what is over to another file"):
        add_silence(path, silence())
    assert ids(path) == []


# --- ending ---


def test_a_silence_that_is_ended_is_over_and_kept(path: Path) -> None:
    for number in (11, 12, 13):
        add_silence(path, silence(id=f"S-{number}"))
    ended = expire_silence(path, "S-12", START + HOUR, "李某")
    assert (ended.ends, ended.expired_by, ended.comment) == (START + HOUR, "李某", "施工期间集中处理")
    assert load_silences(path) == (silence(id="S-11"), ended, silence(id="S-13"))


def test_a_silence_that_has_not_begun_can_be_ended_and_never_holds(path: Path) -> None:
    add_silence(path, silence())
    ended = expire_silence(path, "S-12", START - HOUR, "李某")
    assert ended.state(START + HOUR) is SilenceState.OVER


def test_what_is_over_or_unknown_is_not_ended_again(path: Path) -> None:
    add_silence(path, silence())
    with pytest.raises(UnknownSilenceError, match="no silence S-99"):
        expire_silence(path, "S-99", START, "李某")
    with pytest.raises(ValidationError):
        expire_silence(path, "S-12", START, "")
    with pytest.raises(SilenceOverError, match="over since 2025-06-20 18:00"):
        expire_silence(path, "S-12", silence().ends, "李某")
    expire_silence(path, "S-12", START + HOUR, "李某")
    with pytest.raises(SilenceOverError, match="over since 2025-06-18 09:00"):
        expire_silence(path, "S-12", START + 2 * HOUR, "王某")
    assert [one.expired_by for one in load_silences(path)] == ["李某"]


# --- several at once, and ends in between ---

ADDS = """
import sys
from pathlib import Path
from alerting.silences import add_silence
from tests.test_silences import silence
for number in range(5):
    add_silence(Path(sys.argv[1]), silence(id=f"{sys.argv[2]}-{number}"))
"""
DIES = """
import os, signal, sys
from pathlib import Path
from alerting.silences import add_silence
from tests.test_silences import silence
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
add_silence(Path(sys.argv[1]), silence(id="S-99"))
"""


def test_threads_that_add_at_once_lose_nothing(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_silence(path, silence(id=f"S-{number}")), range(24)))
    assert sorted(ids(path)) == sorted(f"S-{number}" for number in range(24))


def test_processes_that_add_at_once_lose_nothing(path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", ADDS, str(path), name]) for name in ("A", "B")]
    assert [one.wait(60) for one in running] == [0, 0]
    assert sorted(ids(path)) == [f"{name}-{number}" for name in ("A", "B") for number in range(5)]


def test_one_who_is_killed_before_the_last_step_leaves_the_old_file_and_no_lock(path: Path) -> None:
    add_silence(path, silence())
    killed = subprocess.run([sys.executable, "-c", DIES, str(path)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert ids(path) == ["S-12"]
    add_silence(path, silence(id="S-13"))
    assert ids(path) == ["S-12", "S-13"]


def test_a_disk_that_is_full_leaves_the_old_file_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_silence(path, silence())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(SilencesFileError, match="No space left"):
            add_silence(path, silence(id="S-13"))
    assert ids(path) == ["S-12"]
    assert [one.name for one in path.parent.iterdir() if one.name.endswith(".new")] == []
