"""A recorded year, leap day and turn of the year within it, replayed through the real partitions: the ids that the driver gives."""

from __future__ import annotations

import random
from datetime import date
from functools import cache

import orjson
import pytest

from benchmarks.generator import generate_events
from models.alert import Alert
from models.times import DAY, HOUR, parse_instant
from rules.driver import Driver
from rules.event import Event, by_time
from tests.builders import Run, engine, event_of
from tests.live_support import own_ids
from tests.replay_support import Recorded, replay

FIRST = parse_instant("2023-12-20T00:00:00+08:00")
DAYS = 366 + 20
TICKETS = 240


@cache
def year() -> tuple[Event, ...]:
    """Return a year's events in the order of time; a fifth of the tickets are left open, so that deadlines pass."""
    told = generate_events(TICKETS, seed=2024, start=date(2023, 12, 20), tickets_per_day=TICKETS / 366, open_share=0.2)
    return tuple(sorted((event_of(one) for one in told), key=by_time))


@cache
def recorded() -> tuple[Recorded, ...]:
    """Return the events with a tick at noon of each day between them."""
    ticks = [FIRST + number * DAY + 12 * HOUR for number in range(DAYS)]
    rows = [(event.at, 0, place) for place, event in enumerate(year())]
    rows += [(at, 1, place) for place, at in enumerate(ticks)]
    return tuple(ticks[place] if is_tick else year()[place] for _, is_tick, place in sorted(rows))


@cache
def by_driver() -> Run:
    driver, alerts = Driver(engine()), list[Alert]()
    for one in recorded():
        alerts += driver.feed(one) if isinstance(one, Event) else driver.advance(one)
    return Run(driver, alerts)


def test_the_year_has_what_is_to_be_proven() -> None:
    issued = [one for one in by_driver().alerts if one.rule.id == "P06"]
    assert len(own_ids(issued)) > 50
    days = {orjson.loads(one.model_dump_json())["as_of"][:10] for one in by_driver().alerts}
    assert any(day.startswith("2023-12") for day in days)
    assert any(day.startswith("2024-12") for day in days)


@pytest.mark.parametrize(("seed", "batch_max", "partitions"), [(1, 1, 1), (2, 40, 3), (3, 1000, 8)])
def test_a_replay_in_order_gives_the_ids_of_the_driver(seed: int, batch_max: int, partitions: int) -> None:
    world = replay(recorded(), seed, batch_max=batch_max, partitions=partitions)
    assert own_ids(world.alerts) == own_ids(by_driver().alerts)
    assert Run(by_driver().driver, _by_case(world.alerts)).in_force == by_driver().in_force
    assert len({one.alert_id for one in world.alerts}) == len(world.alerts), "nothing is said twice"


@pytest.mark.parametrize("seed", [11, 12])
def test_events_days_late_in_any_order_come_to_the_same_end(seed: int) -> None:
    chance = random.Random(seed)
    arrivals = [(event.at + chance.randint(0, 40) * DAY, number, event) for number, event in enumerate(year())]
    shuffled: list[Recorded] = [event for _, _, event in sorted(arrivals)]
    for number in range(0, DAYS, 30):
        shuffled.insert(number * len(shuffled) // DAYS, FIRST + number * DAY)
    last = recorded()[-1]
    world = replay([*shuffled, last], seed, batch_max=200)
    assert Run(by_driver().driver, _by_case(world.alerts)).in_force == by_driver().in_force


def _by_case(alerts: list[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda one: (one.case_id, one.sequence))
