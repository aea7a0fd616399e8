"""The generator of synthetic tickets: repeatable, valid, of the promised shape."""

import gzip
import json
from collections import Counter, defaultdict
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.generator import generate_events, generate_lines, main
from models.decode import decode_event
from models.ticket_event import MODEL_BY_TYPE

TICKETS = 2_000


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return list(generate_lines(TICKETS, 1))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(lines: list[bytes]) -> None:
    assert list(generate_lines(TICKETS, 1)) == lines
    assert list(generate_lines(TICKETS, 2)) != lines


def test_every_line_is_an_event_of_the_contract(lines: list[bytes]) -> None:
    for line in lines:
        assert decode_event(line).type in MODEL_BY_TYPE
    ids = [json.loads(line)["event_id"] for line in lines]
    assert len(set(ids)) == len(ids)


def test_tickets_are_interleaved_in_the_order_of_time(lines: list[bytes]) -> None:
    times = [json.loads(line)["occurred_at"] for line in lines]
    assert times == sorted(times)
    by_ticket = [json.loads(line)["ticket_id"] for line in generate_lines(50, 1, interleaved=False)]
    assert by_ticket == sorted(by_ticket)


def test_a_ticket_has_ten_events_on_average_and_a_text_of_120_characters(lines: list[bytes]) -> None:
    assert len(lines) / TICKETS == pytest.approx(10, abs=0.2)
    texts = [len(json.loads(line)["content"]) for line in lines if b'"registered"' in line]
    assert len(texts) == TICKETS
    assert sum(texts) / TICKETS == pytest.approx(120, abs=5)


def test_the_shares_are_those_of_a_real_hotline() -> None:
    tickets: defaultdict[str, Counter[str]] = defaultdict(Counter)
    dissatisfied, told_again, late = set(), set(), set()
    due: dict[str, datetime] = {}
    for event in generate_events(TICKETS, 3):
        ticket = event["ticket_id"]
        tickets[ticket][event["type"]] += 1
        if event.get("result") == "dissatisfied":
            dissatisfied.add(ticket)
        if event.get("content", "").startswith("再次来电"):
            told_again.add(ticket)
        if "due_at" in event:
            due[ticket] = datetime.fromisoformat(event["due_at"])
        if event["type"] == "resolved" and datetime.fromisoformat(event["occurred_at"]) > due[ticket]:
            late.add(ticket)
    returned = sum(1 for kinds in tickets.values() if kinds["return_requested"])
    assert 0.06 <= returned / TICKETS <= 0.10
    assert 0.02 <= len(dissatisfied) / TICKETS <= 0.04
    assert 0.08 <= len(told_again) / TICKETS <= 0.12
    assert 0 < len(late) / TICKETS <= 0.03
    assert all(kinds["archived"] == 1 for kinds in tickets.values())


def test_tickets_can_stay_open() -> None:
    kinds = Counter(event["type"] for event in generate_events(500, 1, open_share=1.0))
    assert kinds["registered"] == 500
    assert kinds["resolved"] == kinds["archived"] == 0


def test_identities_are_of_the_made_up_range() -> None:
    citizens = [event["citizen"] for event in generate_events(300, 1, identity="phone") if "citizen" in event]
    assert all(citizen["phone"].startswith("1990000") and len(citizen["phone"]) == 11 for citizen in citizens)


def test_a_repeated_matter_is_of_the_same_citizen_and_place() -> None:
    registered = [event for event in generate_events(TICKETS, 1) if event["type"] == "registered"]
    first = {event["content"]: event for event in registered if not event["content"].startswith("再次来电")}
    again = [event for event in registered if event["content"].startswith("再次来电")]
    assert again
    for event in again:
        earlier = first[event["content"].removeprefix("再次来电，")]
        assert (event["citizen"], event["place"], event["category"]) == tuple(
            earlier[name] for name in ("citizen", "place", "category")
        )


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_the_command_writes_a_file(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    main(["--tickets", "20", "--seed", "1", "--out", str(out)])
    content = gzip.decompress(out.read_bytes()) if name.endswith(".gz") else out.read_bytes()
    assert content.splitlines() == list(generate_lines(20, 1))


def test_events_of_one_ticket_follow_each_other_in_time() -> None:
    times: defaultdict[str, list[str]] = defaultdict(list)
    for event in generate_events(200, 5, interleaved=False):
        times[event["ticket_id"]].append(event["occurred_at"])
    assert all(a <= b for moments in times.values() for a, b in pairwise(moments))
