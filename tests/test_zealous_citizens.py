"""Citizens who complain without end: the count stays right, values and messages stay small, and few lineages are told."""

from __future__ import annotations

import random
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.times import DAY
from rules import citizens, edges, naming
from rules.citizens import MAX_COMPLAINTS, CitizenState, decode_state, encode_state, on_claim
from rules.messages import ClaimMessage, RepeatMessage, encode
from rules.migrations import CITIZEN_STEPS, migrated
from rules.repeats import Complaint, Repeat
from streams.citizen_partition import CitizenPartition
from streams.partition import PIECE_BYTES
from streams.topics import TopicSet
from tests.builders import Story, day, run
from tests.partition_support import Agent, Watch
from tests.test_citizens import CONFIG, complaint

FIRST = complaint("T-0")
MiB = 1024 * 1024


def again(number: int, when: float, **fields: object) -> Complaint:
    """Return the same complaint under another number: no text is read anew."""
    ticket = f"T-{number:05}"
    given = {"ticket_id": ticket, "event_id": f"{ticket}-001", "at": day(when), **fields}
    return FIRST._replace(**given)  # type: ignore[arg-type]


def claim(*complaints: Complaint, root: str | None = None, version: int = 1) -> ClaimMessage:
    """Return the claim of a lineage that begins with the first of these."""
    return ClaimMessage("c", root or complaints[0].ticket_id, version, complaints)


def follow(claims: Sequence[ClaimMessage], state: CitizenState | None = None) -> tuple[CitizenState, dict[str, Repeat]]:
    """Return the state after the claims, and what each lineage was told last."""
    state = state or CitizenState("c")
    told: dict[str, Repeat] = {}
    for one in claims:
        state, messages = on_claim(state, one, CONFIG)
        told |= {message.key: message.repeat for message in messages}
    return state, told


def expected(
    anchors: Sequence[Complaint], every: Sequence[Complaint], same: edges.Edges
) -> tuple[int, set[str], set[str]]:
    """Return the count, the tickets in the busiest window and those beyond it: each window looked at, each complaint looked at."""
    own, window = {one.ticket_id for one in anchors}, CONFIG.window_days * DAY
    best: list[Complaint] = []
    later: set[str] = set()
    for anchor in anchors:
        related = [one for one in every if one.ticket_id in own or one.ticket_id in same.get(anchor.ticket_id, {})]
        later |= {one.ticket_id for one in related if one.at >= min(mine.at for mine in anchors)}
        for first in sorted(related, key=naming.by_time):
            inside = [one for one in related if first.at <= one.at <= first.at + window]
            if first.at <= anchor.at <= first.at + window and len(inside) > len(best):
                best = inside
    counted = {one.ticket_id for one in best}
    return len(best), counted, later - counted


MATTERS = (("城乡建设", "供水"), ("城乡建设", "路灯"))
COMPLAINTS = st.tuples(st.integers(0, 7), st.integers(0, 1), st.booleans())
TIMES = st.lists(st.integers(0, 300), min_size=9, max_size=9)


@settings(max_examples=150, deadline=None)
@given(st.lists(COMPLAINTS, max_size=14), TIMES, st.integers(0, 2**32), st.booleans())
def test_each_lineage_knows_what_looking_at_all_would_tell_it(
    parts: list[tuple[int, int, bool]], times: list[int], seed: int, store: bool
) -> None:
    """Lineages are told only what changed; what they know in the end is as if all had been looked at."""
    chance = random.Random(seed)
    state, told = CitizenState("c"), dict[str, Repeat]()
    for version, (number, matter, taken_back) in enumerate(parts, 1):
        made = [again(number, times[number], category=MATTERS[matter])]
        if chance.random() < 0.3:  # a merged child, which claims its own too
            made.append(again(number + 1, times[number + 1], category=MATTERS[chance.randrange(2)]))
        one = claim(*made, version=version)
        state, messages = on_claim(state, one._replace(complaints=()) if taken_back else one, CONFIG)
        told |= {message.key: message.repeat for message in messages}
        state = decode_state(encode_state(state)) if store else state
    every = list({one.ticket_id: one for _, theirs in state.claims.values() for one in theirs}.values())
    for root, (_, anchors) in state.claims.items():
        count, inside, beyond = expected(anchors, every, state.same)
        known = told.get(root, Repeat(0, len(anchors), ()))
        assert known.count == count
        if root in told:
            assert {one.ticket_id for one in known.complaints} == inside
            assert {one.ticket_id for one in known.others} == beyond


