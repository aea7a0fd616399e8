"""What the workers have not acknowledged, asked again and again over one connection."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from streams.admin import connect


class Lag:
    """Asks for one group and its topics. After a question that failed it connects anew."""

    def __init__(self, servers: str, group: str, topics: Sequence[str]) -> None:
        self._servers, self._group, self._topics = servers, group, topics
        self._open = ExitStack()
        self._admin: Any = None
        self._consumer: Any = None
        self._parts: list[TopicPartition] = []

    def now(self) -> int:
        """Return how many records are not acknowledged. Raises what the client raises."""
        try:
            self._connect()
            offsets = self._admin.list_group_offsets(self._group).get(self._group, {})
            ends = self._consumer.end_offsets(self._parts)
        except BaseException:
            self.close()
            raise
        done = {(part.topic, part.partition): max(entry.offset, 0) for part, entry in offsets.items()}
        return sum(max(end - done.get((part.topic, part.partition), 0), 0) for part, end in ends.items())

    def close(self) -> None:
        """Let go of the connections."""
        self._admin = self._consumer = None
        self._open.close()

    def _connect(self) -> None:
        if self._admin is not None:
            return
        self._admin = self._open.enter_context(connect(self._servers))
        self._consumer = self._open.enter_context(
            closing(KafkaConsumer(bootstrap_servers=self._servers.split(","), enable_auto_commit=False, group_id=None))
        )
        self._parts = [
            TopicPartition(topic, number)
            for topic in self._topics
            for number in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]
