"""A calendar or limits that change while the service runs: every ticket of a partition is judged again, in slices, whatever crashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import Alert
from models.base import Status
from rules import citizens
from rules.calendar import BUILT_IN_VERSION
from rules.engine import Engine
from rules.facts import INDEX
from rules.messages import EventMessage, ReviewMessage, TickMessage, encode
from rules.pack import default_pack
from rules.reckoning import Reckoning, plain_reckoning
from rules.repeats import Complaint, Repeat
from rules.state import TicketState, decode_state, encode_state
from streams import ticket_partition
from streams.routes import Out
from streams.stored import Stored, pack, unpack
from streams.ticket_partition import RECKONING_KEY, TicketPartition
from streams.topics import TopicSet
from tests.builders import Run, Story, day, engine, event_of, run
from tests.histories import SPAN_DAYS, histories
from tests.partition_support import Agent, DictTable, Watch
from tests.reckoning_support import city, with_2027

TOPICS = TopicSet(partitions=1)
UNTIL = SPAN_DAYS + 40
REVIEW = encode(ReviewMessage())
CRASHES = st.lists(
    st.tuples(st.sampled_from(("debts", "flush", "outputs", "acknowledge", "never")), st.integers(0, 6)),
    min_size=4,
    max_size=20,
)


def tick(when: float) -> bytes:
    return encode(TickMessage(day(when)))


def messages(records: Sequence[dict[str, Any]]) -> list[bytes]:
    return [encode(EventMessage(event_of(record))) for record in records]


class Service:
    """An agent over one partition whose reviews go on by themselves, as the worker's do."""

    def __init__(self, log: Sequence[bytes], reckoning: Reckoning | None = None, judge: Engine | None = None) -> None:
        self.engine = judge or engine(reckoning)
        self.watch = Watch()
        self.log = list(log)
        self.agent = Agent(self._open, self.log)
        self.slices = 0

    def _open(self, table: DictTable, first_offset: int) -> TicketPartition:
        return TicketPartition(0, table, self.engine, TOPICS, self.watch, first_offset)

    def use(self, reckoning: Reckoning) -> None:
        """Take a reckoning, as a worker whose files changed."""
        self.engine = engine(reckoning)
        if self.agent.at_work is not None:
            self.agent.at_work.use(self.engine)

    def run(self, sizes: Sequence[int] = (), crashes: Sequence[tuple[str, int]] = ()) -> Service:
        """Take the log to its end; begin a review wherever the worker's timer would, and feed what the partition asks of itself."""
        of_sizes, of_crashes = iter(sizes), iter(crashes)
        for _ in range(10_000):
            before = len(self.agent.sent)
            if self.agent.acknowledged < len(self.log):
                self.agent.batch(next(of_sizes, 1), next(of_crashes, None))
            own = [out.value for out in self.agent.sent[before:] if out.key == "review"]
            self.slices += len(own)
            self.log.extend(own)
            at_work = self.agent.at_work
            if at_work is not None and at_work.reckons_otherwise and not at_work.reviewing:
                at_work.reviewing = True
                self.log.append(REVIEW)
            elif self.agent.acknowledged >= len(self.log):
                return self
        raise AssertionError("it never ends")

    @property
    def alerts(self) -> list[Alert]:
        """Return the versions issued, each once."""
        values = dict.fromkeys(out.value for out in self.agent.sent if out.topic == TOPICS.alerts)
        return [Alert.model_validate_json(value) for value in values]

    @property
    def in_force(self) -> dict[tuple[str, str], str]:
        """Return the level of every warning in force."""
        return Run(None, self.alerts).in_force  # type: ignore[arg-type]

    @property
    def judged_by(self) -> str:
        """Return by which calendar and limits the table says that its tickets are judged."""
        return self.agent.table.durable[0, RECKONING_KEY].decode()


def crossing(ticket: str) -> Story:
    told = Story(ticket)("2026-12-29T10:00:00+08:00", "dispatched", unit="U-A", limit={"value": 5, "unit": "work_days"})
    return told("2027-01-11T10:00:00+08:00", "progress", unit="U-A")


def test_a_calendar_that_arrives_takes_back_what_does_not_hold_any_more() -> None:
    service = Service(messages(crossing("T-1").records)).run()
    assert service.in_force == {("T-1", "P06"): "yellow"}
    assert service.judged_by == plain_reckoning().version
    service.use(with_2027(None))
    service.run()
    assert service.in_force == {}
    last = service.alerts[-1]
    assert (last.status, last.calendar_version) == (Status.RETRACTED, with_2027(None).version)
    assert service.judged_by == with_2027(None).version


def test_tickets_are_judged_again_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticket_partition, "REVIEW_SLICE", 3)
    service = Service([one for number in range(10) for one in messages(crossing(f"T-{number}").records)]).run()
    assert len(service.in_force) == 10
    service.use(with_2027(None))
    service.run()
    assert service.in_force == {}
    assert service.slices == 3, "of four slices the first was asked for by the worker"
    writes = len(service.agent.table.durable)
    service.log.append(REVIEW)
    service.run()
    assert (service.slices, len(service.agent.table.durable)) == (3, writes), "asked once more, nothing is left"


def test_tickets_that_do_not_depend_on_it_are_not_written_again() -> None:
    told = messages(
        Story("T-1")(0, "registered")(1, "dispatched", unit="U-A", due_at="2025-03-20T09:00:00+08:00").records
    )
    service = Service(told).run()
    before = dict(service.agent.table.durable)
    service.use(with_2027(None))
    service.run()
    changed = {key for (_, key), value in service.agent.table.durable.items() if before.get((0, key)) != value}
    assert changed == {RECKONING_KEY}


