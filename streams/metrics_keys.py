"""Keys that are much larger or busier than others: how large, and which by hash alone.

A ticket's id or a citizen's pseudonym never stands in a metric or in the log; its hash does, so that who suspects one can compare. Series
are few: of each table the largest keys only, and no key that is not large.
"""

import hashlib
import logging
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

log = logging.getLogger(__name__)

LARGE_BYTES = 256 * 1024
"""a value of this size is a hundred times an ordinary ticket's"""
NAMED_KEYS = 5
"""of each table"""
BUSY_RECORDS = 200
"""of one key in one batch, where they are half of it"""
_REMEMBERED = 64


def mark_of_key(key: str) -> str:
    """Return the hash that stands for a key: BLAKE2b of 8 bytes, in hexadecimal digits."""
    return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


class KeyMetrics:
    """What one worker knows of large and busy keys."""

    def __init__(self, tables: tuple[str, ...], registry: CollectorRegistry) -> None:
        self._largest = Gauge(
            "hw_largest_value_bytes", "The largest value of a table since the start", ["table"], registry=registry
        )
        self._large = Gauge(
            "hw_large_key_bytes",
            "Values of 256 KiB and more, the five largest of a table, by the key's hash",
            ["table", "key"],
            registry=registry,
        )
        self._busy = Counter(
            "hw_busy_key_records",
            "Records of keys that had half of a batch, and at least 200 records in it",
            ["table"],
            registry=registry,
        )
        self._known: dict[str, dict[str, int]] = {table: {} for table in tables}
        self._maximum = dict.fromkeys(tables, 0)
        self._told: dict[tuple[str, str], None] = {}
        for table in tables:
            self._largest.labels(table).set(0)
            self._busy.labels(table)

    def wrote(self, table: str, partition: int, sizes: Mapping[str, int], changes: Mapping[str, int]) -> None:
        """Take note of the sizes of values that a batch wrote, in bytes, and how many records of each key it had."""
        known = self._known[table]
        largest = max(sizes.values(), default=0)
        if largest > self._maximum[table]:
            self._maximum[table] = largest
            self._largest.labels(table).set(largest)
        if largest >= LARGE_BYTES or known:
            for key, size in sizes.items():
                if size >= LARGE_BYTES or key in known:
                    self._know(table, partition, key, size)
        records = max(changes.values(), default=0)
        if records >= BUSY_RECORDS and 2 * records >= sum(changes.values()):
            self._busy.labels(table).inc(records)
            busiest = max(changes, key=changes.__getitem__)
            self._tell("busy", busiest, "%s-%d: key %s had %d records of one batch", table, partition, records)

    def _know(self, table: str, partition: int, key: str, size: int) -> None:
        known = self._known[table]
        if size < LARGE_BYTES:
            del known[key]
            self._large.remove(table, mark_of_key(key))
            return
        if key not in known and len(known) >= NAMED_KEYS:
            smallest = min(known, key=known.__getitem__)
            if known[smallest] >= size:
                return
            del known[smallest]
            self._large.remove(table, mark_of_key(smallest))
        known[key] = size
        self._large.labels(table, mark_of_key(key)).set(size)
        self._tell("large", key, "%s-%d: the value of key %s has grown to %d bytes", table, partition, size)

    def _tell(self, what: str, key: str, message: str, table: str, partition: int, number: int) -> None:
        """Say it once of a key, as far as that many can be remembered."""
        mark = mark_of_key(key)
        if (what, mark) in self._told:
            return
        self._told[what, mark] = None
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        log.warning(message, table, partition, mark, number)
