"""Reads what happened to alerts from Kafka: the alerts, what was decided of them, how they were delivered. Synchronous
(kafka-python): never on an event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


def read_history(bootstrap_servers: str, topics: TopicSet, alert_id: str | None = None) -> History:
    """Return what happened to one alert, or to all. Raises ClusterUnreachableError, TopicUnreadableError."""

    def of(topic: str, model: type[Model]) -> Iterator[Model]:
        needle = None if alert_id is None else alert_id.encode()
        # Most records are of other alerts: looking for the id is cheaper than reading them.
        values = (one for one in read_values(bootstrap_servers, topic) if needle is None or needle in one)
        for found in _decoded(values, model):
            if alert_id is None or getattr(found, "alert_id", None) == alert_id:
                yield found

    alerts = {alert.alert_id: alert for alert in of(topics.alerts, Alert)}
    deliveries = {record.key: record for record in of(topics.deliveries, DeliveryRecord)}
    return History(alerts, list(of(topics.decisions, DecisionRecord)), list(deliveries.values()))


def _decoded(values: Iterable[bytes], model: type[Model]) -> Iterator[Model]:
    for value in values:
        try:
            yield model.model_validate_json(value)
        except ValidationError:
            continue  # the dispatch worker quarantines it


__all__ = ["ClusterUnreachableError", "History", "TopicUnreadableError", "read_history"]
