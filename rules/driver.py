"""The driver: the whole core in one process, with no broker. Events in, warnings out, the clock moved by hand.

It passes messages between tickets and citizens as the live topics do, each to the end before the next event, and keeps the same deadline
heap. Backtests, `explain` and tests run on it; what it says is what the live service says.
"""

from collections import deque

from models.alert import Alert
from rules.citizens import CitizenState, on_claim
from rules.deadline_heap import DeadlineHeap
from rules.engine import Engine
from rules.event import Event
from rules.matter import MatterConfig
from rules.messages import ClaimMessage, EventMessage, MembersMessage, RepeatMessage
from rules.state import TicketState
from rules.tickets import ConflictingBody, Output, RefusedMerge, TooLarge, on_event, on_message, on_time, review

Message = EventMessage | MembersMessage | RepeatMessage | ClaimMessage


class Driver:
    """Runs the core over events in the order given."""

    def __init__(self, engine: Engine, matter: MatterConfig | None = None) -> None:
        self.engine = engine
        self.matter = matter or MatterConfig()
        self.tickets: dict[str, TicketState] = {}
        self.citizens: dict[str, CitizenState] = {}
        self.clock = 0
        self.alarms: list[ConflictingBody | RefusedMerge | TooLarge] = []
        self._deadlines = DeadlineHeap([])
        self._queue: deque[Message] = deque()

    def feed(self, event: Event) -> list[Alert]:
        """Take one event, and return the warnings' versions that follow from it, in issue order."""
        issued: list[Alert] = []
        if event.at > self.clock:
            due = self._deadlines.next_due()
            if due is not None and due < event.at:
                issued = self.advance(event.at - 1)
            self.clock = event.at
        state = self.tickets.get(event.ticket_id) or TicketState(event.ticket_id)
        step = on_event(self.engine, state, event, self.clock)
        self._take(state, step.state, step.outputs, issued)
        self._drain(issued)
        return issued

    def advance(self, instant: int) -> list[Alert]:
        """Move the clock to an instant, and return what the deadlines up to it bring."""
        issued: list[Alert] = []
        while due := self._deadlines.pop(instant):
            due_at, ticket_id = due
            state = self.tickets[ticket_id]
            if state.due_at != due_at:
                continue  # it was moved since
            self.clock = max(self.clock, due_at)
            step = on_time(self.engine, state, due_at)
            self._take(state, step.state, step.outputs, issued)
            self._drain(issued)
        self.clock = max(self.clock, instant)
        return issued

    def reckon(self, engine: Engine) -> list[Alert]:
        """Judge every ticket anew by an engine that reckons time otherwise, as the live service does; return what follows from it."""
        self.engine = engine
        issued: list[Alert] = []
        for state in list(self.tickets.values()):
            step = review(engine, state, self.clock)
            self._take(state, step.state, step.outputs, issued)
            self._drain(issued)
        return issued

    def _take(self, before: TicketState, state: TicketState, outputs: list[Output], issued: list[Alert]) -> None:
        self.tickets[state.ticket_id] = state
        self._deadlines.move(state.ticket_id, before.due_at, state.due_at)
        for output in outputs:
            match output:
                case Alert():
                    issued.append(output)
                case ConflictingBody() | RefusedMerge() | TooLarge():
                    self.alarms.append(output)
                case ClaimMessage() | MembersMessage():
                    self._queue.append(output)

    def _drain(self, issued: list[Alert]) -> None:
        while self._queue:
            message = self._queue.popleft()
            if isinstance(message, ClaimMessage):
                citizen = self.citizens.get(message.key) or CitizenState(message.key)
                self.citizens[message.key], answers = on_claim(citizen, message, self.matter)
                self._queue.extend(answers)
                continue
            state = self.tickets.get(message.key) or TicketState(message.key)
            step = on_message(self.engine, state, message, self.clock)
            self._take(state, step.state, step.outputs, issued)
