"""Routing and dedup: what is decided, and why. Each row is one case."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.dedup import DedupReason, dedup
from alerting.outbox_state import Item, Lane
from alerting.route import RouteReason, route
from alerting.stages import DECISION_REASONS, decide
from alerting.told import Told
from models.base import Family, Level
from models.times import parse_instant
from tests.alerting_support import make_alert, make_subscriber
from tests.directory_support import ACCUSED, make_directory

NOW = parse_instant("2025-06-18T09:00:00+08:00")
KNOWN = (*ACCUSED, {"id": "U-B", "name": "乙局", "kind": "department", "level": "county"})
ONE = make_subscriber()
ALL = make_directory(ONE)
INVOLVED = {"id": "U-B", "name": None, "role": "involved"}


@pytest.mark.parametrize(
    ("alert", "subscriber", "told", "reason"),
    [
        # a new warning: the filters decide
        ({}, {}, False, "wanted"),
        ({"level": "red", "status": "escalated"}, {}, False, "wanted"),
        ({"level": "blue"}, {"levels": frozenset({Level.RED, Level.YELLOW})}, False, "level"),
        ({"family": "G", "units": []}, {"families": frozenset({Family.PROCESS})}, False, "family"),
        ({}, {"units": frozenset({"U-A"})}, False, "wanted"),
        ({}, {"units": frozenset({"U-Z"})}, False, "unit"),
        ({"units": [INVOLVED]}, {"units": frozenset({"U-B"})}, False, "unit"),
        # a correction follows the warning, and only it
        ({"status": "corrected"}, {}, False, "never_told"),
        ({"status": "retracted"}, {}, False, "never_told"),
        ({"status": "corrected"}, {}, True, "follow_up"),
        ({"status": "retracted"}, {"levels": frozenset({Level.RED})}, True, "follow_up"),
        ({"status": "corrected", "level": "blue"}, {"units": frozenset({"U-Z"})}, True, "follow_up"),
        # what is not to be pushed is not, whatever else holds
        ({"push": False}, {}, False, "not_pushed"),
        ({"push": False, "status": "retracted"}, {}, True, "not_pushed"),
        # never to the accused unit or one below it
        ({}, {"owner_units": frozenset({"U-A1", "U-A"})}, False, "conflict"),
        ({"status": "retracted"}, {"owner_units": frozenset({"U-A"})}, True, "conflict"),
        ({"units": [INVOLVED]}, {"owner_units": frozenset({"U-B"})}, False, "wanted"),
    ],
)
def test_route(alert: dict[str, Any], subscriber: dict[str, Any], told: bool, reason: str) -> None:
    receiver = make_subscriber(**subscriber)
    lane = Lane(told={"P01": Told("a-0", Level.YELLOW, NOW)}) if told else None
    directory = make_directory(receiver, units=KNOWN)
    decided = decide(make_alert(**alert), receiver, lane, directory, recipient=True, now=NOW)
    assert decided.route is RouteReason(reason)
    assert decided.route.goes_on is (reason in ("wanted", "follow_up"))


def test_who_is_no_recipient_gets_no_news_but_what_takes_back_what_it_was_told() -> None:
    receiver = make_subscriber()
    rest = {"recipient": False, "waiting": False}
    assert route(make_alert(), receiver, told=False, **rest) is RouteReason.NOT_ROUTED
    assert route(make_alert(status="retracted"), receiver, told=True, **rest) is RouteReason.FOLLOW_UP
    assert route(make_alert(status="escalated"), receiver, told=True, **rest) is RouteReason.NOT_ROUTED


def test_of_what_is_only_held_the_corrected_version_takes_the_place() -> None:
    rest = {"recipient": True, "told": False, "waiting": True}
    assert route(make_alert(status="corrected"), make_subscriber(), **rest) is RouteReason.WANTED
    assert route(make_alert(status="retracted"), make_subscriber(), **rest) is RouteReason.NEVER_TOLD


@pytest.mark.parametrize(
    ("queued", "seen", "reason"),
    [
        ((), (), DedupReason.NEW),
        (("a-2",), ("a-3",), DedupReason.NEW),
        (("a-1",), ("a-1",), DedupReason.QUEUED),
        (("a-1",), (), DedupReason.QUEUED),  # so long in the queue that it was forgotten as seen
        ((), ("a-1",), DedupReason.SEEN),
    ],
)
def test_dedup(queued: tuple[str, ...], seen: tuple[str, ...], reason: DedupReason) -> None:
    assert dedup("a-1", queued, (), seen) is reason


def test_what_is_held_is_not_new() -> None:
    assert dedup("a-1", (), ("a-1",), ()) is DedupReason.HELD


def test_a_retraction_read_twice_is_a_duplicate_not_one_that_nobody_waits_for() -> None:
    item = Item("a-2", "P01", 2, enqueued_at=1, next_at=1)
    lane = Lane(next_sequence=3, queue=(item,), told={}, seen=("a-1", "a-2"))
    decision = decide(make_alert("a-2", status="retracted"), ONE, lane, ALL, recipient=True, now=NOW)
    assert (decision.reason, decision.queues) == ("queued", False)


def test_what_was_not_pushed_may_be_pushed_later_under_the_same_id() -> None:
    first = decide(make_alert("a-1", push=False), ONE, None, ALL, recipient=True, now=NOW)
    assert (first.reason, first.queues) == ("not_pushed", False)
    second = decide(make_alert("a-1", push=True), ONE, None, ALL, recipient=True, now=NOW)
    assert (second.reason, second.queues) == ("wanted", True)


def test_the_reasons_are_a_closed_set() -> None:
    assert len(set(DECISION_REASONS)) == len(DECISION_REASONS)
    assert {"wanted", "conflict", "silenced", "quiet_hours", "superseded", "seen"} < {
        str(one) for one in DECISION_REASONS
    }
