"""Signs of a sham resolution (疑似虚假办结): complained about again within days, nobody in touch, or resolved in no time.

Each is a sign and none a proof, so they are counted by kind (domain brief §3.2, P11): one is a hint, two a warning.
"""

from collections.abc import Iterable

from models.times import DAY
from rules.event import Event
from rules.history import Lineage
from rules.repeats import Repeat, RepeatedComplaint

AGAIN_TIME = 7 * DAY


def complained_again(lineage: Lineage, repeats: Iterable[Repeat]) -> list[RepeatedComplaint]:
    """Return the complaints within seven days after a resolution, of a citizen who had complained about the matter here before it."""
    found: dict[str, RepeatedComplaint] = {}
    for repeat in repeats:
        every = (*repeat.complaints, *repeat.others)
        own = [one.at for one in every if one.ticket_id in lineage.tickets]
        for one in every:
            resolution = resolution_before(lineage, one.at)
            if resolution is not None and any(at <= resolution.at for at in own):
                found[one.event_id] = one
    return sorted(found.values(), key=lambda one: (one.at, one.event_id))


def resolution_before(lineage: Lineage, instant: int) -> Event | None:
    """Return the last resolution within the seven days before an instant."""
    return next((one for one in reversed(lineage.resolutions) if one.at < instant <= one.at + AGAIN_TIME), None)


def signs(lineage: Lineage, repeats: Iterable[Repeat]) -> int:
    """Return how many of the three kinds of sign there are."""
    return bool(complained_again(lineage, repeats)) + bool(lineage.uncontacted) + bool(lineage.hasty)
