"""Which of a citizen's complaints are about the same matter: by ticket, the tickets and why; and how that is kept.

Of two hundred complaints about one matter there are twenty thousand pairs: each is kept once, by numbers.
"""

from collections.abc import Mapping

Edges = dict[str, dict[str, str]]
"""for each complaint's ticket: the tickets about the same matter, and why; both ways"""
Packed = tuple[list[str], list[str], list[list[int]]]
"""the tickets; the reasons; for each ticket, by turns the number of a later one and that of the reason"""


def packed(edges: Mapping[str, Mapping[str, str]]) -> Packed:
    """Return the edges as they are kept."""
    tickets = sorted(edges)
    numbers = {ticket: number for number, ticket in enumerate(tickets)}
    reasons: dict[str, int] = {}
    pairs: list[list[int]] = []
    for number, ticket in enumerate(tickets):
        found: list[int] = []
        for other, why in sorted(edges[ticket].items()):
            if (there := numbers[other]) > number:
                found += there, reasons.setdefault(why, len(reasons))
        pairs.append(found)
    return tickets, list(reasons), pairs


def unpacked(tickets: list[str], reasons: list[str], pairs: list[list[int]]) -> Edges:
    """Return the edges that `packed` made."""
    edges: Edges = {ticket: {} for ticket in tickets}
    for ticket, found in zip(tickets, pairs, strict=True):
        for there, reason in zip(found[::2], found[1::2], strict=True):
            edges[ticket][tickets[there]] = edges[tickets[there]][ticket] = reasons[reason]
    return edges
