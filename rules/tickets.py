"""One ticket, step by step: a message or the passing of time makes a new state, warnings, and messages to others.

Everything here is a function of the state and the message; the clock is an argument. A ticket judges itself after every event, at every
instant at which time alone may change a level, and always from its whole history in fold order: so a late event corrects what was said, and
the end does not depend on the order of arrival.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import orjson

from models.alert import Alert
from models.base import Level
from models.ticket_event import EventType as E
from rules.engine import Engine, Levels
from rules.event import Event, by_time, with_event
from rules.fact import Values
from rules.facts import EVERYTHING, INDEX, Plan, compute, next_wake
from rules.fold import fold
from rules.history import Lineage, Ticket
from rules.merging import lineage_events, own_merge
from rules.messages import (
    ClaimMessage,
    EventMessage,
    Events,
    FarewellMessage,
    MembersMessage,
    PartedMessage,
    RepeatMessage,
)
from rules.pack import Rule
from rules.repeats import complaint_of, counts_as_complaint, what_is_claimed
from rules.size import MAX_CLAIMED, MAX_CLAIMED_BYTES, MAX_FORWARDED_BYTES, bounded_repeats, have_room, newest_that_fit
from rules.state import EVENTS_AT_ONCE, MAX_EVENTS, TicketState, with_events
from rules.views import View
from rules.warnings import Change, Standing, make_alert


class ConflictingBody(NamedTuple):
    """A security alarm: an event id that came again with another body. The first stays."""

    ticket_id: str
    event_id: str


class RefusedMerge(NamedTuple):
    """A merge that closes a circle."""

    ticket_id: str
    event_id: str


class TooLarge(NamedTuple):
    """A message that its ticket has no room for: the state is as if it had not come."""

    ticket_id: str
    event_id: str
    """of a member's message: the child's ticket"""


Said = Alert | ClaimMessage | MembersMessage | FarewellMessage | PartedMessage
Output = Said | ConflictingBody | RefusedMerge | TooLarge


class Step(NamedTuple):
    """What a message made: the new state, and what is to be said."""

    state: TicketState
    outputs: list[Output]


class Judged(NamedTuple):
    """A state's history and facts at an instant, for those who want to look."""

    lineage: Lineage
    values: Values
    levels: Levels
    merged: Event | None
    unsure: bool = False
    """a limit was reckoned with a work day that is not announced"""
    sure: Values | None = None
    """the facts as announced days alone bear them out, where that may be less"""
    view: View | None = None
    """what the facts were computed from"""

    def rests_on_unannounced_days(self, rule: Rule, level: Level | None) -> bool:
        """Tell whether announced days alone would give a rule other facts. What is red is red by them all the same."""
        if self.sure is None or level is Level.RED:
            return False
        return any(self.values[INDEX[path]] != self.sure[INDEX[path]] for path in rule.paths)


def on_message(
    engine: Engine, state: TicketState, message: EventMessage | MembersMessage | RepeatMessage, clock: int
) -> Step:
    """Return the step that a message makes; `clock` is the partition's time, in microseconds."""
    if isinstance(message, EventMessage):
        return on_event(engine, state, message.event, clock)
    if isinstance(message, MembersMessage):
        # The root's own partition may lie behind. Judged by an older clock, what its children tell would have an end that is still to come,
        # and no deadline until then: it would never be judged in between.
        clock = max(clock, *(event.at for event in message.events), 0)
    before = on_time(engine, state, clock, clock)
    changed = _told(before.state, message)
    if changed is None:
        return before
    if isinstance(message, MembersMessage) and not have_room(changed.events, before.state.members, changed.members):
        return Step(before.state, [*before.outputs, TooLarge(message.key, message.child)])
    settled = settle(engine, changed, max(changed.clock, clock), clock)
    return Step(settled.state, before.outputs + settled.outputs)


