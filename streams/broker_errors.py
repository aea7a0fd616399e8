"""What can go wrong with the embedded Apache Kafka. Every message says what to do.

BrokerError
├── JarsUnavailableError   the jars of Apache Kafka, or the Java runtime, cannot be had
├── DataDirUnusableError   the data directory cannot be written, or its disk is full
├── DataDirInUseError      another running instance holds the data directory
├── PortTakenError         a port that was asked for is not free: `port`
├── BrokerDiedError        the Java process ended while it should run: `log_path`, `log_tail`
├── BrokerNotReadyError    it runs but did not answer in time: `log_path`, `log_tail`
└── BrokerNotRunningError  a call that needs a running broker came before `start` or after `stop`
"""

from __future__ import annotations

from pathlib import Path

INSTEAD = "or use an existing cluster instead: give its address as the bootstrap servers"


class BrokerError(Exception):
    """Any failure of the embedded Apache Kafka."""


class JarsUnavailableError(BrokerError):
    """The jars of Apache Kafka, or the Java runtime, cannot be had."""


class DataDirUnusableError(BrokerError):
    """The data directory cannot be written, or its disk is full."""


class DataDirInUseError(BrokerError):
    """Another running instance holds the data directory."""


class PortTakenError(BrokerError):
    """A port that was asked for is not free."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} on 127.0.0.1 is taken by another program: choose another port, "
            f"or 0 for any free one, {INSTEAD}"
        )
        self.port = port


class BrokerNotRunningError(BrokerError):
    """A call that needs a running broker came before `start` or after `stop`."""


class _WithLogError(BrokerError):
    def __init__(self, message: str, log_path: Path, log_tail: str) -> None:
        tail = f"; its last lines:\n{log_tail}" if log_tail else ""
        super().__init__(f"{message}. The log is {log_path}{tail}")
        self.log_path = log_path
        self.log_tail = log_tail


class BrokerDiedError(_WithLogError):
    """The Java process ended while it should run."""


class BrokerNotReadyError(_WithLogError):
    """The broker runs but did not answer in time."""
