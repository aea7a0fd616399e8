"""What a fold remembers: the pieces of a ticket's history that facts are counted from. Plain records, each pointing to its events."""

from dataclasses import dataclass, field
from typing import NamedTuple

from rules.event import Event
from rules.lifecycle import State
from rules.limits import Limit, Profile
from rules.reckoning import Reckoning, plain_reckoning
from rules.text.result import Finding


@dataclass(slots=True)
class Return:
    """One return of the ticket by a unit (退单): asked for, then approved, denied or still open."""

    event: Event
    unit: str | None
    decision: Event | None = None
    denied: bool = False
    missing: int = 0
    """how many of contact, site check and evidence were said to be missing; what was not said is unknown, never missing"""
    after_designation: bool = False
    after_denial: bool = False
    handed_out_before: int = 0
    """how many times the ticket had been handed to a lead unit by then"""
    limits_passed: int = 0
    """how many times over the time allowed for a return had passed, as far as the city sets one"""
    allowed_until: int | None = None
    """when the time allowed for a return was over; None where the city sets none"""
    last_minute: bool = False
    """less than a tenth of the handling limit was left, or it had passed"""
    incomplete: bool = False
    """one of these was reckoned with a work day that is not announced yet"""


class Moved(NamedTuple):
    """What moved a limit, an approved extension or what stopped its clock, and the due time it replaced."""

    event: Event
    due: int
    incomplete: bool
    stood: int = 0
    """by how much that due time had been put off because the clock had stood"""


@dataclass(slots=True, eq=False)
class Stop:
    """Something for which the clock of a unit's limits stands where the city says so: a suspension, or a return if it is denied."""

    since: Event
    unit: str | None
    until: Event | None = None
    asked: Return | None = None
    """of a return: it, whose decision ends the stop"""


class Stood(NamedTuple):
    """A time for which a limit's clock stood."""

    stop: Stop
    start: int
    end: int | None
    """None: it stands"""
    amount: int = 0
    """how much of the limit's kind of time that was: microseconds, or whole days"""
    due: int = 0
    """to when the limit was put off by it"""


@dataclass(slots=True)
class Stoppable:
    """What a limit is reckoned from whose clock can be stopped."""

    due: int
    incomplete: bool
    """as it was laid"""
    extensions: list[tuple[Event, int]] = field(default_factory=list)
    """approved ones, and the times they name"""
    stops: list[Stop] = field(default_factory=list)
    stood: list[Stood] = field(default_factory=list)
    """the times for which it stood, as far as it was not due by then"""


@dataclass(slots=True)
class Deadline:
    """One time limit laid on a unit: a lead dispatch, a redo or a rejected review with a limit."""

    event: Event
    unit: str | None
    start: int
    """since when it counts"""
    due: int
    incomplete: bool = False
    """a work day was counted that is not announced yet"""
    limit: Limit | None = None
    """as it was given or configured; None where the due time itself was given"""
    profile: Profile | None = None
    """where it comes from, where the event carried none"""
    ended_at: int | None = None
    ended_by: Event | None = None
    resolved_later: bool = False
    """the ticket was resolved after the limit was laid: that it had been near is no matter any more"""
    moved: list[Moved] = field(default_factory=list)
    stoppable: Stoppable | None = None
    """where the city lets its clock be stopped"""
    stood: int = 0
    """by how much the due time was put off because the clock stood"""
    runs_since: int = 0
    """when the clock ran on after it had stood last"""


@dataclass(slots=True)
class Acceptance:
    """The time allowed for taking a dispatched ticket in hand (签收时限)."""

    event: Event
    unit: str | None
    limit: Limit
    profile: Profile
    urgent: bool
    due: int
    incomplete: bool
    ended_at: int | None = None
    ended_by: Event | None = None
    starts: Deadline | None = None
    """the handling limit that counts from the acceptance"""


@dataclass(slots=True)
class Ending:
    """Something that ends time limits: a return, a recall, or a stop of the whole ticket (`unit` is None)."""

    event: Event
    unit: str | None
    asked: Return | None = None
    stops: bool = False
    laid: int = 0
    """how many limits had been laid by then"""


@dataclass(slots=True)
class Holding:
    """A time during which one unit had the ticket in hand."""

    unit: str | None
    since: Event
    until: Event | None = None


class Trick(NamedTuple):
    """Two events that together stop or reset a clock, or change a rating: what was, and what was done about it."""

    before: Event
    after: Event
    incomplete: bool = False
    """the limit that it plays with was reckoned with a work day that is not announced yet"""


@dataclass(slots=True)
class WaitingSpan:
    """A time during which the citizen waited for a result."""

    since: Event
    until: Event | None = None


