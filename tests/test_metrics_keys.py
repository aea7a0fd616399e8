"""Large and busy keys are shown by hash alone, and few of them."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from rules.matter import MatterConfig
from rules.messages import EventMessage, encode
from streams.citizen_partition import CitizenPartition
from streams.metrics_keys import BUSY_RECORDS, LARGE_BYTES, NAMED_KEYS, KeyMetrics, mark_of_key
from streams.partition import Incoming
from tests.builders import Story
from tests.partition_support import DictTable, Watch
from tests.test_endless_tickets import LONG, URGED, copies
from tests.test_partition import TOPICS, tickets


def made() -> tuple[KeyMetrics, CollectorRegistry]:
    registry = CollectorRegistry()
    return KeyMetrics(("tickets", "citizens"), registry), registry


def shown(registry: CollectorRegistry) -> dict[str, float]:
    """Return the large keys of the tickets' table by hash."""
    found = [one for family in registry.collect() for one in family.samples if one.name == "hw_large_key_bytes"]
    return {one.labels["key"]: one.value for one in found}


def test_the_largest_value_is_shown_by_table() -> None:
    keys, registry = made()
    keys.wrote("tickets", 0, {"T-1": 500, "T-2": 900}, {})
    keys.wrote("tickets", 0, {"T-1": 700}, {})
    assert registry.get_sample_value("hw_largest_value_bytes", {"table": "tickets"}) == 900
    assert registry.get_sample_value("hw_largest_value_bytes", {"table": "citizens"}) == 0
    assert shown(registry) == {}


def test_a_large_key_is_shown_by_its_hash_while_it_is_large(caplog: pytest.LogCaptureFixture) -> None:
    keys, registry = made()
    with caplog.at_level(logging.WARNING):
        for size in (LARGE_BYTES, LARGE_BYTES + 5):
            keys.wrote("tickets", 3, {"T-secret": size, "T-2": 100}, {})
    assert shown(registry) == {mark_of_key("T-secret"): LARGE_BYTES + 5}
    assert [one.getMessage() for one in caplog.records] == [
        f"tickets-3: the value of key {mark_of_key('T-secret')} has grown to {LARGE_BYTES} bytes"
    ]
    assert "T-secret" not in generate_latest(registry).decode() + caplog.text
    keys.wrote("tickets", 3, {"T-secret": 10}, {})
    assert shown(registry) == {}


def test_of_many_large_keys_the_largest_are_shown() -> None:
    keys, registry = made()
    for number in range(200):
        keys.wrote("tickets", 0, {f"T-{number * 37 % 200}": LARGE_BYTES + number * 37 % 200}, {})
    assert shown(registry) == {
        mark_of_key(f"T-{number}"): LARGE_BYTES + number for number in range(200 - NAMED_KEYS, 200)
    }


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"T-1": BUSY_RECORDS, "T-2": BUSY_RECORDS}, BUSY_RECORDS),
        ({"T-1": BUSY_RECORDS - 1}, 0),
        ({f"T-{number}": BUSY_RECORDS for number in range(3)}, 0),
        ({}, 0),
    ],
    ids=["half of a batch", "few records", "a third of a batch", "nothing"],
)
def test_a_busy_key_is_counted(changes: dict[str, int], counted: int, caplog: pytest.LogCaptureFixture) -> None:
    keys, registry = made()
    with caplog.at_level(logging.WARNING):
        keys.wrote("tickets", 0, {}, changes)
        keys.wrote("tickets", 0, {}, changes)
    assert registry.get_sample_value("hw_busy_key_records_total", {"table": "tickets"}) == 2 * counted
    assert len(caplog.records) == bool(counted)
    assert "T-1" not in caplog.text


def test_a_partition_tells_how_large_its_values_have_become() -> None:
    watch = Watch()
    log = [encode(EventMessage(event)) for event in [*copies(LONG, 90), *copies(URGED, 3, ticket="T-2")]]
    tickets(log, watch=watch).run([len(log)])
    ((table, partition, sizes, changes),) = watch.of("wrote")
    assert (table, partition, changes) == ("tickets", 0, {"T-1": 90, "T-2": 3})
    assert sizes["T-1"] > LARGE_BYTES > sizes["T-2"]


def test_both_tables_tell() -> None:
    told = Watch()
    story = Story().complaint(0).complaint(1, ticket="T-2")
    agent = tickets([encode(EventMessage(event)) for event in story.events], watch=told).run([2])
    claims = [out.value for out in agent.sent if out.topic == TOPICS.citizens]
    compared = CitizenPartition(0, DictTable(), MatterConfig(), TOPICS, told, 0)
    compared.handle([Incoming(number, value, None) for number, value in enumerate(claims)])
    assert [name for name, *_ in told.of("wrote")] == ["tickets", "citizens"]
    assert told.of("wrote")[1][3] == {"citizen-1": 2}
