"""The facts: what is counted from a ticket lineage's history, for rules to read. Facts are code; rules are data.

Each fact names its value, the events that bear it out (for evidence and trigger) and, where it changes as time passes, the instants at
which it does. docs/facts.md is generated from this table.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rules import deadlines, texts, views, waiting
from rules.event import Event
from rules.fold import UNCLEAR_CODES
from rules.history import Lineage
from rules.texts import Told
from rules.views import Cause, View

Value = int | bool | str
Values = tuple[Value, ...]

Events = Callable[[View], Iterable[Event]]


def _no_events(_: View) -> Iterable[Event]:
    return ()


@dataclass(frozen=True)
class Fact:
    """One fact: `path` as rules write it, its value, and where it comes from."""

    path: str
    kind: Literal["int", "bool", "string"]
    doc: str
    value: Callable[[View], Value] | None
    """None where the engine fills it in"""
    support: Events = _no_events
    """the events that bear the value out"""
    altered: Events = _no_events
    """further events that may have taken something off it"""
    of: str | None = None
    """the piece of history without which the value is neutral"""
    clock: bool = False
    """it changes as time passes"""
    work_days: bool = False
    """it depends on the work-day calendar"""
    causes: Callable[[View, int], Iterable[Cause]] | None = None
    """what brought it to a number (a yes/no fact, to yes), where that is more than its supporting events"""


def _count(name: str, path: str, doc: str) -> Fact:
    def events(view: View) -> list[Event]:
        return [views.event_of(one) for one in getattr(view.lineage, name)]

    return Fact(path, "int", doc, lambda view: len(getattr(view.lineage, name)), events, of=name)


def _text_facts(category: str) -> tuple[Fact, ...]:
    """Return what texts say of one category: its rule decides what level that is."""
    group = category.lower()

    def told(view: View) -> Sequence[Told]:
        return view.telling.get(category, ())

    def events(view: View) -> list[Event]:
        return [one.spoken.event for one in told(view)]

    def altered(view: View) -> list[Event]:
        return view.lineage.retold

    return (
        Fact(
            f"{group}.confidence",
            "int",
            f"how surely the citizen's words tell of {category}, 0–100: cue, actor, hearsay; "
            "at most 40 where it is told without its words (可信度)",
            lambda view: texts.confidence(told(view)),
            events,
            altered,
            of="texts",
        ),
        Fact(
            f"{group}.specificity",
            "int",
            "of time, amount, place, person and evidence, how many stand around it, 0–5 (具体性)",
            lambda view: texts.specificity(told(view)),
            events,
            altered,
            of="texts",
        ),
        Fact(
            f"{group}.severe",
            "bool",
            "it is told with what makes it worse (情节重)",
            lambda view: texts.severe(told(view)),
            events,
            altered,
            of="texts",
        ),
    )


FACTS: tuple[Fact, ...] = (
    Fact(
        "returns.count",
        "int",
        "returns asked for and not denied (有效退单次数); one that was approved without being asked for counts at its approval",
        lambda view: len(views.counted(view)),
        lambda view: views.asked(views.counted(view)),
        lambda view: view.lineage.denials,
        of="returns",
    ),
    Fact(
        "returns.units",
        "int",
        "different units among those returns (涉及单位数); an unnamed unit is none of them",
        lambda view: len({one.unit for one in views.counted(view) if one.unit is not None}),
        lambda view: views.asked(views.counted(view)),
        lambda view: view.lineage.denials,
        of="returns",
    ),
    Fact(
        "returns.approved",
        "int",
        "returns that were approved: the dispatch itself was wrong (派单差错)",
        lambda view: sum(one.decision is not None and not one.denied for one in view.lineage.returns),
        lambda view: [one.decision for one in view.lineage.returns if one.decision and not one.denied],
        of="returns",
    ),
    _count("denials", "returns.denied", "returns that were denied (退单驳回)"),
    Fact(
        "returns.unclear",
        "int",
        "counted returns for reason R3 or R4: title not transferred, or competences that cross (职责不清)",
        lambda view: sum(one.event.data.get("code") in UNCLEAR_CODES for one in views.counted(view)),
        lambda view: [one.event for one in views.counted(view) if one.event.data.get("code") in UNCLEAR_CODES],
        lambda view: view.lineage.denials,
        of="returns",
    ),
    Fact(
        "returns.again_after_denial",
        "int",
        "returns by a unit that had been denied before (驳回后再退)",
        lambda view: sum(one.after_denial for one in view.lineage.returns),
        lambda view: views.asked(one for one in view.lineage.returns if one.after_denial),
        lambda view: view.lineage.denials,
        of="returns",
    ),
    Fact(
        "returns.after_designation",
        "int",
        "returns by the designated unit after its designation, whatever the answer (指定后仍退)",
        lambda view: sum(one.after_designation for one in view.lineage.returns),
        lambda view: [
            *view.lineage.designations,
            *views.asked(one for one in view.lineage.returns if one.after_designation),
        ],
        of="returns",
    ),
    _count("ping_pong", "returns.ping_pong", "dispatches back to a unit that had returned the ticket before (A→B→A)"),
    Fact(
        "blind.missing_items",
        "int",
        "of contact, site check and evidence, how many the worst return was said to lack; what was not said is unknown, never missing",
        lambda view: max((one.missing for one in view.lineage.returns), default=0),
        lambda view: views.asked(views.blind(view, max((one.missing for one in view.lineage.returns), default=1) or 1)),
        of="returns",
    ),
    Fact(
        "blind.owned_missing_items",
        "int",
        "the same, among returns by units whose matter it is in the end: designated to them, or their return denied",
        lambda view: max((one.missing for one in views.owned(view)), default=0),
        views.owned_events,
        lambda view: view.lineage.designations,
        of="returns",
    ),
    Fact(
        "blind.returns",
        "int",
        "returns said to lack all three (盲退)",
        lambda view: len(views.blind(view, 3)),
        lambda view: views.asked(views.blind(view, 3)),
        of="returns",
    ),
    _count("designations", "designations.count", "designations of the responsible unit (指定承办)"),
    _count("extensions", "extensions.approved", "approved extensions (延期)"),
    _count("extensions_asked", "extensions.requested", "extensions asked for"),
    _count("extensions_denied", "extensions.denied", "extensions denied"),
    _count("redos", "redos.count", "redos ordered (重办)"),
    _count("visits", "visits.count", "follow-up visits (回访)"),
    Fact(
        "visits.dissatisfied",
        "int",
        "visits whose result is dissatisfied or very dissatisfied; the attitude alone does not count",
        lambda view: len(views.dissatisfied(view)),
        lambda view: views.visited(views.dissatisfied(view)),
        of="visits",
    ),
    Fact(
        "visits.complaining",
        "int",
        "dissatisfied visits, less those of a demand found unreasonable and reviewed",
        lambda view: len(views.complaining(view)),
        lambda view: views.visited(views.complaining(view)),
        views.unreasonable,
        of="visits",
    ),
    Fact(
        "visits.complaining_after_redo",
        "int",
        "of these, the ones after the first redo (二次回访仍不满意)",
        lambda view: len(views.complaining(view, after_redo=True)),
        lambda view: [*view.lineage.redos[:1], *views.visited(views.complaining(view, after_redo=True))],
        views.unreasonable,
        of="visits",
    ),
    _count(
        "rating_changes",
        "visits.rating_changes",
        "ratings changed after the visit (改评价); they flag, they never erase",
    ),
    Fact(
        "repeat.count",
        "int",
        "most complaints of the same citizen about the same matter within any 90 days that contain this one (同人同事), itself included",
        views.repeat_count,
        views.registrations,
        causes=views.repeat_causes,
    ),
    Fact(
        "waiting.days",
        "int",
        "whole days since the lineage's first registration while the citizen waits (群众等待总时长)",
        lambda view: waiting.days_waited(view.lineage, view.now),
        views.waiting_events,
        views.waiting_ends,
        clock=True,
        causes=views.waiting_causes,
    ),
    Fact(
        "waiting.running",
        "bool",
        "the citizen is waiting now",
        lambda view: waiting.is_running(view.lineage),
        views.waiting_events,
        views.waiting_ends,
    ),
    Fact(
        "due.near",
        "bool",
        "a time limit is near: a fifth of its time left or one day, whichever is later; or it has passed",
        lambda view: any(found.near for _, found in view.reached),
        views.deadline_events,
        views.deadline_ends,
        clock=True,
        causes=views.near_causes,
        of="deadlines",
    ),
    Fact(
        "due.overdue",
        "bool",
        "a time limit has passed, or had passed when it ended (超期)",
        lambda view: any(found.overdue for _, found in view.reached),
        views.deadline_events,
        views.deadline_ends,
        clock=True,
        causes=views.overdue_causes,
        of="deadlines",
    ),
    Fact(
        "due.overdue_work_days",
        "int",
        "whole work days by which the worst time limit has been passed, each ending at the due time of day",
        lambda view: max((found.work_days for _, found in view.reached), default=0),
        views.deadline_events,
        views.deadline_ends,
        clock=True,
        work_days=True,
        causes=views.work_day_causes,
        of="deadlines",
    ),
    Fact(
        "due.limits",
        "int",
        "time limits laid on the ticket: lead dispatches, redos and rejected reviews with a limit",
        lambda view: len(view.lineage.deadlines),
        lambda view: [deadline.event for deadline in view.lineage.deadlines],
        of="deadlines",
    ),
    Fact(
        "due.announced_work_days",
        "int",
        "of the work days by which the worst time limit has been passed, those in years whose calendar is announced; red needs them",
        lambda view: max((found.announced_days for _, found in view.reached), default=0),
        clock=True,
        causes=views.work_day_causes,
        of="deadlines",
    ),
    Fact(
        "holding.longest_days",
        "int",
        "whole days one unit had the ticket in hand, the longest of those that ended",
        views.longest_holding,
    ),
    _count("holdings", "holding.count", "times the ticket was handed to a lead unit"),
    _count("urged", "urged.count", "times the citizen urged (催办)"),
    _count("suspensions", "suspensions.count", "times the ticket was suspended (挂起)"),
    _count("supervised", "supervised.count", "times it was put under supervision (督办)"),
    Fact(
        "lineage.tickets",
        "int",
        "tickets in the lineage, merged ones included",
        lambda view: view.lineage.known,
    ),
    Fact(
        "lineage.unexpected",
        "int",
        "events that the table of the ticket's life does not foresee",
        lambda view: view.lineage.unexpected,
        lambda view: [event for ticket in view.lineage.tickets.values() for event in ticket.unexpected],
    ),
    *(fact for category in texts.CATEGORIES for fact in _text_facts(category)),
    Fact(
        "text.private",
        "int",
        "categories that the words tell of, but of somebody who is not supervised: a matter for the hotline (行业主管)",
        lambda view: texts.private(view.lineage, view.telling),
        of="texts",
    ),
    Fact(
        "text.level",
        "int",
        "the highest level of the rules about texts, those on trial left out: 0 none, 1 blue, 2 yellow, 3 red; "
        "filled in for rules that add levels up, which come after all others",
        None,
    ),
    Fact(
        "process.level",
        "int",
        "the same of the rules about the handling",
        None,
    ),
)

BY_PATH: dict[str, Fact] = {fact.path: fact for fact in FACTS}
INDEX: dict[str, int] = {fact.path: index for index, fact in enumerate(FACTS)}
_SPLIT = tuple(tuple(fact.path.split(".", 1)) for fact in FACTS)
NEUTRAL: Values = tuple({"int": 0, "bool": False, "string": ""}[fact.kind] for fact in FACTS)  # type: ignore[misc]


OF_TEXTS = frozenset(fact.path for fact in FACTS if fact.of == "texts")
FIRST_OF_TEXTS = min(INDEX[path] for path in OF_TEXTS)
LAST_OF_TEXTS = FIRST_OF_TEXTS + len(OF_TEXTS)
"""one after the last; they stand together"""

_ALWAYS = tuple((index, fact.value) for index, fact in enumerate(FACTS) if fact.of is None and fact.value)
_WHERE = tuple(
    (name, tuple((index, fact.value) for index, fact in enumerate(FACTS) if fact.of == name and fact.value))
    for name in dict.fromkeys(fact.of for fact in FACTS)
    if name is not None
)


def compute(view: View) -> Values:
    """Return the value of every fact, in the order of FACTS."""
    values = list(NEUTRAL)
    for index, value in _ALWAYS:
        values[index] = value(view)
    lineage = view.lineage
    for name, facts in _WHERE:
        if getattr(lineage, name):
            for index, value in facts:
                values[index] = value(view)
    return tuple(values)


def as_tree(values: Values) -> dict[str, dict[str, Value]]:
    """Return the values by group and name, as conditions read them."""
    tree: dict[str, dict[str, Value]] = {}
    for (group, name), value in zip(_SPLIT, values, strict=True):
        tree.setdefault(group, {})[name] = value
    return tree


def tree_of(paths: Iterable[str], values: Values) -> dict[str, dict[str, Value]]:
    """Return the values of some facts by group and name."""
    tree: dict[str, dict[str, Value]] = {}
    for path in paths:
        group, name = _SPLIT[INDEX[path]]
        tree.setdefault(group, {})[name] = values[INDEX[path]]
    return tree


def as_mapping(values: Values) -> dict[str, Value]:
    """Return the values by path."""
    return {fact.path: value for fact, value in zip(FACTS, values, strict=True)}


def next_wake(lineage: Lineage, thresholds: Mapping[str, tuple[int, ...]], after: int) -> int | None:
    """Return the first instant after the given one at which a fact that the rules compare may change by time alone."""
    found = waiting.wakes(lineage, thresholds.get("waiting.days", ()))
    for deadline in lineage.deadlines:
        found += deadlines.wakes(deadline, thresholds.get("due.overdue_work_days", ()))
    return min((instant for instant in found if instant > after), default=None)
