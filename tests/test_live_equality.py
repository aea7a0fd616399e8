"""The same warnings live and in the driver: real Kafka, two workers, any order of arrival, any partition."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from benchmarks.generator import generate_events
from cli.demo_stories import demo_events
from models.alert import Alert
from models.times import parse_instant
from streams.broker import EmbeddedKafka
from streams.routes import partition_of
from tests.builders import Run, Story, body
from tests.kafka_support import ROOT
from tests.live_support import Live, Records, driver_run, live, own_ids, renamed, to_bytes

pytestmark = pytest.mark.kafka

UNTIL = "2026-03-02T12:00:00+08:00"
TICKS = [parse_instant(f"2025-{day}T12:00:00+08:00") for day in ("01-17", "03-04", "04-21", "05-19", "06-29")]
SEED = 20250618
UNITS = ("U-1", "U-2", "U-3")
RETURN = ("return_requested", {"contacted": False, "site_checked": False, "evidence": []})


def _golden() -> list[dict[str, Any]]:
    """Return the golden cases, each apart from the others."""
    found: list[dict[str, Any]] = []
    for path in sorted((ROOT / "tests" / "golden").rglob("*.jsonl")):
        lines = [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
        found += renamed(lines, f"{path.stem}-")
    return found


def _returned(story: Story, start: float, unit: str, ticket: str) -> None:
    story(start, "dispatched", ticket=ticket, unit=unit, limit={"value": 5, "unit": "days"})
    story(start + 0.3, RETURN[0], ticket=ticket, unit=unit, **RETURN[1])
    story(start + 0.5, "return_approved", ticket=ticket, unit=unit)


def _merge_stories() -> list[dict[str, Any]]:
    """Return a chain, a circle, and a child that goes to another root: each ticket returned once by a unit of its own."""
    records: list[dict[str, Any]] = []
    merges = {
        "chain": [("A", "B", 10.0), ("B", "C", 11.0)],
        "upward": [("B", "C", 10.0), ("A", "B", 11.0)],
        "circle": [("A", "B", 10.0), ("B", "C", 11.0), ("C", "A", 12.0)],
        "moved": [("A", "B", 10.0), ("A", "C", 12.0)],
        "self": [("A", "A", 10.0), ("B", "A", 11.0)],
    }
    for name, pairs in merges.items():
        for number in range(6):  # some of them surely lie in different partitions
            story = Story(f"{name}-{number}")
            for place, ticket in enumerate("ABC"):
                called = f"{name}{number}{ticket}"
                story.complaint(place, ticket=called, citizen={"key": f"citizen-{name}-{number}"})
                _returned(story, place + 0.1, UNITS[place], called)
            for child, root, when in pairs:
                story(when, "merged", ticket=f"{name}{number}{child}", into=f"{name}{number}{root}")
            _returned(story, 13, "U-4", f"{name}{number}A")
            story(16, "visited", ticket=f"{name}{number}C", result="dissatisfied")
            records += story.records
    return records


def _random_stories(count: int, seed: int) -> list[dict[str, Any]]:
    """Return many small stories of up to four tickets each, merged, linked, voided and handed back at random."""
    draw = random.Random(seed)
    kinds = (
        "dispatched",
        "return_requested",
        "return_denied",
        "resolved",
        "visited",
        "redo_ordered",
        "merged",
        "voided",
    )
    weights = (4, 5, 2, 2, 3, 2, 3, 1)
    records = []
    for number in range(count):
        tickets = [f"R{number}{letter}" for letter in "ABCD"[: draw.randint(2, 4)]]
        for ticket in tickets:
            citizen = {"key": f"citizen-r{number}-{draw.randrange(2)}"}
            registered = Story(ticket).complaint(draw.randrange(20), citizen=citizen)
            records += registered.records
            for step in range(draw.randint(2, 6)):
                kind = draw.choices(kinds, weights)[0]
                fields: dict[str, Any] = {"unit": draw.choice(UNITS)} if kind not in ("merged", "voided") else {}
                fields |= {
                    "dispatched": {"limit": {"value": draw.randint(1, 9), "unit": "days"}},
                    "visited": {"result": draw.choice(("satisfied", "dissatisfied", "very_dissatisfied"))},
                    "redo_ordered": {"limit": {"value": 3, "unit": "days"}},
                    "merged": {"into": draw.choice(tickets)},
                }.get(kind, {})
                records.append(body(ticket, kind, draw.randrange(80) / 2, f"{ticket}-x{step}", **fields))
    return records


def _ordinary(prefix: str, seed: int) -> list[dict[str, Any]]:
    return renamed(generate_events(200, seed), prefix)


@dataclass
class Compared:
    """What came out live, and what the driver says."""

    records: Records
    live: Run
    driver: Run


@pytest.fixture(scope="module")
def service(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(kafka, tmp_path_factory.mktemp("equality"), "equality.") as installation:
        installation.start("worker-1", "worker-2")
        installation.wait_until_ready()
        yield installation


def _of(alerts: list[Alert], tickets: set[str], like: Run) -> Run:
    return Run(like.driver, [one for one in alerts if one.case_id.removeprefix("case:") in tickets])


@pytest.fixture(scope="module")
def in_order(service: Live) -> Compared:
    """Everything in the order of `occurred_at`, with ticks in between that come when the workers have done what is before."""
    records = renamed([*_golden(), *demo_events(), *_merge_stories(), *_random_stories(40, SEED)], "o-")
    records = sorted(records + _ordinary("o-", SEED), key=lambda record: (record["occurred_at"], record["event_id"]))
    waiting = list(records)
    for tick in [*TICKS, parse_instant(UNTIL)]:
        due = [record for record in waiting if parse_instant(record["occurred_at"]) <= tick]
        waiting = waiting[len(due) :]
        service.send(to_bytes(due))
        service.idle()
        service.tick(tick)
    assert not waiting
    service.idle()
    driver = driver_run(records, UNTIL, TICKS)
    return Compared(records, _of(service.issued(), {record["ticket_id"] for record in records}, driver), driver)


@pytest.fixture(scope="module")
def shuffled(service: Live, in_order: Compared) -> Compared:
    """Everything twice, in any order, through any partition; one tick at the end. After the other run: the clock is far ahead."""
    records = renamed([*_golden(), *demo_events(), *_merge_stories(), *_random_stories(80, SEED + 1)], "s-")
    records += _ordinary("s-", SEED + 1)
    chance = random.Random(SEED)
    twice = records * 2
    chance.shuffle(twice)
    service.send(to_bytes(twice), chance)
    service.idle()
    service.tick(UNTIL)
    service.idle()
    driver = driver_run(records, UNTIL)
    return Compared(records, _of(service.issued(), {record["ticket_id"] for record in records}, driver), driver)


def test_shuffled_and_doubled_events_leave_the_same_warnings_in_force(shuffled: Compared) -> None:
    assert shuffled.live.in_force == shuffled.driver.in_force
    rules = {rule for _, rule in shuffled.live.in_force}
    assert {"P01", "P02", "P06", "P08", "P09", "P10", "P12"} <= rules, "the stories must say enough"


def test_events_in_order_leave_the_same_warnings_in_force(in_order: Compared) -> None:
    assert in_order.live.in_force == in_order.driver.in_force
    assert len(in_order.live.in_force) > 100


def test_events_in_order_with_recorded_ticks_give_the_same_alert_ids(in_order: Compared) -> None:
    alone = _tickets_alone(in_order.records)
    live_ids, driver_ids = (
        own_ids(one for one in run.alerts if one.case_id.removeprefix("case:") in alone)
        for run in (in_order.live, in_order.driver)
    )
    assert live_ids == driver_ids
    assert len(live_ids) > 100


def _tickets_alone(records: Records) -> set[str]:
    """Return the tickets that neither were merged nor had another merged into them."""
    merged = {
        name for record in records if record["type"] == "merged" for name in (record["ticket_id"], record["into"])
    }
    return {record["ticket_id"] for record in records} - merged


@pytest.mark.parametrize("name", ["chain", "upward", "circle", "moved", "self"])
def test_merges_across_partitions_count_for_the_root(in_order: Compared, shuffled: Compared, name: str) -> None:
    for prefix, run in (("o-", in_order), ("s-", shuffled)):
        stories = [[f"{prefix}{name}{number}{ticket}" for ticket in "ABC"] for number in range(6)]
        assert any(len({partition_of(ticket, 4) for ticket in story}) > 1 for story in stories)
        for story in stories:
            levels = {ticket: run.live.in_force.get((ticket, "P01")) for ticket in story}
            expected = {ticket: run.driver.in_force.get((ticket, "P01")) for ticket in story}
            assert levels == expected
            assert "red" in levels.values(), "four returns by three units or more only in the whole lineage"


def test_every_case_is_numbered_without_a_gap_and_no_number_twice(in_order: Compared, shuffled: Compared) -> None:
    for run in (in_order.live, shuffled.live):
        numbers: dict[str, list[int]] = {}
        for one in run.alerts:
            numbers.setdefault(one.case_id, []).append(one.sequence)
        for case, found in numbers.items():
            assert found == list(range(1, len(found) + 1)), case


def test_merges_that_close_a_circle_are_quarantined(service: Live, shuffled: Compared) -> None:
    found = [one for one in service.quarantined() if one["reason"] == "merge_cycle"]
    assert len(found) >= 24  # of "circle" and of "self", six each, in both runs


def test_no_worker_broke_on_anything(service: Live, shuffled: Compared) -> None:
    assert all(worker.alive() for worker in service.running.values())
    assert service.metric("hw_poison_total") == 0
    assert service.metric("hw_table_alarms_total") == 0
    assert service.metric("hw_events_total") >= len(shuffled.records) * 2
    assert {one["reason"] for one in service.quarantined()} == {"merge_cycle"}
