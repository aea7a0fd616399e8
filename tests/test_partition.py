"""The agents' work on one partition, with no broker: batches of any size, redelivery, crashes between any two steps, poison."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import Alert
from rules.engine import Engine
from rules.fact import Values
from rules.facts import INDEX
from rules.matter import MatterConfig
from rules.messages import EventMessage, TickMessage, encode
from streams import citizen_partition
from streams import partition as partition_module
from streams.citizen_partition import CitizenPartition
from streams.partition import OWING_KEY, RESERVED, Incoming, Kept
from streams.routes import Out
from streams.stored import unpack
from streams.ticket_partition import CLOCK_KEY, RECKONING_KEY, TicketPartition
from streams.topics import TopicSet
from tests.builders import Story, body, day, engine, event_of, run
from tests.histories import SPAN_DAYS, histories
from tests.partition_support import Agent, DictTable, Watch

TOPICS = TopicSet(partitions=1)
UNTIL = SPAN_DAYS + 40
STEPS = ("debts", "flush", "outputs", "acknowledge")
SIZES = st.lists(st.integers(1, 4) | st.integers(1, 9), max_size=40)
CRASHES = st.lists(st.tuples(st.sampled_from((*STEPS, "flush", "never")), st.integers(0, 6)), min_size=6, max_size=30)


def tickets(log: Sequence[bytes], judge: Engine | None = None, watch: Watch | None = None) -> Agent:
    """Return an agent over the tickets' partition."""

    def open_one(table: DictTable, first_offset: int) -> TicketPartition:
        return TicketPartition(0, table, judge or engine(), TOPICS, watch or Watch(), first_offset)

    return Agent(open_one, log)


def citizens(log: Sequence[bytes], watch: Watch | None = None) -> Agent:
    """Return an agent over the citizens' partition."""

    def open_one(table: DictTable, first_offset: int) -> CitizenPartition:
        return CitizenPartition(0, table, MatterConfig(), TOPICS, watch or Watch(), first_offset)

    return Agent(open_one, log)


def events(records: Iterable[dict[str, Any]]) -> list[bytes]:
    return [encode(EventMessage(event_of(record))) for record in records]


def tick(when: float) -> bytes:
    return encode(TickMessage(day(when)))


