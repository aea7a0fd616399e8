"""The conflict guard: the last step before a byte leaves. A warning never reaches those it is about, nor anybody beneath them.

Rules of handling reports and accusations (检举控告工作规则, art. 47): material is never passed to the accused organisation
or person. The guard is pure and has no switch. In doubt it refuses: what held at any time counts, ids that were used again
count as one, and who is behind a subscriber that the registry gives to nobody is not known.
"""

from dataclasses import dataclass
from enum import StrEnum

from alerting.registry import Registry
from models.alert import Alert
from models.base import Family
from models.subscriber import Subscriber
from models.times import parse_instant
from models.units import TEAM_KINDS, Duty, Unit


class GuardReason(StrEnum):
    """Why a warning may not go to a subscriber: a closed set, and a metric's label."""

    OWNER_UNKNOWN = "owner_unknown"
    """The registry gives the subscriber to no unit that is there now."""
    ACCUSED_UNIT = "accused_unit"
    """It is the accused unit, or what that was renamed or merged into or came from."""
    UNDER_ACCUSED = "under_accused"
    """It is, or once was, beneath an accused unit: a subordinate, in-house staff."""
    OWN_TEAM = "own_team"
    """It is the posted team or the committee that the warning is about, or that the accused belong to."""
    UNKNOWN_ACCUSED = "unknown_accused"
    """The registry does not know an accused unit, so nobody knows who is beneath it: for human triage alone."""
    LISTED = "listed"
    """The subscriber's own entry names an accused unit, or one beneath it, among those that run the receiver."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a warning was stopped."""

    reason: GuardReason
    detail: str
    """The ids of the units that it rests on, and nothing else of the warning."""


def refusal(alert: Alert, subscriber: Subscriber, registry: Registry, now: int) -> Refusal | None:
    """Return why the alert may not go to the subscriber at an instant (microseconds), or None if it may."""
    owner = registry.owner_of(subscriber.name, now)
    if owner is None:
        return Refusal(GuardReason.OWNER_UNKNOWN, "owner=none")
    found = conflict(alert, owner, registry)
    if found is not None:
        return found
    for unit_id in sorted(meant_by(alert)):
        for listed in sorted(subscriber.owner_units):
            if _beneath_or_same(listed, unit_id, registry):
                return _refusal(GuardReason.LISTED, owner, unit_id, listed=listed)
    unknown = unknown_to(alert, registry)
    if unknown and owner.duty is not Duty.HUMAN_POOL:
        return _refusal(GuardReason.UNKNOWN_ACCUSED, owner, unknown[0])
    return None


def meant_by(alert: Alert) -> frozenset[str]:
    """Return the ids of the units that must not hear of the alert.

    They are the accused; a citizen's words may mean any unit with a part in the ticket, so with text warnings all of them.
    """
    return frozenset(unit.id for unit in alert.units if unit.role == "accused" or alert.family is Family.TEXT)


def unknown_to(alert: Alert, registry: Registry) -> tuple[str, ...]:
    """Return those of the units meant that the registry did not have when the alert's event happened."""
    at = parse_instant(alert.event_time)
    return tuple(unit_id for unit_id in sorted(meant_by(alert)) if registry.unit(unit_id, at) is None)


def conflict(alert: Alert, owner: Unit, registry: Registry) -> Refusal | None:
    """Return why nobody of a unit may hear of the alert, or None; whether the registry knows the accused is not asked here."""
    for unit_id in sorted(meant_by(alert)):
        lineage = registry.lineage(unit_id)
        is_team = owner.kind in TEAM_KINDS
        if owner.id in lineage:
            return _refusal(GuardReason.OWN_TEAM if is_team else GuardReason.ACCUSED_UNIT, owner, unit_id)
        if is_team and any(_beneath_or_same(one, owner.id, registry) for one in lineage):
            return _refusal(GuardReason.OWN_TEAM, owner, unit_id)
        if not lineage.isdisjoint(registry.ever_above(owner.id)):
            return _refusal(GuardReason.UNDER_ACCUSED, owner, unit_id)
    return None


def _beneath_or_same(unit_id: str, other_id: str, registry: Registry) -> bool:
    """Whether a unit is, or ever was, of the other's lineage or beneath one of it."""
    lineage = registry.lineage(other_id)
    return unit_id in lineage or not lineage.isdisjoint(registry.ever_above(unit_id))


def _refusal(reason: GuardReason, owner: Unit, accused: str, **more: str) -> Refusal:
    ids = {"owner": owner.id, "accused": accused} | more
    return Refusal(reason, " ".join(f"{role}={unit_id}" for role, unit_id in ids.items()))
