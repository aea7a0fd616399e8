"""The citizen's table: complaints of one pseudonym, which of them are about the same matter, and how often within 90 days.

Each ticket lineage claims its complaints as a whole, so that claims may come in any order, twice, or be taken back; the repeat facts
are a function of the claims that stand.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from models.times import DAY
from rules.matter import MatterConfig, same_matter
from rules.messages import ClaimMessage, RepeatMessage, complaint_from
from rules.repeats import Complaint, Repeat, RepeatedComplaint

MAX_COMPLAINTS = 60
"""of one citizen, the newest: each is compared with each, told to each, and kept in one value, which must stay far below 4 MiB"""

Edges = dict[str, dict[str, str]]
Told = tuple[int, tuple[RepeatedComplaint, ...], tuple[RepeatedComplaint, ...]]
"""what a lineage is told: how many complaints within the busiest window, which, and which others from its own first one on"""


class CitizenState(NamedTuple):
    """What is known of one citizen's complaints."""

    citizen: str
    version: int = 0
    claims: dict[str, tuple[int, tuple[Complaint, ...]]] = {}  # noqa: RUF012
    """by lineage: the claim's version and its complaints"""
    same: Edges = {}  # noqa: RUF012
    """for each complaint's ticket: the tickets about the same matter, and why"""
    told: dict[str, Told] = {}  # noqa: RUF012
    """by lineage: the count and the complaints that it was last told"""
    truncated: bool = False


def on_claim(
    state: CitizenState, claim: ClaimMessage, config: MatterConfig
) -> tuple[CitizenState, list[RepeatMessage]]:
    """Return the citizen's state after a claim, and the messages to the lineages whose repeat fact changed."""
    known = state.claims.get(claim.root)
    if known is not None and known[0] >= claim.version:
        return state, []
    if not state.claims and len(claim.complaints) == 1:
        # The first complaint of most citizens is their only one: nothing to compare it with, and nothing to tell.
        return state._replace(version=state.version + 1, claims={claim.root: (claim.version, claim.complaints)}), []
    claims = {**state.claims, claim.root: (claim.version, claim.complaints)}
    claims, truncated = _bounded(claims)
    same = _edges(state, claims, config)
    told = dict(state.told)
    messages: list[RepeatMessage] = []
    version = state.version + 1
    for root, (_, complaints) in claims.items():
        if not complaints and root != claim.root:
            continue  # its complaints are older than what is kept: what it was told stays true
        what = _repeat(complaints, claims, same, config)
        if what[0] < 2 and not what[2] and root not in told:
            continue  # a lineage takes its own complaint as the first without being told
        if told.get(root) != what:
            told[root] = what
            messages.append(RepeatMessage(root, state.citizen, Repeat(version, *what)))
    told = {root: what for root, what in told.items() if root in claims}
    after = state._replace(version=version, claims=claims, same=same, told=told, truncated=state.truncated or truncated)
    return after, messages


