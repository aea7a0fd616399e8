"""Where an import of reference data goes: the topic, a file for backtests, or a dry run's sample."""

from __future__ import annotations

from streams.importing.kafka_sink import KafkaTopic
from streams.importing.sinks import JsonLines, Sample


class ReferenceTopic(KafkaTopic):
    """The topic hw.reference. A row without a body becomes a tombstone, which compaction removes the row by."""

    def put(self, key: str, body: bytes | None) -> None:
        """Send one row, or that it is gone. Raises SinkFault."""
        self.send(key, body)  # type: ignore[arg-type]  # the producer takes a tombstone as it takes a value


class ReferenceFile(JsonLines):
    """A file of rows, one a line, as `backtest --reference` reads it. What is deleted is not in it."""

    def put(self, key: str, body: bytes | None) -> None:
        """Write one row. Raises SinkFault."""
        if body is not None:
            self.send(key, body)


class ReferenceSample:
    """A dry run's sink: keeps the first rows, sends nothing."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample

    def put(self, key: str, body: bytes | None) -> None:
        """Keep the row if it is one of the first."""
        if body is not None:
            self._sample.send(key, body)

    def close(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""
