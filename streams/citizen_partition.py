"""The citizens agent's work on one partition: claims in, repeat facts out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from models.quarantine import RejectionReason
from rules.citizens import CitizenState, decode_state, encode_state, on_claim
from rules.matter import MatterConfig
from rules.messages import ClaimMessage, ErasureMessage, RepeatMessage, WireError, decode, encode
from rules.old_complaints import without_old
from streams.batches import PartitionLostError
from streams.erasing import Erasures
from streams.expiring import Walk
from streams.partition import (
    CLOCK_KEY,
    OWING_KEY,
    Incoming,
    Refusal,
    Table,
    Touched,
    debts_of,
    in_pieces,
    quarantine,
)
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

    def expired(self, table: str, keys: int) -> None:
        """Keys of a table expired."""


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
        *,
        keep: int | None = None,
        committed: Callable[[], int] | None = None,
    ) -> None:
        """Open the partition. `keep`: for how many microseconds complaints are kept, counted from the newest that came; None: for ever."""
        self.partition = partition
        self._table = table
        self._matter = matter
        self._topics = topics
        self._watch = watch
        self.owed = debts_of(table, partition, first_offset)
        self.keys = table.count(partition)
        self._erasures = Erasures(partition, table)
        self._keep = keep
        self._walk = Walk(partition, table, first_offset, committed)
        self.clock = int(table.get(partition, CLOCK_KEY) or 0)
        """when the newest complaint of all that came was made, in microseconds, where old ones go"""

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
        before = self.clock
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
        self._expire(touched)
        outs = touched.write(self._table, self.partition, self._encode)
        self.keys += touched.added
        self._watch.wrote("citizens", self.partition, touched.sizes, touched.changes)
        if self.clock != before:
            self._table.put(self.partition, CLOCK_KEY, str(self.clock).encode())
        return [*refused, *outs], done

    def _encode(self, state: CitizenState) -> tuple[int | None, int | None, bytes]:
        oldest = min((one.at for _, complaints in state.claims.values() for one in complaints), default=self.clock)
        return None, oldest, encode_state(state)

    def _expire(self, touched: Touched[CitizenState]) -> None:
        """Let go of the old complaints of the next slice; what lineages were told stays true."""
        if self._keep is None:
            return
        gone = 0
        for key, value in self._walk.next_slice(self.clock, self._keep):
            citizen = key.decode()
            if citizen in touched.outs:
                continue
            try:
                state = decode_state(value.body)
                after = without_old(state, self.clock - self._keep, self._matter)
            except MemoryError:
                raise
            except Exception as broken:  # it stays
                self._watch.broke(broken)
                continue
            if not after.claims:
                gone += 1
                touched.drop(citizen)  # it was read at most
                self._table.delete(self.partition, key)
            elif after is not state:
                touched.change(citizen, after, value.offset, ())
        if gone:
            self.keys -= gone
            self._watch.expired("citizens", gone)

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
        if self._keep is not None:
            self.clock = max(self.clock, *(one.at for one in claim.complaints), 0)
        if record.offset <= offset:
            return  # redelivered: it is in the state, and what it owed was sent when the partition was opened
        if self._is_old(claim) and claim.root not in state.claims:
            return
        after, messages = on_claim(state, claim, self._matter)
        outs = [self._out(message, record.source_ts) for message in messages]
        touched.change(claim.key, after, record.offset, outs)

    def _is_old(self, claim: ClaimMessage) -> bool:
        """Tell whether nothing that is claimed would be kept."""
        return self._keep is not None and all(one.at < self.clock - self._keep for one in claim.complaints)

    def _new(self, citizen: str) -> CitizenState:
        # What it finds must count as later than what was found about a citizen of its name who was let go of.
        return CitizenState(citizen) if self._keep is None else CitizenState(citizen, version=self.clock)

    def _load(self, touched: Touched[CitizenState], key: str) -> tuple[CitizenState, int]:
        known = touched.states.get(key)
        if known is not None:
            return known, touched.offsets[key]
        stored = self._table.get(self.partition, key.encode())
        return touched.load(key, stored, self._new, decode_state)

    def _out(self, message: RepeatMessage, source_ts: int | None) -> Out:
        topics = self._topics
        return Out(
            topics.tickets, partition_of(message.key, topics.partitions), message.key, encode(message), source_ts
        )

    def _refused(self, record: Incoming, reason: RejectionReason, detail: str) -> Out:
        return quarantine(self._topics, self._topics.citizens, self.partition, record, Refusal(reason, detail))
