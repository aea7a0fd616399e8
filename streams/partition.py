"""One partition of a table at work: a batch of records changes each touched key once, and owes outputs.

This is the part of an agent that knows nothing of Kafka or Faust: it reads and writes through `Table`, and returns what to send. It is
opened anew whenever the data under it came from somewhere else (start, recovery, rebalance).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import orjson

from models.quarantine import QuarantineRecord, RejectionReason
from models.times import EARLIEST, LATEST, format_instant, instant_of
from streams.routes import Out
from streams.stored import Stored, due_of, head_of, pack, unpack
from streams.topics import TopicSet

RESERVED = b"\x00"
"""No ticket and no citizen has a key that begins with NUL; ours do."""
OWING_KEY = RESERVED + b"owing"
"""the keys that the last batch left with outputs to send"""

PIECE_BYTES = 512 * 1024
"""of outputs: what a batch owes beyond it waits until this much is sent, so that no value grows with what it owes"""

CLOCK_KEY = RESERVED + b"clock"
"""the partition's clock in microseconds, as text"""
_BEFORE_ZERO = 2**62

State = TypeVar("State")
Encode = Callable[[State], tuple[int | None, int | None, bytes]]
"""returns a state's deadline, the instant from which its age is counted where there is none, and its bytes"""


def position_in_source(key: bytes, value: bytes) -> int | None:
    """Return how far in its topic a value of a table is: the offset of the last record in it; of the clock, its time before zero."""
    if key.startswith(RESERVED):
        return int(value) - _BEFORE_ZERO if key == CLOCK_KEY else None
    return head_of(value).offset


class Table(Protocol):
    """What a partition needs of its table."""

    def get(self, partition: int, key: bytes) -> bytes | None:
        """Return a key's value."""

    def put(self, partition: int, key: bytes, value: bytes) -> None:
        """Set a key's value."""

    def delete(self, partition: int, key: bytes) -> None:
        """Remove a key."""

    def partition_items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Return all keys and values of the partition."""

    def count(self, partition: int) -> int:
        """Return about how many keys the partition has."""


class Incoming(NamedTuple):
    """One record of a batch."""

    offset: int
    value: bytes
    source_ts: int | None


class Refusal(NamedTuple):
    """Why a record of an internal topic is quarantined."""

    reason: RejectionReason
    detail: str


def quarantine(topics: TopicSet, topic: str, partition: int, record: Incoming, why: Refusal) -> Out:
    """Return the quarantine record of a record that cannot be taken; its time is that of Kafka's taking what caused it."""
    told = QuarantineRecord(
        reason=why.reason,
        detail=why.detail,
        topic=topic,
        partition=partition,
        offset=record.offset,
        size_bytes=len(record.value),
        sha256=hashlib.sha256(record.value).hexdigest(),
        quarantined_at=format_instant(
            min(max((record.source_ts or 0) * 1000, instant_of(EARLIEST)), instant_of(LATEST) - 1)
        ),
    )
    key = f"{topic}-{partition}-{record.offset}"
    return Out(topics.quarantine, partition, key, told.model_dump_json().encode(), record.source_ts)


class Opened(NamedTuple):
    """What a scan of the partition found: deadlines by key, and how many keys there are."""

    deadlines: list[tuple[int, str]]
    keys: int


def open_partition(table: Table, partition: int) -> Opened:
    """Scan a partition for the deadlines of its keys."""
    deadlines: list[tuple[int, str]] = []
    keys = 0
    for key, value in table.partition_items(partition):
        if key.startswith(RESERVED):
            continue
        keys += 1
        due_at = due_of(value)
        if due_at is not None:
            deadlines.append((due_at, key.decode()))
    return Opened(deadlines, keys)


def debts_of(table: Table, partition: int, first_offset: int) -> list[Out]:
    """Return what a partition still owes whose next record has the given offset.

    Only the last batch can owe anything: every earlier one was sent before the next was begun. Its keys are named in a record of their
    own, which is written before their states, so that no key with a debt goes unnamed however much of the batch became durable; and
    records from `first_offset` on were never acknowledged, so what they owe is owed still.
    """
    named = table.get(partition, OWING_KEY)
    keys = _all_keys(table, partition) if named is None else [key.encode() for key in orjson.loads(named)]
    owed: list[tuple[int, tuple[Out, ...]]] = []
    for key in keys:
        value = table.get(partition, key)
        if value is None:
            continue
        head = head_of(value)
        if head.owes and head.offset >= first_offset:
            owed.append((head.offset, unpack(value).pending))
    owed.sort(key=lambda one: one[0])
    return [out for _, outs in owed for out in outs]


def _all_keys(table: Table, partition: int) -> Iterator[bytes]:
    """Return every key: a table that was written before there was that record is looked through."""
    return (key for key, _ in table.partition_items(partition) if not key.startswith(RESERVED))


