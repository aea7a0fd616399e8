"""What flows through a run: a few hundred events made from a seed, with canaries in place of citizens' identities."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from benchmarks.generator import generate_events
from models.times import parse_instant
from tests.builders import Run, Story
from tests.live_support import driver_run

UNTIL = "2025-08-01T12:00:00+08:00"
"""where recorded time stands at the end of a run: every deadline of the load is past"""
ACCUSED = "U-ACC"
UNITS = (ACCUSED, "U-S1", "U-S2", "U-S3", "U-S4")
PHONE = "19900001234"
NAME = "张某某"
SAID = "199-0000-1234"
"""the phone as a citizen's text has it"""


def registry_units() -> tuple[dict[str, Any], ...]:
    """Return the units of the stories as the unit registry has them."""
    return tuple({"id": unit, "name": f"{unit}街道", "kind": "subdistrict", "level": "township"} for unit in UNITS)


@dataclass(frozen=True)
class Load:
    """The records of a run in the order of time."""

    seed: int
    tickets: int = 20
    stories: int = 12

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Return generated tickets and stories of tickets that are handed back again and again, so that warnings flow."""
        chance = random.Random(self.seed)
        found = list(generate_events(self.tickets, self.seed, start=_START, tickets_per_day=1))
        for number in range(self.stories):
            found += _returned_again_and_again(f"S{self.seed}-{number}", number * 1.5, chance)
        return sorted(found, key=lambda record: (parse_instant(record["occurred_at"]), record["event_id"]))

    def part(self, number: int, of: int = 4) -> list[dict[str, Any]]:
        """Return one of so many consecutive parts."""
        size = len(self.records)
        return self.records[number * size // of : (number + 1) * size // of]

    def middle(self, pieces: int) -> list[list[dict[str, Any]]]:
        """Return the second and the third quarter, cut into so many pieces; the last ones may be smaller."""
        records = [*self.part(1), *self.part(2)]
        size = len(records) // pieces + 1
        return [records[number * size : (number + 1) * size] for number in range(pieces)]

    @cached_property
    def unfaulted(self) -> Run:
        """Return what the driver says of the load: the run in which nothing fails."""
        return driver_run(self.records, UNTIL)


_START = date(2025, 3, 3)


def _returned_again_and_again(name: str, start: float, chance: random.Random) -> list[dict[str, Any]]:
    citizen = {"key": f"citizen-{name}", "name": NAME} if chance.random() < 0.5 else {"phone": PHONE, "name": NAME}
    story = Story(name).complaint(
        start,
        citizen=citizen,
        content=f"{NAME}来电 {SAID}:三楼以上用水高峰时没有水,已持续两个月。",
        category=["城乡建设", "供水", name],
    )
    units = chance.sample(UNITS, 4)
    for turn, unit in enumerate(units[: chance.randint(3, 4)]):
        at = start + turn + 0.1
        story(at, "dispatched", unit=unit, limit={"value": 5, "unit": "days"})
        story(at + 0.3, "return_requested", unit=unit, contacted=False, site_checked=False, evidence=[])
        story(at + 0.5, "return_approved", unit=unit)
    return story.records