def closed_loop(inputs: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the logs of both partitions when each record, and all that follows from it, is done before the next."""
    for_tickets, for_citizens = tickets([]), citizens([])
    logs: dict[str, tuple[Agent, list[bytes]]] = {
        TOPICS.tickets: (for_tickets, []),
        TOPICS.citizens: (for_citizens, []),
    }
    for value in inputs:
        waiting = [(TOPICS.tickets, value)]
        while waiting:
            topic, message = waiting.pop(0)
            agent, log = logs[topic]
            log.append(message)
            agent.log, before = log, len(agent.sent)
            agent.batch(1)
            waiting += [(out.topic, out.value) for out in agent.sent[before:] if out.topic in logs]
    return logs[TOPICS.tickets][1], logs[TOPICS.citizens][1]


def contents(agent: Agent) -> dict[bytes, tuple[int | None, Any]]:
    """Return each key's deadline and state; what it owes and up to which record depends on the batches."""
    found = {}
    for (_, key), value in agent.table.durable.items():
        if key == OWING_KEY:
            continue
        if key.startswith(RESERVED):
            found[key] = (None, value)
        else:
            stored = unpack(value)
            found[key] = (stored.due_at, orjson.loads(stored.body))
    return found


def by_issuer(outs: Iterable[Out]) -> dict[tuple[str, ...], list[bytes]]:
    """Return what was sent by topic, key and issuer, in the order of sending: what different keys say may change places."""
    found: dict[tuple[str, ...], list[bytes]] = {}
    for out in outs:
        said = orjson.loads(out.value)
        issuer = said[2] if isinstance(said, list) else ""  # of a claim or of members: the lineage that says it
        found.setdefault((out.topic, out.key, str(issuer)), []).append(out.value)
    return found


def alerts(agent: Agent) -> list[Alert]:
    return [Alert.model_validate_json(out.value) for out in agent.once() if out.topic == TOPICS.alerts]


LOGS = st.tuples(histories(size_max=14), st.lists(st.integers(0, 2 * SPAN_DAYS), max_size=4)).map(
    lambda drawn: _with_ticks(*drawn)
)


def _with_ticks(records: list[dict[str, Any]], halves: list[int]) -> list[bytes]:
    log = events(records)
    for number, half in enumerate(halves):
        log.insert(number * len(log) // max(len(halves), 1), tick(half / 2))
    return [*log, tick(UNTIL)]


@settings(max_examples=50, deadline=None)
@given(LOGS, SIZES)
def test_the_size_of_batches_changes_neither_the_table_nor_what_is_sent(inputs: list[bytes], sizes: list[int]) -> None:
    for make, log in zip((tickets, citizens), closed_loop(inputs), strict=True):
        one_by_one, in_batches = make(log).run(), make(log).run(sizes)
        assert contents(in_batches) == contents(one_by_one)
        assert by_issuer(in_batches.sent) == by_issuer(one_by_one.sent)


@settings(max_examples=60, deadline=None)
@given(LOGS, SIZES, CRASHES)
def test_crashes_at_any_step_lose_nothing_and_add_nothing(
    inputs: list[bytes], sizes: list[int], crashes: list[tuple[str, int]]
) -> None:
    for make, log in zip((tickets, citizens), closed_loop(inputs), strict=True):
        smooth, bumpy = make(log).run(), make(log).run(sizes, crashes)
        assert contents(bumpy) == contents(smooth)
        assert by_issuer(bumpy.once()) == by_issuer(dict.fromkeys(smooth.sent))


@settings(max_examples=50, deadline=None)
@given(LOGS, SIZES, st.data())
def test_a_batch_that_comes_again_changes_nothing_and_sends_nothing(
    inputs: list[bytes], sizes: list[int], data: st.DataObject
) -> None:
    log, _ = closed_loop(inputs)
    agent = tickets(log).run(sizes)
    before, sent, writes = contents(agent), len(agent.sent), dict(agent.table.durable)
    agent.acknowledged = data.draw(st.integers(0, len(log) - 1))
    agent.run(sizes)
    assert contents(agent) == before
    assert agent.sent[sent:] == []
    assert agent.table.durable == writes


@settings(max_examples=50, deadline=None)
@given(histories(size_max=14), SIZES)
def test_a_partition_in_the_order_of_time_says_what_the_driver_says(
    records: list[dict[str, Any]], sizes: list[int]
) -> None:
    records = [one for one in records if one["type"] not in ("merged", "linked", "registered", "amended")]
    records.sort(key=lambda one: (one["occurred_at"], one["event_id"]))
    agent = tickets([*events(records), tick(UNTIL)]).run(sizes)
    told = run([event_of(record) for record in records], UNTIL)
    assert {one.alert_id for one in alerts(agent)} == {one.alert_id for one in told.alerts}


STORY = Story("T-1").complaint(0)(1, "dispatched", unit="U-1", limit={"value": 3, "unit": "days"})(
    2, "return_requested", unit="U-1"
)(2.5, "dispatched", unit="U-2", limit={"value": 9, "unit": "days"})(3, "return_requested", unit="U-2")(
    3.5, "return_requested", unit="U-3"
)


def test_a_crash_after_the_state_and_before_its_outputs_is_made_good_at_the_next_opening() -> None:
    log = events(STORY.records)
    agent = tickets(log)
    agent.batch(len(log), ("flush", 99))
    assert agent.sent == []
    agent.batch(1)  # it opens, and comes to the first record again
    assert [one.rule.id for one in alerts(agent)] == ["P01", "P01"]
    assert agent.run().once() == tickets(log).run([len(log)]).once()


def test_a_crash_over_a_single_record_is_made_good_too() -> None:
    log = events(STORY.records)
    assert tickets(log).run([1], [("flush", 9)]).once() == tickets(log).run().once()


def test_debts_are_paid_before_the_keys_that_owe_them_change() -> None:
    """Two crashes in a row: the second one comes when the new state is durable, and nothing of the new batch is sent."""
    log = events(STORY.records)
    agent = tickets(log)
    agent.batch(5, ("flush", 99))
    agent.batch(6, ("flush", 99))
    agent.run()
    assert {one.level.value for one in alerts(agent) if one.rule.id == "P01"} == {"yellow", "red"}
    assert sorted(agent.once()) == sorted(tickets(log).run().once())


def test_an_event_that_comes_again_after_another_one_broke_the_flush_still_moves_the_clock() -> None:
    silent = Story("T-2").complaint(0, citizen={"anonymous": True})(0.5, "dispatched", unit="U-9", due_at=None)
    silent.records[-1]["due_at"] = "2025-03-06T18:00:00+08:00"
    log = [*events(silent.records), *events(Story("T-3")(30, "urged").records)]
    agent = tickets(log)
    agent.batch(2)
    agent.batch(1, ("flush", 1))  # one key is durable, the clock is not
    agent.run()
    assert {one.rule.id for one in alerts(agent)} == {"P06"}
    assert agent.table.get(0, CLOCK_KEY) == str(day(30)).encode()


def test_the_clock_and_the_deadlines_are_there_again_after_opening() -> None:
    log = events(STORY.records)
    agent = tickets([*log, tick(40)])
    agent.batch(len(log))
    due = unpack(agent.table.durable[0, b"T-1"]).due_at
    agent.restart()
    reopened = agent.open_one(agent.table, len(log))
    assert (reopened.clock, reopened.next_due(), reopened.keys) == (day(3.5), due, 1)  # type: ignore[attr-defined]
    assert due is not None
    agent.run()
    assert [one.trigger for one in alerts(agent) if one.trigger.startswith("deadline:")] == [
        one.trigger for one in run(STORY, 40).alerts if one.trigger.startswith("deadline:")
    ]


def test_a_tick_that_comes_again_or_late_says_nothing_new() -> None:
    log = [*events(STORY.records), tick(40), tick(40), tick(20)]
    agent = tickets(log).run([len(log) - 2])
    assert agent.table.get(0, CLOCK_KEY) == str(day(40)).encode()
    assert agent.sent == tickets(log[:-2]).run([len(log)]).sent


def test_a_deadline_waits_for_all_events_of_its_own_instant_whatever_the_batch() -> None:
    due = "2025-03-06T18:00:00+08:00"
    story = Story("T-1")(0, "dispatched", unit="U-1", due_at=due)
    log = events(story.records)
    log += events(Story("T-0")(due, "urged").records)
    log += events(Story("T-1")(due, "resolved", unit="U-1", event_id="in time").records)
    told = [[(one.status, one.level) for one in alerts(tickets(log).run(sizes))] for sizes in ([1, 1, 1], [3], [2, 1])]
    assert told[0] == told[1] == told[2]
    assert ("raised", "yellow") not in told[0]


class BreakingEngine(Engine):
    """An engine with a rule that breaks on some facts."""

    def __init__(self, breaks: Callable[[Values], bool]) -> None:
        super().__init__(engine().pack)
        sound = self.judge

        def judge(values: Values) -> Any:
            if breaks(values):
                raise ZeroDivisionError("张某 19900001234")
            return sound(values)

        self.judge = judge  # type: ignore[assignment]


def test_a_lack_of_memory_is_no_events_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(*_: Any) -> Any:
        raise MemoryError

    lacking = engine()
    monkeypatch.setattr(lacking, "judge", starved)
    with pytest.raises(MemoryError):
        tickets(events(STORY.records[:5]), lacking).run([99])


def _refused(agent: Agent) -> list[dict[str, Any]]:
    return [orjson.loads(out.value) for out in agent.sent if out.topic == TOPICS.quarantine]


@pytest.mark.parametrize("size", [1, 2, 99])
def test_a_message_that_a_rule_breaks_on_is_quarantined_and_the_next_one_proceeds(size: int) -> None:
    watch = Watch()
    log = events(STORY.records[:5]) + events(Story("T-2")(5, "return_requested", unit="A").records) * 2
    log += events(Story("T-2")(6, "return_denied", unit="A", event_id="x")(7, "return_requested", unit="A").records)
    poison = BreakingEngine(lambda values: bool(values[INDEX["returns.count"]] == 2))
    agent = tickets(log, poison, watch).run([size] * 99)
    assert [(one["reason"], one["offset"]) for one in _refused(agent)] == [("poison", 4)]
    assert "19900001234" not in _refused(agent)[0]["detail"]
    assert "ZeroDivisionError" in _refused(agent)[0]["detail"]
    assert [type(error) for error in watch.of("broke")] == [ZeroDivisionError]
    assert len(orjson.loads(unpack(agent.table.durable[0, b"T-2"]).body)[1]) == 3
    assert len(orjson.loads(unpack(agent.table.durable[0, b"T-1"]).body)[1]) == 4  # the broken step changed nothing


@pytest.mark.parametrize("step", STEPS)
def test_a_quarantine_record_survives_a_crash_though_later_records_of_its_key_are_in_the_state(step: str) -> None:
    poison = BreakingEngine(lambda values: bool(values[INDEX["returns.count"]] == 2))
    log = events(STORY.records[:5]) + events(Story("T-1")(4, "urged", event_id="later").records)
    agent = tickets(log, poison).run([len(log), len(log)], [(step, 0), (step, 0)])
    assert {(one["reason"], one["offset"]) for one in _refused(agent)} == {("poison", 4)}


def test_a_deadline_that_a_rule_breaks_on_holds_nobody_up() -> None:
    watch = Watch()
    poison = BreakingEngine(lambda values: bool(values[INDEX["due.overdue"]]))
    other = Story("T-2")(0, "return_requested", unit="A")(60, "return_requested", unit="B")
    log = [
        *events(STORY.records[:2]),
        *events(other.records),
    ]  # the second one's event moves the clock over the deadline
    agent = tickets(log, poison, watch).run()
    assert [one["reason"] for one in _refused(agent)] == ["poison"]
    assert ("P01", "yellow") in {(one.rule.id, one.level.value) for one in alerts(agent)}
    assert [type(error) for error in watch.of("broke")] == [ZeroDivisionError]


@pytest.mark.parametrize("make", [tickets, citizens])
@pytest.mark.parametrize("value", [b"", b"null", b"[]", b'["event"]', b'["strange",1]', b"\xff"])
def test_what_is_no_message_is_quarantined(make: Callable[..., Agent], value: bytes) -> None:
    watch = Watch()
    agent = make([value], watch=watch).run()
    assert [one["reason"] for one in _refused(agent)] == ["unreadable"]
    assert _refused(agent)[0]["offset"] == 0
    assert len(watch.of("unreadable")) == 1


def test_a_claim_that_breaks_is_quarantined_and_the_next_one_proceeds(monkeypatch: pytest.MonkeyPatch) -> None:
    _, log = closed_loop(events([*Story("A").complaint(0).records, *Story("B").complaint(1).records]))
    sound = citizen_partition.on_claim

    def on_claim(state: Any, claim: Any, config: MatterConfig) -> Any:
        if claim.root == "A":
            raise ZeroDivisionError
        return sound(state, claim, config)

    monkeypatch.setattr(citizen_partition, "on_claim", on_claim)
    agent = citizens(log).run([9])
    assert [one["reason"] for one in _refused(agent)] == ["poison"]
    assert list(orjson.loads(unpack(agent.table.durable[0, b"citizen-1"]).body)[2]) == ["B"]


def test_each_touched_key_is_written_once_a_batch() -> None:
    agent = tickets(events(STORY.records))
    agent.at_work = agent.open_one(agent.table, 0)
    agent.at_work.handle([Incoming(n, value, None) for n, value in enumerate(agent.log)])
    assert agent.table.puts == [RECKONING_KEY, OWING_KEY, b"T-1", CLOCK_KEY]


def test_every_output_carries_when_its_event_was_taken() -> None:
    agent = tickets(events(STORY.records)).run()
    assert {out.source_ts for out in agent.sent} == {1_740_000_000_000}


def test_a_tick_ahead_of_the_wall_clock_is_not_believed() -> None:
    waiting = events(
        [{"event_id": "e", "ticket_id": "T", "type": "registered", "occurred_at": "2025-01-01T09:00:00+08:00"}]
    )
    now = day(2)
    partition = TicketPartition(0, DictTable(), engine(), TOPICS, Watch(), 0, latest=lambda: now)
    partition.handle([Incoming(0, waiting[0], None), Incoming(1, tick(400), None)])
    assert partition.clock < now
    partition.handle([Incoming(2, tick(1), None)])
    assert partition.clock == max(day(1), partition.clock)


def test_what_is_kept_is_bounded_and_goes_to_whoever_takes_it() -> None:
    kept = Kept[str](2)
    for offset, key in enumerate("abc"):
        kept.put(key, key.upper(), offset)
    assert kept.take("a") is None
    assert kept.take("c") == ("C", 2)
    assert kept.take("c") is None


def test_a_ticket_that_is_kept_is_not_read_from_the_table_again() -> None:
    reads: list[bytes] = []

    class Counting(DictTable):
        def get(self, partition: int, key: bytes) -> bytes | None:
            reads.append(key)
            return super().get(partition, key)

    log = events(Story().complaint(0)(1, "accepted", unit="U-A")(2, "resolved", unit="U-A").records)
    at_work = TicketPartition(0, Counting(), engine(), TOPICS, Watch(), 0)
    for offset, value in enumerate(log):
        at_work.handle([Incoming(offset, value, None)])
    assert reads.count(b"T-1") == 1


def test_a_merge_into_a_root_on_a_partition_that_has_seen_nothing_yet_is_judged() -> None:
    story = Story("B")(5, "return_requested", unit="U-1", contacted=False)(21, "merged", into="D")
    child = tickets(events(story.records)).run()
    forwarded = [out.value for out in child.once() if out.topic == TOPICS.tickets]
    root = tickets([*forwarded, tick(UNTIL)]).run()
    assert _refused(root) == []
    assert [(one.case_id, one.rule.id) for one in alerts(root)] == [("case:D", "P02")]


@settings(max_examples=30, deadline=None)
@given(LOGS, SIZES, CRASHES)
def test_a_batch_done_in_pieces_loses_nothing_and_adds_nothing(
    inputs: list[bytes], sizes: list[int], crashes: list[tuple[str, int]]
) -> None:
    for make, log in zip((tickets, citizens), closed_loop(inputs), strict=True):
        smooth = make(log).run()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(partition_module, "PIECE_BYTES", 1)  # whatever owes anything ends a piece
            bumpy = make(log).run(sizes, crashes)
        assert contents(bumpy) == contents(smooth)
        assert by_issuer(bumpy.once()) == by_issuer(dict.fromkeys(smooth.sent))


def test_what_a_batch_owes_is_bounded_however_much_its_events_make_one_ticket_say() -> None:
    records = [body("child", "merged", 0, event_id="merged", into="root")]
    records += [body("child", "urged", 1 + number / 1000, event_id=f"e{number}", unit="U-1") for number in range(999)]
    agent = tickets(events(records)).run([1000])
    assert agent.acknowledged == 1000
    assert max(len(value) for value in agent.table.durable.values()) < 2 * partition_module.PIECE_BYTES
