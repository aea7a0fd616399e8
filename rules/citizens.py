"""The citizen's table: complaints of one pseudonym, which of them are about the same matter, and how often within 90 days.

Each ticket lineage claims its complaints as a whole, so that claims may come in any order, twice, or be taken back; the repeat facts
are a function of the claims that stand.
"""

from typing import NamedTuple

import orjson

from models.times import DAY
from rules.edges import Edges, packed, unpacked
from rules.matter import MatterConfig, same_matter
from rules.messages import ClaimMessage, RepeatMessage, complaint_from
from rules.naming import by_time, choose, digest, named
from rules.repeats import Complaint, Repeat

MAX_COMPLAINTS = 200
"""of one citizen, the newest: each is compared with each, and all are kept in one value"""
MAX_CLAIMED_BYTES = 768 * 1024
"""of those complaints as they are kept: with long names of places fewer than MAX_COMPLAINTS fit"""

Claims = dict[str, tuple[int, tuple[Complaint, ...]]]
Told = tuple[int, str]
"""what a lineage was told last: how many complaints, and a digest of all that it was told"""


class CitizenState(NamedTuple):
    """What is known of one citizen's complaints."""

    citizen: str
    version: int = 0
    claims: Claims = {}  # noqa: RUF012
    """by lineage: the claim's version and its complaints"""
    same: Edges = {}  # noqa: RUF012
    """for each complaint's ticket: the tickets about the same matter, and why"""
    told: dict[str, Told] = {}  # noqa: RUF012
    """by lineage"""
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
    before, now = _by_ticket(state.claims), _by_ticket(claims)
    same, changed = _edges(state.same, before, now, config)
    told = dict(state.told)
    messages: list[RepeatMessage] = []
    version = state.version + 1
    window = config.window_days * DAY
    ordered_before, ordered = (sorted(one.values(), key=by_time) for one in (before, now))
    for root, (_, complaints) in claims.items():
        if not complaints and root != claim.root:
            continue  # its complaints are older than what is kept: what it was told stays true
        own = [one.ticket_id for one in complaints]
        if root != claim.root and changed.isdisjoint(own):
            if not any(_is_near(ticket, changed, state.same) or _is_near(ticket, changed, same) for ticket in own):
                continue
            chosen = choose(complaints, ordered, same, window)
            if chosen == choose(complaints, ordered_before, state.same, window):
                continue  # most often: of many complaints one more or one less
        else:
            chosen = choose(complaints, ordered, same, window)
        found = named(chosen, own, same)
        if found.times < 2 and not found.others and root not in told:
            continue  # a lineage takes its own complaint as the first without being told
        what = found.times, digest(found.complaints, found.others)
        if told.get(root) != what:
            told[root] = what
            messages.append(RepeatMessage(root, state.citizen, Repeat(version, *found)))
    told = {root: what for root, what in told.items() if root in claims}
    after = state._replace(version=version, claims=claims, same=same, told=told, truncated=state.truncated or truncated)
    return after, messages


def _by_ticket(claims: Claims) -> dict[str, Complaint]:
    """Return each complaint once: a child's is claimed by the child and by its root."""
    return {one.ticket_id: one for _, complaints in claims.values() for one in complaints}


def _bounded(claims: Claims) -> tuple[Claims, bool]:
    """Return the claims with the newest complaints, as many as are kept, and whether any went."""
    sized = [
        (one.at, one.ticket_id, root, len(orjson.dumps(one, default=tuple)))
        for root, (_, complaints) in claims.items()
        for one in complaints
    ]
    if len(sized) <= MAX_COMPLAINTS and sum(size for *_, size in sized) <= MAX_CLAIMED_BYTES:
        return claims, False
    sized.sort(reverse=True)
    kept: set[tuple[str, str]] = set()
    room = MAX_CLAIMED_BYTES
    for _, ticket_id, root, size in sized[:MAX_COMPLAINTS]:
        room -= size
        if room < 0:
            break
        kept.add((ticket_id, root))
    left = {
        root: (version, tuple(one for one in complaints if (one.ticket_id, root) in kept))
        for root, (version, complaints) in claims.items()
    }
    if len(left) > 2 * MAX_COMPLAINTS:
        left = {root: claim for root, claim in left.items() if claim[1]}
    return left, True


def _is_near(ticket: str, changed: set[str], same: Edges) -> bool:
    """Tell whether one of the complaints is about the matter of a ticket's."""
    edges = same.get(ticket)
    return edges is not None and any(one in edges for one in changed)


def _edges(
    same: Edges, before: dict[str, Complaint], now: dict[str, Complaint], config: MatterConfig
) -> tuple[Edges, set[str]]:
    """Return what is about the same matter, and which complaints came, went or changed. Only new pairs are judged: likeness costs."""
    changed = [one for ticket_id, one in now.items() if before.get(ticket_id) != one]
    gone = (before.keys() - now.keys()) | {one.ticket_id for one in changed}
    found: dict[str, dict[str, str]] = {}
    judged: set[str] = set()
    for one in changed:
        judged.add(one.ticket_id)
        for other in now.values():
            if other.ticket_id in judged or one.test != other.test:
                continue
            why = same_matter(one, other, config)
            if why is not None:
                found.setdefault(one.ticket_id, {})[other.ticket_id] = why
                found.setdefault(other.ticket_id, {})[one.ticket_id] = why
    edges: Edges = {}
    for ticket_id in now:
        before_it = same.get(ticket_id, {}) if ticket_id not in gone else {}
        new = found.get(ticket_id)
        lost = [other for other in gone if other in before_it]
        if new or lost:  # what the state before holds stays as it is
            before_it = {**before_it, **new} if new else dict(before_it)
            for name in lost:
                if new is None or name not in new:
                    del before_it[name]
        if before_it:
            edges[ticket_id] = before_it
    return edges, gone


def encode_state(state: CitizenState) -> bytes:
    """Return the state as JSON."""
    parts = (state.citizen, state.version, state.claims, packed(state.same), state.told, state.truncated)
    return orjson.dumps(parts, default=tuple)


def decode_state(body: bytes) -> CitizenState:
    """Return the state that `encode_state` wrote."""
    citizen, version, claims, same, told, truncated = orjson.loads(body)
    return CitizenState(
        citizen,
        version,
        {
            root: (number, tuple(complaint_from(one) for one in complaints))
            for root, (number, complaints) in claims.items()
        },
        unpacked(*same),
        {root: (count, digest) for root, (count, digest) in told.items()},
        truncated,
    )
