"""Random histories: a few tickets of a few citizens, any events in any order, merges in chains and circles."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.builders import body, time_of

TICKETS = ("A", "B", "C", "D")
UNITS = ("U-1", "U-2", "U-3")
CITIZENS = ("c-1", "c-2")
MATTERS = (
    (["城乡建设", "供水"], "自来水压力低", "三楼以上没有水"),
    (["城乡建设", "供水"], "自来水又没有水", "三楼以上还是没有水"),
    (["生态环境", "噪声"], "工地夜间噪音", "工地夜间施工噪音大"),
    (["纪检监察", "基层"], "反映村干部", "村书记吃拿卡要，2025年3月在村委会收了我家两万元红包，有录音"),
)
COMMENTS = (None, "城管不作为，只说在走流程", "办得很快，谢谢")
AMENDMENTS = (
    {"request_type": "praise"},
    {"repeat_of": "A"},
    {"citizen": {"key": "c-2"}},
    {"content": "村书记吃拿卡要，开证明要钱，有收据"},
    {"content": "三楼以上没有水", "request_type": "consultation"},
)
GRADES = ("satisfied", "dissatisfied", "very_dissatisfied", "unreachable")
PLAIN = ("accepted", "contacted", "urged", "suspended", "resumed", "supervised", "archived", "reopened")
_FREQUENT = (
    "dispatched",
    "return_requested",
    "return_denied",
    "designated",
    "resolved",
    "visited",
    "redo_ordered",
    "merged",
)
ENDS = ("withdrawn", "direct_closed", "rejected", "transferred")
SPAN_DAYS = 60
HALF_DAYS = 2 * SPAN_DAYS


_WHENS = st.integers(0, HALF_DAYS).map(lambda half: half / 2)


def whens() -> st.SearchStrategy[float]:
    """Times on a coarse grid, so that many fall together."""
    return _WHENS


@st.composite
def steps(draw: st.DrawFn, tickets: tuple[str, ...]) -> tuple[str, str, float, dict[str, Any]]:
    """One event without its id: ticket, type, time, fields."""
    ticket, when, unit, kind = draw(_AMONG[tickets]), draw(_WHENS), draw(_UNITS), draw(_KINDS)
    return ticket, kind, when, {name: draw(value) for name, value in _FIELDS[kind](ticket, unit, when).items()}


# Made once: to make a strategy takes longer than to draw from it.
_JUST = {unit: st.just(unit) for unit in UNITS}
_MAYBE = {unit: st.sampled_from((unit, None)) for unit in UNITS}
_LIMITS = st.sampled_from(({"value": 3, "unit": "days"}, {"value": 5, "unit": "work_days"}, None))
_ROLES = st.sampled_from(("lead", "assist"))
_SAID, _CODES = st.sampled_from((None, True, False)), st.sampled_from((None, "R1", "R3"))
_APPEAL = st.sampled_from((None, "unreasonable"))
_RATING = {"result": st.sampled_from(GRADES), "comment": st.sampled_from(COMMENTS)}
_AMONG = {tickets: st.sampled_from(tickets) for tickets in (TICKETS[:count] for count in range(1, len(TICKETS) + 1))}
_INTO, _AMENDED, _UNITS = _AMONG[TICKETS], st.sampled_from(AMENDMENTS), st.sampled_from(UNITS)
_REGISTERED = {
    "citizen": st.sampled_from(CITIZENS).map(lambda key: {"key": key}),
    "request_type": st.sampled_from(("complaint", "help", "consultation", "praise")),
    "matter": st.sampled_from(MATTERS),
}


def _due(ticket: str, unit: str, when: float) -> dict[str, st.SearchStrategy[Any]]:
    return {"unit": _JUST[unit], "limit": _LIMITS}


def _unit(ticket: str, unit: str, when: float) -> dict[str, st.SearchStrategy[Any]]:
    return {"unit": _MAYBE[unit]}


def _return(ticket: str, unit: str, when: float) -> dict[str, st.SearchStrategy[Any]]:
    return {"unit": _JUST[unit], "contacted": _SAID, "site_checked": _SAID, "evidence": _SAID, "reason_code": _CODES}


_FIELDS: dict[str, Any] = {
    "registered": lambda t, u, w: _REGISTERED,
    "dispatched": lambda t, u, w: _due(t, u, w) | {"role": _ROLES},
    "return_requested": _return,
    "return_approved": _unit,
    "return_denied": _unit,
    "designated": _unit,
    "recalled": _unit,
    "extension_requested": lambda t, u, w: {"until": st.just(time_of(w + 6))},
    "extension_approved": lambda t, u, w: {"until": st.sampled_from((time_of(w + 5), None))},
    "resolved": lambda t, u, w: {"unit": _JUST[u], "appeal_confirmed": _APPEAL},
    "review_rejected": _due,
    "redo_ordered": _due,
    "visited": lambda t, u, w: _RATING,
    "satisfaction_changed": lambda t, u, w: _RATING,
    "merged": lambda t, u, w: {"into": _INTO},
    "linked": lambda t, u, w: {"to": _INTO},
    "amended": lambda t, u, w: {"fields": _AMENDED},
    "voided": lambda t, u, w: {},
    **dict.fromkeys(PLAIN, _unit),
    **dict.fromkeys(ENDS, lambda t, u, w: {}),
}


_KINDS = st.sampled_from((*_FIELDS, *_FREQUENT * 3))


@cache
def _told(tickets: tuple[str, ...], size_max: int) -> st.SearchStrategy[list[tuple[str, str, float, dict[str, Any]]]]:
    return st.lists(steps(tickets), min_size=size_max // 2, max_size=size_max)


def record_of(number: int, step: tuple[str, str, float, dict[str, Any]]) -> dict[str, Any]:
    """Return a step as a ticket event."""
    ticket, kind, when, fields = step
    given = {name: value for name, value in fields.items() if value is not None}
    if "matter" in given:
        category, title, content = given.pop("matter")
        given |= {"category": category, "title": title, "content": content, "place": {"community": "试社区"}}
    return body(ticket, kind, when, f"{ticket}-{number:02}", **given)


@st.composite
def histories(draw: st.DrawFn, size_max: int = 24, *, seq: bool = False) -> list[dict[str, Any]]:
    """Some ten to twenty events of one to four tickets; most tickets are registered, as in life."""
    tickets = TICKETS[: draw(st.integers(1, len(TICKETS)))]
    told = list(draw(_told(tickets, size_max)))
    for ticket in tickets[draw(st.integers(0, 1)) :]:
        when = draw(st.integers(0, 20).map(lambda half: half / 2))
        citizen, matter = draw(st.sampled_from(CITIZENS)), draw(st.sampled_from(MATTERS))
        fields = {"citizen": {"key": citizen}, "request_type": "complaint", "matter": matter}
        told.append((ticket, "registered", when, fields))
    records = [record_of(number, step) for number, step in enumerate(told)]
    if seq:
        records = [record | {"seq": draw(st.integers(0, 5))} for record in records]
    return records
