"""Does this subscriber want this alert? One pure function; its answer is a reason."""

from enum import StrEnum

from models.alert import Alert
from models.base import Family, Status
from models.subscriber import Subscriber


class RouteReason(StrEnum):
    """Why an alert goes to a subscriber, or does not: a closed set, and a metric's label."""

    WANTED = "wanted"
    FOLLOW_UP = "follow_up"
    NOT_PUSHED = "not_pushed"
    CONFLICT = "conflict"
    NEVER_TOLD = "never_told"
    LEVEL = "level"
    FAMILY = "family"
    UNIT = "unit"

    @property
    def sends(self) -> bool:
        """Return whether the alert goes out."""
        return self in (RouteReason.WANTED, RouteReason.FOLLOW_UP)


def route(alert: Alert, subscriber: Subscriber, told: bool) -> RouteReason:
    """Return whether and why; `told`: an earlier version of this case and rule went, or is about to go, to this
    subscriber.

    A correction or a retraction goes to everybody who was told, whatever the filters say by now, and to nobody else.
    Filters on units look at the accused ones only: whoever merely had a part in a ticket is no reason to widen the
    circle of those who know.
    """
    if not alert.push:
        return RouteReason.NOT_PUSHED
    accused = {unit.id for unit in alert.units if unit.role == "accused"}
    # Words that name no unit may mean any unit with a part in the ticket.
    meant = accused if accused or alert.family is not Family.TEXT else {unit.id for unit in alert.units}
    if meant & subscriber.owner_units:
        # A warning must never reach the accused unit or one below it, not even as a correction.
        return RouteReason.CONFLICT
    if alert.status in (Status.CORRECTED, Status.RETRACTED):
        return RouteReason.FOLLOW_UP if told else RouteReason.NEVER_TOLD
    if alert.level not in subscriber.levels:
        return RouteReason.LEVEL
    if alert.family not in subscriber.families:
        return RouteReason.FAMILY
    if subscriber.units and not accused & subscriber.units:
        return RouteReason.UNIT
    return RouteReason.WANTED