def _told(state: TicketState, message: MembersMessage | RepeatMessage) -> TicketState | None:
    """Return the state that knows what another table said; None where it knew as much or more."""
    if isinstance(message, MembersMessage):
        known = state.members.get(message.child)
        if known is not None and abs(known[0]) >= message.version:
            return None
        events = message.events
        if known is not None and known[0] < 0:  # what it said before it expired stays said
            events = tuple({event.key: event for event in (*known[1], *events)}.values())[-MAX_EVENTS:]
        return state._replace(members={**state.members, message.child: (message.version, events)})
    told = state.repeats.get(message.citizen)
    if told is not None and told.version >= message.repeat.version:
        return None
    repeats, cut = bounded_repeats({**state.repeats, message.citizen: message.repeat})
    return state._replace(repeats=repeats, truncated=state.truncated or cut)


def on_event(engine: Engine, state: TicketState, event: Event, clock: int) -> Step:
    """Return the step that a ticket's own event makes. A deadline at the event's very instant is judged after it."""
    for known in state.events:
        if known.event_id == event.event_id:
            alarm: list[Output] = (
                [ConflictingBody(event.ticket_id, event.event_id)] if known.digest != event.digest else []
            )
            return Step(state, alarm)  # it says nothing of time either: another event of this very instant may follow
    outputs: list[Output] = []
    if state.due_at is not None and state.due_at < event.at:
        state, outputs = on_time(engine, state, event.at - 1, clock)
    events, truncated = _bounded(state, event)
    if truncated and event not in events:
        return Step(state._replace(truncated=True), outputs)  # older than all that is kept: no fact knows of it
    if not engine.sizes.has_room(state.ticket_id, state.events, state.members, events, event):
        return Step(state, [*outputs, TooLarge(event.ticket_id, event.event_id)])
    now = max(state.clock, event.at)
    grown = with_events(state, events, now, truncated=truncated)
    state, settled = _settle_event(engine, grown, now, clock)
    outputs += settled
    if state.due_at is not None and state.due_at <= clock:
        state, later = on_time(engine, state, clock, clock)
        outputs += later
    return Step(state, outputs)


def _settle_event(engine: Engine, state: TicketState, now: int, clock: int) -> Step:
    """Settle after one more event; most say that work goes on, change no fact, and leave nothing to judge."""
    alone = not state.members and state.forwarded is None
    nothing_held = not state.standings or all(one.held is None for one in state.standings.values())
    if alone and nothing_held and engine.histories.take_without_effect(state.ticket_id, state.events):
        return Step(state, [])
    return settle(engine, state, now, clock)


def _bounded(state: TicketState, event: Event) -> tuple[tuple[Event, ...], bool]:
    """Return the events that are kept with one more, and whether any went."""
    events = with_event(state.events, event)
    room = MAX_EVENTS + EVENTS_AT_ONCE if state.truncated else MAX_EVENTS
    oldest = events[1] if events[0].type == E.REGISTERED and len(events) > 1 else events[0]
    if oldest is event and state.truncated and len(events) > MAX_EVENTS and event.type != E.REGISTERED:
        return state.events, True
    if len(events) <= room:
        return events, False
    first = next((event for event in events if event.type == E.REGISTERED), None)
    kept = events[-MAX_EVENTS:]
    # The registration stays: without it nobody would know since when the citizen has waited.
    return kept if first is None or first in kept else (first, *kept[1:]), True


def on_time(engine: Engine, state: TicketState, now: int, clock: int = 0) -> Step:
    """Return the step that the passing of time makes: each deadline up to `now` is judged at its own instant, in order."""
    outputs: list[Output] = []
    while state.due_at is not None and state.due_at <= now:
        step = settle(engine, state, state.due_at, clock)
        outputs += step.outputs
        state = step.state
    return Step(state, outputs)


def judge(engine: Engine, state: TicketState, now: int) -> Judged:
    """Return the ticket's history, all its facts, and levels at an instant."""
    merged, _ = own_merge(state)
    return _judged(engine, state, merged, now, EVERYTHING)


def _judged(engine: Engine, state: TicketState, merged: Event | None, now: int, facts: Plan) -> Judged:
    lineage = (
        engine.histories.fold(state.ticket_id, state.events)
        if not state.members
        else fold(state.ticket_id, lineage_events(state), engine.reckoning)
    )
    view = View(lineage, state.repeats, now)
    values = compute(view, facts)
    unsure = view.unsure
    if merged is not None or lineage.sealed is not None:
        return Judged(lineage, values, (None,) * len(engine.rules), merged, unsure, None, view)
    if not unsure:
        levels, values = engine.judge(values)
        return Judged(lineage, values, levels, None, False, None, view)
    sure = compute(View(lineage, state.repeats, now, announced=True), facts)
    levels, values = engine.judge(values, sure)
    return Judged(lineage, values, levels, None, unsure, engine.judge(sure)[1], view)


