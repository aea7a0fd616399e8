"""What must hold after every fault, and the digest by which states are compared."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from kafka import KafkaConsumer, TopicPartition

from models.alert import Alert
from rules.masking import fold_digits
from rules.state import TicketState, decode_state
from streams.partition import RESERVED
from streams.stored import unpack
from streams.tables import HEADER_BYTES
from tests.faults.load import ACCUSED, NAME, PHONE
from tests.faults.world import World
from tests.live_support import own_ids

Records = dict[str, list[Any]]


class LostError(AssertionError):
    """An input, a warning or a delivery is missing."""


class DoubledError(AssertionError):
    """Something had its effect twice."""


def check(world: World, every: int = 1) -> dict[str, Any]:
    """Check everything that must hold; return figures of it. Raises AssertionError.

    `every`: where there is very much, records so many apart are held to be looked through for identities, and more only of
    what the other checks need.
    """
    held = _everything(world, every)
    alerts = _alerts(held[world.topics.alerts])
    _inputs_ended(world, held)
    _warnings_are_the_drivers(world, alerts)
    _numbers_have_no_gap(alerts)
    _effects_once(world, alerts)
    _none_to_the_accused(world)
    states, expected = states_of(held[world.topics.tickets_changelog]), world.load.unfaulted.driver.tickets
    digest = digest_of(states)
    assert digest == digest_of(expected), f"the state differs from the unfaulted run's: {_differing(states, expected)}"
    _no_identity(world, held, every)
    for own in world.at_end:
        own()
    return {"alerts": len(alerts), "effects": len(world.receiver.accepted), "digest": digest}


def _everything(world: World, every: int = 1) -> Records:
    """Return the records of every topic, each topic's by partition and in order."""
    consumer = KafkaConsumer(bootstrap_servers=world.servers.split(","), enable_auto_commit=False, group_id=None)
    topics = [spec.name for spec in world.topics.all()]
    whole = {world.topics.alerts, world.topics.quarantine} if every > 1 else set(topics)
    found: Records = {topic: [] for topic in topics}
    last: dict[bytes, Any] = {}
    """of the changelog of which not all is held, each key's last record"""
    try:
        parts = [TopicPartition(topic, number) for topic in topics for number in range(world.topics.partitions)]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        deadline = time.monotonic() + world.patience_seconds
        while any(consumer.position(part) < ends[part] for part in parts if ends[part]):
            assert time.monotonic() < deadline, "the topics could not be read to their ends"
            for part, records in consumer.poll(timeout_ms=200, max_records=5_000).items():
                if part.topic in whole:
                    found[part.topic] += records
                elif part.topic == world.topics.tickets_changelog:
                    last |= {record.key: record for record in records}
                else:
                    found[part.topic] += records[::every]
    finally:
        consumer.close()
    found[world.topics.tickets_changelog] += last.values()
    return found


def _alerts(records: Iterable[Any]) -> list[Alert]:
    found = {one.alert_id: one for one in (Alert.model_validate_json(record.value) for record in records)}
    return sorted(found.values(), key=lambda one: (one.case_id, one.sequence))


def _inputs_ended(world: World, held: Records) -> None:
    """Each input reached one terminal state: it is in its ticket's state, or in quarantine under its offset."""
    states = states_of(held[world.topics.tickets_changelog])
    known = {event.event_id for state in states.values() for event in state.events}
    lost = {record["event_id"] for record in world.load.records} - known
    if lost:
        where = _where_they_should_be(world, held[world.topics.tickets_changelog], lost)
        raise LostError(f"{len(lost)} inputs were lost, as {sorted(lost)[:3]}; {where}")
    places = [(told["topic"], told["partition"], told["offset"]) for told in map(_json, held[world.topics.quarantine])]
    assert len(set(places)) == world.expects_quarantine, f"{len(set(places))} in quarantine"


def _where_they_should_be(world: World, changelog: Iterable[Any], lost: set[str]) -> str:
    """Say whether the changelog has their tickets without them, deleted, or not at all as it was read."""
    tickets = {record["ticket_id"] for record in world.load.records if record["event_id"] in lost}
    deleted = {record.key.decode(): record.value is None for record in changelog if not record.key.startswith(RESERVED)}
    unread = tickets - deleted.keys()
    gone = sum(deleted.get(ticket, False) for ticket in tickets)
    return f"of {len(tickets)} tickets {len(unread)} have no record, {gone} were deleted last"


def _json(record: Any) -> Any:
    return orjson.loads(record.value)