def in_pieces(
    records: Sequence[Incoming], piece: Callable[[Sequence[Incoming]], tuple[list[Out], int]]
) -> Iterator[list[Out]]:
    """Yield what each piece of a batch owes; `piece` takes some of the records that are left and says how many."""
    left = records
    while True:
        outs, done = piece(left)
        yield outs
        left = left[done:]
        if not left:
            return


class Kept(Generic[State]):
    """The states of a partition that were written last, so that the next event of a ticket need not read it from the table again.

    It belongs to the opened partition and goes with it: whatever changes the table by other means than this partition's batches
    (recovery, a rebalance, a batch that was let go) opens the partition anew.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: dict[str, tuple[State, int]] = {}

    def take(self, key: str) -> tuple[State, int] | None:
        """Return a key's state and the offset of the last record in it, and let go of it: who takes it writes it or puts it back."""
        return self._known.pop(key, None)

    def put(self, key: str, state: State, offset: int) -> None:
        """Keep a state that the table has now, in place of the one that was put longest ago where there are too many."""
        self._known[key] = (state, offset)
        if len(self._known) > self._size:
            del self._known[next(iter(self._known))]


class Touched(Generic[State]):
    """The keys that a batch has touched, each read once and written once."""

    def __init__(self, kept: Kept[State] | None = None) -> None:
        self.states: dict[str, State] = {}
        self.offsets: dict[str, int] = {}
        self.outs: dict[str, list[Out]] = {}
        self._new: set[str] = set()
        self.sizes: dict[str, int] = {}
        """of the values that were written, in bytes"""
        self.changes: dict[str, int] = {}
        """how often each key was changed"""
        self._out_bytes = 0
        self._kept = kept or Kept(0)

    def find(self, key: str) -> tuple[State, int] | None:
        """Return a key's state and the offset of the last record in it, where the batch has it or it was kept; else it must be loaded."""
        known = self.states.get(key)
        if known is not None:
            return known, self.offsets[key]
        kept = self._kept.take(key)
        if kept is not None:
            self.states[key], self.offsets[key] = kept
        return kept

    def load(
        self, key: str, stored: bytes | None, new: Callable[[str], State], decode: Callable[[bytes], State]
    ) -> tuple[State, int]:
        """Take a key's stored value, or a new state, into the batch; return the state and the offset of the last record in it."""
        value = unpack(stored) if stored is not None else None
        if value is None:
            self._new.add(key)
        state = decode(value.body) if value is not None else new(key)
        self.states[key] = state
        self.offsets[key] = value.offset if value is not None else -1
        return state, self.offsets[key]

    def change(self, key: str, state: State, offset: int, outs: Iterable[Out]) -> None:
        """Note a key's new state and what it owes."""
        self.states[key] = state
        self.offsets[key] = offset
        self.changes[key] = self.changes.get(key, 0) + 1
        every = self.outs.setdefault(key, [])
        known = len(every)
        every.extend(outs)
        self._out_bytes += sum(len(out.value) for out in every[known:])

    @property
    def is_full(self) -> bool:
        """Return whether the batch owes so much that it must be sent before more is taken."""
        return self._out_bytes >= PIECE_BYTES

    def drop(self, key: str) -> list[Out]:
        """Let go of a key that is deleted; return what the batch made it owe so far."""
        self.states.pop(key, None)
        self.offsets.pop(key, None)
        return self.outs.pop(key, [])

    @property
    def added(self) -> int:
        """Return how many keys come to the table that it had not."""
        return len(self._new & self.outs.keys())

    def write(self, table: Table, partition: int, encode: Encode[State]) -> list[Out]:
        """Write every changed key and return all outputs, in the order in which the keys were first touched."""
        every: list[Out] = []
        if self.outs:  # before any state: see `debts_of`
            table.put(partition, OWING_KEY, orjson.dumps([key for key, outs in self.outs.items() if outs]))
        for key, state in self.states.items():
            outs = self.outs.get(key)
            if outs is not None:  # else it was only read
                due_at, since, body = encode(state)
                value = pack(Stored(due_at, self.offsets[key], tuple(outs), body, since))
                self.sizes[key] = len(value)
                table.put(partition, key.encode(), value)
                every += outs
            if outs is not None or self.offsets[key] >= 0:
                self._kept.put(key, state, self.offsets[key])
        return every

    def owe(self, key: str | None, record: Incoming, out: Out) -> list[Out]:
        """Let the key of a record that cannot be taken owe its quarantine record; return what no key can owe.

        A later record of the key in the same batch makes the state skip this one when it comes again, so without the debt a crash
        could lose the quarantine record.
        """
        if key is None or key not in self.states:
            return [out]
        self.change(key, self.states[key], max(record.offset, self.offsets[key]), [out])
        return []