def test_a_worker_that_starts_with_another_calendar_reviews_what_it_finds() -> None:
    service = Service(messages(crossing("T-1").records)).run()
    service.agent.restart()
    service.use(with_2027(None))
    service.log.extend(messages(Story("T-2")("2027-01-11T10:00:00+08:00", "registered").records))
    service.run()
    assert service.in_force == {}
    assert service.judged_by == with_2027(None).version


def test_a_new_partition_and_one_of_an_earlier_release_say_by_what_they_are_judged() -> None:
    service = Service(messages(crossing("T-1").records), city()).run()
    assert service.judged_by == city().version
    assert service.log == messages(crossing("T-1").records), "there was nothing to review"
    old = Service(messages(crossing("T-1").records)).run()
    del old.agent.table.durable[0, RECKONING_KEY]
    old.agent.restart()
    old.log.append(tick(800))
    old.run()
    assert old.judged_by == BUILT_IN_VERSION
    assert REVIEW not in old.log


def test_a_ticket_that_a_rule_breaks_on_is_quarantined_and_the_others_are_judged() -> None:
    service = Service([*messages(crossing("T-1").records), *messages(crossing("T-2").records)]).run()

    class Breaking(Engine):
        def __init__(self) -> None:
            super().__init__(default_pack(), with_2027(None))
            sound = self.judge

            def judge(values: Any, sure: Any = None) -> Any:
                if not broken and values[INDEX["due.near"]] is False:
                    broken.append(1)
                    raise ZeroDivisionError("张某 19900001234")
                return sound(values, sure)

            self.judge = judge  # type: ignore[assignment]

    broken: list[int] = []
    service.engine = Breaking()
    service.agent.at_work.use(service.engine)
    service.run()
    refused = [orjson.loads(out.value) for out in service.agent.sent if out.topic == TOPICS.quarantine]
    assert [one["reason"] for one in refused] == ["poison"]
    assert "19900001234" not in str(refused)
    assert len(service.in_force) == 1
    assert [type(error) for error in service.watch.of("broke")] == [ZeroDivisionError]


@settings(max_examples=60, deadline=None)
@given(histories(size_max=14), st.integers(0, 14), st.lists(st.integers(1, 4), max_size=20), CRASHES, st.integers(1, 3))
def test_a_change_at_any_moment_comes_to_the_same_end_whatever_crashes(
    records: list[dict[str, Any]], moment: int, sizes: list[int], crashes: list[tuple[str, int]], slice_size: int
) -> None:
    alone = [record for record in records if record["type"] not in ("merged", "linked")]
    for record in alone:
        record.pop("citizen", None)  # repeats would come from the citizens' tables, which are not here
        record.get("fields", {}).pop("citizen", None)
    before = ticket_partition.REVIEW_SLICE
    ticket_partition.REVIEW_SLICE = slice_size
    try:
        service = Service(messages(alone[:moment])).run(sizes)
        service.use(city())
        service.log.extend([*messages(alone[moment:]), tick(UNTIL)])
        service.run(sizes, crashes)
    finally:
        ticket_partition.REVIEW_SLICE = before
    assert service.in_force == run([event_of(record) for record in alone], UNTIL, reckoning=city()).in_force
    assert service.judged_by == city().version


# --- states of the schema before


def _older(body: bytes) -> bytes:
    """Return a state as the release before wrote it: repeats knew no others."""
    parts = orjson.loads(body)
    parts[3] = [one[:4] for one in parts[3]]
    return orjson.dumps(parts)


def test_a_state_of_schema_1_is_read() -> None:
    story = Story().complaint(0).complaint(2, ticket="T-2")(3, "visited", result="dissatisfied")
    driver = run(story, 5).driver
    state = driver.tickets["T-1"]
    assert state.repeats
    assert decode_state(_older(encode_state(state))) == state
    citizen = next(one for one in driver.citizens.values() if one.told)
    parts = orjson.loads(citizens.encode_state(citizen))
    parts[4] = {root: told[:2] for root, told in parts[4].items()}
    assert citizens.decode_state(orjson.dumps(parts)) == citizen


def test_a_stored_value_of_schema_1_goes_on_as_it_was() -> None:
    told = Story()(0, "dispatched", unit="U-A", limit={"value": 5, "unit": "days"})
    service = Service(messages(told.records)).run()
    stored = unpack(service.agent.table.durable[0, b"T-1"])
    service.agent.table.durable[0, b"T-1"] = pack(Stored(stored.due_at, stored.offset, (), _older(stored.body)))
    service.agent.restart()
    service.log.append(tick(30))
    assert service.run().in_force == {("T-1", "P06"): "red"}


def test_what_a_citizen_s_table_was_told_before_is_not_told_again_unless_it_changes() -> None:
    one = Complaint("T-1", "e-1", day(0), ("供水",), "", "", "甲社区", "", (), (), False)
    claim = citizens.ClaimMessage("c", "T-1", 1, (one, one._replace(ticket_id="T-2", event_id="e-2", at=day(1))))
    state, told = citizens.on_claim(citizens.CitizenState("c"), claim, citizens.MatterConfig())
    assert [message.repeat.others for message in told] == [()]
    assert citizens.on_claim(state, claim._replace(version=2), citizens.MatterConfig())[1] == []
    assert isinstance(told[0].repeat, Repeat)
    assert TicketState("T-1").repeats == {}
    assert Out(TOPICS.tickets, 0, "review", REVIEW, None).value == b'["review"]'
