"""Places at which a process kills itself, for tests of what a crash leaves behind. Armed by a setting alone.

`reached(name)` does nothing unless that name is armed; then, at the given time it is reached, SIGKILL: no handler, no
flush, as when the machine fails.
"""

import os
import signal
from enum import StrEnum


class Failpoint(StrEnum):
    """The boundaries between the steps of dispatch, and below them those of detection."""

    BEFORE_STATE = "before_state"
    """Alerts are read and decided, nothing is written."""
    BEFORE_RECORDS = "before_records"
    """State is durable, the records that tell of it are not."""
    AFTER_STATE = "after_state"
    """State and records are durable, nobody has been told to send."""
    BEFORE_ACK = "before_ack"
    """The senders know; the batch is not acknowledged."""
    BEFORE_CALL = "before_call"
    AFTER_CALL = "after_call"
    """The receiver has answered; no record of it yet."""
    AFTER_RECORD = "after_record"
    """The outcome is durable, and not yet folded."""
    INTAKE_SENT = "intake_sent"
    """What a batch of inputs became is durable; the batch is not acknowledged."""
    WORKER_BEFORE_STATE = "worker_before_state"
    """A batch is judged, nothing is written."""
    WORKER_AFTER_STATE = "worker_after_state"
    """State and what it owes are durable, nothing is sent."""
    WORKER_BEFORE_ACK = "worker_before_ack"
    """What is owed is sent; the batch is not acknowledged."""


_armed: dict[str, int] = {}


def arm(setting: str) -> None:
    """Arm what a setting says: empty for nothing, else NAME or NAME:N (the N-th time). Raises ValueError."""
    _armed.clear()
    if not setting:
        return
    name, _, count = setting.partition(":")
    if name not in list(Failpoint) or (count and not count.isdigit()):
        raise ValueError(f"no such failpoint; there are {', '.join(Failpoint)}, each with :N for the N-th time")
    _armed[name] = int(count or 1)


def reached(name: Failpoint) -> None:
    """Say that a boundary is reached."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