def review(engine: Engine, state: TicketState, clock: int) -> Step:
    """Return the step that a changed reckoning of time makes: the ticket is judged anew as of the clock.

    Not as of the clock's own instant, of which more events may come; and the state stays as it is where nothing follows.
    """
    step = on_time(engine, state, clock - 1, clock)
    settled = settle(engine, step.state, max(step.state.clock, clock - 1), clock, reckoned_anew=True)
    outputs = step.outputs + settled.outputs
    if not outputs and settled.state._replace(clock=state.clock) == state:
        return Step(state, [])
    return Step(settled.state, outputs)


def settle(engine: Engine, state: TicketState, now: int, clock: int, *, reckoned_anew: bool = False) -> Step:
    """Judge the ticket at an instant and say what changed; `clock` is the time at which it is said.

    `reckoned_anew`: nothing has happened to the ticket, so what changed is owed to another calendar or other limits.
    """
    outputs: list[Output] = []
    merged, refused = own_merge(state)
    judged = _judged(engine, state, merged, now, engine.plan)
    if refused:
        new = [event for event in refused if event.event_id not in state.refused]
        outputs += [RefusedMerge(event.ticket_id, event.event_id) for event in new]
        known = (*state.refused, *(event.event_id for event in new))
        state = state._replace(refused=known[-MAX_EVENTS - EVENTS_AT_ONCE :])
    state = _warn(engine, state, judged, _When(now, max(now, clock), reckoned_anew), outputs)
    state = _claim(state, judged, outputs)
    state = _forward(state, judged, outputs)
    due_at = None if judged.merged is not None else next_wake(judged.lineage, engine.thresholds, now)
    unchanged = state.clock == now and state.due_at == due_at
    return Step(state if unchanged else state._replace(clock=now, due_at=due_at), outputs)


class _When(NamedTuple):
    """As of which instant a ticket was judged, when it is said, and whether only the reckoning of time has changed."""

    now: int
    issued_at: int
    reckoned_anew: bool


def _warn(engine: Engine, state: TicketState, judged: Judged, when: _When, outputs: list[Output]) -> TicketState:
    standings = state.standings
    if not standings and not any(judged.levels):
        return state
    changed = [
        (rule, level)
        for rule, level in zip(engine.rules, judged.levels, strict=True)
        if level != (standings[rule.id].level if rule.id in standings else None)
    ]
    live = not _is_held(judged.lineage)
    released = [rule_id for rule_id, one in standings.items() if one.held is not None] if live else []
    if not changed and not released:
        return state
    standings = dict(standings)
    sequence = state.sequence
    view = judged.view or View(judged.lineage, state.repeats, when.now)
    for rule_id in released:
        standing = standings[rule_id]
        if standing.level is not None and standing.held is not None and not _is_test(judged.lineage):
            outputs.append(Alert.model_validate_json(standing.held).model_copy(update={"push": True}))
        standings[rule_id] = replace(standing, held=None)
    ended_by, reason = _end_of(judged)
    levels = tuple(zip(engine.rules, judged.levels, strict=True))
    for rule, level in changed:
        previous = standings.get(rule.id)
        before = previous.level if previous else None
        sequence += 1
        push = live and not _is_test(judged.lineage) and rule.status == "stable"
        flags = _flags(state, judged, rule, level)
        change = Change(
            rule,
            before,
            level,
            previous,
            sequence,
            when.issued_at,
            view,
            judged.values,
            ended_by,
            reason,
            flags,
            push,
            levels,
            when.reckoned_anew,
        )
        alert = make_alert(change)
        outputs.append(alert)
        held = alert.model_dump_json() if not live and level is not None and rule.status == "stable" else None
        standings[rule.id] = Standing(alert.alert_id, level, held)
    return state._replace(standings=standings, sequence=sequence)


