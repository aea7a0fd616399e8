"""Does this subscriber get this alert? One pure function; its answer is a reason.

The routing tree has said by now whether the unit that has the subscriber is a recipient; the guard has the last word.
"""

from enum import StrEnum

from models.alert import Alert
from models.base import Status
from models.subscriber import Subscriber


class RouteReason(StrEnum):
    """Why an alert goes to a subscriber, or does not: a closed set, and a metric's label."""

    WANTED = "wanted"
    FOLLOW_UP = "follow_up"
    NOT_PUSHED = "not_pushed"
    NOT_ROUTED = "not_routed"
    CONFLICT = "conflict"
    NEVER_TOLD = "never_told"
    LEVEL = "level"
    FAMILY = "family"
    UNIT = "unit"

    @property
    def goes_on(self) -> bool:
        """Return whether the alert goes to the subscriber, now or once nothing suppresses it."""
        return self in (RouteReason.WANTED, RouteReason.FOLLOW_UP)


def route(alert: Alert, subscriber: Subscriber, *, recipient: bool, told: bool, waiting: bool) -> RouteReason:
    """Return whether and why; the conflict guard is asked after it.

    `recipient`: the routing tree leads to the subscriber; `told`: an earlier version of this case and rule went, or is
    about to go, to it; `waiting`: one is held back for it.

    A correction or a retraction goes to everybody who was told, whatever route and filters say by now, and to nobody
    else; of what is only held, the corrected version takes the place. Filters on units look at the accused ones only:
    whoever merely had a part in a ticket is no reason to widen the circle of those who know.
    """
    if not alert.push:
        return RouteReason.NOT_PUSHED
    if alert.status in (Status.CORRECTED, Status.RETRACTED):
        if told:
            return RouteReason.FOLLOW_UP
        if alert.status is Status.RETRACTED or not waiting:
            return RouteReason.NEVER_TOLD
    if not recipient:
        return RouteReason.NOT_ROUTED
    if alert.level not in subscriber.levels:
        return RouteReason.LEVEL
    if alert.family not in subscriber.families:
        return RouteReason.FAMILY
    if subscriber.units and subscriber.units.isdisjoint(unit.id for unit in alert.units if unit.role == "accused"):
        return RouteReason.UNIT
    return RouteReason.FOLLOW_UP if told else RouteReason.WANTED
