"""The ticket's life as one table: which event may follow in which state, and which state it leads to.

The table is the one of the domain brief's §1.3 with what its rows imply: designation ends a dispute about who is responsible, and a
unit that starts to work has accepted. An event the table does not foresee is folded all the same and flagged `unexpected_transition`:
a hotline's records are never dropped because they look odd. docs/lifecycle.md shows the diagram, generated from here.
"""

from enum import StrEnum

from models.ticket_event import EventType as E


class State(StrEnum):
    """Where a ticket stands."""

    NEW = "new"
    REGISTERED = "registered"
    REJECTED = "rejected"
    TRANSFERRED = "transferred"
    DIRECT_CLOSED = "direct_closed"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    SUB_DISPATCHED = "sub_dispatched"
    RETURN_REQUESTED = "return_requested"
    RETURNED = "returned"
    RETURN_DENIED = "return_denied"
    DESIGNATED = "designated"
    RECALLED = "recalled"
    IN_PROGRESS = "in_progress"
    EXTENSION_REQUESTED = "extension_requested"
    SUSPENDED = "suspended"
    RESOLVED = "resolved"
    REVIEW_REJECTED = "review_rejected"
    VISITED = "visited"
    REDO = "redo"
    ARCHIVED = "archived"
    WITHDRAWN = "withdrawn"
    MERGED = "merged"
    VOIDED = "voided"


STATE_TITLES: dict[State, str] = {
    State.NEW: "未登记",
    State.REGISTERED: "已登记",
    State.REJECTED: "不予受理",
    State.TRANSFERRED: "转专线",
    State.DIRECT_CLOSED: "直办",
    State.DISPATCHED: "已派单",
    State.ACCEPTED: "已签收",
    State.SUB_DISPATCHED: "已转办下级",
    State.RETURN_REQUESTED: "退单申请中",
    State.RETURNED: "退单成立",
    State.RETURN_DENIED: "退单驳回",
    State.DESIGNATED: "指定承办",
    State.RECALLED: "已撤回派单",
    State.IN_PROGRESS: "办理中",
    State.EXTENSION_REQUESTED: "延期申请中",
    State.SUSPENDED: "挂起",
    State.RESOLVED: "已办结",
    State.REVIEW_REJECTED: "审核退回",
    State.VISITED: "已回访",
    State.REDO: "重办",
    State.ARCHIVED: "归档",
    State.WITHDRAWN: "撤诉",
    State.MERGED: "并单",
    State.VOIDED: "作废",
}

LEADS_TO: dict[str, State] = {
    E.REGISTERED: State.REGISTERED,
    E.DIRECT_CLOSED: State.DIRECT_CLOSED,
    E.REJECTED: State.REJECTED,
    E.TRANSFERRED: State.TRANSFERRED,
    E.DISPATCHED: State.DISPATCHED,
    E.RECALLED: State.RECALLED,
    E.ACCEPTED: State.ACCEPTED,
    E.SUB_DISPATCHED: State.SUB_DISPATCHED,
    E.CONTACTED: State.IN_PROGRESS,
    E.SITE_CHECKED: State.IN_PROGRESS,
    E.PROGRESS: State.IN_PROGRESS,
    E.RETURN_REQUESTED: State.RETURN_REQUESTED,
    E.RETURN_APPROVED: State.RETURNED,
    E.RETURN_DENIED: State.RETURN_DENIED,
    E.DESIGNATED: State.DESIGNATED,
    E.EXTENSION_REQUESTED: State.EXTENSION_REQUESTED,
    E.EXTENSION_APPROVED: State.IN_PROGRESS,
    E.EXTENSION_DENIED: State.IN_PROGRESS,
    E.SUSPENDED: State.SUSPENDED,
    E.RESUMED: State.IN_PROGRESS,
    E.RESOLVED: State.RESOLVED,
    E.REVIEW_REJECTED: State.REVIEW_REJECTED,
    E.REDO_ORDERED: State.REDO,
    E.VISITED: State.VISITED,
    E.ARCHIVED: State.ARCHIVED,
    E.REOPENED: State.REGISTERED,
    E.WITHDRAWN: State.WITHDRAWN,
    E.MERGED: State.MERGED,
    E.VOIDED: State.VOIDED,
}

# Said of a ticket in any state, without changing it.
REMARKS = frozenset({E.URGED, E.AMENDED, E.LINKED, E.SATISFACTION_CHANGED, E.SUPERVISED})
# May end a ticket from any state but its end.
ENDS_ANYWHERE = frozenset({E.WITHDRAWN, E.MERGED, E.VOIDED})