@pytest.mark.parametrize("apart_days", [0.001, 0.4, 3.0])
def test_many_hundred_complaints_of_one_matter(apart_days: float) -> None:
    """The newest are counted right, no value and no message grows, and of each complaint few lineages hear."""
    state, messages, sizes = CitizenState("c"), list[RepeatMessage](), list[int]()
    told = 0
    for number in range(500 if apart_days < 0.01 else 300):
        state, messages = on_claim(state, claim(again(number, number * apart_days)), CONFIG)
        if number >= MAX_COMPLAINTS:
            told += len(messages)
        if number % 250 == 249:
            state = decode_state(encode_state(state))
            sizes.append(len(encode_state(state)))
    ((newest, repeat),) = [(one.key, one.repeat) for one in messages if one.key == f"T-{number:05}"]
    assert repeat.count == min(MAX_COMPLAINTS, int(90 / apart_days) + 1)
    assert repeat.complaints[-1].ticket_id == newest
    assert len(repeat.complaints) <= naming.MAX_NAMED
    assert len(repeat.others) <= naming.MAX_OTHERS
    assert max(sizes) < 512 * 1024
    assert state.truncated
    assert len(state.told) <= 2 * MAX_COMPLAINTS + 1
    if apart_days < 0.01:
        assert told < 12 * (500 - MAX_COMPLAINTS)


def long_ids(number: int, letter: str, when: float) -> Complaint:
    """Return a complaint with every name as long as may be."""
    ticket = f"{number:05}".ljust(128, letter)
    place = dict.fromkeys(("district", "street", "community"), "测" * 300)
    links = tuple(f"{number}-{link}".ljust(128, letter) for link in range(3))
    return FIRST._replace(ticket_id=ticket, event_id=ticket, at=day(when), links=links, **place)


@pytest.mark.parametrize("letter", ["x", '"', "𠀀"], ids=["letters", "quotes", "four bytes"])
def test_a_value_and_what_it_owes_stay_below_three_mebibytes_whatever_the_names(letter: str) -> None:
    """What a batch owed before its last claim is at most a piece; all of it lies in one value."""
    topics = TopicSet("", 4)
    claims = [claim(long_ids(number, letter, number / 2)) for number in range(215)]
    agent = Agent(
        lambda table, first: CitizenPartition(0, table, CONFIG, topics, Watch(), first), [encode(one) for one in claims]
    )
    largest = 0
    while agent.acknowledged < len(claims):
        agent.batch(30)
        largest = max(largest, *(len(value) for value in agent.table.durable.values()))
    assert PIECE_BYTES < largest < 3 * MiB
    assert max(len(out.value) for out in agent.sent) < 64 * 1024


def test_complaints_of_one_instant_are_bounded_too() -> None:
    state, _ = follow([claim(again(number, 1)) for number in range(MAX_COMPLAINTS + 30)])
    assert sum(len(complaints) for _, complaints in state.claims.values()) == MAX_COMPLAINTS


def test_one_claim_of_a_thousand_complaints_is_bounded() -> None:
    state, told = follow([claim(*(again(number, number / 100) for number in range(1_000)))])
    assert told["T-00000"].count == MAX_COMPLAINTS
    assert len(encode_state(state)) < 512 * 1024


def test_a_sample_of_later_complaints_has_one_within_days_after_any_resolution() -> None:
    _, told = follow([claim(again(number, number * 0.9)) for number in range(100)])
    at = [one.at for one in told["T-00000"].complaints]
    assert len(at) < 100
    for resolved in range(80):
        assert any(day(resolved) < one <= day(resolved + 7) for one in at)


def test_who_complains_again_and_again_after_a_resolution_is_known_to_have() -> None:
    """The resolution lies in the midst of more complaints than are named."""
    story = Story().complaint(0)
    story(20, "resolved", unit="U-A")
    for number in range(2, 62):
        story.complaint(number * 0.7, ticket=f"T-{number}")
    found = run(story(60, "visited", result="dissatisfied"))
    assert ("T-1", "P08") in found.in_force
    assert any("在办结后7日内再次投诉" in one.what for alert in found.alerts for one in alert.evidence)


def test_evidence_says_how_many_there_are_where_it_names_fewer() -> None:
    story = Story().complaint(0)
    for number in range(2, 47):
        story.complaint(number / 10, ticket=f"T-{number}")
    last = run(story(60, "visited", result="dissatisfied")).versions("P08", "T-1")[-1]
    lines = [one.what for one in last.evidence if "同一诉求人" in one.what]
    assert last.facts["repeat.count"] == 46
    assert len(lines) < 45
    assert sum(f"同期共46件,此处列出其中{len(lines) + 1}件" in line for line in lines) == 1


def test_a_state_of_schema_3_goes_on_and_nobody_is_told_anew() -> None:
    state, told = follow([claim(again(number, number)) for number in range(5)])
    parts = orjson.loads(encode_state(state))
    parts[3] = state.same
    parts[4] = {root: (one.count, one.complaints, one.others) for root, one in told.items()}
    found = decode_state(migrated(orjson.dumps(parts, default=tuple), 3, CITIZEN_STEPS))
    assert found == state
    unrelated = claim(again(9, 1, category=MATTERS[1]))
    assert on_claim(found, unrelated, CONFIG)[1] == []


def test_pairs_survive_being_kept_once() -> None:
    pairs: edges.Edges = {"a": {"b": "x", "c": "y"}, "b": {"a": "x"}, "c": {"a": "y"}}
    assert edges.unpacked(*orjson.loads(orjson.dumps(edges.packed(pairs)))) == pairs
    assert edges.packed(pairs) == (["a", "b", "c"], ["x", "y"], [[1, 0, 2, 1], [], []])
    assert citizens.MAX_COMPLAINTS == 200
