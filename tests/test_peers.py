"""The job that is measured side by side: its warnings depend on no order, and the hosts that the suite can run agree on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.generator import generate_lines
from benchmarks.peers import job
from benchmarks.peers.__main__ import rows_of, verdicts
from benchmarks.peers.bare import BareJob
from benchmarks.peers.host import Host
from benchmarks.peers.ours import OurJob
from benchmarks.peers.outputs import Compared, compared, read_warnings
from benchmarks.peers.rounds import BARE, OURS, QUIX, SERVICE, STOCK, Taken, create_topics_of
from benchmarks.pipeline import Drained
from benchmarks.support import preload
from models.times import DAY, format_instant, parse_instant
from streams.broker import EmbeddedKafka
from streams.topics import TopicSet
from tests.faust_support import running, until
from tests.kafka_support import lag

MORNING = parse_instant("2025-06-02T08:00:00+08:00")


def event(ticket: str, number: int, kind: str, day: int = 0, **fields: Any) -> bytes:
    told = {"event_id": f"{ticket}-{number}", "ticket_id": ticket, "type": kind, **fields}
    return orjson.dumps({**told, "occurred_at": format_instant(MORNING + day * DAY)})


def complaint(ticket: str, citizen: str = "c-1", day: int = 0, category: str = "供水") -> bytes:
    fields = {"citizen": {"key": citizen}, "request_type": "complaint", "category": ["城乡建设", category]}
    return event(ticket, 0, "registered", day, **fields)


def told(lines: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(one.value) for one in job.run_alone(lines)]


# -- the job


def test_each_return_that_stands_warns_with_its_units() -> None:
    lines = [
        event("T-1", 1, "return_requested", unit_id="U-2"),
        event("T-1", 2, "return_approved", unit_id="U-2"),
        event("T-1", 3, "return_requested", unit_id="U-1"),
        event("T-1", 4, "return_denied", unit_id="U-1"),
        event("T-1", 5, "return_requested", unit_id="U-3"),
    ]
    found = [(one["returns"], one["units"], one["trigger"]) for one in told(lines)]
    assert found == [(1, ["U-2"], "T-1-1"), (2, ["U-1", "U-2"], "T-1-3"), (2, ["U-2", "U-3"], "T-1-5")]


@pytest.mark.parametrize(
    ("second", "warned"),
    [
        (complaint("T-2", day=90), True),
        (complaint("T-2", day=-90), True),
        (complaint("T-2", day=91), False),
        (complaint("T-2", category="供热"), False),
        (complaint("T-2", citizen="c-2"), False),
    ],
)
def test_a_citizen_who_complains_of_the_same_category_within_90_days_warns(second: bytes, warned: bool) -> None:
    assert bool(told([complaint("T-1"), second])) is warned


def test_what_the_contract_does_not_take_is_dropped() -> None:
    assert job.decode(b'{"event_id": 1}') is None
    assert told([b"", b"[]", b'{"event_id": "e"}']) == []


def test_states_stay_bounded() -> None:
    ticket, citizen = job.TicketState(), job.CitizenState()
    for number in range(300):
        returned = job.decode(event("T-1", number, "return_requested", unit_id="U-1"))
        assert returned is not None
        ticket = job.on_event(ticket, returned).state
        citizen, _ = job.on_claim(citizen, job.Claim("c-1", "供水", number, f"T-{number}", f"e-{number}"))
    assert (len(ticket.seen), len(ticket.returns)) == (job.SEEN_MAX, job.RETURNS_MAX)
    assert [one.at for one in citizen.complaints] == list(range(100, 300))


KINDS = st.sampled_from(["return_requested", "return_denied", "return_approved", "progress"])
TICKETS = st.lists(
    st.tuples(
        st.integers(0, 2),  # citizen
        st.integers(0, 200),  # day
        st.sampled_from(["供水", "供热"]),
        st.lists(st.tuples(KINDS, st.sampled_from(["U-1", "U-2"])), max_size=6),
    ),
    max_size=6,
)


def story_of(number: int, ticket: tuple[int, int, str, list[tuple[str, str]]]) -> list[bytes]:
    citizen, day, category, steps = ticket
    name = f"T-{number}"
    lines = [event(name, at, kind, day, unit_id=unit) for at, (kind, unit) in enumerate(steps, 1)]
    return [complaint(name, f"c-{citizen}", day, category), *lines]


@settings(max_examples=60, deadline=None)
@given(TICKETS, st.data())
def test_any_interleaving_of_partitions_makes_the_same_warnings(tickets: list[Any], data: st.DataObject) -> None:
    stories = [story_of(number, ticket) for number, ticket in enumerate(tickets)]
    expected = set(job.run_alone([line for story in stories for line in story]))
    order = data.draw(st.permutations([number for number, story in enumerate(stories) for _ in story]))
    waiting = [iter(story) for story in stories]
    mixed = [next(waiting[number]) for number in order]
    doubled = [line for line in mixed for _ in range(data.draw(st.integers(1, 2)))]
    found = job.run_alone(doubled)
    assert set(found) == expected
    assert len(found) == len(expected)


@given(TICKETS)
def test_states_and_claims_survive_being_stored(tickets: list[Any]) -> None:
    ticket, citizen = job.TicketState(), job.CitizenState()
    for number, one in enumerate(tickets):
        for line in story_of(number, one):
            decoded = job.decode(line)
            assert decoded is not None
            step = job.on_event(ticket, decoded)
            ticket = step.state
            if step.claim is not None:
                assert job.decode_claim(job.encode_claim(step.claim)) == step.claim
                citizen, _ = job.on_claim(citizen, step.claim)
    assert job.decode_ticket(job.encode_ticket(ticket)) == ticket
    assert job.decode_citizen(job.encode_citizen(citizen)) == citizen
    assert job.decode_ticket(None) == job.TicketState()
    assert job.decode_citizen(None) == job.CitizenState()


# -- what is reported


def _warned(number: int) -> job.Warned:
    return job.Warned(b"T-1", b"%d" % number)


def test_outputs_are_equal_where_nothing_is_missing_and_nothing_foreign() -> None:
    right = [_warned(1), _warned(2)]
    assert compared(right, [_warned(2), _warned(1), _warned(1)]) == Compared(missing=0, foreign=0, doubled=1)
    assert compared(right, [_warned(2), _warned(2), _warned(1)]).equal
    assert compared(right, [_warned(1)]) == Compared(missing=1, foreign=0, doubled=0)
    assert not compared(right, [_warned(1)]).equal
    assert not compared(right, [_warned(1), _warned(2), _warned(3)]).equal


def _taken(who: str, seconds: float, outputs: Compared | None) -> Taken:
    return Taken(who, Drained(1_000, seconds, seconds, 100.0), 0.5, outputs)


def test_a_ratio_is_the_middle_one_of_the_rounds_that_both_took_part_in() -> None:
    equal = Compared(0, 0, 0)
    turns = [
        [_taken(OURS, 1.0, equal), _taken(QUIX, 2.0, equal), _taken(STOCK, 7.0, equal)],
        [_taken(OURS, 2.0, equal), _taken(QUIX, 3.0, equal)],
        [_taken(OURS, 1.0, equal), _taken(QUIX, 5.0, equal)],
    ]
    rows = {row.name: row for row in rows_of(turns)}
    assert rows["this engine ÷ Quix Streams"].value == 2.0
    assert rows["this engine ÷ Quix Streams, the worst round"].value == 1.5
    assert rows["this engine ÷ stock Faust"].value == 7.0
    assert rows["this engine ÷ stock Faust"].met is True


def test_a_host_whose_warnings_differ_in_one_round_gets_no_figure() -> None:
    equal, other = Compared(0, 0, 3), Compared(1, 0, 0)
    turns = [
        [_taken(OURS, 1.0, equal), _taken(QUIX, 2.0, equal), _taken(BARE, 0.5, equal), _taken(SERVICE, 4.0, None)],
        [_taken(OURS, 1.0, equal), _taken(QUIX, 4.0, other), _taken(BARE, 0.5, equal), _taken(SERVICE, 4.0, None)],
    ]
    rows = {row.name: row for row in rows_of(turns)}
    assert rows["this engine"].value == 1_000
    assert rows["this engine ÷ bare aiokafka loop with dicts"].value == 0.5
    assert not any("Quix" in name for name in rows)
    assert verdicts(turns)[QUIX] == "NOT EQUAL (1 missing, 0 that should not be), 0 doubled"
    assert verdicts(turns)[OURS] == "equal, 3 doubled"
    assert SERVICE not in verdicts(turns)
    assert rows["the whole service (far more work an event)"].met is False


# -- on a real Kafka


@pytest.fixture
def host(kafka: EmbeddedKafka, topics: TopicSet, tmp_path: Path) -> Callable[[str], Host]:
    def make(name: str) -> Host:
        made = Host(
            f"{topics.prefix}{name}", kafka.bootstrap_servers, topics.ticket_events, topics.partitions, tmp_path / name
        )
        create_topics_of(made)
        return made

    return make


def done(host: Host) -> bool:
    return all(lag(host.bootstrap_servers, host.group, topic) == 0 for topic in (host.source, host.citizens))


@pytest.mark.kafka
async def test_the_engine_and_a_bare_loop_write_the_same_warnings(
    kafka: EmbeddedKafka, topics: TopicSet, host: Callable[[str], Host]
) -> None:
    lines = list(generate_lines(150, 1))
    expected = job.run_alone(lines)
    assert {orjson.loads(one.value)["rule"] for one in expected} == {"bounced", "repeated"}
    await asyncio.to_thread(preload, kafka.bootstrap_servers, topics, lines)
    ours, bare = host("ours"), host("bare")
    deaths: list[BaseException] = []
    async with running(OurJob(ours, on_death=deaths.append).app):
        await until(lambda: deaths or done(ours))
    assert deaths == []
    stopped = asyncio.Event()
    loop = asyncio.create_task(BareJob(bare).run(stopped.is_set))
    await until(lambda: done(bare))
    stopped.set()
    await loop
    for one in (ours, bare):
        found = await asyncio.to_thread(read_warnings, one.bootstrap_servers, one.warnings)
        assert compared(expected, found) == Compared(missing=0, foreign=0, doubled=0)
