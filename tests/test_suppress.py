"""What holds an alert back, until when, and what never does."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.quiet_hours import quiet_until
from alerting.suppress import SuppressReason, Verdict, covers, explain_verdict, repeat_at, suppress
from alerting.suppression_policy import load_policy
from alerting.told import Told
from models.alert import Alert
from models.base import Level, Status
from models.silence import Silence
from models.subscriber import QuietHours, Subscriber
from models.times import CHINA, DAY, HOUR, MINUTE, datetime_of, format_instant, instant_of, parse_instant
from tests.alerting_support import make_alert, make_subscriber

NONE, GROUP, INHIBITED, SILENCED, QUIET = (
    SuppressReason.NONE,
    SuppressReason.GROUP_WAIT,
    SuppressReason.INHIBITED,
    SuppressReason.SILENCED,
    SuppressReason.QUIET_HOURS,
)
DEFAULT = load_policy()
NIGHT = {"start": "22:00", "end": "07:00"}


def at(text: str) -> int:
    return parse_instant(f"2025-06-{text}:00")


def quiet_hours(**fields: Any) -> QuietHours:
    return QuietHours.model_validate(NIGHT | fields)


def silence(ends: str = "18T18:00", id_: str = "S-12", starts: str = "18T08:00", **matchers: list[str]) -> Silence:
    return Silence.model_validate(
        {
            "id": id_,
            "matchers": matchers,
            "starts_at": f"2025-06-{starts}:00",
            "ends_at": f"2025-06-{ends}:00",
            "author": "张某",
            "comment": "施工期间集中处理",
            "created_at": "2025-06-18T08:00:00",
        }
    )


def told(level: str = "red", rule: str = "P06", **fields: Any) -> dict[str, Told]:
    return {rule: Told(**{"alert_id": "a-0", "level": Level(level), "at": at("18T08:00"), **fields})}


class Row(NamedTuple):
    """One situation and its verdict. `now` is 2025-06-18 in China."""

    what: str
    expected: SuppressReason
    until: str | None = None
    now: str = "18T09:00"
    alert: dict[str, Any] = {}  # noqa: RUF012 - never changed
    subscriber: dict[str, Any] = {}  # noqa: RUF012
    told: dict[str, Told] = {}  # noqa: RUF012
    silences: tuple[Silence, ...] = ()
    since: str = "18T09:00"
    follow_up: bool = False


RED, BLUE = {"level": "red"}, {"level": "blue"}
NIGHTLY = {"quiet_hours": quiet_hours()}
EVEN_RED = {"quiet_hours": quiet_hours(levels=["blue", "yellow", "red"])}
GROUPED = {"group_wait_seconds": 30.0}
CORRECTED, RETRACTED = {"status": "corrected"}, {"status": "retracted"}
FOR_UNIT = (silence(units=["U-A"]),)

ROWS = (
    Row("nothing speaks against it", NONE),
    # --- silences ---
    Row("a silence of its unit", SILENCED, "18T18:00", silences=FOR_UNIT),
    Row("a silence that begins now", SILENCED, "18T18:00", "18T08:00", silences=FOR_UNIT),
    Row("a silence a minute before it begins", NONE, now="18T07:59", silences=FOR_UNIT),
    Row("a silence that ends now", NONE, now="18T18:00", silences=FOR_UNIT),
    Row("a silence of another unit", NONE, silences=(silence(units=["U-B"]),)),
    Row("of two silences, the one that ends last speaks", SILENCED, "20T18:00",
        silences=(silence("19T18:00", rules=["P01"]), silence("20T18:00", rules=["P01"]), *FOR_UNIT)),
    Row("red under a silence of its rule", NONE, alert=RED, silences=(silence(rules=["P01"]),)),
    Row("red under a silence of its unit", SILENCED, "18T18:00", alert=RED, silences=FOR_UNIT),
    Row("red under a silence of its case", SILENCED, "18T18:00", alert=RED, silences=(silence(cases=["case-1"]),)),
    Row("red under a silence of its ticket", SILENCED, "18T18:00", alert=RED, silences=(silence(tickets=["T-1"]),)),
    Row("red under a silence of yellow about its unit", NONE, alert=RED,
        silences=(silence(units=["U-A"], levels=["yellow"]),)),
    Row("an escalation of what was told", NONE, alert=RED | {"status": "escalated"}, silences=FOR_UNIT, follow_up=True),
    Row("a retraction of what was told", NONE, alert=RETRACTED, silences=FOR_UNIT, follow_up=True),
    # --- inhibition, by the default policy: red inhibits blue ---
    Row("blue while red is in force", INHIBITED, alert=BLUE, told=told()),
    Row("yellow while red is in force", NONE, told=told()),
    Row("blue while yellow is in force", NONE, alert=BLUE, told=told("yellow")),
    Row("blue while the same rule's red is in force", NONE, alert=BLUE, told=told(rule="P01")),
    Row("blue while what is in force is of an older version", NONE, alert=BLUE, told=told(level="red") | {"P06": Told("a", None, None)}),
    Row("a correction to blue while red is in force", NONE, alert=BLUE | CORRECTED, told=told(), follow_up=True),
    Row("silenced and inhibited: the silence speaks", SILENCED, "18T18:00", alert=BLUE, told=told(), silences=FOR_UNIT),
    Row("blue at night while red is in force", INHIBITED, None, "18T23:30", BLUE, NIGHTLY, told()),
    # --- quiet hours ---
    Row("yellow at night", QUIET, "19T07:00", "18T23:30", subscriber=NIGHTLY),
    Row("yellow before dawn", QUIET, "18T07:00", "18T03:00", subscriber=NIGHTLY),
    Row("yellow when quiet begins", QUIET, "19T07:00", "18T22:00", subscriber=NIGHTLY),
    Row("yellow when quiet ends", NONE, now="18T07:00", subscriber=NIGHTLY),
    Row("yellow by day", NONE, subscriber=NIGHTLY),
    Row("red at night", NONE, now="18T23:30", alert=RED, subscriber=NIGHTLY),
    Row("red at night where red is quiet too", QUIET, "19T07:00", "18T23:30", RED, EVEN_RED),
    Row("an escalation to red at night", NONE, now="18T23:30", alert=RED | {"status": "escalated"}, subscriber=NIGHTLY, follow_up=True),
    Row("an escalation to yellow at night", QUIET, "19T07:00", "18T23:30", {"status": "escalated"}, NIGHTLY, follow_up=True),
    Row("a retraction of red at night", QUIET, "19T07:00", "18T23:30", RED | RETRACTED, NIGHTLY, follow_up=True),
    Row("a correction to red at night", QUIET, "19T07:00", "18T23:30", RED | CORRECTED, NIGHTLY, follow_up=True),
    Row("a retraction by day", NONE, alert=RETRACTED, subscriber=NIGHTLY, follow_up=True),
    Row("silenced into the night: the silence speaks first", SILENCED, "18T23:00", "18T22:30", subscriber=NIGHTLY,
        silences=(silence("18T23:00", units=["U-A"]),)),
    # --- group wait ---
    Row("yellow while its group waits", GROUP, "18T09:00:30", subscriber=GROUPED),
    Row("yellow once its group has waited", NONE, now="18T09:01", subscriber=GROUPED),
    Row("yellow after the clock was set back", NONE, subscriber=GROUPED, since="18T10:00"),
    Row("red waits for nobody", NONE, alert=RED, subscriber=GROUPED),
    Row("a follow-up waits for nobody", NONE, alert={"status": "escalated"}, subscriber=GROUPED, follow_up=True),
    Row("quiet hours speak before the group", QUIET, "19T07:00", "18T23:30", subscriber=GROUPED | NIGHTLY, since="18T23:30"),
)  # fmt: skip


def verdict_of(row: Row) -> Verdict:
    return suppress(
        make_alert(**row.alert),
        make_subscriber(**row.subscriber),
        row.told,
        DEFAULT,
        row.silences,
        at(row.since),
        at(row.now),
        follow_up=row.follow_up,
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_what_holds_an_alert_and_until_when(row: Row) -> None:
    found = verdict_of(row)
    until = row.until and parse_instant(f"2025-06-{row.until}" + ":00" * (row.until.count(":") < 2))
    assert (found.reason, found.until) == (row.expected, until)
    assert found.holds == (row.expected is not NONE)


# --- what a silence covers ---

PLACE = {"place": {"street": "甲街道", "community": "乙社区"}}
TWO_UNITS = {"units": [{"id": id_, "role": "accused"} for id_ in ("U-A", "U-B")]}
INVOLVED = {"units": [{"id": "U-A", "role": "accused"}, {"id": "U-B", "role": "involved"}]}
TEXTUAL = {"family": "T", "categories": ["C01", "C08"]}

COVERED: tuple[tuple[str, dict[str, Any], dict[str, list[str]], bool], ...] = (
    ("its rule", {}, {"rules": ["P02", "P01"]}, True),
    ("another rule", {}, {"rules": ["P02"]}, False),
    ("its family", {}, {"families": ["P"]}, True),
    ("another family", {}, {"families": ["T", "G"]}, False),
    ("its level", {}, {"levels": ["yellow"]}, True),
    ("its case", {}, {"cases": ["case-1"]}, True),
    ("another case", {}, {"cases": ["case-2"]}, False),
    ("one of its tickets", {"tickets": ["T-1", "T-2"]}, {"tickets": ["T-2"]}, True),
    ("another ticket", {}, {"tickets": ["T-2"]}, False),
    ("the subscriber", {}, {"subscribers": ["platform"]}, True),
    ("another subscriber", {}, {"subscribers": ["other"]}, False),
    ("its street", PLACE, {"streets": ["甲街道"]}, True),
    ("its community", PLACE, {"communities": ["乙社区"]}, True),
    ("a street where the place is not known", {}, {"streets": ["甲街道"]}, False),
    ("one of two accused units", TWO_UNITS, {"units": ["U-A"]}, False),
    ("both accused units", TWO_UNITS, {"units": ["U-A", "U-B", "U-C"]}, True),
    ("the accused unit beside an involved one", INVOLVED, {"units": ["U-A"]}, True),
    ("an involved unit", INVOLVED, {"units": ["U-B"]}, False),
    ("a unit where none is accused", {"units": []}, {"units": ["U-A"]}, False),
    ("one of two categories", TEXTUAL, {"categories": ["C01"]}, False),
    ("both categories", TEXTUAL, {"categories": ["C01", "C08"]}, True),
    ("a category where there is none", {}, {"categories": ["C01"]}, False),
    ("its rule and another case", {}, {"rules": ["P01"], "cases": ["case-2"]}, False),
    ("its rule and its case", {}, {"rules": ["P01"], "cases": ["case-1"]}, True),
)  # fmt: skip


@pytest.mark.parametrize(("what", "alert", "matchers", "expected"), COVERED, ids=[row[0] for row in COVERED])
def test_a_silence_covers_what_all_of_its_matchers_fit(
    what: str, alert: dict[str, Any], matchers: dict[str, list[str]], expected: bool
) -> None:
    assert covers(silence(**matchers), make_alert(**alert), "platform") is expected


# --- quiet hours ---

CLOCKS = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
SPANS = st.tuples(CLOCKS, CLOCKS).filter(lambda span: span[0] != span[1])
SPECIAL_DAYS = st.sampled_from(["2024-02-28", "2024-02-29", "2024-12-31", "2025-01-01", "2025-02-28", "2100-01-01"])
INSTANTS = st.integers(parse_instant("1992-01-01T00:00:00"), parse_instant("2099-12-01T00:00:00")) | st.builds(
    lambda day, offset: instant_of(datetime.fromisoformat(day).replace(tzinfo=CHINA)) + offset,
    SPECIAL_DAYS,
    st.sampled_from([-1, 0, 1]) | st.integers(-DAY, DAY),
)


def on(day: datetime, clock: str) -> datetime:
    return day.replace(hour=int(clock[:2]), minute=int(clock[3:]), second=0, microsecond=0)


@given(SPANS, INSTANTS)
def test_quiet_hours_are_what_the_calendar_says(span: tuple[str, str], now: int) -> None:
    moment = datetime_of(now)
    expected = None
    for days in (-1, 0):  # a period that began yesterday, or begins today
        start = on(moment + timedelta(days=days), span[0])
        end = on(start, span[1]) + timedelta(days=span[1] <= span[0])
        if start <= moment < end:
            expected = instant_of(end)
    assert quiet_until(QuietHours(start=span[0], end=span[1]), now) == expected


@given(SPANS, INSTANTS)
def test_a_quiet_period_ends_within_a_day_at_the_hour_that_was_said(span: tuple[str, str], now: int) -> None:
    until = quiet_until(QuietHours(start=span[0], end=span[1]), now)
    if until is not None:
        assert now < until < now + DAY
        assert f"{datetime_of(until):%H:%M:%S.%f}" == f"{span[1]}:00.000000"
        assert quiet_until(QuietHours(start=span[0], end=span[1]), until) is None


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2024-02-28T23:00:00", "2024-02-29T07:00:00"),
        ("2024-02-29T23:00:00", "2024-03-01T07:00:00"),
        ("2025-12-31T23:59:59", "2026-01-01T07:00:00"),
        ("2026-01-01T06:59:59.999999", "2026-01-01T07:00:00"),
        ("2025-06-18T15:00:00Z", "2025-06-19T07:00:00"),  # 23:00 in China
    ],
)
def test_a_night_may_end_on_a_leap_day_or_in_another_year(now: str, end: str) -> None:
    assert quiet_until(quiet_hours(), parse_instant(now)) == parse_instant(end)


# --- properties of the whole ---

NOW = at("18T09:00")
MATCHERS = st.fixed_dictionaries(
    {},
    optional={
        "rules": st.just(["P01"]),
        "units": st.just(["U-A"]),
        "cases": st.just(["case-1"]),
        "levels": st.sampled_from([["blue"], ["yellow"], ["blue", "yellow"]]),
        "subscribers": st.sampled_from([["platform"], ["other"]]),
    },
).filter(bool)


@st.composite
def silences(draw: st.DrawFn) -> Silence:
    starts = NOW + draw(st.integers(-80, 20)) * HOUR
    one = silence(**draw(MATCHERS)).model_dump()
    one |= {"starts_at": format_instant(starts), "ends_at": format_instant(starts + draw(st.integers(1, 60)) * HOUR)}
    if draw(st.booleans()):
        one |= {"expired_at": format_instant(starts + draw(st.integers(-1, 70)) * HOUR), "expired_by": "李某"}
    matchers = {name: values for name, values in one["matchers"].items() if values}
    return Silence.model_validate(one | {"id": f"S-{draw(st.integers(1, 99))}", "matchers": matchers})


@st.composite
def subscribers(draw: st.DrawFn) -> Subscriber:
    quiet = draw(st.none() | st.builds(lambda span: QuietHours(start=span[0], end=span[1]), SPANS))
    return make_subscriber(quiet_hours=quiet, group_wait_seconds=draw(st.floats(0, 3600)))


ALERTS = st.builds(
    lambda level, status: make_alert(level=level, status=status), st.sampled_from(Level), st.sampled_from(Status)
)
IN_FORCE = st.dictionaries(
    st.sampled_from(["P01", "P02", "P06"]),
    st.builds(Told, st.just("a-0"), st.none() | st.sampled_from(Level), st.none() | st.just(NOW)),
)
SITUATIONS = st.tuples(ALERTS, subscribers(), IN_FORCE, st.lists(silences(), max_size=4))
Situation = tuple[Alert, Subscriber, dict[str, Told], list[Silence]]


def judged(situation: Situation, since: int, now: int, *, follow_up: bool = False) -> Verdict:
    alert, subscriber, in_force, some = situation
    return suppress(alert, subscriber, in_force, DEFAULT, some, since, now, follow_up=follow_up)


@given(SITUATIONS, st.integers(0, 2 * DAY), st.booleans())
def test_what_is_held_is_judged_again_later_and_comes_free_in_the_end(
    situation: Situation, waited: int, follow_up: bool
) -> None:
    now, verdicts = NOW, []
    for _ in range(20):
        verdict = judged(situation, NOW - waited, now, follow_up=follow_up)
        verdicts.append(verdict)
        if verdict.until is None:
            break
        assert verdict.until > now
        now = verdict.until
    assert verdicts[-1].reason in (NONE, INHIBITED)  # an inhibited one comes free with its case
    assert all(verdict.detail for verdict in verdicts if verdict.holds)
    assert all(explain_verdict(verdict).endswith("。") for verdict in verdicts)


@given(SITUATIONS, st.integers(0, DAY))
def test_a_follow_up_is_held_by_quiet_hours_alone(situation: Situation, waited: int) -> None:
    assert judged(situation, NOW - waited, NOW, follow_up=True).reason in (NONE, QUIET)


@given(SITUATIONS, st.integers(0, DAY))
def test_red_is_held_by_nothing_but_a_silence_of_its_case_or_unit(situation: Situation, waited: int) -> None:
    red = make_alert(level="red")
    some = situation[3]
    verdict = judged((red, *situation[1:]), NOW - waited, NOW)  # type: ignore[arg-type]
    assert verdict.reason in (NONE, SILENCED)
    if verdict.holds:
        assert any(one.matchers.cases or one.matchers.units for one in some)


@given(SITUATIONS)
def test_the_order_of_silences_does_not_matter(situation: Situation) -> None:
    alert, subscriber, in_force, some = situation
    turned = (alert, subscriber, in_force, some[::-1])
    assert judged(situation, NOW, NOW).until == judged(turned, NOW, NOW).until


# --- reminders ---


def test_a_reminder_is_due_so_long_after_the_warning_was_told_last() -> None:
    told_last = Told("a-1", Level.RED, NOW, repeats=2)
    assert repeat_at(told_last, make_subscriber(repeat_hours=1.5)) == NOW + HOUR + 30 * MINUTE
    assert repeat_at(told_last, make_subscriber()) is None
    assert repeat_at(Told("a-1", None, None), make_subscriber(repeat_hours=24)) is None


# --- the sentences ---


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (Verdict(NONE), "不暂缓,立即发送。"),
        (verdict_of(Row("", SILENCED, silences=FOR_UNIT)), "静默 S-12 至 2025-06-18 18:00(张某:施工期间集中处理)。"),
        (
            verdict_of(Row("", INHIBITED, alert=BLUE, told=told())),
            "已有更要紧的预警(P06 红色预警 a-0,抑制规则 red-over-blue),暂缓至案件有变化时再判断。",
        ),
        (
            verdict_of(Row("", QUIET, now="18T23:30", subscriber=NIGHTLY)),
            "免打扰时段(22:00–07:00),暂缓至 2025-06-19 07:00。",
        ),
        (
            verdict_of(Row("", GROUP, subscriber=GROUPED)),
            "等待同一案件的其他预警(30 秒),暂缓至 2025-06-18 09:00:30。",
        ),
    ],
    ids=lambda value: value.reason.value if isinstance(value, Verdict) else None,
)
def test_a_verdict_is_explained_in_chinese(verdict: Verdict, sentence: str) -> None:
    assert explain_verdict(verdict) == sentence
