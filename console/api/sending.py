"""Requests to the dispatch worker, by way of Kafka."""

import logging
from collections.abc import Sequence

from console.api.services import Services, unavailable
from models.redelivery import RedeliveryRequest
from streams.topic_log import ClusterUnreachableError, TopicUnreadableError

log = logging.getLogger(__name__)


def send_or_refuse(parts: Services, requests: Sequence[RedeliveryRequest]) -> None:
    """Return when Kafka has the requests. Raises Problem where it does not take them all."""
    try:
        parts.send(requests)
    except (ClusterUnreachableError, TopicUnreadableError) as error:
        log.error("requests were not taken by Kafka: %s", error)
        raise unavailable("Kafka does not answer: try again, with the same Idempotency-Key.") from None
