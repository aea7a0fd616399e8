"""Senders and lanes by themselves: who is called when, and what a revoked partition stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from alerting.directory import Directory
from alerting.outbox_state import Item
from alerting.transport import EndpointClient
from models.delivery import DeliveryRecord, DeliveryStatus, Outcome
from models.subscriber import Subscriber
from models.times import SECOND, parse_instant
from streams.batches import PartitionLostError
from streams.dispatch_lanes import Lanes
from streams.dispatch_sender import Sender, Shell
from streams.metrics_dispatch import DispatchMetrics
from tests.alerting_support import LOOPBACK, make_alert, make_subscriber, raw_server, read_request
from tests.batch_support import BatchStream
from tests.directory_support import make_directory

NOW = 1_750_208_400 * SECOND
BODY = make_alert().model_dump_json().encode()


async def until(condition: Callable[[], Any]) -> None:
    """Return when the condition holds; fail after ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - any condition, not one event
            await asyncio.sleep(0)


def item_of(number: int = 1, **fields: Any) -> Item:
    given = {"rule_id": "P01", "delivery_sequence": 1, "enqueued_at": NOW, "next_at": NOW} | fields
    return Item(alert_id=f"a-{number}", **given)


@dataclass
class World:
    """A sender over a receiver that holds each call until it is told how to answer."""

    sender: Sender
    written: list[DeliveryRecord]
    calls: int = 0
    open: int = 0
    now: int = NOW
    """what the clock says"""
    answers: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    died: list[BaseException] = field(default_factory=list)

    async def answer(self, *statuses: int) -> None:
        """Answer the calls that wait, or come next, and return when their records are written."""
        goal = len(self.written) + len(statuses)
        for status in statuses:
            self.answers.put_nowait(status)
        await until(lambda: len(self.written) >= goal)


class _Told(Sender):
    """A sender whose table holds what it was told."""

    def __init__(
        self, subscriber: Subscriber, client: EndpointClient, shell: Shell, lanes: dict[tuple[int, str], Item | None]
    ) -> None:
        super().__init__(subscriber, client, shell)
        self._lanes = lanes

    def head(self, partition: int, case_id: str, item: Item | None) -> None:
        self._lanes[partition, case_id] = item
        super().head(partition, case_id, item)


@contextlib.asynccontextmanager
async def world(
    body: Callable[..., bytes | None] = lambda *_: BODY,
    gone: Collection[str] = (),
    directory: Callable[[Subscriber], Directory | None] = make_directory,
    **fields: Any,
) -> AsyncIterator[World]:
    made: World

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            made.calls += 1
            made.open += 1
            try:
                status = await made.answers.get()
            finally:
                made.open -= 1
            writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n".encode())

    async with raw_server(handle) as port:
        subscriber = make_subscriber(
            url=f"http://127.0.0.1:{port}/", allow_http=True, allow_networks=LOOPBACK, **fields
        )
        written: list[DeliveryRecord] = []

        async def write(partition: int, record: DeliveryRecord) -> None:
            written.append(record)

        metrics = DispatchMetrics([subscriber.name], CollectorRegistry())
        died: list[BaseException] = []
        now, lanes = directory(subscriber), dict[tuple[int, str], Item | None]()

        def queue(partition: int, case_id: str, name: str) -> tuple[Item, ...]:
            item = lanes.get((partition, case_id))
            return () if item is None or case_id in gone else (item,)

        shell = Shell(lambda: made.now, 1.0, lambda: now, queue, body, write, died.append, metrics)
        made = World(_Told(subscriber, EndpointClient(subscriber), shell, lanes), written, died=died)
        made.sender.start()
        try:
            yield made
        finally:
            await made.sender.stop(0)
    assert made.died == []


async def test_a_backlog_is_ramped_not_dumped() -> None:
    async with world(concurrency=3) as made:
        for number in range(12):
            made.sender.head(0, f"case-{number}", item_of(number))
        await until(lambda: made.open == 1)
        await made.answer(200)
        await until(lambda: made.open == 2)
        await made.answer(200, 200)
        await until(lambda: made.open == 3)
        await made.answer(200)
        await until(lambda: made.open == 3)  # never more than its concurrency
        await made.answer(500, 500, 500)  # and after a failure one at a time again
        await until(lambda: made.open == 1)
        assert made.sender.running == 1


