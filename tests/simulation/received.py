"""What must have come to receivers in the end, judged against one plain pass over the warnings, each offered and taken once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import orjson

from alerting.outbox import offer
from alerting.outbox_state import CaseOutbox
from alerting.retry import SCHEDULE
from models.alert import Alert
from models.base import Family, Status
from models.delivery import DeliveryRecord, DeliveryStatus
from streams.routes import partition_of
from tests.simulation.delivering import TOPICS, Delivering
from tests.simulation.endpoints import Receiver
from tests.simulation.schedule import PARTITIONS
from tests.simulation.subscribers import ACCUSED, directory_of

Told = dict[tuple[str, str], list[str]]
"""Alert ids in order, by subscriber and case"""


def wrong_with_delivery(side: Delivering, issued: list[Alert], *, suppressing: bool) -> list[str]:
    """Return what is wrong with a dispatch side in which nothing is left to do."""
    found = [f"{type(error).__name__}: {error}" for error in side.errors]
    found += side.idle
    lanes = [(state.case_id, name, lane) for state in side.states() for name, lane in state.lanes.items()]
    found += [f"left for {name} of {case_id}" for case_id, name, lane in lanes if lane.queue]
    found += [f"held from {name} of {c}" for c, name, lane in lanes for one in lane.held if one.reason != "inhibited"]
    told: Told = defaultdict(list)
    for receiver in side.receivers.values():
        found += receiver.wrong
        for call in receiver.kept:
            told[receiver.name, call["case_id"]].append(call["alert_id"])
        found += _order(receiver)
        found += _nobody_hears_of_itself(receiver, issued)
    if not suppressing and told != (wanted := _plain(issued)):
        found += [
            f"{name} is told of {case}: {told.get((name, case), [])}, must be {wanted.get((name, case), [])}"
            for name, case in sorted(told.keys() | wanted.keys())
            if told.get((name, case)) != wanted.get((name, case))
        ]
    if suppressing:
        inhibited = {(name, c, one.rule_id) for c, name, lane in lanes for one in lane.held}
        found += _knows_what_is_over(told, issued) + _knows_what_stands(told, issued, inhibited)
    return found + _records(side, told) + _decisions(side, issued)


def _plain(issued: list[Alert]) -> Told:
    directory = directory_of(suppressing=False)
    states: dict[str, CaseOutbox] = {}
    for alert in issued:
        state = states.get(alert.case_id, CaseOutbox(alert.case_id))
        states[alert.case_id] = offer(state, alert, directory, 0, lambda _: 1).state
    return {
        (name, case): [item.alert_id for item in lane.queue]
        for case, state in states.items()
        for name, lane in state.lanes.items()
        if lane.queue
    }


def _order(receiver: Receiver) -> list[str]:
    """Each case's calls are numbered without a gap and come for the first time in that order."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for call in receiver.kept:
        numbers[call["case_id"]].append(call["delivery_sequence"])
    return [
        f"{receiver.name}: {case} comes as {came}"
        for case, came in numbers.items()
        if came != list(range(1, len(came) + 1))
    ]


def _nobody_hears_of_itself(receiver: Receiver, issued: list[Alert]) -> list[str]:
    by_id = {alert.alert_id: alert for alert in issued}
    return [
        f"{receiver.name} hears of a warning about itself"
        for call in receiver.kept
        if _accuses(by_id[call["alert_id"]], receiver.name)
    ]


def _accuses(alert: Alert, name: str) -> bool:
    """Whether a subscriber must not hear of a warning; what a citizen wrote may be about any unit with a part in it."""
    meant = [unit.id for unit in alert.units if unit.role == "accused" or alert.family is Family.TEXT]
    return any(ACCUSED.get(unit_id) == name for unit_id in meant)


def _knows_what_is_over(told: Told, issued: list[Alert]) -> list[str]:
    """Never an older version after a newer one, and who was told of a warning hears when it is taken back."""
    found = []
    versions: dict[tuple[str, str], list[Alert]] = defaultdict(list)
    for alert in issued:
        versions[alert.case_id, alert.rule.id].append(alert)
    for (name, case), ids in told.items():
        for (of_case, rule), alerts in versions.items():
            order = [alert.alert_id for alert in alerts]
            came = [order.index(one) for one in ids if one in order]
            if of_case != case or not came:
                continue
            if came != sorted(set(came)):
                found.append(f"{name}: versions of {case} {rule} come as {came}")
            last, told_last = alerts[-1], alerts[came[-1]]
            over = last.status is Status.RETRACTED and last.push and told_last.status is not Status.RETRACTED
            if over and told_last is not last and not _accuses(last, name):
                found.append(f"{name} does not hear that {case} {rule} is over")
    return found


