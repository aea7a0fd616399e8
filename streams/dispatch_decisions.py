"""What is written down of decisions: one record for each alert that was decided, and for each that changed while it was held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from alerting.dedup import DedupReason
from alerting.directory import Directory
from alerting.outbox import Offered, Woken
from alerting.route import RouteReason
from alerting.stages import SUPERSEDED, Decision
from models.alert import Alert
from models.decision import DecisionRecord, SubscriberDecision
from models.delivery import DeliveryKind
from models.times import format_instant


@dataclass(frozen=True, slots=True)
class Decided:
    """Makes the records of one instant, under one directory."""

    directory: Directory
    now: int

    def offered(self, alert: Alert, offered: Offered, occasion: str) -> Iterator[DecisionRecord]:
        """Yield the record of an alert that was offered, and of those that gave way to it."""
        told = [one for one in offered.decisions if one.dedup is not DedupReason.SEEN]
        not_routed = tuple(one.subscriber for one in told if one.route is RouteReason.NOT_ROUTED)
        if told or not offered.decisions:
            routed = offered.routed
            yield self._record(
                alert.alert_id,
                alert.case_id,
                occasion,
                tuple(_told(one) for one in told if one.route is not RouteReason.NOT_ROUTED),
            ).model_copy(
                update={
                    "branch": None if routed is None else routed.branch,
                    "why": () if routed is None else routed.why,
                    "not_routed": not_routed,
                }
            )
        gave_way: defaultdict[str, list[str]] = defaultdict(list)
        for name, alert_id in offered.superseded:
            gave_way[alert_id].append(name)
        for alert_id, names in gave_way.items():
            decisions = tuple(
                SubscriberDecision(subscriber=name, reason=SUPERSEDED, detail=alert.alert_id) for name in names
            )
            yield self._record(alert_id, alert.case_id, "release", decisions)

    def woken(self, case_id: str, woken: Woken) -> Iterator[DecisionRecord]:
        """Yield the records of what was released, is to be said again, or stays held for another reason."""
        for name, item in woken.queued:
            repeats = item.kind is DeliveryKind.REPEAT
            decision = SubscriberDecision(subscriber=name, reason="wanted", detail=item.mark if repeats else None)
            yield self._record(item.alert_id, case_id, "repeat" if repeats else "release", (decision,))
        for name, held in woken.changed:
            decision = SubscriberDecision(
                subscriber=name, reason=held.reason.value, detail=held.detail, until=_time(held.until)
            )
            yield self._record(held.alert_id, case_id, "release", (decision,))

    def _record(
        self, alert_id: str, case_id: str, occasion: str, decisions: tuple[SubscriberDecision, ...]
    ) -> DecisionRecord:
        return DecisionRecord(
            alert_id=alert_id,
            case_id=case_id,
            decided_at=format_instant(self.now),
            occasion=occasion,
            registry_version=self.directory.registry.version,
            routing_version=self.directory.tree.version,
            decisions=decisions,
        )


def _told(decision: Decision) -> SubscriberDecision:
    until = decision.verdict.until if decision.holds and decision.verdict is not None else None
    return SubscriberDecision(
        subscriber=decision.subscriber, reason=decision.reason, detail=decision.detail, until=_time(until)
    )


def _time(instant: int | None) -> str | None:
    return None if instant is None else format_instant(instant)
