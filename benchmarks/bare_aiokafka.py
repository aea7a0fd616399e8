"""The floor: one aiokafka consumer that parses each ticket event as intake does, and commits. No state, no output.

    python -m benchmarks.bare_aiokafka BOOTSTRAP TOPIC EVENTS

Prints one JSON object: events, seconds from the first position to the last commit, processor time, memory at its most.
"""

import asyncio
import os
import sys
import time

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer

from benchmarks.support import usage_of
from models.decode import decode_event

GROUP = "bare-loop"
COMMIT_SECONDS = 1.0


async def consume(bootstrap_servers: str, topic: str, events: int) -> dict[str, float]:
    """Parse so many events and return what it took."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=1024 * 1024,
    )
    await consumer.start()
    try:
        began, before = time.monotonic(), usage_of(os.getpid())
        done, committed_at = 0, began
        while done < events:
            for records in (await consumer.getmany(timeout_ms=250, max_records=2000)).values():
                for record in records:
                    decode_event(record.value)
                done += len(records)
            if time.monotonic() - committed_at > COMMIT_SECONDS:
                await consumer.commit()
                committed_at = time.monotonic()
        await consumer.commit()
        seconds, after = time.monotonic() - began, usage_of(os.getpid())
    finally:
        await consumer.stop()
    return {
        "events": done,
        "seconds": seconds,
        "cpu_seconds": after.cpu_seconds - before.cpu_seconds,
        "rss_peak_mb": after.rss_peak_mb,
    }


def main() -> None:
    """Consume as the arguments say."""
    bootstrap_servers, topic, events = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(orjson.dumps(runner.run(consume(bootstrap_servers, topic, int(events)))).decode())


if __name__ == "__main__":
    main()
