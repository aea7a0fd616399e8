"""Which Kafka topics an import may write to: not those between the parts of the service, whose records only they write."""

from streams.importing.faults import ImportFault
from streams.topics import TopicSet

_OF_OTHERS = ("__", "_schemas")
_CHANGELOG = "-changelog"


def check_topic(topic: str, topics: TopicSet, own: str) -> None:
    """Raise ImportFault unless the topic is `own`, the one meant for the import, or one that this service knows nothing of.

    What another installation on the cluster has, under another prefix, is known by its ending.
    """
    prefix = len(topics.prefix)
    inner = {spec.name[prefix:] for spec in topics.all()} - {own[prefix:]}
    if topic == own or not (topic.startswith(_OF_OTHERS) or topic.endswith((_CHANGELOG, *sorted(inner)))):
        return
    raise ImportFault(
        f"--topic {topic}: a topic that only Kafka or the service itself writes to: leave --topic out ({own} is meant), or name one of "
        "your own"
    )
