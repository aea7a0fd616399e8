"""The facts: what is counted from a ticket lineage's history, for rules to read. Facts are code; rules are data.

Each fact names its value, the events that bear it out (for evidence and trigger) and, where it changes as time passes, the instants at
which it does; those about clocks and time limits are in facts_of_time.py. docs/facts.md is generated from this table.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from rules import clocks, deadlines, sham, texts, views, waiting
from rules.event import Event
from rules.fact import Fact, Value, Values, count
from rules.facts_of_time import FACTS_OF_TIME
from rules.fold import UNCLEAR_CODES
from rules.history import Lineage
from rules.joined import FACTS_OF_REFERENCE
from rules.texts import Told
from rules.views import View


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
    count("denials", "returns.denied", "returns that were denied (退单驳回)"),
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
    Fact(
        "returns.late",
        "int",
        "returns asked for after the time that the city allows for one (逾期退单), whatever the answer",
        lambda view: len(views.late_returns(view)),
        lambda view: views.asked(views.late_returns(view)),
        of="returns",
        work_days=True,
    ),
    Fact(
        "returns.limits_passed",
        "int",
        "how many times over that time had passed when the latest of them was asked for: 1 = late, 2 = more than twice as late; up to 9",
        lambda view: max((one.limits_passed for one in views.late_returns(view)), default=0),
        lambda view: views.asked(views.late_returns(view)),
        of="returns",
        work_days=True,
        causes=views.late_causes,
    ),
    Fact(
        "returns.last_minute_denied",
        "int",
        "denied returns asked for when less than a tenth of the handling limit was left, or none (临到期退单被驳回); "
        "only where the city sets a time for returns",
        lambda view: len(views.last_minute_returns(view)),
        views.last_minute_events,
        lambda view: view.lineage.denials,
        of="returns",
        work_days=True,
    ),
    count("ping_pong", "returns.ping_pong", "dispatches back to a unit that had returned the ticket before (A→B→A)"),
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
    count("designations", "designations.count", "designations of the responsible unit (指定承办)"),
    count("extensions", "extensions.approved", "approved extensions (延期)"),
    count("extensions_asked", "extensions.requested", "extensions asked for"),
    count("extensions_denied", "extensions.denied", "extensions denied"),
    count("redos", "redos.count", "redos ordered (重办)"),
    count("visits", "visits.count", "follow-up visits (回访)"),
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
    count(
        "rating_changes",
        "visits.rating_changes",
        "ratings changed after the visit (改评价); they flag, they never erase",
    ),
    Fact(
        "visits.ratings_improved",
        "int",
        "of these, the ones from dissatisfied to a better grade (不满意改评); which grade it was is in the evidence",
        lambda view: len(view.lineage.improved),
        lambda view: views.both(view.lineage.improved),
        of="improved",
    ),
    Fact(
        "repeat.count",
        "int",
        "most complaints of the same citizen about the same matter within any 90 days that contain this one (同人同事), itself included",
        views.repeat_count,
        views.registrations,
        causes=views.repeat_causes,
    ),
    *FACTS_OF_TIME,
    Fact(
        "sham.complained_again",
        "int",
        "complaints of the same citizen about the same matter within seven days after a resolution (办结后再诉)",
        lambda view: len(views.complained_again(view)),
        views.again_events,
        causes=views.again_causes,
        of="resolutions",
    ),
    count(
        "uncontacted",
        "sham.not_contacted",
        "visits after a resolution in which the citizen said that nobody had been in touch (回访“无人联系”)",
    ),
    count(
        "hasty",
        "sham.hasty",
        "resolutions less than 30 minutes after the unit got the ticket, with no contact on record (秒结)",
    ),
    Fact(
        "sham.signs",
        "int",
        "how many of these three there are, 0–3 (疑似虚假办结迹象)",
        lambda view: sham.signs(view.lineage, view.repeats.values()),
        views.sign_events,
        causes=views.sign_causes,
        of="resolutions",
    ),
    Fact(
        "holding.longest_days",
        "int",
        "whole days one unit had the ticket in hand, the longest of those that ended",
        views.longest_holding,
    ),
    count("holdings", "holding.count", "times the ticket was handed to a lead unit"),
    count("urged", "urged.count", "times the citizen urged (催办)"),
    count("suspensions", "suspensions.count", "times the ticket was suspended (挂起)"),
    count("supervised", "supervised.count", "times it was put under supervision (督办)"),
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
    *FACTS_OF_REFERENCE,
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


class Plan(NamedTuple):
    """Which facts to compute: those that need no certain piece of history, and those that do."""

    always: tuple[tuple[int, Callable[[View], Value]], ...]
    where: tuple[tuple[str, tuple[tuple[int, Callable[[View], Value]], ...]], ...]
    texts: tuple[tuple[int, Callable[[View], Value]], ...]
    """those about texts: many, and the same from one text to the next"""


def plan(paths: Iterable[str]) -> Plan:
    """Return the plan for some facts."""
    wanted = frozenset(paths)
    chosen = [(index, fact, fact.value) for index, fact in enumerate(FACTS) if fact.path in wanted and fact.value]
    pieces = dict.fromkeys(fact.of for _, fact, _ in chosen if fact.of not in (None, "texts"))
    by_piece = {
        name: tuple((index, value) for index, fact, value in chosen if fact.of == name)
        for name in (None, *pieces, "texts")
    }
    where = tuple((name, by_piece[name]) for name in pieces if name is not None)
    return Plan(by_piece[None], where, by_piece["texts"])


EVERYTHING = plan(BY_PATH)


def compute(view: View, of: Plan = EVERYTHING) -> Values:
    """Return the values in the order of FACTS; of a fact that is not in the plan, the neutral one."""
    values = list(NEUTRAL)
    for index, value in of.always:
        values[index] = value(view)
    lineage = view.lineage
    for name, facts in of.where:
        if getattr(lineage, name):
            for index, value in facts:
                values[index] = value(view)
    if lineage.texts:
        values[FIRST_OF_TEXTS:LAST_OF_TEXTS] = _of_texts(view, of)
    return tuple(values)


def _of_texts(view: View, of: Plan) -> list[Value]:
    """Return the facts about texts, which the lineage remembers: neither time nor most events change them."""
    known = view.lineage.text_facts
    if known is not None and known[0] is of:
        return known[1]
    values = list(NEUTRAL)
    for index, value in of.texts:
        values[index] = value(view)
    found = values[FIRST_OF_TEXTS:LAST_OF_TEXTS]
    view.lineage.text_facts = (of, found)
    return found


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


_CLOCKS = (
    ("handling.days", clocks.unit_clock),
    ("handling.suspended_days", clocks.suspension_clock),
    ("waiting.idle_days", clocks.idle_clock),
)


def next_wake(lineage: Lineage, thresholds: Mapping[str, tuple[int, ...]], after: int) -> int | None:
    """Return the first instant after the given one at which a fact that the rules compare may change by time alone."""
    found = waiting.wakes(lineage, thresholds.get("waiting.days", ()))
    for deadline in lineage.deadlines:
        numbers = thresholds.get("due.overdue_work_days", ())
        found += deadlines.wakes(deadline, numbers, lineage.reckoning.calendar)
    if lineage.awaited:
        for one in lineage.acceptances:
            found += deadlines.acceptance_wakes(lineage, one, thresholds.get("acceptance.limits_passed", ()))
    for path, clock in _CLOCKS:
        if path in thresholds:
            shown = clock(lineage, after)
            found += [instant for days in thresholds[path] for instant in shown.at_days(days, after)]
    return min((instant for instant in found if instant > after), default=None)
