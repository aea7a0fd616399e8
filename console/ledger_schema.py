"""The ledger's tables, and how a file is opened: for its owner alone, in the version this code writes."""

import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

SCHEMA_VERSION = 1
BUSY_SECONDS = 30.0

log = logging.getLogger(__name__)

_TABLES = """
CREATE TABLE topics (source TEXT PRIMARY KEY, topic_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE offsets (
    source TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, unreadable INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, partition)
) WITHOUT ROWID;
CREATE TABLE alerts (alert_id TEXT PRIMARY KEY, case_id TEXT NOT NULL, raised_at INTEGER NOT NULL, json BLOB NOT NULL);
CREATE INDEX alerts_by_case ON alerts (case_id);
CREATE INDEX alerts_by_time ON alerts (raised_at);
CREATE TABLE drills (alert_id TEXT PRIMARY KEY, json BLOB NOT NULL);
CREATE TABLE deliveries (
    subscriber TEXT NOT NULL, alert_id TEXT NOT NULL, mark TEXT NOT NULL,
    partition INTEGER NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL, case_id TEXT NOT NULL,
    delivery_sequence INTEGER NOT NULL, status TEXT NOT NULL, outcome TEXT, http_status INTEGER, attempts INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL, last_attempt_at INTEGER, next_attempt_at INTEGER, json BLOB NOT NULL,
    PRIMARY KEY (subscriber, alert_id, mark)
);
CREATE INDEX deliveries_by_position ON deliveries (subscriber, partition, position) WHERE position > 0;
CREATE INDEX deliveries_by_alert ON deliveries (alert_id);
CREATE INDEX deliveries_by_case ON deliveries (case_id);
CREATE INDEX deliveries_by_time ON deliveries (last_attempt_at);
CREATE TABLE lanes (
    subscriber TEXT NOT NULL, partition INTEGER NOT NULL,
    newest INTEGER NOT NULL, marked INTEGER NOT NULL DEFAULT 0, readable INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subscriber, partition)
) WITHOUT ROWID;
CREATE TABLE decisions (
    partition INTEGER NOT NULL, position INTEGER NOT NULL, alert_id TEXT NOT NULL, case_id TEXT NOT NULL,
    decided_at INTEGER NOT NULL, json BLOB NOT NULL, PRIMARY KEY (partition, position)
) WITHOUT ROWID;
CREATE INDEX decisions_by_alert ON decisions (alert_id);
"""
CONTENT_TABLES = ("topics", "offsets", "alerts", "drills", "deliveries", "lanes", "decisions")


class LedgerError(RuntimeError):
    """A ledger that cannot be used; the message says which file and what to do."""


def open_file(path: Path) -> sqlite3.Connection:
    """Return a connection that writes to the file, made or made anew where needed. Raises LedgerError.

    A file of a later version is refused. One of an earlier version, or a broken one, is begun again: everything in it
    comes from Kafka.
    """
    try:
        connection = _connected(path)
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise LedgerError(f"{path}: cannot be opened ({error}): is it this process's own directory?") from None
        log.warning("%s is broken and is begun again", path)
        return _begun(path)
    if version == SCHEMA_VERSION:
        return connection
    connection.close()
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path}: written by a later version of this program ({version}, this one knows {SCHEMA_VERSION}): "
            "use that version, or delete the file; it is read again from Kafka"
        )
    if version:
        log.warning("%s is of an earlier version (%s) and is begun again", path, version)
    return _begun(path)


def reading(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only = 1")
    return connection


def _begun(path: Path) -> sqlite3.Connection:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    connection = _connected(path)
    connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
    return connection


def _connected(path: Path) -> sqlite3.Connection:
    try:
        # SQLite gives its side files the mode of the main one.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be made: {error.strerror}") from None
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
