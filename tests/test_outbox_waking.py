"""What suppression holds, and what time does to it: released, replaced, ended, said again; never lost, never out of order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alerting.directory import Directory
from alerting.outbox import LOOK_AGAIN, Woken, fold, next_look, offer, wake, wake_at
from alerting.outbox_state import CaseOutbox, Item, decode, encode
from alerting.record import attempt_record
from alerting.routing import load_tree
from alerting.send import Answer
from alerting.suppress import SuppressReason
from alerting.suppression_policy import load_policy
from models.alert import Alert
from models.base import Level
from models.delivery import DeliveryKind, Outcome
from models.silence import Silence, SilenceMatchers
from models.subscriber import QuietHours, Subscriber
from models.times import DAY, HOUR, MINUTE, SECOND, format_instant, parse_instant
from tests.alerting_support import make_alert, make_subscriber
from tests.directory_support import make_directory

NOON = parse_instant("2025-06-18T12:00:00+08:00")
NIGHT = parse_instant("2025-06-18T23:00:00+08:00")
MORNING = parse_instant("2025-06-19T07:00:00+08:00")
QUIET = QuietHours(start="22:00", end="07:00")


def directory_of(subscriber: Subscriber, *silences: Silence) -> Directory:
    """Return a directory of one, with the default inhibition: red holds blue back."""
    return replace(make_directory(subscriber, silences=silences), policy=load_policy(None))


@dataclass
class Case:
    """One case and one subscriber, at a time that the test moves."""

    directory: Directory
    now: int = NOON
    state: CaseOutbox = field(default_factory=lambda: CaseOutbox("case-1"))
    alerts: dict[str, Alert] = field(default_factory=dict)
    numbered: int = 0

    def number(self, _: str) -> int:
        self.numbered += 1
        return self.numbered

    def offer(self, alert_id: str, rule: str = "P01", **fields: Any) -> None:
        alert = make_alert(alert_id, rule={"id": rule, "version": 1, "title": "某规则"}, **fields)
        self.alerts[alert_id] = alert
        self.state = offer(self.state, alert, self.directory, self.now, self.number).state

    def wake(self, after: int = 0) -> Woken:
        self.now += after
        woken = wake(self.state, self.alerts.get, self.directory, self.now, self.number)
        self.state = decode(encode(woken.state))
        return woken

    def deliver(self) -> None:
        """Deliver everything that is queued."""
        for item in self.queue:
            name, offset = self.directory.subscribers[0].name, self.state.delivered_offset + 1
            answer = Answer(Outcome.ACCEPTED, 204)
            record = attempt_record("case-1", name, "e", item, answer, self.now, self.now, 1.0)
            self.state = fold(self.state, record, offset).state

    @property
    def queue(self) -> tuple[Item, ...]:
        return next((lane.queue for lane in self.state.lanes.values()), ())

    @property
    def queued(self) -> list[tuple[str, int]]:
        return [(item.alert_id, item.delivery_sequence) for item in self.queue]

    @property
    def held(self) -> list[tuple[str, SuppressReason]]:
        return [(held.alert_id, held.reason) for lane in self.state.lanes.values() for held in lane.held]


def test_quiet_hours_end_and_what_waited_leaves_together() -> None:
    case = Case(directory_of(make_subscriber(quiet_hours=QUIET)), NIGHT)
    case.offer("a-1")
    case.offer("b-1", "P02", level="blue")
    case.offer("c-1", "P03", level="red")
    assert case.queued == [("c-1", 1)], "red disturbs"
    assert case.held == [("a-1", SuppressReason.QUIET_HOURS), ("b-1", SuppressReason.QUIET_HOURS)]
    assert wake_at(case.state, case.directory) == MORNING
    case.wake(MORNING - NIGHT - 1)
    assert case.queued == [("c-1", 1)]
    case.wake(1)
    assert case.queued == [("c-1", 1), ("a-1", 2)]
    assert case.held == [("b-1", SuppressReason.INHIBITED)]


def test_what_is_held_gives_way_to_its_next_version_and_a_retraction_ends_it() -> None:
    case = Case(directory_of(make_subscriber(quiet_hours=QUIET)), NIGHT)
    case.offer("a-1", level="blue")
    case.offer("a-2", status="escalated", sequence=2)
    assert case.held == [("a-2", SuppressReason.QUIET_HOURS)]
    case.offer("a-1", level="blue")  # redelivered
    assert case.held == [("a-2", SuppressReason.QUIET_HOURS)]
    case.offer("a-3", status="retracted", sequence=3)
    assert (case.held, case.queued) == ([], []), "nobody was told, nobody needs to hear that it is off"
    case.wake(DAY)
    assert case.queued == []


REDS = frozenset({Level.YELLOW, Level.RED})


def test_an_older_version_that_is_read_again_takes_back_nothing() -> None:
    case = Case(directory_of(make_subscriber(levels=REDS)))
    versions: list[tuple[str, dict[str, Any]]] = [
        ("a-1", {"level": "blue", "sequence": 1}),
        ("a-2", {"level": "blue", "sequence": 2, "status": "retracted"}),
        ("a-3", {"level": "yellow", "sequence": 3}),
    ]
    for alert_id, fields in [*versions, *versions]:  # offsets were not committed before a restart
        case.offer(alert_id, **fields)
    case.offer("a-4", level="yellow", sequence=4, status="retracted")
    assert case.queued == [("a-3", 1), ("a-4", 2)]


def test_an_older_version_that_is_read_again_does_not_end_what_is_held() -> None:
    case = Case(directory_of(make_subscriber(levels=REDS, quiet_hours=QUIET)), NIGHT)
    for _ in range(2):
        case.offer("a-1", level="blue", sequence=1)
        case.offer("a-2", level="yellow", sequence=2)
        assert case.held == [("a-2", SuppressReason.QUIET_HOURS)]
    case.state = decode(encode(case.state))
    case.offer("a-1", level="blue", sequence=1)
    case.wake(MORNING - NIGHT)
    assert case.queued == [("a-2", 1)]


def test_what_red_inhibits_is_told_when_red_is_taken_back() -> None:
    case = Case(directory_of(make_subscriber()))
    case.offer("r-1", "P01", level="red")
    case.offer("b-1", "P02", level="blue")
    assert case.held == [("b-1", SuppressReason.INHIBITED)]
    case.offer("r-2", "P01", level="red", status="retracted", sequence=2)
    case.wake()
    assert case.queued == [("r-1", 1), ("r-2", 2), ("b-1", 3)]


def test_a_silence_that_is_ended_early_lets_go_at_the_next_look() -> None:
    silence = Silence(
        id="s-1",
        author="张某",
        comment="集中处理一天",
        created_at=format_instant(NOON),
        starts_at=format_instant(NOON),
        ends_at=format_instant(NOON + DAY),
        matchers=SilenceMatchers(rules=["P01"]),
    )
    subscriber = make_subscriber()
    case = Case(directory_of(subscriber, silence))
    case.offer("a-1")
    assert (case.held, wake_at(case.state, case.directory)) == ([("a-1", SuppressReason.SILENCED)], NOON + DAY)
    assert case.wake(HOUR).changed == (), "nothing new is to be told of it"
    case.directory = directory_of(subscriber)
    case.wake()
    assert case.queued == [("a-1", 1)]


def test_a_group_wait_makes_one_wait_of_several() -> None:
    case = Case(directory_of(make_subscriber(group_wait_seconds=60)))
    case.offer("a-1")
    case.wake(30 * SECOND)
    case.offer("b-1", "P02")
    case.wake(30 * SECOND)
    assert case.queued == [("a-1", 1)]
    case.wake(30 * SECOND)
    assert case.queued == [("a-1", 1), ("b-1", 2)]


def test_it_reminds_of_what_is_in_force_as_often_as_wanted_and_not_at_night() -> None:
    case = Case(directory_of(make_subscriber(repeat_hours=6, quiet_hours=QUIET)))
    case.offer("a-1")
    assert next_look(case.state, case.directory, case.now) == NOON + 6 * HOUR
    case.wake(6 * HOUR)
    assert case.queued == [("a-1", 1)], "the first is still on its way: nobody needs a reminder"
    assert next_look(case.state, case.directory, case.now) == case.now + LOOK_AGAIN, "and not all the time"
    case.deliver()
    case.wake(MINUTE)
    assert [(item.kind, item.mark) for item in case.queue] == [(DeliveryKind.REPEAT, "repeat-1")]
    case.deliver()
    case.wake(6 * HOUR)  # after midnight
    assert case.queue == ()
    case.wake(MORNING - case.now)
    assert case.queued == [("a-1", 3)]
    case.deliver()
    case.offer("a-2", status="retracted", sequence=2)
    case.deliver()
    case.wake(30 * DAY)
    assert case.queue == ()
    assert wake_at(case.state, case.directory) is None


def test_an_alert_whose_body_is_missing_is_not_sent_unread() -> None:
    case = Case(directory_of(make_subscriber(quiet_hours=QUIET)), NIGHT)
    case.offer("a-1")
    case.alerts.clear()
    case.wake(DAY // 2)
    assert (case.queued, len(case.held)) == ([], 1)


def test_whom_nobody_can_tell_is_passed_over_as_if_the_unit_had_no_subscriber() -> None:
    units = (
        {"id": "U-A", "name": "甲街道", "kind": "subdistrict", "level": "township", "supervised_by": "TEAM"},
        {
            "id": "TEAM",
            "name": "街道纪工委",
            "kind": "discipline_committee",
            "level": "township",
            "subscribers": ["team"],
        },
    )
    both = replace(make_directory(make_subscriber("team"), make_subscriber("pool")), tree=load_tree(None))
    registry = make_directory(make_subscriber("pool"), units=units).registry
    for names, told in ((["team", "pool"], "team"), (["pool"], "pool")):
        subscribers = tuple(one for one in both.subscribers if one.name in names)
        directory = replace(both, registry=registry, subscribers=subscribers)
        offered = offer(CaseOutbox("case-1"), make_alert(), directory, NOON, lambda _: 1)
        assert [name for name, _ in offered.queued] == [told]


STATUSES = st.sampled_from(["escalated", "corrected", "retracted"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["P01", "P02", "P03"]), STATUSES, st.sampled_from(list(Level)), st.integers(0, 8 * HOUR)),
    max_size=20,
)


@settings(max_examples=150)
@given(
    steps=STEPS,
    group_wait=st.sampled_from([0, 60, 3600]),
    quiet=st.sampled_from([None, QUIET]),
    levels=st.sets(st.sampled_from(list(Level)), min_size=1),
)
def test_in_the_end_whoever_is_told_knows_what_is_in_force(
    steps: list[tuple[str, str, Level, int]], group_wait: int, quiet: QuietHours | None, levels: set[Level]
) -> None:
    subscriber = make_subscriber(group_wait_seconds=group_wait, quiet_hours=quiet, levels=frozenset(levels))
    case = Case(directory_of(subscriber))
    versions: dict[str, list[Alert]] = {}
    sent: list[Item] = []
    for number, (rule, status, level, pause) in enumerate(steps):
        began = bool(versions.get(rule)) and versions[rule][-1].status != "retracted"
        given = status if began else "raised"
        case.offer(f"a-{number}", rule, status=given, level=level.value, sequence=number + 1)
        versions.setdefault(rule, []).append(case.alerts[f"a-{number}"])
        case.wake()
        sent += case.queue
        case.deliver()
        case.wake(pause)
        sent += case.queue
        case.deliver()
    for _ in range(6):  # not always at night
        case.wake(7 * HOUR)
        sent += case.queue
        case.deliver()

    assert [item.delivery_sequence for item in sent] == list(range(1, len(sent) + 1))
    assert len({item.alert_id for item in sent}) == len(sent)
    lane = next(iter(case.state.lanes.values()), None)
    inhibited = {alert_id for alert_id, reason in case.held if reason is SuppressReason.INHIBITED}
    assert {alert_id for alert_id, _ in case.held} == inhibited, "only what red still inhibits is held for so long"
    for rule, alerts in versions.items():
        order = [alert.alert_id for alert in alerts]
        told = [item.alert_id for item in sent if item.rule_id == rule]
        assert told == sorted(told, key=order.index), "never an older version after a newer one"
        last = alerts[-1]
        known = lane is not None and rule in lane.told
        if last.status == "retracted":
            assert not known
            if told:
                assert case.alerts[told[-1]].status == "retracted", "who was told hears that it is off"
        elif known and lane is not None:
            latest = lane.told[rule].alert_id
            assert latest == last.alert_id or last.level not in levels or last.alert_id in inhibited
