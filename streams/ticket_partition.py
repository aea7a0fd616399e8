"""The tickets agent's work on one partition: events, facts and ticks in; new states, warnings and messages out."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from models.alert import Alert
from models.quarantine import RejectionReason
from rules.calendar import BUILT_IN_VERSION
from rules.deadline_heap import DeadlineHeap
from rules.engine import Engine
from rules.event import Event
from rules.expiry import latest_of, on_farewell, on_parted
from rules.forgetting import forget, message_without, state_without
from rules.messages import (
    ClaimMessage,
    ErasureMessage,
    EventMessage,
    FarewellMessage,
    MembersMessage,
    PartedMessage,
    RepeatMessage,
    ReviewMessage,
    TickMessage,
    WireError,
    decode,
    encode,
)
from rules.state import TicketState, decode_state, encode_state
from rules.tickets import ConflictingBody, Output, RefusedMerge, Step, TooLarge, on_message, on_time, review
from streams.batches import PartitionLostError
from streams.erasing import Erasures
from streams.expiring import TicketExpiry, Walk
from streams.partition import (
    CLOCK_KEY,
    RESERVED,
    Incoming,
    Kept,
    Refusal,
    Table,
    Touched,
    debts_of,
    in_pieces,
    open_partition,
    quarantine,
)
from streams.routes import Out, partition_of
from streams.tables import TableError
from streams.ticket_watch import TicketWatch
from streams.topics import TopicSet

log = logging.getLogger(__name__)

RECKONING_KEY = RESERVED + b"reckoning"
"""the version of the calendar and the limits by which every ticket of the partition has been judged"""
KEPT_TICKETS = 4_096
"""tickets, of all partitions together, whose states stay in memory as they were written: some 10 kB each"""
REVIEW_SLICE = 500
"""tickets that are judged again with one batch: some tenths of a second"""


TOO_LARGE = "its ticket, or the root of its merged ticket, has so many or such large events that no more are taken"
TOO_LATE = "it lies further behind its partition's time than allowed_lateness_days"
EXPIRED = "it lies further behind its partition's time than keep_closed_days, and its ticket has expired or never came"


class TicketPartition:
    """One partition of the tickets table, its clock and its deadlines."""

    def __init__(
        self,
        partition: int,
        table: Table,
        engine: Engine,
        topics: TopicSet,
        watch: TicketWatch,
        first_offset: int,
        *,
        latest: Callable[[], int] | None = None,
        lateness: int | None = None,
        keep: int | None = None,
        committed: Callable[[], int] | None = None,
    ) -> None:
        """Open the partition.

        `latest` gives the instant beyond which a tick is not believed, where the clock is our own; `lateness` says by how many
        microseconds an event may lie behind the clock, None: by any; `keep` for how many a ticket that is over is kept, None: for ever.
        """
        self.partition = partition
        self._latest = latest
        self._lateness = lateness
        self.clock = 0
        """the partition's watermark, in microseconds: the largest time of an event or a tick seen in it; it never goes back"""
        self._table = table
        self.engine = engine
        self.reviewing = False
        """a review is on its way: each slice of it asks for the next one"""
        self._to_review: deque[str] | None = None
        self._kept = Kept[TicketState](KEPT_TICKETS // topics.partitions)
        self._topics = topics
        self._watch = watch
        self.owed = debts_of(table, partition, first_offset)
        opened = open_partition(table, partition)
        self.keys = opened.keys
        self._erasures = Erasures(partition, table)
        self._expiry = TicketExpiry(Walk(partition, table, first_offset, committed), keep)
        self.deadlines = DeadlineHeap(opened.deadlines)
        stored = table.get(partition, CLOCK_KEY)
        self.clock = int(stored) if stored else 0
        judged_by = table.get(partition, RECKONING_KEY)
        # Before state schema 2 there was nothing but the built-in calendar.
        self._judged_by = (
            judged_by.decode() if judged_by else BUILT_IN_VERSION if self.keys else engine.reckoning.version
        )
        self._says_so = judged_by is not None

    @property
    def reckons_otherwise(self) -> bool:
        """Return whether tickets are left that may have been judged by another calendar or other limits."""
        return bool(self._to_review) or self._judged_by != self.engine.reckoning.version

    def use(self, engine: Engine) -> None:
        """Judge by another engine from now on; where it reckons time otherwise, a review is wanted of what was judged before."""
        if engine.reckoning.version != self.engine.reckoning.version:
            self._to_review, self.reviewing = None, False
        self.engine = engine

    def next_due(self) -> int | None:
        """Return the instant of the next deadline, in microseconds."""
        return self.deadlines.next_due()

    def pieces(self, records: Sequence[Incoming]) -> Iterator[list[Out]]:
        """Apply a batch piece by piece, most often in one: each writes its touched keys once, and yields what it owes.

        The table must be flushed and the outputs sent before the next piece is asked for: only the last piece can owe anything.
        """
        return in_pieces(records, self._piece)

    def handle(self, records: Sequence[Incoming]) -> list[Out]:
        """Apply a batch of which nothing is durable before all of it is, and return all that it owes."""
        return [out for outs in self.pieces(records) for out in outs]

    def _piece(self, records: Sequence[Incoming]) -> tuple[list[Out], int]:
        """Apply records until they owe enough; return what they owe and how many they were."""
        done = 0
        touched = Touched(self._kept)
        refused: list[Out] = []
        before = self.clock
        last = -1
        source_ts = None
        asked: Incoming | None = None
        erasing: list[tuple[ErasureMessage, Incoming]] = []
        if not self._says_so:
            self._say_so()  # before any state: a crash in between must not make it look older than it is
        for record in records:
            if touched.is_full:
                break
            done += 1
            last, source_ts = record.offset, record.source_ts
            try:
                message = decode(record.value)
            except WireError:
                self._watch.unreadable()
                refused.append(self._quarantine(record, RejectionReason.UNREADABLE, "not a message of this service"))
                continue
            if isinstance(message, ReviewMessage):
                asked = record
            elif isinstance(message, ErasureMessage):
                erasing.append((message, record))
            refused += self._try(touched, message, record)
        # Not to the clock's own instant: a deadline is judged after all events of its instant, and the next batch may have more.
        self._let_time_pass(touched, last, source_ts, before=self.clock)
        if asked is not None:
            refused += self._review(touched, asked, last)
        for erasure, record in erasing:
            refused += self._erase(touched, erasure, record, last)
        refused += self._expire(touched)
        outs = touched.write(self._table, self.partition, _encode)
        self.keys += touched.added
        self._watch.wrote("tickets", self.partition, touched.sizes, touched.changes)
        if self.clock != before:
            self._table.put(self.partition, CLOCK_KEY, str(self.clock).encode())
        return [*refused, *outs], done

    def _apply(self, touched: Touched[TicketState], message: object, record: Incoming) -> None:
        if isinstance(message, TickMessage):
            if self._latest is not None and message.at > self._latest():
                log.error("a tick ahead of this machine's clock was ignored: somebody else sends ticks")
                return
            self.clock = max(self.clock, message.at)
            self._watch.ticked(message.at)
            self._let_time_pass(touched, record.offset, record.source_ts)
            return
        if isinstance(message, FarewellMessage | PartedMessage):
            self._part(touched, message, record)
            return
        if not isinstance(message, EventMessage | MembersMessage | RepeatMessage):
            return
        if self._erasures:
            allowed = message_without(message, self._erasures.knows)
            if allowed is None:
                return
            message = allowed
        state, offset = self._load(touched, message.key, record.offset)
        known = record.offset <= offset
        if isinstance(message, EventMessage) and message.event.at > self.clock:
            # One that is redelivered moves the clock too: its key may have become durable without the clock.
            self._let_time_pass(touched, record.offset, record.source_ts, before=message.event.at)
            self.clock = message.event.at
            state, _ = self._load(touched, message.key, record.offset)
        if known:
            return  # redelivered: it is in the state, and what it owed was sent when the partition was opened
        if isinstance(message, EventMessage) and (why := self._too_late(state, message.event)):
            # Only now: one that was taken before the clock went on comes again after a crash, and is in the state.
            self._watch.too_late()
            touched.owe(message.key, record, self._quarantine(record, RejectionReason.TOO_LATE, why))
            return
        if isinstance(message, RepeatMessage) and self._expiry.has_expired(self.engine, state, self.clock):
            return
        if state.has_parted:
            state = self._expiry.begun_anew(state, message, self.clock)
        step = on_message(self.engine, state, message, self.clock)
        self._change(touched, state, step.state, step.outputs, record.offset, record.source_ts)
        if any(isinstance(output, TooLarge) for output in step.outputs):
            touched.owe(message.key, record, self._quarantine(record, RejectionReason.TOO_LARGE, TOO_LARGE))

    def _part(self, touched: Touched[TicketState], message: FarewellMessage | PartedMessage, record: Incoming) -> None:
        """Take what a root and its child say to each other before they go; nothing of it concerns a ticket that is gone."""
        state, offset = self._load(touched, message.key, record.offset)
        before = self._expiry.before(self.clock)
        if record.offset <= offset or before is None:
            return
        if isinstance(message, FarewellMessage):
            step = on_farewell(self.engine, state, message, before)
        else:
            step = Step(on_parted(state, message), [])
        if step.state is not state or step.outputs:
            self._change(touched, state, step.state, step.outputs, record.offset, record.source_ts)

    def _too_late(self, state: TicketState, event: Event) -> str | None:
        """Return why an event lies too far behind the clock; one that came before, in time, is a double however late it is."""
        late = self._lateness is not None and event.at < self.clock - self._lateness
        old = self._expiry.is_old(event, self.clock)
        if not (late or old) or state.knows(event.event_id):
            return None
        if late:
            return TOO_LATE
        return EXPIRED if self._expiry.has_expired(self.engine, state, self.clock) else None

    def _expire(self, touched: Touched[TicketState]) -> list[Out]:
        """Let go of the tickets of the next slice whose time is over; return what roots ask their children, today or another day."""
        gone, asked = self._expiry.next_slice(self.engine, self.clock, touched.outs, self._watch.broke)
        for key in gone:
            touched.drop(key)  # it was read at most
            self._kept.take(key)
            self._table.delete(self.partition, key.encode())
        if gone:
            self.keys -= len(gone)
            self._watch.expired("tickets", len(gone))
        return [out for one in asked if (out := self._out(one, -1, None))]

    def _try(self, touched: Touched[TicketState], message: object, record: Incoming) -> list[Out]:
        """Apply a message; what it breaks on is quarantined and the next one proceeds. A step is pure: a broken one changed nothing."""
        try:
            self._apply(touched, message, record)
        except (PartitionLostError, TableError, MemoryError):
            raise
        except Exception as broken:
            return touched.owe(getattr(message, "key", None), record, self._poison(record, broken, "on it"))
        return []

    def _load(self, touched: Touched[TicketState], key: str, at: int) -> tuple[TicketState, int]:
        """Return a ticket's state and the offset of the last record in it; `at` is the offset of what it is loaded for."""
        known = touched.find(key)
        if known is None:
            stored = self._table.get(self.partition, key.encode())
            known = touched.load(key, stored, lambda one: self._expiry.new(one, self.clock), decode_state)
        if self._erasures.under_way:
            return self._forget(touched, known[0], at), known[1]
        return known

    def _forget(self, touched: Touched[TicketState], state: TicketState, offset: int) -> TicketState:
        """Return a ticket's state without the citizens who are being forgotten; what follows from it is said."""
        citizens = self._erasures.under_way
        try:
            step, removed = forget(self.engine, state, citizens, self.clock)
        except MemoryError:
            raise
        except Exception as broken:  # it is freed all the same, and judged with its next event
            self._watch.broke(broken)
            after, removed = state_without(state, citizens)
            step = Step(after, [])
        if not removed:
            return state
        for citizen in citizens:
            one = state_without(state, (citizen,))[1]
            if one:
                self._erasures.count(citizen, one)
        self._change(touched, state, step.state, step.outputs, offset, None)
        return step.state

    def _let_time_pass(
        self, touched: Touched[TicketState], offset: int, source_ts: int | None, before: int | None = None
    ) -> None:
        limit = self.clock if before is None else before - 1
        while due := self.deadlines.pop(limit):
            due_at, key = due
            state, _ = self._load(touched, key, offset)
            if state.due_at != due_at:
                continue  # it was moved since
            try:
                step = on_time(self.engine, state, due_at)
            except MemoryError:
                raise
            except Exception as broken:
                # No record is at fault, so the ticket's id stands for one. The next start tries again.
                record = Incoming(offset, key.encode(), source_ts)
                touched.owe(key, record, self._poison(record, broken, "as time passed"))
                continue
            self._change(touched, state, step.state, step.outputs, offset, source_ts)

    def _review(self, touched: Touched[TicketState], record: Incoming, offset: int) -> list[Out]:
        """Judge some tickets again by the reckoning in force, and ask for the next slice; after the last one say that all are."""
        if self._to_review is None:
            keys = (key for key, _ in self._table.partition_items(self.partition) if not key.startswith(RESERVED))
            self._to_review = deque(key.decode() for key in keys) if self.reckons_otherwise else deque()
        for _ in range(min(REVIEW_SLICE, len(self._to_review))):
            key = self._to_review.popleft()
            state, _ = self._load(touched, key, offset)
            try:
                step = review(self.engine, state, self.clock)
            except MemoryError:
                raise
            except Exception as broken:
                # No record is at fault; the ticket keeps what it said until its next event.
                at_fault = Incoming(offset, key.encode(), record.source_ts)
                touched.owe(key, at_fault, self._poison(at_fault, broken, "as time was reckoned anew"))
                continue
            if step.state is not state:
                self._change(touched, state, step.state, step.outputs, offset, None)
        if self._to_review:
            return [Out(self._topics.tickets, self.partition, "review", encode(ReviewMessage()), None)]
        if self.reckons_otherwise:
            self._judged_by = self.engine.reckoning.version
            self._say_so()
            log.info("partition %d: every ticket is judged by %s", self.partition, self._judged_by)
        self.reviewing = False
        return []

    def _erase(
        self, touched: Touched[TicketState], message: ErasureMessage, record: Incoming, offset: int
    ) -> list[Out]:
        """Begin to forget a citizen, or do the next slice of it, and ask for the one after; after the last one say that it is done."""
        citizen, erasures = message.key, self._erasures
        if citizen not in erasures.under_way or not message.goes_on:
            if message.goes_on and erasures.is_done(citizen, message.request):
                return []  # it was asked for twice
            erasures.begin(citizen, message.request)
        else:
            keys, at_the_end = erasures.next_slice(citizen)
            for key in keys:
                state, last = self._load(touched, key, offset)
                if last < 0:
                    continue  # it has expired since the slice was read
                # Once more where nothing was left to remove: what the ticket owed lies in its value too.
                self._change(touched, state, state, [], offset, None)
            if at_the_end:
                erasures.end(citizen)
                log.info("partition %d: a citizen is forgotten, request %s", self.partition, message.request)
                return []
        go_on = encode(message._replace(goes_on=True))
        return [Out(self._topics.tickets, self.partition, "erasure", go_on, None)]

    def _say_so(self) -> None:
        self._table.put(self.partition, RECKONING_KEY, self._judged_by.encode())
        self._says_so = True

    def _change(
        self,
        touched: Touched[TicketState],
        before: TicketState,
        state: TicketState,
        outputs: list[Output],
        offset: int,
        source_ts: int | None,
    ) -> None:
        self.deadlines.move(state.ticket_id, before.due_at, state.due_at)
        offset = max(offset, touched.offsets.get(state.ticket_id, -1))
        touched.change(
            state.ticket_id, state, offset, (out for one in outputs if (out := self._out(one, offset, source_ts)))
        )

    def _out(self, output: Output, offset: int, source_ts: int | None) -> Out | None:
        topics = self._topics
        to: Callable[[str], int] = lambda key: partition_of(key, topics.partitions)  # noqa: E731
        match output:
            case Alert():
                self._watch.warned(output)
                return Out(
                    topics.alerts, to(output.case_id), output.case_id, output.model_dump_json().encode(), source_ts
                )
            case ClaimMessage():
                return Out(topics.citizens, to(output.key), output.key, encode(output), source_ts)
            case MembersMessage() | FarewellMessage() | PartedMessage():
                return Out(topics.tickets, to(output.key), output.key, encode(output), source_ts)
            case RefusedMerge():
                self._watch.alarmed(output)
                record = Incoming(offset, output.event_id.encode(), source_ts)
                return self._quarantine(record, RejectionReason.MERGE_CYCLE, "the merge closes a circle of tickets")
            case ConflictingBody() | TooLarge():  # of the latter the record itself goes into quarantine
                self._watch.alarmed(output)
                return None

    def _poison(self, record: Incoming, broken: Exception, when: str) -> Out:
        self._watch.broke(broken)
        return self._quarantine(record, RejectionReason.POISON, f"a rule or fold broke {when}: {type(broken).__name__}")

    def _quarantine(self, record: Incoming, reason: RejectionReason, detail: str) -> Out:
        return quarantine(self._topics, self._topics.tickets, self.partition, record, Refusal(reason, detail))


def _encode(state: TicketState) -> tuple[int | None, int | None, bytes]:
    since = latest_of(state) if state.due_at is None else None
    return state.due_at, since, encode_state(state)
