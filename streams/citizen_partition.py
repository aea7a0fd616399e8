"""The citizens agent's work on one partition: claims in, repeat facts out."""

from collections.abc import Iterable

from rules.citizens import CitizenState, decode_state, encode_state, on_claim
from rules.matter import MatterConfig
from rules.messages import ClaimMessage, RepeatMessage, WireError, decode, encode
from streams.partition import Incoming, Table, Touched, open_partition
from streams.routes import Out, partition_of
from streams.stored import unpack
from streams.topics import TopicSet


class CitizenPartition:
    """One partition of the citizens table."""

    def __init__(self, partition: int, table: Table, matter: MatterConfig, topics: TopicSet, first_offset: int) -> None:
        self.partition = partition
        self._table = table
        self._matter = matter
        self._topics = topics
        opened = open_partition(table, partition, first_offset)
        self.owed = opened.owed
        self.keys = opened.keys
        self.unreadable = 0

    def handle(self, records: Iterable[Incoming]) -> list[Out]:
        """Apply a batch: write each touched key once, and return the repeat facts that must be sent before the batch is done."""
        touched = Touched[CitizenState]()
        for record in records:
            try:
                claim = decode(record.value)
            except WireError:
                claim = None
            if not isinstance(claim, ClaimMessage):
                self.unreadable += 1
                continue
            state, offset = self._load(touched, claim.key)
            if record.offset <= offset:
                continue  # redelivered: it is in the state, and what it owed was sent when the partition was opened
            after, messages = on_claim(state, claim, self._matter)
            touched.change(
                claim.key, after, record.offset, [self._out(message, record.source_ts) for message in messages]
            )
        return touched.write(self._table, self.partition, lambda state: (None, encode_state(state)))

    def _load(self, touched: Touched[CitizenState], key: str) -> tuple[CitizenState, int]:
        known = touched.states.get(key)
        if known is not None:
            return known, touched.offsets[key]
        value = self._table.get(self.partition, key.encode())
        if value is None:
            self.keys += 1
            state, offset = CitizenState(key), -1
        else:
            stored = unpack(value)
            state, offset = decode_state(stored.body), stored.offset
        touched.states[key], touched.offsets[key] = state, offset
        return state, offset

    def _out(self, message: RepeatMessage, source_ts: int | None) -> Out:
        topics = self._topics
        return Out(
            topics.tickets, partition_of(message.key, topics.partitions), message.key, encode(message), source_ts
        )
