"""How often one citizen complained about a lineage's matter within any 90 days, and which of those complaints are named.

The count is of all complaints that are kept; names are only for so many that no message and no value grows with a citizen's zeal. Which
ones hardly changes as more come, or each complaint of a zealous citizen would be news to every lineage before it.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import orjson

from models.times import DAY
from rules.edges import Edges
from rules.repeats import Complaint, RepeatedComplaint

MAX_NAMED = 30
"""complaints within the busiest window that a lineage is told by name; where there are more, those near its own first one, then a sample"""
MAX_OTHERS = 15
"""complaints beyond that window that it is told by name"""
NAMED_BYTES = 6 * 1024
"""of one lineage's names as JSON within JSON: ids may be long"""
_NEAR_BEFORE, _NEAR_AFTER = 4, 4
_APART = 5 * DAY
"""between those of the sample: of a citizen who goes on complaining it has some within the seven days after any resolution"""


class Found(NamedTuple):
    """What a lineage is told: how many complaints within the busiest window, which, and which others from its own first one on."""

    times: int
    complaints: tuple[RepeatedComplaint, ...]
    others: tuple[RepeatedComplaint, ...]


def by_time(one: Complaint) -> tuple[int, str]:
    """Sort key: when it was made, then its ticket."""
    return one.at, one.ticket_id


def digest(*rows: Iterable[Iterable[object]]) -> str:
    """Return the digest of what a lineage is told, by which the next is known to be news."""
    return hashlib.blake2b(orjson.dumps(rows, default=tuple), digest_size=8).hexdigest()


class Chosen(NamedTuple):
    """The same before it is told in words: each complaint with the lineage's own one that it is held against."""

    times: int
    complaints: Sequence[Complaint]
    against: str
    others: Sequence[tuple[Complaint, str]]
    first: int


def choose(anchors: Sequence[Complaint], ordered: Sequence[Complaint], same: Edges, window: int) -> Chosen:
    """Return the most complaints within any window (microseconds) that contains one of a lineage's own, and which to name.

    `anchors` are the lineage's own complaints; `ordered` are the citizen's complaints, each once, by time.
    """
    own = {one.ticket_id for one in anchors}
    first = min([anchor.at for anchor in anchors], default=0)
    best: Sequence[Complaint] = ()
    against = ""
    later: dict[str, tuple[Complaint, str]] = {}
    others: list[tuple[Complaint, str]] = []
    for anchor in anchors:
        edges = same.get(anchor.ticket_id, {})
        if len(edges) + len(own - edges.keys()) == len(ordered):
            related = ordered  # the commonest case of those that cost: all is one matter
        else:
            related = [one for one in ordered if one.ticket_id in edges or one.ticket_id in own]
        start, end = _busiest(related, anchor.at, window)
        if end - start > len(best):
            best, against = related[start:end], anchor.ticket_id
        if len(anchors) == 1:  # its own complaint lies in the window: what is later than it lies there or behind
            others = [(one, anchor.ticket_id) for one in _sample(related[end:], MAX_OTHERS)]
            continue
        for one in related:
            if one.at >= first:
                later.setdefault(one.ticket_id, (one, anchor.ticket_id))
    if later:
        counted = {one.ticket_id for one in best}
        beyond = sorted((one for one, _ in later.values() if one.ticket_id not in counted), key=by_time)
        others = [later[one.ticket_id] for one in _sample(beyond, MAX_OTHERS)]
    return Chosen(len(best), _near(best, first), against, others, first)


def named(chosen: Chosen, own: Collection[str], same: Edges) -> Found:
    """Return what a lineage with these tickets of its own is told."""
    complaints = [_named(one, chosen.against, own, same) for one in chosen.complaints]
    others = [_named(one, against, own, same) for one, against in chosen.others]
    return Found(chosen.times, *_fitting(complaints, others, chosen.first))


def _named(one: Complaint, against: str, own: Collection[str], same: Edges) -> RepeatedComplaint:
    why = "本单" if one.ticket_id == against else "已并单" if one.ticket_id in own else same[against][one.ticket_id]
    return RepeatedComplaint(one.ticket_id, one.event_id, one.at, why)


def _busiest(complaints: Sequence[Complaint], anchor: int, window: int) -> tuple[int, int]:
    """Return where the first of the windows with the most complaints begins and ends; it contains the anchor's instant."""
    if not complaints or complaints[-1].at - complaints[0].at <= window:
        return 0, len(complaints)
    times = [one.at for one in complaints]
    best = end = 0
    best_start = 0
    for start in range(bisect_left(times, anchor - window), bisect_right(times, anchor)):
        limit = times[start] + window
        while end < len(times) and times[end] <= limit:
            end += 1
        if end - start > best:
            best, best_start = end - start, start
    return best_start, best_start + best


def _near(complaints: Sequence[Complaint], first: int) -> Sequence[Complaint]:
    """Return the complaints to be named: all, or those nearest to the lineage's first one and a sample of those after."""
    if len(complaints) <= MAX_NAMED:
        return complaints
    at = bisect_left(complaints, first, key=lambda one: one.at)
    near = at + 1 + _NEAR_AFTER
    rest = MAX_NAMED - _NEAR_BEFORE - 1 - _NEAR_AFTER
    after = _sample(complaints[near:], rest, complaints[near - 1].at + _APART) if near < len(complaints) else []
    return [*complaints[max(at - _NEAR_BEFORE, 0) : near], *after]


def _sample(complaints: Sequence[Complaint], most: int, not_before: int | None = None) -> list[Complaint]:
    """Return all complaints where they are few, else the first, the first one days after it, and so on."""
    if not_before is None and len(complaints) <= most:
        return list(complaints)
    found: list[Complaint] = []
    at = 0 if not_before is None else bisect_left(complaints, not_before, key=lambda one: one.at)
    while at < len(complaints) and len(found) < most:
        found.append(complaints[at])
        at = bisect_left(complaints, complaints[at].at + _APART, key=lambda one: one.at)
    return found


def _fitting(
    named: list[RepeatedComplaint], others: list[RepeatedComplaint], first: int
) -> tuple[tuple[RepeatedComplaint, ...], tuple[RepeatedComplaint, ...]]:
    """Return as many names as fit: those furthest from the lineage's first complaint go first."""
    if _size([*named, *others]) > NAMED_BYTES:
        left = NAMED_BYTES
        kept: set[str] = set()
        for one in sorted([*named, *others], key=lambda one: abs(one.at - first)):
            left -= _size([one])
            if left < 0:
                break
            kept.add(one.ticket_id)
        named, others = ([one for one in part if one.ticket_id in kept] for part in (named, others))
    return tuple(named), tuple(others)


def _size(rows: Iterable[RepeatedComplaint]) -> int:
    body = orjson.dumps(rows, default=tuple)
    return len(body) + body.count(b'"') + body.count(b"\\")
