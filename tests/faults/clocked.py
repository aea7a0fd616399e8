"""A process of the service whose clock is set by a file: `python -m tests.faults.clocked FILE worker`.

The file holds seconds to add to the machine's time. Everything in Python sees the other time; what measures durations does not.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

_LOOK_SECONDS = 0.1


class _Clock:
    def __init__(self, path: Path) -> None:
        self._path, self._looked, self._offset = path, 0.0, 0
        self._time, self._time_ns, self._monotonic = time.time, time.time_ns, time.monotonic

    def offset(self) -> int:
        if self._monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = self._monotonic()
            self._offset = int(self._path.read_text())
        return self._offset

    def time(self) -> float:
        return self._time() + self.offset()

    def time_ns(self) -> int:
        return self._time_ns() + self.offset() * 1_000_000_000


def main() -> None:
    """Set the clock, then become the command."""
    clock = _Clock(Path(sys.argv.pop(1)))
    time.time, time.time_ns = clock.time, clock.time_ns
    from cli.main import main as command

    command()


if __name__ == "__main__":
    main()