async def test_the_same_head_told_twice_is_sent_once() -> None:
    async with world(concurrency=4) as made:
        for _ in range(3):
            made.sender.head(0, "case-1", item_of())
        await until(lambda: made.open == 1)
        made.sender.head(0, "case-1", item_of())
        await made.answer(200)
        made.sender.head(0, "case-1", item_of())  # its record is on the way back
        made.sender.head(0, "case-2", item_of(2))
        await made.answer(200)
        assert [record.case_id for record in made.written] == ["case-1", "case-2"]


async def test_what_is_due_later_waits_while_the_next_case_goes() -> None:
    async with world() as made:
        made.sender.head(0, "later", item_of(1, next_at=NOW + 60 * SECOND))
        made.sender.head(0, "now", item_of(2))
        await made.answer(204)
        assert [record.case_id for record in made.written] == ["now"]
        assert made.calls == 1


async def test_a_lane_that_became_empty_is_not_sent() -> None:
    async with world() as made:
        made.sender.head(0, "case-1", item_of())
        made.sender.head(0, "case-1", None)
        made.sender.head(0, "case-2", item_of(2))
        await made.answer(200)
        assert [record.case_id for record in made.written] == ["case-2"]


async def test_a_revoked_partitions_call_is_cut_off_and_leaves_no_record() -> None:
    async with world(concurrency=4) as made:
        made.sender.head(3, "case-1", item_of())
        made.sender.head(3, "case-2", item_of(2))
        await until(lambda: made.open == 1)
        made.sender.drop(3)
        await until(lambda: made.sender.running == 0)
        made.sender.head(4, "case-9", item_of(9))
        made.answers.put_nowait(200)  # taken by the call that was cut off
        await made.answer(200)
        assert [record.case_id for record in made.written] == ["case-9"]


async def test_a_partition_that_comes_back_is_sent_again() -> None:
    async with world() as made:
        made.sender.head(3, "case-1", item_of())
        await until(lambda: made.open == 1)
        made.sender.drop(3)
        made.sender.head(3, "case-1", item_of())
        await until(lambda: made.calls == 2)


async def test_after_410_the_others_are_parked_without_a_call() -> None:
    async with world() as made:
        for number in range(4):
            made.sender.head(0, f"case-{number}", item_of(number))
        made.answers.put_nowait(410)
        await until(lambda: len(made.written) == 4)
        assert made.calls == 1
        assert {record.status for record in made.written} == {DeliveryStatus.DISABLED}
        assert [record.attempts for record in made.written] == [1, 0, 0, 0]
        parked = item_of(1, status=DeliveryStatus.DISABLED, endpoint_id=made.sender.subscriber.endpoint_id)
        made.sender.head(0, "case-1", parked)
        made.sender.head(1, "case-5", item_of(5))
        await until(lambda: len(made.written) == 5)
        assert made.written[-1].case_id == "case-5"


async def test_what_was_parked_without_a_call_is_called_at_another_endpoint() -> None:
    async with world() as made:
        sender = made.sender
        for number in range(3):
            sender.head(0, f"case-{number}", item_of(number))
        await made.answer(410)
        await until(lambda: len(made.written) == 3)
        for number, record in enumerate(made.written):  # as they come back, folded
            parked = {"status": record.status, "endpoint_id": record.endpoint_id, "attempts": record.attempts}
            sender.head(0, f"case-{number}", item_of(number, **parked))
        other = replace(sender.subscriber, revision=2)
        sender.reconfigure(other, EndpointClient(other))
        await made.answer(200, 200, 200)
        assert [record.status for record in made.written[3:]] == [DeliveryStatus.DELIVERED] * 3


