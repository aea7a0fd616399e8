"""Reads hw.deliveries to its present end: where each delivery stands. Synchronous (kafka-python): never on an event loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from models.delivery import DeliveryRecord, DeliveryStatus
from streams.topic_log import ClusterUnreachableError, TopicUnreadableError, read_values


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one delivery stands, and which one it waits behind, if it is not the first of its case."""

    record: DeliveryRecord
    behind: int | None = None
    """The delivery_sequence of the first undelivered one of the case."""

    @property
    def why(self) -> str:
        """Return in a few words why the delivery is where it is."""
        record = self.record
        if record.status is DeliveryStatus.DELIVERED:
            return "accepted"
        if self.behind is not None:
            return f"waits behind number {self.behind} of its case"
        if record.status is DeliveryStatus.DISABLED:
            return "the endpoint answered 410 Gone: change its entry or raise its revision"
        if record.status is DeliveryStatus.REFUSED:
            return "the conflict guard stopped it: it is judged again when the unit registry changes"
        if record.outcome is None:
            return "not tried yet"
        status = f" ({record.http_status})" if record.http_status is not None else ""
        last = f"last attempt: {record.outcome}{status}"
        return f"{last}; the schedule is used up" if record.status is DeliveryStatus.EXHAUSTED else last


def read_standings(bootstrap_servers: str, topic: str) -> list[Standing]:
    """Return where each delivery stands, by subscriber, case and number.

    Raises ClusterUnreachableError, TopicUnreadableError.
    """
    last = {record.key: record for record in _decoded(read_values(bootstrap_servers, topic))}
    return standings(last.values())


def standings(records: Iterable[DeliveryRecord]) -> list[Standing]:
    """Return where deliveries stand, given the last record of each."""
    ordered = sorted(records, key=lambda record: (record.subscriber, record.case_id, record.delivery_sequence))
    first: dict[tuple[str, str], int] = {}
    for record in ordered:
        if record.status is not DeliveryStatus.DELIVERED:
            first.setdefault((record.subscriber, record.case_id), record.delivery_sequence)
    found = []
    for record in ordered:
        head = first.get((record.subscriber, record.case_id))
        waits = record.status is not DeliveryStatus.DELIVERED and head != record.delivery_sequence
        found.append(Standing(record, head if waits else None))
    return found


def _decoded(values: Iterable[bytes]) -> Iterator[DeliveryRecord]:
    for value in values:
        try:
            yield DeliveryRecord.model_validate_json(value)
        except ValidationError:
            continue  # the dispatch worker quarantines it


__all__ = ["ClusterUnreachableError", "Standing", "TopicUnreadableError", "read_standings", "standings"]
