"""aiokafka's reading of compressed batches, bounded: one that inflates too far is told of by a single record, and reading goes on.

aiokafka inflates a batch as a whole, whatever it stands for. The broker looks at the compressed size alone, so whoever may write to a
topic could end every worker that reads it, again at each start. Importing this module puts `streams.inflating` in the place of aiokafka's
own functions, and wraps each batch as it is taken up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import aiokafka.record._crecords.default_records as compiled
import aiokafka.record._crecords.legacy_records as compiled_legacy
from aiokafka.consumer.fetcher import PartitionRecords

from streams.inflating import CODECS, INFLATED_BYTES_MAX, MIB, InflationError, Uninflated

log = logging.getLogger(__name__)

Alarm = Callable[[str, int], None]
"""is told the topic and the partition; in the consumer's thread"""
_alarms: list[Alarm] = []


def on_refused(alarm: Alarm) -> None:
    """Call so for each batch that is not inflated."""
    _alarms.append(alarm)


class _Bounded:
    """A batch; where it inflates too far, a single record in the place of its last one, so that it is not read again."""

    def __init__(self, batch: Any, tp: Any) -> None:
        self._batch = batch
        self._tp = tp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(self._batch)
        except InflationError:
            return iter([self._refused()])

    def _refused(self) -> Any:
        batch, tp = self._batch, self._tp
        log.error(
            "security alarm: a batch of %s-%d up to offset %d inflates beyond %d MiB and is not read",
            tp.topic,
            tp.partition,
            batch.next_offset - 1,
            INFLATED_BYTES_MAX // MIB,
        )
        for alarm in _alarms:
            alarm(tp.topic, tp.partition)
        return SimpleNamespace(
            offset=batch.next_offset - 1,
            timestamp=batch.max_timestamp,
            timestamp_type=batch.timestamp_type,
            key=None,
            value=Uninflated(),
            checksum=None,
            headers=(),
        )


class _BoundedRecords:
    """What a fetch brought of a partition, batch by batch."""

    def __init__(self, records: Any, tp: Any) -> None:
        self._records = records
        self._tp = tp

    def has_next(self) -> bool:
        found: bool = self._records.has_next()
        return found

    def next_batch(self) -> _Bounded:
        return _Bounded(self._records.next_batch(), self._tp)


_unpack = PartitionRecords._unpack_records


def _unpack_bounded(self: Any) -> Any:
    self._records = _BoundedRecords(self._records, self._tp)
    return _unpack(self)


def _install() -> None:
    for module in (compiled, compiled_legacy):
        for name, inflate in CODECS.items():
            if hasattr(module, name):
                setattr(module, name, inflate)
    PartitionRecords._unpack_records = _unpack_bounded


_install()