def _knows_what_stands(told: Told, issued: list[Alert], inhibited: set[tuple[str, str, str]]) -> list[str]:
    """Of each rule everybody knows the newest version, where it is in force and for them, unless a graver one holds it back."""
    newest = {(alert.case_id, alert.rule.id): alert for alert in issued if alert.push}
    plain = _plain(issued)
    return [
        f"{name} does not know of {case} {rule} {alert.level}"
        for (case, rule), alert in newest.items()
        for name in (one.name for one in directory_of(suppressing=True).subscribers)
        if alert.status is not Status.RETRACTED and alert.alert_id in plain.get((name, case), ())
        if alert.alert_id not in told[name, case] and (name, case, rule) not in inhibited
    ]


def _records(side: Delivering, told: Told) -> list[str]:
    """The last record of each delivery says what came of it, and positions come for the first time in their order."""
    found = []
    last: dict[bytes | None, DeliveryRecord] = {}
    for partition in range(PARTITIONS):
        highest: dict[str, int] = {}
        seen: set[tuple[str, int]] = set()
        for value in side.topics[TOPICS.deliveries, partition]:
            record = DeliveryRecord.model_validate_json(value.value or b"")
            found += _of_attempts(record)
            last[value.key] = record
            if (record.subscriber, record.position) not in seen:
                seen.add((record.subscriber, record.position))
                if record.position < highest.get(record.subscriber, 0):  # one may be missing, after an end in between
                    found.append(f"{record.subscriber}: position {record.position} comes out of its order")
                highest[record.subscriber] = max(record.position, highest.get(record.subscriber, 0))
    if open_ones := [one.delivery_id for one in last.values() if one.status is not DeliveryStatus.DELIVERED]:
        found.append(f"the last records of {len(open_ones)} deliveries do not say that they came")
    delivered = {(one.subscriber, one.case_id, one.alert_id) for one in last.values()}
    came = {(*lane, alert_id) for lane, ids in told.items() for alert_id in ids}
    if delivered != came:
        found.append(f"records and calls differ: {sorted(delivered ^ came)}")
    return found


def _of_attempts(record: DeliveryRecord) -> Iterator[str]:
    """What is still to be tried says when, and that it failed long ago once its schedule is through."""
    done = record.status in (DeliveryStatus.DELIVERED, DeliveryStatus.DISABLED, DeliveryStatus.REFUSED)
    if done != (record.next_attempt_at is None):
        yield f"{record.delivery_id} is {record.status}, its next attempt is at {record.next_attempt_at}"
    if record.status is DeliveryStatus.EXHAUSTED and record.attempts <= len(SCHEDULE):
        yield f"{record.delivery_id} is exhausted after {record.attempts} attempts"
    if record.status is DeliveryStatus.PENDING and record.attempts > len(SCHEDULE):
        yield f"{record.delivery_id} is still pending after {record.attempts} attempts"


def _decisions(side: Delivering, issued: list[Alert]) -> list[str]:
    """What was decided of each warning to be pushed is written down, and nothing was unreadable."""
    found = []
    decided: set[str] = set()
    for partition in range(PARTITIONS):
        decided |= {orjson.loads(one.value or b"")["alert_id"] for one in side.topics[TOPICS.decisions, partition]}
        found += ["dispatch could not read a record" for _ in side.topics[TOPICS.quarantine, partition]]
    if missing := {alert.alert_id for alert in issued if alert.push} - decided:
        found.append(f"{len(missing)} warnings have no decision")
    found += [
        f"{alert.case_id} lies in another partition"
        for partition in range(PARTITIONS)
        for one in side.topics[TOPICS.alerts, partition]
        if partition_of((alert := Alert.model_validate_json(one.value or b"")).case_id, PARTITIONS) != partition
    ]
    return found
