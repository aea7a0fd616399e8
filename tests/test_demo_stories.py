"""The demo's sample gives exactly the warnings that it promises, in the core itself."""

from itertools import pairwise
from typing import Any

import pytest

from cli.demo_stories import EXPECTED, ORDINARY_TICKETS, UNTIL, demo_events
from models.alert import Alert
from models.base import Level, Status
from models.decode import validate_event
from models.times import parse_instant
from rules.driver import Driver
from rules.engine import Engine
from rules.intake import to_event
from rules.pack import default_pack
from tests.builders import reader


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return demo_events()


@pytest.fixture(scope="module")
def versions(events: list[dict[str, Any]]) -> list[Alert]:
    driver = Driver(Engine(default_pack()))
    found = [alert for event in events for alert in driver.feed(to_event(validate_event(event), [], reader()))]
    return found + list(driver.advance(parse_instant(UNTIL)))


def test_the_sample_is_the_same_each_time_and_of_a_few_hundred_tickets(events: list[dict[str, Any]]) -> None:
    assert demo_events() == events
    assert len({event["ticket_id"] for event in events}) == ORDINARY_TICKETS + 12
    assert len({event["event_id"] for event in events}) == len(events)


def test_events_come_in_the_order_of_time_but_for_the_one_that_is_late(events: list[dict[str, Any]]) -> None:
    late = [later["event_id"] for earlier, later in pairwise(events) if later["occurred_at"] < earlier["occurred_at"]]
    assert late == ["TL-1-03"]
    assert max(event["occurred_at"] for event in events) <= UNTIL


def test_what_stands_at_the_end_is_what_is_expected(versions: list[Alert]) -> None:
    last = {(alert.case_id, alert.rule.id): alert for alert in versions}
    outcome = {
        (alert.case_id.removeprefix("case:"), rule, None if alert.status is Status.RETRACTED else alert.level.value)
        for (_, rule), alert in last.items()
    }
    assert outcome == {(one.ticket, one.rule, one.level) for one in EXPECTED}


def test_no_ordinary_ticket_is_warned_of_at_yellow_or_red(versions: list[Alert]) -> None:
    told = {ticket for alert in versions if alert.level is not Level.BLUE for ticket in alert.tickets}
    assert told
    assert not {ticket for ticket in told if ticket.startswith("P-")}


def test_the_late_word_takes_a_red_warning_back(versions: list[Alert]) -> None:
    history = [(alert.status, alert.level) for alert in versions if alert.tickets == ("TL-1",)]
    assert history[-2:] == [(Status.ESCALATED, Level.RED), (Status.RETRACTED, Level.RED)]
