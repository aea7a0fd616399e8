"""What `doctor` looks at of this machine's clock by itself: it may be kept by nobody, or have gone back. The broker's is compared
in doctor_cluster.py; on one machine the two are the same clock, and equally wrong.
"""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from cli.doctor_findings import Area, Finding, ok, problem, warning
from models.times import MINUTE, format_minute

_BACK = 2 * MINUTE
_TIME_ERROR = 5
"""The kernel's answer where no time server keeps the clock (adjtimex(2))."""
_TIMEX_BYTES = 512
"""More than struct timex has anywhere."""
_KEEP = "have a time server keep it (chrony, systemd-timesyncd): `timedatectl set-ntp true`"


def check_clock(data: Path | None, now: int) -> Iterator[Finding]:
    """Yield whether this machine's clock can be right; `now`: what it says, in microseconds."""
    newest = newest_change([Path(__file__), *([] if data is None else _files_below(data))])
    if newest > now + _BACK:
        yield problem(
            Area.CLOCK,
            f"this machine's clock says {format_minute(now)}, and files of this installation were written at "
            f"{format_minute(newest)}: it has gone back, and deadlines come late",
            _KEEP,
        )
        return
    kept = kept_by_a_time_server()
    if kept is False:
        yield warning(
            Area.CLOCK, "no time server keeps this machine's clock: it will drift, and deadlines with it", _KEEP
        )
    elif kept:
        yield ok(Area.CLOCK, "a time server keeps this machine's clock")


def newest_change(paths: list[Path]) -> int:
    """Return when the newest of some files was written, in microseconds; 0 where there is none."""
    found = 0
    for path in paths:
        try:
            found = max(found, path.stat().st_mtime_ns // 1000)
        except OSError:
            continue  # files come and go while they are looked at
    return found


def kept_by_a_time_server() -> bool | None:
    """Return whether the kernel says that its clock is synchronised; None where it does not say."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # all zero: only asks
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def _files_below(data: Path) -> list[Path]:
    return [Path(folder, name) for folder, _, names in os.walk(data) for name in names]
