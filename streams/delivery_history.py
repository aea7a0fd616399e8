"""Reads what happened to alerts from Kafka: the alerts, what was decided of them, how they were delivered. Synchronous
(kafka-python): never on an event loop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from models.alert import Alert
from models.decision import DecisionRecord
from models.delivery import DeliveryRecord
from streams.topic_log import ClusterUnreachableError, TopicUnreadableError, read_values
from streams.topics import TopicSet

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class History:
    """What Kafka says of one alert, or of all."""

    alerts: dict[str, Alert]
    decisions: list[DecisionRecord]
    deliveries: list[DeliveryRecord]
    """The last record of each delivery."""

    def alert(self, alert_id: str) -> Alert | None:
        """Return an alert."""
        return self.alerts.get(alert_id)


def read_history(
    bootstrap_servers: str, topics: TopicSet, alert_id: str | None = None, ticket_id: str | None = None
) -> History:
    """Return what happened to one alert, to those of one ticket, or to all. Raises ClusterUnreachableError,
    TopicUnreadableError.
    """

    def of(topic: str, model: type[Model], ids: Collection[str] | None) -> Iterator[Model]:
        needles = None if ids is None else [one.encode() for one in ids]
        # Most records are of other alerts: looking for the id is cheaper than reading them.
        values = read_values(bootstrap_servers, topic)
        return _decoded((one for one in values if needles is None or any(needle in one for needle in needles)), model)

    wanted = None if alert_id is None else {alert_id}
    found = of(topics.alerts, Alert, wanted if ticket_id is None else {ticket_id})
    alerts = {
        alert.alert_id: alert
        for alert in found
        if (wanted is None or alert.alert_id in wanted) and (ticket_id is None or ticket_id in alert.tickets)
    }
    if ticket_id is not None:
        wanted = set(alerts)
    decisions = [
        one for one in of(topics.decisions, DecisionRecord, wanted) if wanted is None or one.alert_id in wanted
    ]
    deliveries = {
        one.key: one
        for one in of(topics.deliveries, DeliveryRecord, wanted)
        if wanted is None or one.alert_id in wanted
    }
    return History(alerts, decisions, list(deliveries.values()))


def later_version(bootstrap_servers: str, topics: TopicSet, alert: Alert) -> Alert | None:
    """Return the last version of an alert's case and rule, None where it is that one itself. Raises
    ClusterUnreachableError, TopicUnreadableError.
    """
    needle, last = alert.case_id.encode(), alert
    values = (one for one in read_values(bootstrap_servers, topics.alerts) if needle in one)
    for one in _decoded(values, Alert):
        if (one.case_id, one.rule.id) == (alert.case_id, alert.rule.id) and one.sequence > last.sequence:
            last = one
    return None if last is alert else last


def _decoded(values: Iterable[bytes], model: type[Model]) -> Iterator[Model]:
    for value in values:
        try:
            yield model.model_validate_json(value)
        except ValidationError:
            continue  # the dispatch worker quarantines it


__all__ = ["ClusterUnreachableError", "History", "TopicUnreadableError", "later_version", "read_history"]
