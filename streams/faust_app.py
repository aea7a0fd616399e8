"""A Faust app with safe settings, and a worker in this process.

Faust's defaults are for a development machine: a web server on every address, a producer that waits 20 minutes, 60 s
until a dead worker's partitions move, an agent that is restarted in a tight loop. Here a failure ends the process
(`die`); the supervisor outside starts it again.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import faust

from streams.freeze import FreezeGuard
from streams.recovery import EndingTables
from streams.security import Security, security_of
from streams.transport import Transport

log = logging.getLogger(__name__)

#: Exit status of a worker that could not go on; nothing was committed after the failure.
EXIT_FAILED = 70
#: Exit status of a worker that did not stop within `STOP_SECONDS`.
EXIT_STUCK = 75

STOP_SECONDS = 25.0
MIB = 1024 * 1024


def make_app(
    app_id: str,
    *,
    bootstrap_servers: str,
    datadir: Path,
    batch_topics: Iterable[str],
    max_batch_records: int = 1000,
    max_batch_bytes: int = MIB,
    max_request_bytes: int = 4 * MIB,
    session_timeout_seconds: float = 6.0,
    commit_interval_seconds: float = 1.0,
    compression: str | None = None,
    **overrides: Any,
) -> faust.App:
    """A Faust app that reads `batch_topics` in batches. `datadir` belongs to this worker alone. `overrides` are Faust
    settings. `bootstrap_servers` brings its security along (security.py); raises SecurityFilesError.
    """
    settings: dict[str, Any] = {
        "broker": "kafka://" + ";kafka://".join(bootstrap_servers.split(",")),
        "broker_credentials": _credentials(security_of(bootstrap_servers)),
        "datadir": str(datadir),
        "store": "rocksdb://",
        "TableManager": EndingTables,
        "autodiscover": False,
        "origin": None,
        "processing_guarantee": "at_least_once",
        "key_serializer": "raw",
        "value_serializer": "raw",
        # consuming
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": MIB // 2,
        "broker_max_poll_records": max_batch_records,
        "broker_session_timeout": session_timeout_seconds,
        "broker_heartbeat_interval": max(0.3, session_timeout_seconds / 6),
        "broker_rebalance_timeout": 30.0,
        "broker_request_timeout": 40.0,
        # Never. Who does not read for so long leaves the group, and is not let in again before it reads, which Faust does not
        # before it is in. Whether anything gets on is health's to say.
        "broker_max_poll_interval": 10 * 366 * 86_400.0,
        "broker_commit_interval": commit_interval_seconds,
        "stream_wait_empty": True,
        # Counts deliveries, and one is a whole batch: what waits in memory is bounded by this times `max_batch_bytes`
        # for each agent.
        "stream_buffer_maxsize": 4,
        "stream_processing_timeout": 120.0,
        # producing
        "producer_acks": -1,
        "producer_linger": 0.0,
        "producer_request_timeout": 30.0,
        "producer_max_batch_size": MIB // 2,
        "producer_max_request_size": max_request_bytes,
        "producer_compression_type": compression,
        # what Faust would make by itself
        "table_standby_replicas": 0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
        "web_host": "127.0.0.1",
        "worker_redirect_stdouts": False,
    }
    app = faust.App(app_id, **(settings | overrides))
    app.freeze_guard = FreezeGuard(session_timeout_seconds)  # type: ignore[attr-defined]
    Transport.for_topics(app, batch_topics, max_records=max_batch_records, max_bytes=max_batch_bytes)
    return app


def _credentials(security: Security) -> Any:
    """Return what Faust's consumer and producer are given; None for plaintext. Raises SecurityFilesError."""
    arguments = security.client_arguments()
    context = arguments.get("ssl_context")
    if security.uses_login:
        return faust.SASLCredentials(
            username=security.username,
            password=arguments["sasl_plain_password"],
            ssl_context=context,
            mechanism=arguments["sasl_mechanism"],
        )
    return faust.SSLCredentials(context) if context is not None else None


def batch_topic(app: faust.App, name: str) -> Any:
    """The declaration of a topic of raw bytes; it must exist already."""
    return app.topic(name, key_serializer="raw", value_serializer="raw", key_type=None, value_type=None, internal=False)


def producer_of(app: faust.App) -> Any:
    """The running app's aiokafka producer, for `send_many` and `BulkTable.flush`."""
    producer: Any = app.producer
    return producer._ensure_producer()


def die(exc: BaseException) -> NoReturn:
    """End the process at once, committing nothing: whoever gets the partition next does again what is not committed."""
    log.critical("cannot go on: %s: %s", type(exc).__name__, exc, exc_info=exc)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_FAILED)


def run_worker(app: faust.App, *, loglevel: str = "WARNING", on_ready: Callable[[], None] | None = None) -> NoReturn:
    """Run the app until SIGTERM or SIGINT, then exit with 0; with another status after a failure.

    Logging is left as the caller has set it up. `on_ready` is called when recovery is done. Exits hard when stopping
    takes too long.
    """
    loop = _new_event_loop()
    worker: Any = app.Worker(loop=loop, loglevel=loglevel, quiet=True, redirect_stdouts=False, override_logging=False)
    worker.spinner = None
    started = worker.on_startup_finished

    async def finished() -> None:
        await started()
        if on_ready is not None:
            on_ready()

    worker.on_startup_finished = finished
    stop = worker._schedule_shutdown

    def schedule_shutdown(signal: Any) -> None:
        end_after(STOP_SECONDS)
        stop(signal)

    worker._schedule_shutdown = schedule_shutdown
    guard: FreezeGuard = app.freeze_guard  # type: ignore[attr-defined]
    guard.start(die)
    tables: Any = app.tables
    tables.on_recovery_timeout = die
    status: Any = 1
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        status = ended.code
    # All is stopped and durable. The interpreter's own end would pull the floor from under threads that still run (health server,
    # freeze guard, RocksDB's), and now and then ends in a segmentation fault.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def end_after(seconds: float) -> None:
    """End the process hard after so many seconds, from a thread that the event loop cannot hold up."""

    def end() -> None:
        time.sleep(seconds)
        sys.stderr.write(f"not stopped after {seconds:g} s\n")
        os._exit(EXIT_STUCK)

    threading.Thread(target=end, name="hard-stop", daemon=True).start()


def _new_event_loop() -> Any:
    try:
        import uvloop
    except ImportError:
        import asyncio

        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
