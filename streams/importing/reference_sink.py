"""Where a load of reference data goes: the topic, a file for backtests, or nowhere."""

from __future__ import annotations

from streams.importing.kafka_sink import KafkaTopic
from streams.importing.sinks import JsonLines


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


class Nowhere:
    """A dry run's sink."""

    def put(self, key: str, body: bytes | None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""
