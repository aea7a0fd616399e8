"""What must hold after a schedule, whatever happened: judged against one plain pass over the same inputs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import orjson

from models.alert import Alert
from models.base import Status
from models.decode import Rejected, decode_event
from rules import waiting
from rules.driver import Driver
from rules.event import Event, by_time
from rules.fold import fold
from rules.intake import to_event
from rules.lifecycle import SETTLED
from rules.merging import lineage_events
from rules.state import TicketState
from streams.partition import RESERVED
from tests.builders import KEYS, Run, engine, reader, run
from tests.histories import SPAN_DAYS
from tests.simulation.received import wrong_with_delivery
from tests.simulation.schedule import PHONE, Schedule
from tests.simulation.world import DAYS_TO_GO, UNTIL, World

LATER = 10 * SPAN_DAYS
"""the day by which everything that is over is gone"""
OWN_RULES = frozenset({"P01", "P02", "P03", "P06", "P07", "P09", "P10", "P12"})
"""those that judge one ticket by its own events alone"""
IDENTITY = (PHONE.encode(), PHONE.replace("-", "").encode(), "张某".encode())


@cache
def _reads(value: bytes) -> Event | None:
    try:
        return to_event(decode_event(value), KEYS, reader())
    except Rejected:
        return None


@contextmanager
def _unlogged() -> Iterator[None]:
    """Whatever goes wrong is meant to, thousands of times."""
    streams = logging.getLogger("streams")
    level = streams.level
    streams.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        streams.setLevel(level)


def simulate(schedule: Schedule, bugs: frozenset[str] = frozenset()) -> tuple[list[str], Counter[str]]:
    """Run a schedule; return what is wrong at the end, nothing where all is well, and what happened."""
    with _unlogged():
        return _simulate(schedule, bugs)


def _simulate(schedule: Schedule, bugs: frozenset[str]) -> tuple[list[str], Counter[str]]:
    world = World(schedule, bugs)
    try:
        for step in schedule.steps:
            world.do(step)
        world.catch_up()
        world.is_all_in = True
        for step in schedule.afterwards:
            world.do(step)
        if schedule.expires:
            world.let_years_pass(LATER)
        if world.delivering is not None:
            world.delivering.drain()
        return wrong_with(world), world.happened
    finally:
        if world.delivering is not None:
            world.delivering.close()


def wrong_with(world: World) -> list[str]:
    """Return what is wrong with a world in which nothing is left to do."""
    issued = [Alert.model_validate_json(value) for value in world.alerts]
    once = list({alert.alert_id: alert for alert in issued}.values())
    events = [event for value in world.schedule.inputs if (event := _reads(value)) is not None]
    plain = run(sorted(events, key=by_time), LATER + DAYS_TO_GO if world.schedule.expires else UNTIL)
    found: list[str] = []
    if (in_force := Run(Driver(engine()), once).in_force) != plain.in_force:
        found.append(f"in force are {_told(in_force)}, must be {_told(plain.in_force)}")
    if world.schedule.in_order:
        ids = [{one.alert_id for one in alerts if one.rule.id in OWN_RULES} for alerts in (once, plain.alerts)]
        if ids[0] != ids[1]:
            found.append(
                f"{len(ids[0] - ids[1])} alert ids are not those of a plain run, {len(ids[1] - ids[0])} are missing"
            )
    found += _numbering(issued) + _terminal(world) + _identity(world) + _contradictions(issued)
    if world.delivering is not None:
        found += wrong_with_delivery(world.delivering, once, suppressing=world.schedule.suppressing)
    return found


def _told(in_force: dict[tuple[str, str], str]) -> str:
    return ", ".join(f"{case} {rule} {level}" for (case, rule), level in sorted(in_force.items())) or "none"


def _numbering(issued: list[Alert]) -> list[str]:
    """Each case's versions are numbered without a gap, and come for the first time in that order."""
    found = []
    first: dict[str, list[int]] = {}
    seen: set[str] = set()
    for alert in issued:
        if alert.alert_id not in seen:
            seen.add(alert.alert_id)
            first.setdefault(alert.case_id, []).append(alert.sequence)
    for case, numbers in first.items():
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"{case}: versions come as {numbers}")
    return found


