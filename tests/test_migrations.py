"""States of earlier schemas: read as they were left, written as new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from rules import citizens
from rules.messages import EventMessage
from rules.migrations import CITIZEN_STEPS, STATE_SCHEMA, TICKET_STEPS, Steps, migrated
from rules.state import TicketState, decode_state, encode_state
from rules.tickets import on_message
from streams.broker import EmbeddedKafka
from streams.partition import RESERVED
from streams.state_upgrade import upgrades
from streams.stored import Stored, pack, unpack
from streams.tables import NewerSchemaError
from tests.builders import Story, engine, event_of, run
from tests.faust_support import running, until
from tests.test_tables import Owner, app_id, owner

__all__ = ["app_id", "owner"]

#: What the last release of schema 1 wrote of the story below.
V1: dict[str, dict[str, Any]] = orjson.loads((Path(__file__).parent / "golden" / "state" / "v1.json").read_bytes())


def _story() -> Story:
    return Story().complaint(0).complaint(2, ticket="T-2")(3, "visited", result="dissatisfied")


@pytest.mark.parametrize("ticket", sorted(V1["tickets"]))
def test_a_ticket_of_schema_1_says_what_the_present_release_would(ticket: str) -> None:
    found = decode_state(migrated(orjson.dumps(V1["tickets"][ticket]), 1, TICKET_STEPS))
    now = run(_story(), 5).driver.tickets[ticket]
    assert [one.event_id for one in found.events] == [one.event_id for one in now.events]
    assert found.repeats == now.repeats
    assert {rule: one.level for rule, one in found.standings.items()} == {
        rule: one.level for rule, one in now.standings.items()
    }


@pytest.mark.parametrize("citizen", sorted(V1["citizens"]))
def test_a_citizen_of_schema_1_is_as_the_present_release_would_have_it(citizen: str) -> None:
    found = citizens.decode_state(migrated(orjson.dumps(V1["citizens"][citizen]), 1, CITIZEN_STEPS))
    assert found == run(_story(), 5).driver.citizens[citizen]


@pytest.mark.parametrize("steps", [TICKET_STEPS, CITIZEN_STEPS], ids=["tickets", "citizens"])
def test_each_schema_has_a_step_to_the_next(steps: Steps) -> None:
    assert sorted(steps) == list(range(1, STATE_SCHEMA))


def test_steps_follow_each_other_up_to_the_schema_that_is_wanted() -> None:
    steps: Steps = {number: lambda parts, number=number: [*parts, number] for number in (1, 2, 3)}  # type: ignore[misc]
    assert orjson.loads(migrated(b"[]", 2, steps, 4)) == [2, 3]
    with pytest.raises(LookupError, match="from state schema 4 to 5"):
        migrated(b"[]", 1, steps, 5)


def test_what_stands_before_a_state_stays_and_notes_of_a_partition_are_no_states() -> None:
    body = orjson.dumps(V1["tickets"]["T-1"])
    found = unpack(upgrades(TICKET_STEPS)(1, b"T-1", pack(Stored(17, 5, (), body))))
    assert (found.due_at, found.offset) == (17, 5)
    assert decode_state(found.body).ticket_id == "T-1"
    assert upgrades(TICKET_STEPS)(1, RESERVED + b"clock", b"1740963600000000") == b"1740963600000000"


def _with_another_visit(state: TicketState) -> TicketState:
    """Return the state with one event more, folded by the present engine."""
    record = Story()(4, "visited", result="dissatisfied").records[-1] | {"event_id": "later"}
    event = event_of(record)
    found = on_message(engine(), state, EventMessage(event), event.at).state
    assert len(found.events) == len(state.events) + 1
    return found


@pytest.mark.kafka
async def test_a_disk_and_a_changelog_of_schema_1_are_read_folded_on_and_written_as_new(
    kafka: EmbeddedKafka, owner: Callable[..., Owner]
) -> None:
    values = {
        ticket: pack(Stored(None, at, (), orjson.dumps(V1["tickets"][ticket])))
        for at, ticket in enumerate(sorted(V1["tickets"]))
    }
    older = owner(schema=1)
    async with running(older.app):
        await older.save(0, **values)
    for disk in ("disk", "new"):  # the one that it left, and one that is made of the changelog
        newer = owner(disk, schema=STATE_SCHEMA, upgrade=upgrades(TICKET_STEPS))
        async with running(newer.app):
            for ticket in V1["tickets"]:
                stored = newer.table.get(0, ticket.encode())
                assert stored is not None
                assert decode_state(unpack(stored).body).ticket_id == ticket
            assert {value[1] for _, value in newer.table.store.scan(0)} >= {1}  # reading writes nothing
            if disk == "new":
                stored = newer.table.get(0, b"T-1")
                assert stored is not None
                folded = _with_another_visit(decode_state(unpack(stored).body))
                await newer.save(0, **{"T-1": pack(Stored(None, 7, (), encode_state(folded)))})
                assert {key: value[1] for key, value in newer.table.store.scan(0)} == {b"T-1": STATE_SCHEMA, b"T-2": 1}
    back = owner("back", schema=1)
    async with running(back.app):
        await until(lambda: back.deaths)
        assert isinstance(back.deaths[0], NewerSchemaError)
        assert "start that release again, or restore a backup" in str(back.deaths[0])
