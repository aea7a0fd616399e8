"""What was joined from reference data at intake (rules/reference.py), as facts and evidence. Only events are asked, never the tables."""

from collections.abc import Iterable, Sequence
from typing import Any

from models.alert import Evidence
from models.base import Family
from models.reference import ReferenceTable
from models.times import format_instant
from models.units import KIND_TITLES, UnitKind
from rules.event import Event
from rules.fact import Fact
from rules.history import Lineage, Ticket
from rules.reference import JOINED
from rules.views import View

FREQUENT_CALLER = "frequent_caller"
"""the flag of warnings that count a frequent caller's complaints"""
CALLER_FACTS = "caller."
"""how the paths begin of facts that a flag on a citizen makes"""
_UNITS, _CITIZENS, _PROJECTS = (
    table.value for table in (ReferenceTable.UNITS, ReferenceTable.CITIZENS, ReferenceTable.PROJECTS)
)


def _said(event: Event | None, table: str) -> list[Any] | None:
    """Return what a table was found to say of an event: its version, then the values."""
    if event is None:
        return None
    joined: dict[str, list[Any]] = event.data.get(JOINED, {})
    return joined.get(table)


def _complaining(lineage: Lineage) -> list[Ticket]:
    return [ticket for ticket in lineage.tickets.values() if ticket.registered is not None and ticket.voided is None]


def flagged(lineage: Lineage) -> list[Event]:
    """Return the events that named a citizen who is flagged as a frequent caller."""
    events = [ticket.identified for ticket in _complaining(lineage)]
    return [event for event in events if event is not None and _is_flagged(event)]


def _is_flagged(event: Event | None) -> bool:
    said = _said(event, _CITIZENS)
    return said is not None and bool(said[1])


def is_frequent_caller(lineage: Lineage) -> bool:
    """Tell whether all complaints of the lineage come from frequent callers: beside anybody else's the flag says nothing."""
    found = False
    for ticket in lineage.tickets.values():
        if ticket.registered is not None and ticket.voided is None:
            if not _is_flagged(ticket.identified):
                return False
            found = True
    return found


def _calls(lineage: Lineage) -> int:
    found = (_said(ticket.identified, _CITIZENS) for ticket in _complaining(lineage))
    return max((said[2] for said in found if said is not None), default=0)


def _located(lineage: Lineage) -> Event | None:
    """Return the event by which the lineage belongs to a project: its root's, else the first that there is."""
    tickets = sorted(_complaining(lineage), key=lambda ticket: ticket.ticket_id != lineage.root)
    return next((ticket.located for ticket in tickets if _said(ticket.located, _PROJECTS)), None)


def _located_events(view: View) -> list[Event]:
    event = _located(view.lineage)
    return [event] if event is not None else []


def _of_project(lineage: Lineage, place: int) -> str:
    said = _said(_located(lineage), _PROJECTS)
    return (said[place] or "") if said else ""


def _of_lead(lineage: Lineage, place: int) -> str:
    said = _said(lineage.holdings[-1].since, _UNITS) if lineage.holdings else None
    return (said[place] or "") if said else ""


def _lead_events(view: View) -> list[Event]:
    return [view.lineage.holdings[-1].since] if _of_lead(view.lineage, 0) else []


def versions(events: Iterable[Event]) -> list[str]:
    """Return the versions of all tables that were joined to the events, each once, sorted."""
    return sorted({said[0] for event in events for said in event.data.get(JOINED, {}).values()})


FACTS_OF_REFERENCE: tuple[Fact, ...] = (
    Fact(
        "caller.frequent",
        "bool",
        "every complaint of the lineage is by a citizen whom the reference table `citizens` flags as a frequent caller (频繁来电人)",
        lambda view: is_frequent_caller(view.lineage),
        lambda view: flagged(view.lineage),
        lambda view: flagged(view.lineage),
    ),
    Fact(
        "caller.calls",
        "int",
        "how often the citizen called, in the count of the table `citizens`; of several the most; 0 where nothing is said",
        lambda view: _calls(view.lineage),
        lambda view: flagged(view.lineage),
    ),
    Fact(
        "project.id",
        "string",
        "the project of the table `projects` to which the ticket belongs, by id or by place and category; empty: none",
        lambda view: _of_project(view.lineage, 1),
        _located_events,
    ),
    Fact(
        "project.name",
        "string",
        "the name of that project (项目名称)",
        lambda view: _of_project(view.lineage, 2),
        _located_events,
    ),
    Fact(
        "project.kind",
        "string",
        "its kind, in the table's own words (项目类型)",
        lambda view: _of_project(view.lineage, 3),
        _located_events,
    ),
    Fact(
        "lead.kind",
        "string",
        "what the table `units` says the lead unit that got the ticket last is: department, subdistrict, township, enterprise, …",
        lambda view: _of_lead(view.lineage, 1),
        _lead_events,
        of="holdings",
    ),
    Fact(
        "lead.level",
        "string",
        "its level: province, city, county, township",
        lambda view: _of_lead(view.lineage, 2),
        _lead_events,
        of="holdings",
    ),
    Fact(
        "reference.versions",
        "string",
        "the versions of the reference tables that were joined to the lineage's events, as in `units@1a2b3c4d5e6f`, by commas",
        lambda view: ",".join(versions(view.lineage.events)),
    ),
)

_COUNTS_CALLERS = ("repeat.", CALLER_FACTS, "sham.complained_again", "sham.signs")


def counts_callers(paths: Iterable[str]) -> bool:
    """Tell whether a rule that reads these facts counts a citizen's complaints: only there a flag on the citizen is anybody's business."""
    return any(path.startswith(_COUNTS_CALLERS) for path in paths)


def reference_evidence(lineage: Lineage, told: Sequence[Event], paths: Iterable[str], family: Family) -> list[Evidence]:
    """Return what reference data adds to a warning that tells of some events, each with the version of its table."""
    found = []
    named = [event for event in told if (said := _said(event, _UNITS)) and said[3]]
    if named:
        by = "、".join(versions_of_units(named))
        kinds = "、".join(dict.fromkeys(_unit_told(event) for event in named))
        found.append(_evidence(named[-1], f"参考数据({by}):补全承办单位名称:{kinds}"))
    if counts_callers(paths):
        for event in flagged(lineage):
            version, _, calls = _said(event, _CITIZENS) or ("", False, 0)
            often = f",累计来电{calls}次" if calls else ""
            found.append(_evidence(event, f"参考数据({version}):诉求人标记为频繁来电人{often};是否合理诉求由人工判断"))
    located = _located(lineage) if family is not Family.TEXT else None
    if located is not None:
        version, key, name, kind = _said(located, _PROJECTS) or ("", "", "", None)
        found.append(_evidence(located, f"参考数据({version}):属于项目“{name}”({key}{f',{kind}' if kind else ''})"))
    return found


def versions_of_units(events: Iterable[Event]) -> list[str]:
    """Return the versions of the table of units that were joined to the events."""
    return sorted({said[0] for event in events if (said := _said(event, _UNITS))})


def _unit_told(event: Event) -> str:
    said = _said(event, _UNITS)
    kind = f"({KIND_TITLES[UnitKind(said[1])]})" if said and said[1] in KIND_TITLES else ""
    return f"{event.unit_name}{kind}"


def _evidence(event: Event, what: str) -> Evidence:
    return Evidence(event_id=event.event_id, occurred_at=format_instant(event.at), what=what)