_WORK = frozenset({E.CONTACTED, E.SITE_CHECKED, E.PROGRESS, E.RESOLVED, E.EXTENSION_REQUESTED, E.SUSPENDED})
_HANDED_OUT = frozenset({E.ACCEPTED, E.RETURN_REQUESTED, E.RECALLED, E.SUB_DISPATCHED}) | _WORK
_END: frozenset[str] = frozenset()

ALLOWED: dict[State, frozenset[str]] = {
    State.NEW: frozenset({E.REGISTERED}),
    State.REGISTERED: frozenset({E.DIRECT_CLOSED, E.DISPATCHED, E.REJECTED, E.TRANSFERRED, E.DESIGNATED}),
    State.REJECTED: frozenset({E.REGISTERED}),
    State.TRANSFERRED: _END,
    State.DIRECT_CLOSED: frozenset({E.VISITED, E.ARCHIVED}),
    State.DISPATCHED: _HANDED_OUT | {E.DISPATCHED, E.DESIGNATED},
    State.ACCEPTED: _WORK | {E.RETURN_REQUESTED, E.SUB_DISPATCHED, E.RECALLED, E.DISPATCHED},
    State.SUB_DISPATCHED: _WORK | {E.ACCEPTED, E.SUB_DISPATCHED, E.RETURN_REQUESTED},
    State.RETURN_REQUESTED: frozenset({E.RETURN_APPROVED, E.RETURN_DENIED, E.DESIGNATED}),
    State.RETURNED: frozenset({E.DISPATCHED, E.DESIGNATED}),
    State.RETURN_DENIED: _HANDED_OUT | {E.DESIGNATED},
    State.DESIGNATED: (_HANDED_OUT | {E.DISPATCHED}) - {E.RETURN_REQUESTED, E.RECALLED},
    State.RECALLED: frozenset({E.DISPATCHED, E.DESIGNATED}),
    State.IN_PROGRESS: _WORK | {E.SUB_DISPATCHED, E.RETURN_REQUESTED, E.DISPATCHED, E.RECALLED},
    State.EXTENSION_REQUESTED: frozenset({E.EXTENSION_APPROVED, E.EXTENSION_DENIED}),
    State.SUSPENDED: frozenset({E.RESUMED}),
    State.RESOLVED: frozenset({E.REVIEW_REJECTED, E.VISITED, E.ARCHIVED}),
    State.REVIEW_REJECTED: _HANDED_OUT | {E.DISPATCHED},
    State.VISITED: frozenset({E.VISITED, E.ARCHIVED, E.REDO_ORDERED}),
    State.REDO: _HANDED_OUT | {E.DISPATCHED},
    State.ARCHIVED: frozenset({E.REOPENED}),
    State.WITHDRAWN: frozenset({E.ARCHIVED}),
    State.MERGED: frozenset({E.ARCHIVED}),
    State.VOIDED: _END,
}

_FINAL = frozenset({State.VOIDED, State.MERGED, State.WITHDRAWN, State.TRANSFERRED})

SETTLED = _FINAL | {
    State.NEW,
    State.REJECTED,
    State.DIRECT_CLOSED,
    State.RESOLVED,
    State.VISITED,
    State.ARCHIVED,
}
"""where nobody has anything to do, unless the citizen still waits; of a ticket that is new nothing is known but remarks"""


def next_state(state: State, event_type: str) -> tuple[State, bool]:
    """Return the state after an event, and whether the table foresees that event in this state."""
    if event_type in REMARKS:
        return state, True
    target = LEADS_TO.get(event_type)
    if target is None:
        return state, True  # an unknown type: kept, counted, without effect
    expected = event_type in ALLOWED[state] or (event_type in ENDS_ANYWHERE and state not in _FINAL)
    return target, expected


def mermaid() -> str:
    """Return the life as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2"]
    lines += [
        f"    {state.value}: {state.value}<br/>{STATE_TITLES[state]}" for state in State if state is not State.NEW
    ]
    for state in State:
        for event_type in sorted(ALLOWED[state]):
            source = "[*]" if state is State.NEW else state.value
            target = LEADS_TO[event_type].value
            label = "" if event_type == target else f": {event_type}"
            lines.append(f"    {source} --> {target}{label}")
    return "\n".join(lines) + "\n"