def _contradictions(issued: list[Alert]) -> list[str]:
    """One id never says two things, and what says the same twice in a row is one version too many."""
    said: dict[str, tuple[object, ...]] = {}
    level: dict[tuple[str, str], object] = {}
    found = []
    for alert in issued:
        what = (alert.case_id, alert.sequence, alert.rule.id, alert.level, alert.status)
        if said.setdefault(alert.alert_id, what) != what:
            found.append(f"{alert.case_id}: one alert id says {said[alert.alert_id]} and {what}")
    for alert in {one.alert_id: one for one in issued}.values():
        now = None if alert.status is Status.RETRACTED else alert.level
        if now is not None and level.get((alert.case_id, alert.rule.id)) == now:
            found.append(f"{alert.case_id}: {alert.rule.id} {now} is said twice in a row")
        level[alert.case_id, alert.rule.id] = now
    return found


def _terminal(world: World) -> list[str]:
    """Each input is in a ticket's state or in the quarantine, and never in both."""
    schedule = world.schedule
    refused = Counter(value for value in schedule.inputs if _reads(value) is None)
    told = [orjson.loads(record) for record in world.quarantined.values()]
    from_source = [one for one in told if one["topic"].endswith("ticket-events")]
    found = []
    if len(from_source) != refused.total():
        found.append(f"{len(from_source)} inputs are quarantined, must be {refused.total()}")
    # Intake sends again what was not committed, and by then its ticket may have expired.
    rightly = {"merge_cycle", "too_late"} if schedule.expires else {"merge_cycle"}
    if other := [one["reason"] for one in told if one not in from_source and one["reason"] not in rightly]:
        found.append(f"messages of our own are quarantined: {other}")
    wanted = {event.key for value in schedule.inputs if (event := _reads(value)) is not None}
    kept = _kept(world)
    over = _over(world) if schedule.expires else set()
    expired = {one for one in wanted - kept if one[0] in over}
    if still := kept & {one for one in wanted if one[0] in over}:
        found.append(f"{sorted(still)} are over and still there")
    if kept != wanted - expired:
        found.append(f"{sorted(wanted - kept)} are in no state, {sorted(kept - wanted)} should not be")
    return found


def _over(world: World) -> set[str]:
    """Return the tickets of which nothing more is to come, whatever the table of one of them says: judged by a plain run."""
    events = [event for value in world.schedule.inputs if (event := _reads(value)) is not None]
    states = run(sorted(events, key=by_time), LATER).driver.tickets
    roots = {name for name, state in states.items() if state.forwarded is None and _is_over(state)}
    found = set(roots)
    while more := {name for name, state in states.items() if state.forwarded and state.forwarded[0] in found} - found:
        found |= more
    return found


def _is_over(state: TicketState) -> bool:
    lineage = fold(state.ticket_id, lineage_events(state))
    return (
        state.due_at is None and lineage.tickets[state.ticket_id].state in SETTLED and not waiting.is_running(lineage)
    )


def _kept(world: World) -> set[tuple[str, str]]:
    found = set()
    for partition, owner in world.owner.items():
        for key, value in world.workers[owner].tables["tickets"].disks[partition].values.items():
            if not key.startswith(RESERVED):
                found |= {event.key for event in world.state_of(value).events}
    return found


def _identity(world: World) -> list[str]:
    """Nobody's phone or name is anywhere behind intake."""
    behind = [value for (topic, _), log in world.logs.items() if topic != "source" for value in log]
    behind += [value for changelog in world.changelogs.values() for _, value in changelog if value]
    behind += [*world.alerts, *world.quarantined.values()]
    if world.delivering is not None:
        behind += world.delivering.written()
    return [f"identity behind intake: {mark!r}" for mark in IDENTITY if any(mark in value for value in behind)]
