"""Where a record goes: topic, partition, key, value, and when the ticket event that caused it was taken by Kafka."""

from functools import lru_cache
from typing import NamedTuple

from aiokafka.partitioner import murmur2

SOURCE_TS = "source-ts"


class Out(NamedTuple):
    """One record to send; `source_ts` (milliseconds) lets latency be measured end to end."""

    topic: str
    partition: int
    key: str
    value: bytes
    source_ts: int | None


@lru_cache(maxsize=20_000)
def partition_of(key: str, partitions: int) -> int:
    """Return the partition that Kafka's default partitioner gives the key."""
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)


def source_ts_of(headers: object, default: int | None = None) -> int | None:
    """Return the source timestamp in a record's headers, in milliseconds; the default where there is none."""
    for name, value in headers or ():  # type: ignore[attr-defined]
        if name == SOURCE_TS:
            try:
                return int(value)
            except ValueError:
                return default
    return default