async def test_a_clock_that_goes_back_makes_nobody_wait_for_it() -> None:
    hour = 3600 * SECOND
    async with world() as made:
        made.now += hour
        made.sender.head(0, "failed", item_of(1, enqueued_at=made.now, next_at=made.now))
        await made.answer(503)
        again = parse_instant(str(made.written[0].next_attempt_at))
        tried = {"attempts": 1, "last_attempt_at": made.now, "next_at": again}
        made.sender.head(0, "failed", item_of(1, enqueued_at=made.now, **tried))
        made.now -= 2 * hour
        made.sender.head(0, "new", item_of(2, enqueued_at=made.now, next_at=made.now))
        await made.answer(200)
        assert made.written[-1].case_id == "new"
        made.now += again - (NOW + hour)  # as long as was meant, and not for the step of the clock
        made.sender.head(0, "also new", item_of(3, enqueued_at=made.now, next_at=made.now))
        await made.answer(200, 200)
        assert {record.case_id for record in made.written[-2:]} == {"failed", "also new"}


async def test_a_missing_body_is_a_recorded_failure_not_a_silence() -> None:
    async with world(body=lambda *_: None) as made:
        made.sender.head(0, "case-1", item_of())
        await until(lambda: made.written)
        record = made.written[0]
        assert (record.outcome, record.status) == (Outcome.INTERNAL_ERROR, DeliveryStatus.PENDING)
        assert record.next_attempt_at is not None


async def test_a_partition_lost_at_the_last_moment_is_left_to_its_new_owner() -> None:
    def lost(*_: object) -> bytes:
        raise PartitionLostError("gone")

    async with world(body=lost) as made:
        made.sender.head(0, "case-1", item_of())
        await until(lambda: made.sender._tasks)
        await until(lambda: not made.sender._tasks)
        assert (made.written, made.calls) == ([], 0)


async def test_what_was_delivered_before_a_restart_is_not_sent_once_that_is_read() -> None:
    async with world(gone=["case-1"]) as made:
        made.sender.head(0, "case-1", item_of())
        made.sender.head(0, "case-2", item_of(2))
        await made.answer(200)
        assert ([record.case_id for record in made.written], made.calls) == (["case-2"], 1)


# -- lanes


async def test_partitions_do_not_wait_for_each_other_but_each_keeps_its_order() -> None:
    stream = BatchStream([(0, [1]), (0, [2]), (1, [11]), (0, [3]), (1, [12])])
    held, taken = asyncio.Event(), dict[int, list[int]]()

    async def handle(partition: int, records: list[int]) -> None:
        if partition == 0:
            await held.wait()
        taken.setdefault(partition, []).extend(records)

    run = asyncio.create_task(Lanes(stream, handle, pytest.fail).run())
    await until(lambda: stream.acked == [[11], [12]])
    held.set()
    await until(lambda: len(stream.acked) == 5)
    assert taken == {0: [1, 2, 3], 1: [11, 12]}
    assert [batch for batch in stream.acked if batch[0] < 10] == [[1], [2], [3]]
    stream.done.set()
    await run


async def test_a_lost_partitions_batch_is_let_go_and_a_failure_ends_the_process() -> None:
    stream = BatchStream([(0, [1]), (1, [11])])
    died: list[BaseException] = []

    async def handle(partition: int, records: list[int]) -> None:
        raise PartitionLostError("moved") if partition == 0 else RuntimeError("broker")

    run = asyncio.create_task(Lanes(stream, handle, died.append).run())
    await until(lambda: stream.let_go and died)
    assert (stream.acked, stream.let_go, [str(error) for error in died]) == ([], [[1]], ["broker"])
    stream.done.set()
    await run


async def test_a_lane_that_ends_by_itself_ends_the_process() -> None:
    stream = BatchStream([(0, [1])])
    died: list[BaseException] = []

    async def handle(partition: int, records: list[int]) -> None:
        raise asyncio.CancelledError

    run = asyncio.create_task(Lanes(stream, handle, died.append).run())
    await until(lambda: died)
    assert stream.acked == []
    stream.done.set()
    await run


async def test_what_comes_again_after_earlier_ones_is_not_taken_out_of_order() -> None:
    stream = BatchStream([(0, [1]), (0, [2]), (0, [3])])
    stream.obsolete = [[2]]
    taken: list[int] = []

    async def handle(partition: int, records: list[int]) -> None:
        taken.extend(records)

    run = asyncio.create_task(Lanes(stream, handle, pytest.fail).run())
    await until(lambda: len(stream.acked) + len(stream.let_go) == 3)
    assert (taken, stream.acked, stream.let_go) == ([1, 3], [[1], [3]], [[2]])
    stream.done.set()
    await run
