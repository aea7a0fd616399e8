"""The driver: the whole core in one process, with no broker. Events in, warnings out, the clock moved by hand.

It passes messages between tickets and citizens as the live topics do, each to the end before the next event, and keeps the same deadline
heap. Backtests, `explain` and tests run on it; what it says is what the live service says.
"""

import heapq
from collections import deque
from collections.abc import Iterator

from models.alert import Alert
from rules.citizens import CitizenState, on_claim
from rules.engine import Engine
from rules.event import Event
from rules.matter import MatterConfig
from rules.messages import ClaimMessage, EventMessage, MembersMessage, RepeatMessage
from rules.state import TicketState
from rules.tickets import ConflictingBody, Output, RefusedMerge, on_event, on_message, on_time

Message = EventMessage | MembersMessage | RepeatMessage | ClaimMessage


class Driver:
    """Runs the core over events in the order given."""

    def __init__(self, engine: Engine, matter: MatterConfig | None = None) -> None:
        self.engine = engine
        self.matter = matter or MatterConfig()
        self.tickets: dict[str, TicketState] = {}
        self.citizens: dict[str, CitizenState] = {}
        self.clock = 0
        self.alarms: list[ConflictingBody | RefusedMerge] = []
        self._heap: list[tuple[int, str]] = []
        self._queue: deque[Message] = deque()

    def feed(self, event: Event) -> Iterator[Alert]:
        """Take one event, and yield the warnings' versions that follow from it, in issue order."""
        if event.at > self.clock:
            yield from self.advance(event.at - 1)
            self.clock = event.at
        state = self.tickets.get(event.ticket_id) or TicketState(event.ticket_id)
        step = on_event(self.engine, state, event, self.clock)
        yield from self._take(step.state, step.outputs)
        yield from self._drain()

    def advance(self, instant: int) -> Iterator[Alert]:
        """Move the clock to an instant, and yield what the deadlines up to it bring."""
        while self._heap and self._heap[0][0] <= instant:
            due_at, ticket_id = heapq.heappop(self._heap)
            state = self.tickets[ticket_id]
            if state.due_at != due_at:
                continue  # it was moved since
            self.clock = max(self.clock, due_at)
            step = on_time(self.engine, state, due_at)
            yield from self._take(step.state, step.outputs)
            yield from self._drain()
        self.clock = max(self.clock, instant)

    def _take(self, state: TicketState, outputs: list[Output]) -> Iterator[Alert]:
        before = self.tickets.get(state.ticket_id)
        self.tickets[state.ticket_id] = state
        if state.due_at is not None and (before is None or before.due_at != state.due_at):
            heapq.heappush(self._heap, (state.due_at, state.ticket_id))
        for output in outputs:
            match output:
                case Alert():
                    yield output
                case ConflictingBody() | RefusedMerge():
                    self.alarms.append(output)
                case _:
                    self._queue.append(output)

    def _drain(self) -> Iterator[Alert]:
        while self._queue:
            message = self._queue.popleft()
            if isinstance(message, ClaimMessage):
                citizen = self.citizens.get(message.key) or CitizenState(message.key)
                self.citizens[message.key], answers = on_claim(citizen, message, self.matter)
                self._queue.extend(answers)
                continue
            state = self.tickets.get(message.key) or TicketState(message.key)
            step = on_message(self.engine, state, message, self.clock)
            yield from self._take(step.state, step.outputs)
