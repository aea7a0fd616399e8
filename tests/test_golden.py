"""The stories the service was built for, as whole files: what stands at the end, in any order of arrival."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from models.alert import Alert
from models.base import Level, Status
from models.decode import decode_event
from models.times import parse_instant
from rules.driver import Driver
from rules.event import Event
from rules.intake import to_event
from tests.builders import KEYS, engine, reader

GOLDEN = Path(__file__).parent / "golden"
EXPECTED: dict[str, dict[str, Any]] = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))


@cache
def events_of(name: str) -> tuple[Event, ...]:
    lines = (GOLDEN / f"{name}.jsonl").read_bytes().splitlines()
    return tuple(to_event(decode_event(line), KEYS, reader()) for line in lines)


def run_file(name: str, order: str) -> list[Alert]:
    events = list(events_of(name))
    match order:
        case "doubled":
            events = [event for event in events for _ in range(2)]
        case "reversed":
            events.reverse()
        case _ if order.startswith("shuffled"):
            random.Random(order).shuffle(events)
    driver = Driver(engine())
    alerts = [alert for event in events for alert in driver.feed(event)]
    return alerts + list(driver.advance(parse_instant(EXPECTED[name]["until"])))


def standing(alerts: list[Alert]) -> dict[tuple[str, str], str]:
    last = {(one.case_id.removeprefix("case:"), one.rule.id): one for one in alerts}
    return {key: one.level.value for key, one in last.items() if one.status is not Status.RETRACTED}


ORDERS = ("as told", "doubled", "reversed", "shuffled 1", "shuffled 2", "shuffled 3")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", EXPECTED)
def test_what_stands_is_what_is_expected(name: str, order: str) -> None:
    found = standing(run_file(name, order))
    expected = {(one["ticket"], one["rule"]): one["level"] for one in EXPECTED[name]["standing"]}
    assert {key: found.get(key) for key in expected} == expected
    absent = {(one["ticket"], one["rule"]) for one in EXPECTED[name]["absent"]}
    assert not absent & found.keys()
    assert {key for key, level in found.items() if level != Level.BLUE} <= expected.keys(), "no other yellow or red"


@pytest.mark.parametrize("name", [name for name, one in EXPECTED.items() if "pushed" in one])
def test_only_what_may_be_pushed_is_pushed(name: str) -> None:
    pushed = {one.case_id.removeprefix("case:") for one in run_file(name, "as told") if one.push}
    assert pushed == set(EXPECTED[name]["pushed"])


def test_every_file_is_expected_and_every_expectation_has_its_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.jsonl")} == set(EXPECTED)


def test_jiaozhou_escalates_return_by_return() -> None:
    alerts = [one for one in run_file("jiaozhou", "as told") if one.rule.id in ("P01", "P02", "P12")]
    assert [(one.rule.id, one.level.value, one.event_time[:10]) for one in alerts] == [
        ("P02", "yellow", "2025-01-09"),
        ("P01", "yellow", "2025-01-24"),
        ("P12", "blue", "2025-02-05"),
        ("P01", "red", "2025-02-21"),
        ("P12", "yellow", "2025-03-07"),
        ("P12", "red", "2025-04-06"),
        ("P02", "red", "2025-05-04"),
    ]


def test_a_late_resolution_takes_back_what_time_had_raised() -> None:
    told = [
        (one.status.value, one.level.value) for one in run_file("late_close", "as told") if one.tickets == ("LC-1",)
    ]
    assert told == [("raised", "blue"), ("escalated", "yellow"), ("escalated", "red"), ("retracted", "red")]
