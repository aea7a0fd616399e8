"""How states of earlier schemas become states of the present one: one pure step for each schema, from it to the next.

A release that changes what `encode_state` writes raises STATE_SCHEMA, and adds the step from the schema before. Steps are never
changed or removed: a ticket may sleep for years before it is read again. A state is migrated when it is read and written as new with
its next change, so no start waits for all of them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from rules.edges import packed
from rules.naming import digest

STATE_SCHEMA = 4
"""of the states of tickets and of citizens that this release writes. 2: repeats know of other complaints, limits in work days are kept as
they were given (those of schema 1 are read as they are). 3: the partition names the keys that owe outputs.
4: of citizens: each pair of complaints about one matter is kept once, and of what lineages were told a digest."""

Step = Callable[[list[Any]], list[Any]]
"""takes a state's JSON of one schema, returns that of the next"""
Steps = Mapping[int, Step]
"""by the schema that a step starts from"""


def _ticket_from_1(parts: list[Any]) -> list[Any]:
    """Repeats get the complaints beyond the window, of which schema 1 knew none."""
    repeats = [[*told, []][:5] for told in parts[3]]
    return [*parts[:3], repeats, *parts[4:]]


def _citizen_from_1(parts: list[Any]) -> list[Any]:
    """What lineages were told gets the complaints beyond the window, of which schema 1 knew none."""
    told = {root: [*what, []][:3] for root, what in parts[4].items()}
    return [*parts[:4], told, *parts[5:]]


def _as_it_was(parts: list[Any]) -> list[Any]:
    """Schema 3 changed no state, only what stands beside the states; schema 4 none of a ticket."""
    return parts


def _citizen_from_3(parts: list[Any]) -> list[Any]:
    """Pairs are kept once; of what lineages were told, how many and a digest."""
    told = {root: [count, digest(found, others)] for root, (count, found, others) in parts[4].items()}
    return [*parts[:3], packed(parts[3]), told, *parts[5:]]


TICKET_STEPS: Steps = {1: _ticket_from_1, 2: _as_it_was, 3: _as_it_was}
CITIZEN_STEPS: Steps = {1: _citizen_from_1, 2: _as_it_was, 3: _citizen_from_3}


def migrated(body: bytes, schema: int, steps: Steps, to: int = STATE_SCHEMA) -> bytes:
    """Return a state of an earlier schema as one of schema `to`. Raises LookupError where a step is missing."""
    parts = orjson.loads(body)
    for number in range(schema, to):
        if number not in steps:
            raise LookupError(f"there is no way from state schema {number} to {number + 1}")
        parts = steps[number](parts)
    return orjson.dumps(parts)
