"""What the transport and the tables rely on inside Faust, checked when they are imported.

They override and call methods that are no public interface. Another release may change them without notice, and what
breaks then is not a call but the promise that no record is lost: so another version is refused, and so is this one when
something looks different.
"""

import inspect
from typing import Any

import aiokafka
import faust
from aiokafka.consumer.fetcher import Fetcher as AIOKafkaFetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState
from aiokafka.producer.message_accumulator import BatchBuilder
from faust.app import App
from faust.stores.rocksdb import RocksDBOptions, Store
from faust.streams import Stream
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage, Message

FAUST_VERSION = "0.15.3"
AIOKAFKA_SERIES = "0.14."

#: (class, method, its parameters without self)
METHODS: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    (Consumer, "_drain_messages", ("fetcher",)),
    (Consumer, "_new_offset", ("tp",)),
    (Consumer, "_filter_tps_with_pending_acks", ("topics",)),
    (Consumer, "_should_commit", ("tp", "offset")),
    (Consumer, "_get_active_partitions", ()),
    (Consumer, "_seek", ("partition", "offset")),
    (Consumer, "_to_message", ("tp", "record")),
    (Consumer, "ack", ("message",)),
    (Consumer, "_commit", ("offsets",)),
    (Consumer, "perform_seek", ()),
    (Consumer, "stop_flow", ()),
    (Consumer, "_is_changelog_tp", ("tp",)),
    (Consumer, "on_partitions_assigned", ("assigned", "generation_id")),
    (driver.Consumer, "_getmany", ("active_partitions", "timeout")),
    (driver.Consumer, "_new_consumer_thread", ()),
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ("transport",)),
    (driver.AIOKafkaConsumerThread, "_fetch_records", ("consumer", "active_partitions", "timeout", "max_records")),
    (driver.AIOKafkaConsumerThread, "_seek_wait", ("consumer", "partitions")),
    (driver.AIOKafkaConsumerThread, "seek_to_committed", ()),
    (driver.AIOKafkaConsumerThread, "_ensure_consumer", ()),
    (driver.AIOKafkaConsumerThread, "verify_event_path", ("now", "tp")),
    (driver.AIOKafkaConsumerThread, "call_thread", ("fun", "args", "kwargs")),
    (driver.Producer, "_settings_extra", ()),
    (Message, "ack", ("consumer", "n")),
    (ConsumerMessage, "on_final_ack", ("consumer",)),
    (Stream, "noack", ()),
    (Stream, "events", ()),
    (Stream, "ack", ("event",)),
    (App, "_stop_consumer", ()),
    (Collection, "on_rebalance", ("assigned", "revoked", "newly_assigned", "generation_id")),
    (Collection, "on_recovery_completed", ("active_tps", "standby_tps")),
    (Collection, "apply_changelog_batch", ("batch",)),
    (Collection, "_new_store", ()),
    (TableManager, "add", ("table",)),
    (Recovery, "on_recovery_completed", ("generation_id",)),
    (Recovery, "_wait", ("coro", "timeout")),
    (Recovery, "flush_buffers", ()),
    (Recovery, "_build_highwaters", ("consumer", "tps", "destination", "title")),
    (Store, "_open_for_partition", ("partition",)),
    (Store, "_db_for_partition", ("partition",)),
    (Store, "partition_path", ("partition",)),
    (Store, "persisted_offset", ("tp",)),
    (RocksDBOptions, "open", ("path", "read_only")),
    (RocksDBOptions, "as_options", ()),
    (Assignment, "state_value", ("tp",)),
    (AIOKafkaFetcher, "fetched_records", ("partitions", "timeout", "max_records")),
    (PartitionRecords, "_unpack_records", ()),
    (BatchBuilder, "append", ("timestamp", "key", "value", "headers")),
    (BatchBuilder, "record_count", ()),
)

#: (class, attributes that its instances have by annotation or property)
ATTRIBUTES: tuple[tuple[type, tuple[str, ...]], ...] = (
    (
        Consumer,
        (
            "_acked",
            "_acked_index",
            "_committed_offset",
            "_unacked_messages",
            "_waiting_for_ack",
            "_buffered_partitions",
        ),
    ),
    (Consumer, ("flow_active", "can_resume_flow", "suspend_flow", "consumer_stopped_errors")),
    (Recovery, ("active_highwaters", "active_offsets", "active_tps", "signal_recovery_start")),
    (TableManager, ("_changelogs", "_recovery", "changelog_topics")),
    (SubscriptionState, ("subscription",)),
    (Store, ("offset_key", "_dbs")),
)


class IncompatibleFaustError(ImportError):
    """This release of Faust or aiokafka is not the one that the transport was written and tested against."""


def check_internals(faust_version: str = faust.__version__, aiokafka_version: str = aiokafka.__version__) -> None:
    """Raise IncompatibleFaustError unless Faust and aiokafka are as expected."""
    if faust_version != FAUST_VERSION:
        raise IncompatibleFaustError(f"faust-streaming {FAUST_VERSION} is needed, {faust_version} is installed")
    if not aiokafka_version.startswith(AIOKAFKA_SERIES):
        raise IncompatibleFaustError(f"aiokafka {AIOKAFKA_SERIES}x is needed, {aiokafka_version} is installed")
    problems = [problem for cls, name, parameters in METHODS if (problem := method_problem(cls, name, parameters))]
    for cls, names in ATTRIBUTES:
        problems += [f"{cls.__name__}.{name} is missing" for name in names if not _has(cls, name)]
    if problems:
        raise IncompatibleFaustError("Faust is not as expected: " + "; ".join(problems))


def method_problem(cls: type, name: str, parameters: tuple[str, ...]) -> str | None:
    """What is wrong with a method, None when it is there with these parameters."""
    method: Any = getattr(cls, name, None)
    if method is None:
        return f"{cls.__name__}.{name} is missing"
    found = tuple(parameter for parameter in inspect.signature(method).parameters if parameter != "self")
    return None if found == parameters else f"{cls.__name__}.{name}{found} is not {parameters}"


def _has(cls: type, name: str) -> bool:
    return any(name in vars(base) or name in getattr(base, "__annotations__", {}) for base in cls.__mro__)