def _bounded(claims: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    total = sum(len(complaints) for _, complaints in claims.values())
    if total <= MAX_COMPLAINTS:
        return claims, False
    newest = sorted((one.at for _, complaints in claims.values() for one in complaints), reverse=True)[
        MAX_COMPLAINTS - 1
    ]
    kept = {
        root: (version, tuple(one for one in complaints if one.at >= newest))
        for root, (version, complaints) in claims.items()
    }
    if len(kept) > 2 * MAX_COMPLAINTS:
        kept = {root: claim for root, claim in kept.items() if claim[1]}
    return kept, True


def _edges(state: CitizenState, claims: dict[str, tuple[int, tuple[Complaint, ...]]], config: MatterConfig) -> Edges:
    """Judge only the pairs that are new: similarity is what costs here."""
    before = {one.ticket_id: one for _, complaints in state.claims.values() for one in complaints}
    now = {one.ticket_id: one for _, complaints in claims.values() for one in complaints}
    changed = [one for ticket_id, one in now.items() if before.get(ticket_id) != one]
    gone = (before.keys() - now.keys()) | {one.ticket_id for one in changed}
    edges: Edges = {}
    for ticket_id, others in state.same.items():
        if ticket_id in now and ticket_id not in gone:
            edges[ticket_id] = {other: why for other, why in others.items() if other not in gone}
    judged: set[str] = set()
    for one in changed:
        judged.add(one.ticket_id)
        for other in now.values():
            if other.ticket_id in judged or one.test != other.test:
                continue
            why = same_matter(one, other, config)
            if why is not None:
                edges.setdefault(one.ticket_id, {})[other.ticket_id] = why
                edges.setdefault(other.ticket_id, {})[one.ticket_id] = why
    return edges


def _repeat(
    anchors: tuple[Complaint, ...],
    claims: dict[str, tuple[int, tuple[Complaint, ...]]],
    same: Edges,
    config: MatterConfig,
) -> Told:
    """Return the most complaints within any window that contains one of the lineage's own, those complaints, and what came beyond them."""
    own = {one.ticket_id for one in anchors}
    # A child's complaint is claimed by the child and by its root: it is one.
    everything = list({one.ticket_id: one for _, complaints in claims.values() for one in complaints}.values())
    best: list[RepeatedComplaint] = []
    later: dict[str, RepeatedComplaint] = {}
    first = min((anchor.at for anchor in anchors), default=0)
    for anchor in anchors:
        edges = same.get(anchor.ticket_id, {})
        related = [
            RepeatedComplaint(one.ticket_id, one.event_id, one.at, _why(one, anchor, own, edges))
            for one in everything
            if one.ticket_id in own or one.ticket_id in edges
        ]
        later |= {one.ticket_id: one for one in related if one.at >= first and one.ticket_id not in later}
        found = _busiest(related, anchor.at, config.window_days * DAY)
        if len(found) > len(best):
            best = found
    counted = {one.ticket_id for one in best}
    others = sorted((one for one in later.values() if one.ticket_id not in counted), key=_by_time)
    return len(best), tuple(best), tuple(others)


def _by_time(one: RepeatedComplaint) -> tuple[int, str]:
    return one.at, one.ticket_id


def _why(one: Complaint, anchor: Complaint, own: set[str], edges: dict[str, str]) -> str:
    if one.ticket_id == anchor.ticket_id:
        return "本单"
    return "已并单" if one.ticket_id in own else edges[one.ticket_id]


def _busiest(complaints: Iterable[RepeatedComplaint], anchor: int, window: int) -> list[RepeatedComplaint]:
    ordered = sorted(complaints, key=_by_time)
    best: list[RepeatedComplaint] = []
    for first in ordered:
        if first.at <= anchor <= first.at + window:
            inside = [one for one in ordered if first.at <= one.at <= first.at + window]
            if len(inside) > len(best):
                best = inside
    return best


def encode_state(state: CitizenState) -> bytes:
    """Return the state as JSON."""
    return orjson.dumps(
        (state.citizen, state.version, state.claims, state.same, state.told, state.truncated), default=tuple
    )


def decode_state(body: bytes) -> CitizenState:
    """Return the state that `encode_state` wrote, in this release or the one before (schema 1)."""
    citizen, version, claims, same, told, truncated = orjson.loads(body)
    return CitizenState(
        citizen,
        version,
        {
            root: (number, tuple(complaint_from(one) for one in complaints))
            for root, (number, complaints) in claims.items()
        },
        same,
        {root: _told(*what) for root, what in told.items()},
        truncated,
    )


def _told(count: int, found: list[list[Any]], others: Sequence[list[Any]] = ()) -> Told:
    """Return what a lineage was told; before state schema 2 there were no others."""
    in_window, beyond = (tuple(RepeatedComplaint(*one) for one in part) for part in (found, others))
    return count, in_window, beyond
