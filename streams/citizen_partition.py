"""The citizens agent's work on one partition: claims in, repeat facts out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from models.quarantine import RejectionReason
from rules.citizens import CitizenState, decode_state, encode_state, on_claim
from rules.matter import MatterConfig
from rules.messages import ClaimMessage, ErasureMessage, RepeatMessage, WireError, decode, encode
from streams.batches import PartitionLostError
from streams.erasing import Erasures
from streams.partition import OWING_KEY, Incoming, Refusal, Table, Touched, debts_of, in_pieces, quarantine
from streams.routes import Out, partition_of
from streams.tables import TableError
from streams.topics import TopicSet


class CitizenWatch(Protocol):
    """Who is told what happens: metrics and the log."""

    def broke(self, error: Exception) -> None:
        """A comparison raised on a message."""

    def unreadable(self) -> None:
        """A record was not a claim."""

    def wrote(self, table: str, partition: int, sizes: Mapping[str, int], changes: Mapping[str, int]) -> None:
        """Values of these sizes were written, of so many changes each."""


class CitizenPartition:
    """One partition of the citizens table."""

    def __init__(
        self,
        partition: int,
        table: Table,
        matter: MatterConfig,
        topics: TopicSet,
        watch: CitizenWatch,
        first_offset: int,
    ) -> None:
        self.partition = partition
        self._table = table
        self._matter = matter
        self._topics = topics
        self._watch = watch
        self.owed = debts_of(table, partition, first_offset)
        self.keys = table.count(partition)
        self._erasures = Erasures(partition, table)

    def pieces(self, records: Sequence[Incoming]) -> Iterator[list[Out]]:
        """Apply a batch piece by piece, as `TicketPartition.pieces` does."""
        return in_pieces(records, self._piece)

    def handle(self, records: Sequence[Incoming]) -> list[Out]:
        """Apply a batch of which nothing is durable before all of it is, and return all repeat facts that it owes."""
        return [out for outs in self.pieces(records) for out in outs]

    def _piece(self, records: Sequence[Incoming]) -> tuple[list[Out], int]:
        done = 0
        touched = Touched[CitizenState]()
        refused: list[Out] = []
        for record in records:
            if touched.is_full:
                break
            done += 1
            try:
                claim = decode(record.value)
            except WireError:
                claim = None
            if isinstance(claim, ErasureMessage):
                refused += self._erase(touched, claim)
                continue
            if not isinstance(claim, ClaimMessage):
                self._watch.unreadable()
                refused.append(self._refused(record, RejectionReason.UNREADABLE, "not a claim of this service"))
                continue
            try:
                self._apply(touched, claim, record)
            except (PartitionLostError, TableError, MemoryError):
                raise
            except Exception as broken:
                self._watch.broke(broken)
                detail = f"the comparison broke on it: {type(broken).__name__}"
                refused += touched.owe(claim.key, record, self._refused(record, RejectionReason.POISON, detail))
        outs = touched.write(self._table, self.partition, lambda state: (None, None, encode_state(state)))
        self.keys += touched.added
        self._watch.wrote("citizens", self.partition, touched.sizes, touched.changes)
        return [*refused, *outs], done

    def _erase(self, touched: Touched[CitizenState], asked: ErasureMessage) -> list[Out]:
        """Forget a citizen: the value goes, a mark stays, and every partition of tickets is told. Done again where it comes again."""
        citizen = asked.key
        state, _ = self._load(touched, citizen)
        owed = [out for out in touched.drop(citizen) if out.topic != self._topics.tickets]
        complaints = sum(len(of_one) for _, of_one in state.claims.values())
        self.keys -= self._table.get(self.partition, citizen.encode()) is not None
        # The debts of the batch before are paid, and whoever owed them was named there.
        self._table.put(self.partition, OWING_KEY, b"[]")
        self._table.delete(self.partition, citizen.encode())
        self._erasures.set_mark(citizen, asked.request, done=True, lineages=len(state.claims), complaints=complaints)
        message = encode(asked)
        return owed + [
            Out(self._topics.tickets, number, "erasure", message, None) for number in range(self._topics.partitions)
        ]

    def _apply(self, touched: Touched[CitizenState], claim: ClaimMessage, record: Incoming) -> None:
        if self._erasures.knows(claim.key):
            return
        state, offset = self._load(touched, claim.key)
        if record.offset <= offset:
            return  # redelivered: it is in the state, and what it owed was sent when the partition was opened
        after, messages = on_claim(state, claim, self._matter)
        outs = [self._out(message, record.source_ts) for message in messages]
        touched.change(claim.key, after, record.offset, outs)

    def _load(self, touched: Touched[CitizenState], key: str) -> tuple[CitizenState, int]:
        known = touched.states.get(key)
        if known is not None:
            return known, touched.offsets[key]
        stored = self._table.get(self.partition, key.encode())
        return touched.load(key, stored, CitizenState, decode_state)

    def _out(self, message: RepeatMessage, source_ts: int | None) -> Out:
        topics = self._topics
        return Out(
            topics.tickets, partition_of(message.key, topics.partitions), message.key, encode(message), source_ts
        )

    def _refused(self, record: Incoming, reason: RejectionReason, detail: str) -> Out:
        return quarantine(self._topics, self._topics.citizens, self.partition, record, Refusal(reason, detail))