def _end_of(judged: Judged) -> tuple[Event | None, str | None]:
    if judged.merged is not None:
        return judged.merged, "merged_into"
    if judged.lineage.sealed is not None:
        return judged.lineage.sealed, "removed"
    voided = judged.lineage.voided
    return (voided, "voided") if voided is not None else (None, None)


def _is_held(lineage: Lineage) -> bool:
    """History: nothing but backfilled events so far, so its warnings stay unpushed."""
    return all(event.backfill for event in lineage.events)


def _is_test(lineage: Lineage) -> bool:
    return lineage.tickets[lineage.root].test


def _flags(state: TicketState, judged: Judged, rule: Rule, level: Level | None) -> tuple[str, ...]:
    lineage = judged.lineage
    facts = {
        "backfill": _is_held(lineage),
        "calendar_incomplete": judged.rests_on_unannounced_days(rule, level),
        "rating_changed": bool(lineage.rating_changes),
        "test": _is_test(lineage),
        "truncated": state.truncated,
        "unclear_responsibility": any(
            one.event.data.get("code") in ("R3", "R4") for one in lineage.returns if not one.denied
        ),
        "unexpected_transition": any(ticket.unexpected for ticket in lineage.tickets.values()),
        "rule_on_trial": rule.status != "stable",
    }
    return tuple(name for name, holds in facts.items() if holds)


def _claim(state: TicketState, judged: Judged, outputs: list[Output]) -> TicketState:
    """Tell each citizen's table which complaints this lineage claims; nothing where that has not changed."""
    # A merged child claims its own complaints as before: to the citizen's table a complaint is one, however many lineages claim it.
    lineage = judged.lineage
    if lineage.claimed is not None and lineage.claimed == state.claims:
        return state
    claimed: dict[str, list[Ticket]] = {}
    for ticket in lineage.tickets.values():
        if ticket.citizens and lineage.sealed is None and counts_as_complaint(ticket):
            for citizen in ticket.citizens:
                claimed.setdefault(citizen, []).append(ticket)
    digests = {
        citizen: _digest([what_is_claimed(ticket) for ticket in tickets]) for citizen, tickets in claimed.items()
    }
    lineage.claimed = digests
    if digests == state.claims:
        return state
    told = state.told
    for citizen in sorted(digests.keys() | state.claims.keys()):
        if digests.get(citizen) != state.claims.get(citizen):
            told += 1
            every = [complaint_of(ticket) for ticket in claimed.get(citizen, ())]
            complaints = newest_that_fit(every, MAX_CLAIMED, MAX_CLAIMED_BYTES)
            outputs.append(ClaimMessage(citizen, state.ticket_id, told, complaints))
    return state._replace(told=told, claims=digests)


def _digest(what: object) -> str:
    return hashlib.blake2b(orjson.dumps(what, default=tuple), digest_size=8).hexdigest()


def digest_of(events: Iterable[Event]) -> str:
    """Return what stands for events that a root is told."""
    return _digest([event.key for event in events])


def for_root(state: TicketState, root: str) -> Events:
    """Return what a merged ticket knows and its root is to know, in the order of time."""
    events = sorted(lineage_events(state), key=by_time)
    return tuple(event for event in events if event.ticket_id != root)[-MAX_EVENTS:]


def at_once(events: Events) -> Events:
    """Return so much of it as a root is told."""
    return newest_that_fit(events, MAX_EVENTS, MAX_FORWARDED_BYTES)


def _forward(state: TicketState, judged: Judged, outputs: list[Output]) -> TicketState:
    """Forward everything to the root, and take it back from a root that is no longer one."""
    root = judged.merged.data["into"] if judged.merged is not None else None
    before = state.forwarded
    if root is None and before is None:
        return state
    if state.has_parted and before is not None and before[0] == root:
        return state
    told = state.told
    if before is not None and before[0] != root:
        told += 1
        outputs.append(MembersMessage(before[0], state.ticket_id, told, ()))
        before = None
    if root is None:
        return state._replace(told=told, forwarded=None)
    events = for_root(state, root)
    digest = digest_of(events)
    if before is None or before[1] != digest:
        told += 1
        outputs.append(MembersMessage(root, state.ticket_id, told, at_once(events)))
    return state._replace(told=told, forwarded=(root, digest))
