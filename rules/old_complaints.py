"""Complaints of one citizen that are too old to be kept.

Nobody is told anything because a complaint goes, now or later: so those that count together go together. A complaint stays while one that
is young enough is about the same matter and lies within the window in which they are counted, or within that of one that stays.
"""

from models.times import DAY
from rules.citizens import CitizenState
from rules.matter import MatterConfig


def without_old(state: CitizenState, before: int, config: MatterConfig) -> CitizenState:
    """Return the state without the lineages all of whose complaints were made before an instant (microseconds) and count for none that
    stays; the very same one where nothing goes. Where no complaint is left, no lineage is.
    """
    kept = _kept(state, before, config.window_days * DAY)
    claims = {root: claim for root, claim in state.claims.items() if any(one.ticket_id in kept for one in claim[1])}
    if claims and not any(complaints for root, (_, complaints) in state.claims.items() if root not in claims):
        return state  # what claims nothing any more costs little, and goes with the next one
    same = {
        ticket: {other: why for other, why in others.items() if other in kept}
        for ticket, others in state.same.items()
        if ticket in kept
    }
    return state._replace(
        claims=claims,
        same={ticket: others for ticket, others in same.items() if others},
        told={root: what for root, what in state.told.items() if root in claims},
    )


def _kept(state: CitizenState, before: int, window: int) -> set[str]:
    """Return the tickets whose complaints stay."""
    at = {one.ticket_id: one.at for _, complaints in state.claims.values() for one in complaints}
    mates: dict[str, set[str]] = {ticket: set() for ticket in at}
    for _, complaints in state.claims.values():
        tickets = [one.ticket_id for one in complaints]
        for ticket in tickets:
            mates[ticket].update(tickets)
    kept = {ticket for ticket, when in at.items() if when >= before}
    left = list(kept)
    while left:
        ticket = left.pop()
        near = {other for other in state.same.get(ticket, ()) if other in at and abs(at[other] - at[ticket]) <= window}
        new = (near | mates[ticket]) - kept
        kept |= new
        left += new
    return kept
