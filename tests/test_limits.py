"""The city's limits: which row fits, how it is counted, and files that are refused with their line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.strict_yaml import ConfigFileError
from models.ticket_event import RequestType
from models.times import DAY, HOUR, format_instant, parse_instant
from rules.calendar import built_in_calendar, start_of_day
from rules.limits import KINDS, NO_LIMITS, Counting, Limit, Urgency, load_limits
from rules.reckoning import Reckoning, load_reckoning, plain_reckoning
from tests.reckoning_support import CITY, city, limits

EXAMPLE = Path(__file__).parent.parent / "deploy" / "limits.example.yaml"
PLAIN = plain_reckoning()
HOURS = ((9 * HOUR, 12 * HOUR), (13 * HOUR, 18 * HOUR))


@pytest.mark.parametrize(
    ("kind", "request_type", "urgency", "expected"),
    [
        ("handling", "complaint", "normal", Limit(10, "work_days")),
        ("handling", "complaint", None, Limit(10, "work_days")),
        ("handling", None, None, Limit(10, "work_days")),
        ("handling", "consultation", "normal", Limit(1, "work_days")),
        ("handling", "consultation", "urgent", Limit(24, "hours")),
        ("handling", "praise", "normal", None),
        ("handling", "praise", "critical", Limit(24, "hours")),
        ("acceptance", "complaint", "critical", Limit(15, "minutes")),
        ("acceptance", "complaint", "urgent", Limit(2, "work_hours")),
        ("acceptance", None, None, Limit(1, "work_days")),
        ("redo", "report", "normal", Limit(3, "work_days")),
    ],
)
def test_the_first_row_that_fits_counts(
    kind: Any, request_type: str | None, urgency: str | None, expected: Any
) -> None:
    profile = limits().profile_for("某区")
    assert profile is not None
    assert profile.limit(kind, request_type, urgency) == expected


def test_a_district_may_have_a_profile_of_its_own() -> None:
    found = load_limits(EXAMPLE)
    east, other = found.profile_for("东山县"), found.profile_for("西山县")
    assert east is not None
    assert other is not None
    assert (east.name, other.name) == ("云溪市东山县", "云溪市")
    assert found.profile_for(None) is other
    assert east.limit("acceptance", None, None) is None


def test_where_every_profile_names_districts_the_rest_has_no_limits() -> None:
    found = limits(CITY.replace("districts: []", "districts: [东区]"))
    assert found.profile_for("西区") is found.profile_for(None) is None
    assert found.any


def test_without_a_file_there_are_no_limits() -> None:
    assert load_limits(None) is NO_LIMITS
    assert NO_LIMITS.profile_for("某区") is None
    assert load_reckoning(None, None) is PLAIN
    assert PLAIN.version == built_in_calendar().version


def test_the_version_tells_the_calendar_and_the_limits() -> None:
    version = city().version
    assert version.startswith(f"{built_in_calendar().version};limits-1.")
    assert city(CITY.replace("value: 10", "value: 9")).version != version
    assert city(f"# a comment\n{CITY}").version == version


COUNTED = [
    # Friday before the Spring Festival of 2026, whose next work days are Saturday 02-14, then 02-24 on.
    (Limit(5, "work_days"), Counting(), "2026-02-13T10:00:00", "2026-02-27T10:00:00"),
    (Limit(5, "work_days"), Counting(ends="end_of_day"), "2026-02-13T10:00:00", "2026-02-28T00:00:00"),
    (
        Limit(5, "work_days"),
        Counting(ends="close_of_work", office_hours=HOURS),
        "2026-02-13T10:00:00",
        "2026-02-27T18:00:00",
    ),
    (Limit(5, "work_days"), Counting(False, True, "end_of_day"), "2026-02-13T10:00:00", "2026-02-27T00:00:00"),
    (Limit(1, "work_days"), Counting(False, True, "end_of_day"), "2026-02-13T10:00:00", "2026-02-14T00:00:00"),
    # A day that is no work day, or whose office hours are over, cannot be the first one.
    (Limit(1, "work_days"), Counting(False, True, "end_of_day"), "2026-02-15T10:00:00", "2026-02-25T00:00:00"),
    (
        Limit(1, "work_days"),
        Counting(False, True, "close_of_work", HOURS),
        "2026-02-13T19:00:00",
        "2026-02-14T18:00:00",
    ),
    (Limit(3, "days"), Counting(), "2026-02-13T10:00:00", "2026-02-16T10:00:00"),
    (Limit(3, "days"), Counting(ends="end_of_day"), "2026-02-13T10:00:00", "2026-02-17T00:00:00"),
    (Limit(3, "days"), Counting(False, True, "end_of_day"), "2026-02-13T10:00:00", "2026-02-16T00:00:00"),
    (Limit(24, "hours"), Counting(ends="end_of_day"), "2026-02-13T10:00:00", "2026-02-14T10:00:00"),
    (Limit(30, "minutes"), Counting(), "2026-02-15T23:50:00", "2026-02-16T00:20:00"),
    (Limit(4, "work_hours"), Counting(office_hours=HOURS), "2026-02-13T16:00:00", "2026-02-14T11:00:00"),
]


@pytest.mark.parametrize(("limit", "counting", "start", "end"), COUNTED)
def test_a_limit_is_counted_as_the_city_says(limit: Limit, counting: Counting, start: str, end: str) -> None:
    found, announced = PLAIN.after(parse_instant(f"{start}+08:00"), limit, counting)
    assert format_instant(found) == f"{end}+08:00"
    assert announced


COUNTINGS = st.sampled_from([one[1] for one in COUNTED if one[1].office_hours or one[0].unit != "work_hours"])
UNITS = st.sampled_from(["work_days", "days", "hours", "minutes"])
INSTANTS = st.integers(parse_instant("2005-01-01T00:00:00+08:00"), parse_instant("2040-01-01T00:00:00+08:00"))


@settings(deadline=None)
@given(INSTANTS, st.integers(1, 60), UNITS, COUNTINGS, st.integers(1, 8))
def test_a_longer_limit_never_ends_earlier_and_none_ends_before_it_began(
    start: int, value: int, unit: Any, counting: Counting, times: int
) -> None:
    end, _ = PLAIN.after(start, Limit(value, unit), counting, times)
    assert end > start
    assert end <= PLAIN.after(start, Limit(value, unit), counting, times + 1)[0]
    assert end == PLAIN.after(start, Limit(value * times, unit), counting)[0]


@settings(deadline=None)
@given(INSTANTS, st.integers(1, 60))
def test_the_day_of_the_dispatch_makes_one_day_s_difference_or_none(start: int, value: int) -> None:
    with_it, without = (
        PLAIN.after(start, Limit(value, "work_days"), Counting(False, same, "end_of_day"))[0] for same in (True, False)
    )
    calendar = built_in_calendar()
    assert calendar.work_days_between(with_it - 1, without - 1)[0] == calendar.is_work_day(start)
    assert start_of_day(with_it) == with_it


@given(st.sampled_from(get_args(RequestType)), st.sampled_from(get_args(Urgency)), st.sampled_from(KINDS))
def test_every_ticket_has_at_most_one_limit_of_a_kind_and_the_example_leaves_none_out(
    request_type: str, urgency: str, kind: Any
) -> None:
    profile = load_limits(EXAMPLE).default
    assert profile is not None
    fitting = [row for row in profile.rows[kind] if row.fits(request_type, urgency)]
    assert fitting
    assert profile.limit(kind, request_type, urgency) == fitting[0].limit


COUNTING = '{office_hours: ["09:00-12:00", "13:00-18:00"]}'
ACCEPTANCE = CITY[CITY.index("    acceptance:") : CITY.index("    returning:")]
SECOND = CITY[CITY.index("  - name") :]
WRONG = [
    ("no profile", 'version: "1"\nprofiles: []\n', 2, "profiles"),
    ("an unknown field", CITY.replace("basis:", "bases:"), 3, "basis"),
    ("an unknown unit", CITY.replace("{value: 15, unit: minutes}", "{value: 15, unit: seconds}"), 9, "unit"),
    ("no length", CITY.replace("{value: 15, unit: minutes}", "{unit: minutes}"), 9, "value"),
    ("a length of nothing", CITY.replace("value: 15", "value: 0"), 9, "value"),
    ("a length without end", CITY.replace("value: 15", "value: .inf"), 9, "value"),
    ("an unknown request type", CITY.replace("[praise]", "[prise]"), 18, "request_type"),
    ("an unknown urgency", CITY.replace("[critical]", "[high]"), 8, "urgency"),
    ("a request type twice", CITY.replace("[praise]", "[praise, praise]"), 18, "stands twice"),
    ("a length told in sixties", CITY.replace("value: 15", "value: 1:30"), 9, "as a plain decimal"),
    ("a length told in eights", CITY.replace("value: 15", "value: 015"), 9, "as a plain decimal"),
    ("a name over two lines", CITY.replace("试市", '"试市\\n乙"'), 3, "name"),
    ("a district of nothing but a space", CITY.replace("districts: []", 'districts: [" "]'), 5, "districts"),
    ("an empty list", CITY.replace("[praise]", "[]"), 18, "request_type"),
    ("a row that says no limit nor none", CITY.replace("        limit: null\n", ""), 18, "limit"),
    (
        "a row that can never be reached",
        CITY.replace("    redo:\n", "      - request_type: [help]\n        limit: {value: 1, unit: days}\n    redo:\n"),
        23,
        "never be reached",
    ),
    ("a name twice", CITY + SECOND.replace("districts: []", "districts: [东区]"), 25, "two profiles"),
    ("a second profile for the rest", CITY + SECOND.replace("试市", "乙市"), 27, "a second profile"),
    (
        "a district twice",
        CITY.replace("districts: []", "districts: [东区]")
        + SECOND.replace("试市", "乙市").replace("districts: []", "districts: [东区]"),
        27,
        "this district stands twice",
    ),
    ("work hours without office hours", CITY.replace(COUNTING, "{ends: same_time}"), 6, "office_hours"),
    ("an end of work without office hours", CITY.replace(COUNTING, "{ends: close_of_work}"), 6, "office_hours"),
    (
        "counting from an acceptance that need not come",
        CITY.replace(COUNTING, "{count_from: accepted}").replace(ACCEPTANCE, ""),
        6,
        "needs acceptance limits",
    ),
    (
        "a first day of no length",
        CITY.replace("    counting: {", "    counting: {first_day: same, "),
        6,
        "first_day: same needs",
    ),
    ("office hours that run back", CITY.replace("13:00-18:00", "18:00-13:00"), 6, "run forward"),
    ("office hours that overlap", CITY.replace("13:00-18:00", "11:00-18:00"), 6, "run forward"),
    ("office hours that are none", CITY.replace("13:00-18:00", "13-18"), 6, "office_hours"),
    ("no limit at all", CITY[: CITY.index("    acceptance:")], 3, "sets no limit"),
]


@pytest.mark.parametrize(("text", "line", "problem"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_what_a_file_cannot_mean_is_refused_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(ConfigFileError) as refused:
        limits(text)
    assert str(refused.value).startswith(f"limits.yaml:{line}: "), refused.value
    assert problem in str(refused.value)


def test_natural_days_do_not_need_the_calendar() -> None:
    beyond = parse_instant("2098-01-01T10:00:00+08:00")
    assert Reckoning(built_in_calendar()).after(beyond, Limit(3, "days"), Counting()) == (beyond + 3 * DAY, True)
    assert not PLAIN.after(beyond, Limit(3, "work_days"), Counting())[1]
    assert not PLAIN.after(beyond, Limit(3, "work_hours"), Counting(office_hours=HOURS))[1]
