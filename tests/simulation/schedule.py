"""What a simulated run does: events, bad input, and steps, all drawn from one seed and small enough to be read when a run fails."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from tests.histories import (
    AMENDMENTS,
    COMMENTS,
    ENDS,
    GRADES,
    MATTERS,
    PLAIN,
    SPAN_DAYS,
    UNITS,
    record_of,
)
from tests.simulation.endpoints import ANSWERS

PARTITIONS = 2
KEEP_DAYS = SPAN_DAYS + 20
"""no input is older than this when it comes: what is over expires afterwards"""
NAMES = ("A", "D", "B")
"""tickets, in both partitions"""
WORKERS = 2
TABLES = ("tickets", "citizens")
TOPICS = ("source", *TABLES)
EXPIRY_SHARE = 0.25

Kind = Literal[
    "produce",
    "work",
    "commit",
    "crash",
    "move",
    "lose_disk",
    "tick",
    "catch_up",
    "deliver",
    "confirm",
    "kill",
    "wipe",
    "hand_over",
    "wait",
    "jump",
    "renew",
    "registry",
]
KINDS: tuple[Kind, ...] = (
    *("produce",) * 3,
    *("work",) * 12,
    *("commit",) * 3,
    "crash",
    "move",
    "lose_disk",
    "tick",
)
DELIVERY_KINDS: tuple[Kind, ...] = (
    *("deliver",) * 8,
    *("wait",) * 3,
    *("confirm",) * 2,
    *("kill",) * 2,
    "wipe",
    "hand_over",
    "jump",
    "renew",
    "registry",
)
"""of dispatch: a batch; time that passes; offsets committed; an end at some effect to come; an end, and the disk lost; a partition that
goes to another process; the clock on the wall set on or back; another address for who is gone; the registry unreadable, or back"""
CRASHES = ("debts", "changelog", "disk", "outputs", "acknowledge")
"""after what of a batch's effects a process ends: some debts paid; some keys in the changelog; all of them, but nothing on disk; some
outputs sent; all done, but nothing acknowledged"""
CRASH_SHARE = 0.3
DELIVERED_SHARE = 0.12
"""of the schedules go on to receivers; a call costs several times what judging an event does"""
BAD_INPUT = (b"", b"null", b"{", b'{"event_id":"x"}', b"\xff\xfe", b'{"event_id":"x","event_id":"y"}')
PHONE = "199-0000-0001"
_FREQUENT = ("dispatched", "return_requested", "return_denied", "designated", "resolved", "visited", "redo_ordered")
_KINDS = (
    *_FREQUENT * 3,
    "return_approved",
    "extension_approved",
    "review_rejected",
    "satisfaction_changed",
    "recalled",
)
_OF_SEVERAL = ("merged", "linked", "amended", "voided")


@dataclass(frozen=True)
class Step:
    """One thing that happens. What its numbers mean depends on what is there by then, so any step can be left out."""

    kind: Kind
    topic: str = "source"
    partition: int = 0
    worker: int = 0
    size: int = 1
    crash: str | None = None
    after: int = 0
    day: float = 0.0

    @property
    def wait_seconds(self) -> int:
        """Return how much time passes."""
        return 7 * self.size

    @property
    def jump_seconds(self) -> int:
        """Return how far the clock on the wall is set on, or back."""
        return round((self.day - SPAN_DAYS / 3) * 4 * 3600)

    @property
    def effects(self) -> int:
        """Return how many effects a process lives to see."""
        return self.after + 3 * (self.size - 1)

    @property
    def at_once(self) -> bool:
        """Return whether who had a partition hears at once that it has gone."""
        return self.size > 2

    def __str__(self) -> str:
        match self.kind:
            case "work":
                crash = f", crash after {self.after} of {self.crash}" if self.crash else ""
                return f"work on {self.topic}-{self.partition}, {self.size} records{crash}"
            case "produce":
                return f"produce {self.size}"
            case "tick":
                return f"tick at day {self.day}"
            case "move":
                return f"move partition {self.partition} to worker {self.worker}"
            case "commit" | "confirm":
                return f"{self.kind} partition {self.partition}"
            case "deliver":
                crash = f", crash before effect {self.effects}" if self.crash else ""
                return f"deliver from partition {self.partition}, {self.size} records of each topic{crash}"
            case "kill":
                return f"kill of who has partition {self.partition} before effect {self.effects}"
            case "wait":
                return f"wait {self.wait_seconds} s"
            case "jump":
                return f"the clock on the wall jumps {self.jump_seconds} s"
            case "hand_over":
                how = "at once known" if self.at_once else "not known there yet"
                return f"hand over delivery of partition {self.partition} to {self.worker}, {how}"
            case "renew" | "registry" | "catch_up":
                return self.kind
            case _:
                return f"{self.kind} of worker {self.worker}"


Part = Literal["steps", "afterwards", "inputs", "answers"]


@dataclass(frozen=True)
class Schedule:
    """One run: the inputs in the order of production, and the steps."""

    seed: int
    inputs: tuple[bytes, ...]
    steps: tuple[Step, ...]
    in_order: bool
    """the inputs come in the order of their time, tickets stand alone, ticks never lead: alert ids must be those of a plain run"""
    expires: bool = False
    """what is over expires"""
    afterwards: tuple[Step, ...] = ()
    """then: steps once all of that is done, while days go by"""
    answers: tuple[str, ...] | None = None
    """how receivers answer, call by call; None: nothing is delivered"""
    suppressing: bool = False
    """some warnings are held back for a time, or as long as others stand"""

    def without(self, part: Part, left_out: range) -> Schedule:
        """Return the schedule with some of its inputs, steps or answers left out."""
        kept = tuple(one for n, one in enumerate(getattr(self, part) or ()) if n not in left_out)
        return replace(self, **{part: kept})

    def __str__(self) -> str:
        told = [f"seed {self.seed}, {'in order' if self.in_order else 'in any order'}; inputs:"]
        told += [f"  {one.decode(errors='replace')}" for one in self.inputs]
        told += ["steps:", *(f"  {one}" for one in self.steps)]
        told += [*(["afterwards:"] if self.expires else []), *(f"  {one}" for one in self.afterwards)]
        if self.answers is not None:
            kind = "some are held back" if self.suppressing else "nothing is held back"
            told.append(f"delivered, {kind}; answers: {', '.join(self.answers) or 'all well'}")
        return "\n".join(told)


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    chance = random.Random(seed)
    in_order = chance.random() < 0.4
    records = _history(chance, several=not in_order)
    if in_order:
        records.sort(key=lambda record: (record["occurred_at"], record["event_id"]))
    else:
        chance.shuffle(records)
    inputs = [orjson.dumps(record) for record in records]
    for _ in range(chance.choice((0, 0, 1, 2))):
        inputs.insert(chance.randrange(len(inputs) + 1), chance.choice(BAD_INPUT))
    doubled = [one for one in inputs for _ in range(2 if chance.random() < 0.15 else 1)]
    delivered = random.Random(-1 - seed)
    if delivered.random() < DELIVERED_SHARE:
        return _delivered(Schedule(seed, tuple(doubled), (), in_order), delivered)
    steps = tuple(_step(chance, KINDS) for _ in range(chance.randrange(10, 60)))
    expires = chance.random() < EXPIRY_SHARE
    afterwards = tuple(_later(chance) for _ in range(chance.randrange(10, 60) if expires else 0))
    return Schedule(seed, tuple(doubled), steps, in_order, expires, afterwards)


def _delivered(schedule: Schedule, chance: random.Random) -> Schedule:
    """Return a schedule that goes on to receivers. Most warnings come late: once all are there, delivery goes on alone for a while."""
    steps = tuple(_step(chance, KINDS + DELIVERY_KINDS) for _ in range(chance.randrange(10, 50)))
    steps += (Step("catch_up"), *(_step(chance, DELIVERY_KINDS) for _ in range(chance.randrange(5, 40))))
    well, kinds = chance.random(), ANSWERS if chance.random() < 0.8 else (chance.choice(ANSWERS),)
    answers = tuple("well" if chance.random() < well else chance.choice(kinds) for _ in range(chance.randrange(40)))
    return replace(schedule, steps=steps, answers=answers, suppressing=chance.random() < 0.3)


def _later(chance: random.Random) -> Step:
    """Return a step of the time in which nothing is produced any more, and many days go by."""
    step = _step(chance, KINDS)
    if step.kind in ("produce", "tick"):
        return replace(step, kind="tick", day=3 * SPAN_DAYS + chance.randrange(60))
    return replace(step, topic=chance.choice(TABLES)) if step.kind == "work" else step


def _step(chance: random.Random, kinds: tuple[Kind, ...]) -> Step:
    return Step(
        chance.choice(kinds),
        chance.choice(TOPICS),
        chance.randrange(PARTITIONS),
        chance.randrange(WORKERS),
        chance.choice((1, 1, 2, 3, 5, 9)),
        chance.choice(CRASHES) if chance.random() < CRASH_SHARE else None,
        chance.randrange(4),
        chance.randrange(2 * SPAN_DAYS) / 2,
    )


def _history(chance: random.Random, *, several: bool) -> list[dict[str, Any]]:
    tickets = NAMES[: chance.choice((1, 1, 2, 2, 3))]
    told = [(ticket, "registered", chance.randrange(10) / 2, _registration(chance)) for ticket in tickets]
    for _ in range(chance.randrange(2, 10)):
        ticket, when = chance.choice(tickets), chance.randrange(2 * SPAN_DAYS) / 2
        kind = chance.choice((*_KINDS, *PLAIN, *_OF_SEVERAL * 3, *ENDS) if several else (*_KINDS, *PLAIN))
        told.append((ticket, kind, when, _fields(chance, kind, tickets)))
    return [record_of(number, step) for number, step in enumerate(told)]


def _registration(chance: random.Random) -> dict[str, Any]:
    citizen = chance.choice(({"key": "c-1"}, {"key": "c-2"}, {"phone": PHONE, "name": "张某"}))
    return {"citizen": citizen, "request_type": "complaint", "matter": chance.choice(MATTERS)}


def _fields(chance: random.Random, kind: str, tickets: tuple[str, ...]) -> dict[str, Any]:
    unit = chance.choice(UNITS)
    match kind:
        case "dispatched" | "review_rejected" | "redo_ordered":
            limits = ({"value": 3, "unit": "days"}, {"value": 5, "unit": "work_days"}, None)
            return {"unit": unit, "limit": chance.choice(limits)}
        case "return_requested":
            said = (None, True, False)
            return {"unit": unit, **{name: chance.choice(said) for name in ("contacted", "site_checked", "evidence")}}
        case "visited" | "satisfaction_changed":
            return {"result": chance.choice(GRADES), "comment": chance.choice(COMMENTS)}
        case "merged":
            return {"into": chance.choice(tickets)}
        case "linked":
            return {"to": chance.choice(tickets)}
        case "amended":
            return {"fields": chance.choice(AMENDMENTS)}
        case "voided" | "withdrawn" | "direct_closed" | "rejected" | "transferred":
            return {}
        case _:
            return {"unit": unit}
