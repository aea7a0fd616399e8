"""The file of work days: what it says is taken, and what it cannot mean is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.strict_yaml import ConfigFileError, parse_yaml
from models.times import parse_instant
from rules.calendar import BUILT_IN_VERSION, Calendar, built_in_calendar
from rules.calendar_file import calendar_of, load_calendar, remarks_on
from tests.reckoning_support import YEAR_2027

EXAMPLE = Path(__file__).parent.parent / "deploy" / "calendar.example.yaml"
EVERY_DAY = ", ".join(f"2027-{month:02}-02/2027-{month:02}-28" for month in range(2, 13)) + ", 2027-05-01"
DAYS = YEAR_2027 + 'days:\n  - {date: "2026-08-12", work: false, why: 试}\n'


def read(text: str) -> Calendar:
    return calendar_of(parse_yaml(text, "calendar.yaml"))


def at(text: str) -> int:
    return parse_instant(f"{text}T10:00:00+08:00")


def test_without_a_file_the_calendar_is_the_library_s() -> None:
    assert load_calendar(None) is built_in_calendar()


def test_a_year_is_added_and_the_others_stay() -> None:
    calendar = read(YEAR_2027)
    assert calendar.years == built_in_calendar().years | {2027}
    assert calendar.add_work_days(at("2026-12-31"), 1) == (at("2027-01-11"), True)
    assert calendar.add_work_days(at("2027-01-15"), 1) == (at("2027-01-17"), True)  # a make-up Sunday
    assert calendar.add_work_days(at("2026-02-13"), 5) == (at("2026-02-27"), True)


def test_a_single_day_is_changed() -> None:
    assert read(DAYS).add_work_days(at("2026-08-11"), 1)[0] == at("2026-08-13")


def test_a_year_that_the_library_has_is_replaced_as_a_whole() -> None:
    replaced = read(YEAR_2027.replace("2027", "2026").replace("2026-01-17", "2026-01-18"))
    assert replaced.add_work_days(at("2026-02-13"), 5)[0] == at("2026-02-20"), "it names no Spring Festival"


def test_the_version_names_the_library_the_file_and_what_it_says() -> None:
    version = read(YEAR_2027).version
    assert version.startswith(f"{BUILT_IN_VERSION}+2027-1.")
    assert read(f"# another comment\n{YEAR_2027}").version == version
    assert read(YEAR_2027.replace("2027-01-17", "2027-01-16")).version != version


WRONG = [
    ("nothing said", 'version: "1"\nsource: 试\n', 1, "says nothing"),
    ("no version", YEAR_2027.replace('version: "2027-1"\n', ""), 1, "version"),
    ("a version that is a number", YEAR_2027.replace('"2027-1"', "2027"), 1, "version"),
    ("an unknown field", f"{YEAR_2027}extra: 1\n", 7, "extra"),
    ("a year as text", YEAR_2027.replace("year: 2027", 'year: "2027"'), 4, "year"),
    ("a year out of range", YEAR_2027.replace("year: 2027", "year: 3027"), 4, "year"),
    ("a day that does not exist", YEAR_2027.replace("2027-05-01", "2027-02-29"), 5, "is no day"),
    ("a day of another year", YEAR_2027.replace("2027-05-01", "2028-05-01"), 5, "no day of 2027"),
    ("a span that runs back", YEAR_2027.replace("2027-01-04/2027-01-08", "2027-01-08/2027-01-04"), 5, "forward"),
    ("a span over months", YEAR_2027.replace("2027-01-04/2027-01-08", "2027-01-04/2027-03-08"), 5, "31 days"),
    ("a week in place of a day", YEAR_2027.replace("2027-05-01", "2027-W18-6"), 5, "is no day"),
    ("a span without an end", YEAR_2027.replace("2027-05-01", "2027-05-01/"), 5, "is no day"),
    ("a span at the end of time", DAYS.replace("2026-08-12", "9999-12-01/9999-12-31"), 8, "not announced"),
    (
        "spans that overlap",
        YEAR_2027.replace("2027-05-01", "2027-01-08/2027-01-09, 2027-05-01"),
        5,
        "01-08 stands twice",
    ),
    ("a year without work", YEAR_2027.replace("2027-05-01", EVERY_DAY), 4, "work days; every year since 2004"),
    ("a year that is no number", YEAR_2027.replace("year: 2027", "year: .nan"), 4, "year"),
    ("a year told in sixties", YEAR_2027.replace("year: 2027", "year: 33:47"), 4, "as a plain decimal"),
    ("a line that is two", YEAR_2027.replace("虚构,", '"虚构\\n').replace("通知\n", '通知"\n'), 2, "source"),
    ("an alias bomb", "version: &a [x, x]\n" + YEAR_2027, 1, "alias"),
    ("a day twice", YEAR_2027.replace("2027-01-04/", "2027-01-01/"), 5, "stands twice"),
    ("no day off on the first of May", YEAR_2027.replace(" 2027-05-01,", ""), 5, "2027-05-01 is missing"),
    ("a make-up day in the week", YEAR_2027.replace("2027-01-17", "2027-01-18"), 6, "no Saturday or Sunday"),
    (
        "a make-up day that is a day off",
        YEAR_2027.replace("2027-01-17", "2027-05-01"),
        6,
        "among the holidays too",
    ),
    ("a year twice", YEAR_2027 + YEAR_2027.split("years:\n")[1], 7, "stands twice"),
    ("a single day of a year that nobody announced", DAYS.replace("2026-08-12", "2031-08-12"), 8, "not announced"),
    ("a single day twice", DAYS + DAYS.splitlines()[-1] + "\n", 9, "stands twice"),
    ("a single day without a reason", DAYS.replace(", why: 试", ""), 8, "why"),
    ("yes in place of true", DAYS.replace("work: false", 'work: "no"'), 8, "work"),
    ("an alias", YEAR_2027.replace("[2027-01-17]", "*one"), 6, "alias"),
    ("a key twice", f"{YEAR_2027}source: 试\n", 7, "twice"),
]


@pytest.mark.parametrize(("text", "line", "problem"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_what_a_file_cannot_mean_is_refused_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(ConfigFileError) as refused:
        read(text)
    assert str(refused.value).startswith(f"calendar.yaml:{line}: "), refused.value
    assert problem in str(refused.value)


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"none\.yaml:1: cannot be read"):
        load_calendar(tmp_path / "none.yaml")


def test_what_looks_half_typed_is_remarked(tmp_path: Path) -> None:
    path = tmp_path / "calendar.yaml"
    path.write_text(YEAR_2027.replace("[2027-01-17]", "[]"), encoding="utf-8")
    told = remarks_on(path)
    assert [one.removeprefix(f"{path}:4: ").split(";")[0] for one in told] == [
        "2027 has no make-up work day",
        "2027 has 8 days off",
    ]
    path.write_text(YEAR_2027.replace("2027", "2026").replace("-01-17", "-01-18"), encoding="utf-8")
    assert any("2026 is not as chinesecalendar" in one for one in remarks_on(path))


def test_the_example_can_be_taken_and_nothing_in_it_is_remarkable() -> None:
    assert load_calendar(EXAMPLE).years >= {2026, 2027}
    assert remarks_on(EXAMPLE) == []
