"""What the tests of the core share: histories told one line an event, and what the core says about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

import orjson

from models.alert import Alert
from models.base import Status
from models.decode import decode_event
from models.times import DAY, format_instant, parse_instant
from rules.driver import Driver
from rules.engine import Engine
from rules.event import Event
from rules.fact import Value
from rules.facts import as_mapping, compute
from rules.fold import Histories, fold
from rules.history import Lineage
from rules.intake import Reader, to_event
from rules.pack import Pack, default_pack
from rules.pseudonym import PseudonymKey
from rules.reckoning import Reckoning
from rules.text.screen import Screener
from rules.views import View

START = parse_instant("2025-03-03T09:00:00+08:00")  # a Monday
KEYS = (PseudonymKey("k1", b"a secret for tests, nothing else"),)
CITIZEN = {"key": "citizen-1"}
_HISTORIES = 4_096


@cache
def _pack() -> Pack:
    return default_pack()


@cache
def reader() -> Reader:
    """Return who reads texts as the live service does by default: the default pack's cues, and no post to seal for."""
    screener = Screener(_pack().lexicon)
    screener.screen = cache(screener.screen)  # type: ignore[method-assign]  # many histories say the same few things
    return Reader(screener)


@cache
def _judging(reckoning: Reckoning | None) -> Engine:
    return Engine(_pack(), reckoning)


def engine(reckoning: Reckoning | None = None) -> Engine:
    """Return an engine of the default pack that remembers no ticket: that is no other run's business.

    What some facts come to is the same for every run, so that is judged once for all of them.
    """
    made = copy(_judging(reckoning))
    made.histories = Histories(_HISTORIES, made.reckoning)
    return made


def day(number: float) -> int:
    """Return the instant so many days after the start of every history."""
    return START + round(number * DAY)


def time_of(number: float) -> str:
    """Return the same as text."""
    return format_instant(day(number))


def body(ticket: str, kind: str, when: float | str, event_id: str = "e-1", **fields: Any) -> dict[str, Any]:
    """Return a ticket event's JSON object; `when` in days after the start, `unit` short for `unit_id`."""
    if "unit" in fields:
        fields["unit_id"] = fields.pop("unit")
    occurred_at = when if isinstance(when, str) else time_of(when)
    return {"event_id": event_id, "ticket_id": ticket, "type": kind, "occurred_at": occurred_at, **fields}


def event_of(record: dict[str, Any], read_by: Reader | None = None) -> Event:
    """Return what intake makes of a JSON object, through its bytes."""
    return to_event(decode_event(orjson.dumps(record)), KEYS, read_by or reader())


@dataclass
class Story:
    """A history: `story(1.5, "dispatched", unit="A")`. Event ids follow the order of telling."""

    ticket: str = "T-1"
    records: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, when: float | str, kind: str, *, ticket: str | None = None, **fields: Any) -> Self:
        number = f"{self.ticket}-{len(self.records) + 1:03}"
        given = {"event_id": number, **fields}
        self.records.append(body(ticket or self.ticket, kind, when, **given))
        return self

    def complaint(self, when: float, *, ticket: str | None = None, **fields: Any) -> Self:
        """Tell of a registration with everything that makes two complaints the same matter."""
        given = {
            "citizen": CITIZEN,
            "request_type": "complaint",
            "category": ["城乡建设", "供水", "水压"],
            "title": "自来水压力低",
            "content": "三楼以上用水高峰时没有水,已持续两个月,希望尽快解决。",
            "place": {"district": "试区", "street": "试街道", "community": "试社区"},
        }
        return self(when, "registered", ticket=ticket, **(given | fields))

    @property
    def events(self) -> list[Event]:
        """Return the events after intake, in the order of telling."""
        return [event_of(record) for record in self.records]


def jsonl(records: Iterable[dict[str, Any]]) -> bytes:
    """Return the records as lines."""
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def lineage_of(story: Story, reckoning: Reckoning | None = None) -> Lineage:
    """Return the folded history of the story's own ticket."""
    return fold(story.ticket, story.events, reckoning)


def facts_at(story: Story, now: float, lineage: Lineage | None = None) -> dict[str, Value]:
    """Return every fact of the story's own ticket, so many days after the start."""
    return as_mapping(compute(View(lineage or lineage_of(story), {}, day(now))))


@dataclass
class Run:
    """What the core said of some events."""

    driver: Driver
    alerts: list[Alert]

    @property
    def in_force(self) -> dict[tuple[str, str], str]:
        """Return the level of every warning in force by case (without its prefix) and rule."""
        last = {(one.case_id.removeprefix("case:"), one.rule.id): one for one in self.alerts}
        return {key: one.level.value for key, one in last.items() if one.status is not Status.RETRACTED}

    def versions(self, rule: str, ticket: str | None = None) -> list[Alert]:
        """Return the versions of one rule's warning, of one ticket's case or of all."""
        wanted = None if ticket is None else f"case:{ticket}"
        return [one for one in self.alerts if one.rule.id == rule and wanted in (None, one.case_id)]

    def told(self, rule: str) -> list[tuple[str, str]]:
        """Return the status and level of each version of one rule's warning."""
        return [(one.status.value, one.level.value) for one in self.versions(rule)]


def run(
    events: Story | Sequence[Event],
    until: float | None = None,
    ticks: Iterable[float] = (),
    reckoning: Reckoning | None = None,
) -> Run:
    """Run the core over the events as they come, then through the ticks, to `until` (in days after the start)."""
    driver = Driver(engine(reckoning))
    alerts: list[Alert] = []
    for event in events.events if isinstance(events, Story) else events:
        alerts += driver.feed(event)
    for tick in (*ticks, *(() if until is None else (until,))):
        alerts += driver.advance(day(tick))
    alerts += driver.advance(driver.clock)
    return Run(driver, alerts)


def levels_at(story: Story, until: float, reckoning: Reckoning | None = None) -> dict[str, str]:
    """Return the level by rule of the warnings in force on the story's own ticket."""
    found = run(story, until, reckoning=reckoning).in_force
    return {rule: level for (ticket, rule), level in found.items() if ticket == story.ticket}