@dataclass(slots=True)
class Ticket:
    """One ticket of a lineage."""

    ticket_id: str
    registered: Event | None = None
    citizens: list[str] = field(default_factory=list)
    request_type: str | None = None
    urgency: str | None = None
    category: list[str] = field(default_factory=list)
    place: dict[str, str] = field(default_factory=dict)
    title: str = ""
    content: str = ""
    target_unit: str | None = None
    """the unit that the citizen complains of, where one was given"""
    title_asks: bool = False
    links: list[str] = field(default_factory=list)
    identified: Event | None = None
    """the event that said last who the citizen is"""
    located: Event | None = None
    """the event that said last where it is, or which project it belongs to"""
    state: State = State.NEW
    unexpected: list[Event] = field(default_factory=list)
    test: bool = False
    known: bool = False
    withdrawn: Event | None = None
    voided: Event | None = None
    merged: Event | None = None
    waits: bool = False
    unreasonable: Event | None = None
    """the resolution that found the demand unreasonable, while no review rejected it"""
    unreasonable_reviewed: bool = False


@dataclass(slots=True)
class Visit:
    """One follow-up visit."""

    event: Event
    dissatisfied: bool
    after_redo: bool


@dataclass(slots=True)
class Spoken:
    """What one text of a ticket tells of: a title, a content, or the comment of one visit."""

    event: Event
    field: str
    findings: tuple[Finding, ...]
    private: tuple[str, ...]


@dataclass(slots=True)
class Lineage:
    """The folded history of a ticket and of everything merged into it."""

    root: str
    events: list[Event]
    reckoning: Reckoning = field(default_factory=plain_reckoning)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    start: Event | None = None
    """the first registration, with which the citizen's wait began"""
    returns: list[Return] = field(default_factory=list)
    denials: list[Event] = field(default_factory=list)
    denied_units: set[str | None] = field(default_factory=set)
    designations: list[Event] = field(default_factory=list)
    deadlines: list[Deadline] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    acceptances: list[Acceptance] = field(default_factory=list)
    stoppable: bool = False
    """the clock of a limit can be stopped"""
    suspended: list[Stop] = field(default_factory=list)
    """the suspensions for which the clocks of limits stand"""
    awaited: int = 0
    """acceptances that have not come yet"""
    incomplete: bool = False
    """a limit was reckoned with a work day that is not announced yet"""
    holdings: list[Holding] = field(default_factory=list)
    again: list[Holding] = field(default_factory=list)
    """times during which a unit had the ticket in hand again: a redo, a rejected review"""
    pauses: list[Holding] = field(default_factory=list)
    """times during which a unit had it suspended"""
    waiting: list[WaitingSpan] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    rating_changes: list[Event] = field(default_factory=list)
    ratings: dict[str, Event] = field(default_factory=dict)
    """by ticket: what said its rating last, a visit or a change"""
    improved: list[Trick] = field(default_factory=list)
    """ratings changed from dissatisfied to a better one"""
    uncontacted: list[Event] = field(default_factory=list)
    """visits after a resolution in which the citizen said that nobody had been in touch"""
    redos: list[Event] = field(default_factory=list)
    extensions_asked: list[Event] = field(default_factory=list)
    extensions: list[Event] = field(default_factory=list)
    extensions_denied: list[Event] = field(default_factory=list)
    resolutions: list[Event] = field(default_factory=list)
    contacts: list[Event] = field(default_factory=list)
    hasty: list[Event] = field(default_factory=list)
    """resolutions within minutes of the dispatch, with nobody contacted"""
    closed_near: tuple[Event, bool] | None = None
    """the resolution that came when a limit was near, while nothing undid it; and whether only unannounced work days made it near"""
    undone: list[Trick] = field(default_factory=list)
    """such resolutions that were undone within days"""
    extended_late: list[Trick] = field(default_factory=list)
    """what laid a limit that had passed when its extension was asked for, and the extension"""
    recalled: dict[str | None, Event] = field(default_factory=dict)
    """by unit: its recall, while the ticket was in nobody else's hand since"""
    handed_back: list[Trick] = field(default_factory=list)
    """recalls from a unit after which the same unit got the ticket again"""
    supervised: list[Event] = field(default_factory=list)
    urged: list[Event] = field(default_factory=list)
    suspensions: list[Event] = field(default_factory=list)
    ping_pong: list[Event] = field(default_factory=list)
    texts: dict[tuple[str, str], Spoken] = field(default_factory=dict)
    """by ticket and field (of a comment, its event): the texts that tell of anything"""
    text_facts: tuple[object, list[int | bool | str]] | None = None
    """the plan and the facts about texts, while no event has changed what they tell of or how it is meant"""
    retold: list[Event] = field(default_factory=list)
    """the events after which a text that told of something was another, or was meant otherwise"""
    sealed: Event | None = None
    """what was said of somebody above this office's authority: nothing of the case is judged here"""
    unit_names: dict[str, str] = field(default_factory=dict)
    known: int = 0
    """tickets of which there is an event"""
    unexpected: int = 0
    """events that the table of the ticket's life does not foresee"""
    complains: bool | None = None
    """whether any ticket counts as a complaint, while no event has changed that"""
    claimed: dict[str, str] | None = None
    """the digests of what is claimed of citizens' tables, while no event has changed that"""

    @property
    def voided(self) -> Event | None:
        """Return what voided the case: the root's voiding, or the last one where every ticket that anything is known of is voided."""
        root = self.tickets[self.root]
        if root.voided is not None:
            return root.voided
        known = [ticket for ticket in self.tickets.values() if ticket.known]
        if not known or any(ticket.voided is None for ticket in known):
            return None
        return known[-1].voided