def _warnings_are_the_drivers(world: World, alerts: list[Alert]) -> None:
    last = {(one.case_id.removeprefix("case:"), one.rule.id): one for one in alerts}
    in_force = {key: one.level.value for key, one in last.items() if one.status.value != "retracted"}
    expected = world.load.unfaulted
    if missing := expected.in_force.keys() - in_force.keys():
        raise LostError(f"{len(missing)} warnings are not in force, as {sorted(missing)[:3]}")
    assert in_force == expected.in_force, "other warnings are in force than in the unfaulted run"
    assert len(in_force) > 5, "the load must say enough"
    if other := own_ids(alerts) ^ own_ids(expected.alerts):
        told = sorted(
            (one.case_id, one.rule.id, one.sequence) for one in [*alerts, *expected.alerts] if one.alert_id in other
        )
        raise AssertionError(f"other versions were issued than in the unfaulted run: {told[:6]}")


def _numbers_have_no_gap(alerts: list[Alert]) -> None:
    numbers: dict[str, list[int]] = defaultdict(list)
    for one in alerts:
        numbers[one.case_id].append(one.sequence)
    for case, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), f"{case} is numbered {found}"


def _effects_once(world: World, alerts: list[Alert]) -> None:
    """At the office each pushed version has one effect, and those of a case come in their order."""
    receiver = world.receiver
    assert receiver.not_verified == 0 or world.expects_unverified, "a call could not be verified"
    assert receiver.out_of_order == [], f"out of order: {receiver.out_of_order[:3]}"
    pushed = [one.alert_id for one in alerts if one.push]
    effects = Counter(one.alert["alert_id"] for one in world.accepted())
    if missing := set(pushed) - set(effects):
        raise LostError(f"{len(missing)} versions were issued and not delivered")
    assert not set(effects) - set(pushed), "the receiver has a version that was not issued"
    if max(effects.values()) > 1:
        raise DoubledError("an effect was doubled")
    interrupted = any(
        name.startswith("dispatch") for name, _ in world.ended
    )  # it may not have been able to record an answer
    if not world.expects_repeated_calls and not interrupted:
        assert receiver.duplicates == [], "a call was repeated though nothing had interrupted it"


def _none_to_the_accused(world: World) -> None:
    for one in world.accepted("accused"):
        accused = {unit["id"] for unit in one.alert["units"] if unit["role"] == "accused"}
        assert ACCUSED not in accused, "the accused unit was told"


def states_of(changelog: Iterable[Any]) -> dict[str, TicketState]:
    """Return each ticket's state as the changelog has it last."""
    values = {record.key: record.value for record in changelog}
    return {
        key.decode(): decode_state(unpack(value[HEADER_BYTES:]).body)
        for key, value in values.items()
        if value is not None and not key.startswith(RESERVED)
    }


def digest_of(states: Mapping[str, TicketState]) -> str:
    """Return a digest of what is known of every ticket: events, members, repeats, and the level of each warning.

    Left out is what depends on when messages between tickets came: clocks, and the ids of versions that follow from them.
    """
    digest = hashlib.sha256()
    for _, state in sorted(states.items()):
        digest.update(_told(state) + b"\n")
    return digest.hexdigest()


def _told(state: TicketState) -> bytes:
    told = (
        state.ticket_id,
        sorted(state.events, key=lambda event: event.event_id),
        {child: sorted(events, key=lambda event: event.event_id) for child, (_, events) in state.members.items()},
        {citizen: (one.count, sorted(map(repr, one.complaints))) for citizen, one in state.repeats.items()},
        {rule: standing.level for rule, standing in state.standings.items() if standing.level},
        state.refused,
    )
    return orjson.dumps(told, default=tuple, option=orjson.OPT_SORT_KEYS)


def _differing(states: Mapping[str, TicketState], expected: Mapping[str, TicketState]) -> str:
    """Return the first ticket that differs, as it is and as it should be."""
    if states.keys() != expected.keys():
        return f"tickets {sorted(states.keys() ^ expected.keys())[:3]}"
    ticket = next(name for name in sorted(states) if _told(states[name]) != _told(expected[name]))
    return f"{_told(states[ticket]).decode()} instead of {_told(expected[ticket]).decode()}"


def _no_identity(world: World, held: Records, every: int) -> None:
    """No topic but the first, no log, no metric and no call has a citizen's phone or name."""
    places = {"the logs": world.logs().encode(), "the metrics": world.scrape().encode()}
    for topic, records in held.items():
        if topic != world.topics.ticket_events:
            places[topic] = b"\n".join(part for one in records[::every] for part in (one.key or b"", one.value or b""))
    places["the calls"] = orjson.dumps([one.alert for one in world.receiver.accepted[::every]])
    for place, raw in places.items():
        text = raw.decode(errors="ignore")
        if "\\u" in text:
            text += re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
        assert NAME not in text, f"a name is in {place}"
        digits = re.sub(r"[\s\-]", "", fold_digits(text, numerals=False)[0])
        assert PHONE not in digits, f"a phone is in {place}"
