from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:  # kafka-python may be imported only once `pytest_configure` has run
    from streams.broker import EmbeddedKafka
    from streams.topics import TopicSet


def pytest_configure(config: pytest.Config) -> None:
    """How kafka-python reads its schemas is deprecated before Python 3.13."""
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    # How long an example takes depends on what else the machine does.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    # Brokers of tests live for seconds: what their second compiler would win comes too late for them.
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
    if getattr(config.option, "numprocesses", None) and config.cache is not None:
        _start_brokers_faster(config.cache.mkdir("java"))  # the processes inherit it


def _start_brokers_faster(folder: Path) -> None:
    """Give every Java that follows a cache of classes. Where none can be made, whoever needs Java or Kafka says what is missing."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.java_cache", folder], stdout=subprocess.PIPE, text=True, check=False
    )
    if found.returncode == 0:
        # An older Java does not know the option; programs on another class path cannot use it, and need not say so.
        os.environ["JDK_JAVA_OPTIONS"] += (
            f" -XX:+IgnoreUnrecognizedVMOptions -XX:AOTCache={found.stdout.strip()} -Xlog:disable"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, then those that need Kafka: side by side, nobody ends the run with a long file alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    kafka = {item.path for item in items if item.get_closest_marker("kafka")}
    items.sort(key=lambda item: (item.path not in slow, item.path not in kafka))


def _started(kafka: EmbeddedKafka) -> EmbeddedKafka:
    """Start it. Where it cannot start, a laptop skips the test and CI fails it."""
    from streams.broker import BrokerError

    try:
        return kafka.start()
    except BrokerError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the embedded Kafka does not start: {error}", pytrace=False)
        pytest.skip(f"the embedded Kafka does not start: {error}")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """One broker for the whole run. Tests share it and keep apart by `topic_prefix`; none may stop it."""
    from streams.broker import EmbeddedKafka

    broker = _started(EmbeddedKafka(tmp_path_factory.mktemp("kafka")))
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A running broker of one module's own, which its tests may stop."""
    from streams.broker import EmbeddedKafka

    broker = _started(EmbeddedKafka(tmp_path_factory.mktemp("kafka"), heap_mb=256))
    yield broker
    broker.stop()


@pytest.fixture
def new_kafka(tmp_path: Path) -> Iterator[Callable[..., EmbeddedKafka]]:
    """A factory of running brokers of the test's own, over `tmp_path/kafka`, stopped when it ends."""
    from streams.broker import EmbeddedKafka

    running: list[EmbeddedKafka] = []

    def start(**settings: object) -> EmbeddedKafka:
        broker = EmbeddedKafka(**({"data_dir": tmp_path / "kafka", "heap_mb": 256} | settings))  # type: ignore[arg-type]
        running.append(broker)
        return _started(broker)

    yield start
    for broker in running:
        broker.stop()


@pytest.fixture
def kafka_cluster(new_kafka: Callable[..., EmbeddedKafka]) -> Callable[[], EmbeddedKafka]:
    """A factory of three running brokers, which the test may kill and restart."""
    return lambda: new_kafka(brokers=3)


@pytest.fixture
def topic_prefix() -> str:
    """A prefix of topic names that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def topics(kafka: EmbeddedKafka, topic_prefix: str) -> TopicSet:
    """The declared topics, created on the shared broker for this test alone, with four partitions."""
    from streams.topics import TopicSet
    from streams.topics_admin import create_topics

    topics = TopicSet(prefix=topic_prefix, partitions=4)
    create_topics(kafka.bootstrap_servers, topics)
    return topics
