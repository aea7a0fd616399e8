"""A process that was frozen (SIGSTOP, a suspended machine, a long swap) must not go on as if nothing had happened.

Its session at the broker is over by then, its partitions are another worker's, and a changelog record sent now would
lie behind the new owner's. Such a process ends instead; `BulkTable.flush` asks once more before it sends, should it
wake up right there.
"""

import threading
import time
from collections.abc import Callable

TICK_SECONDS = 0.2


class FrozenError(RuntimeError):
    """The process did not run for longer than its session at the broker lasts."""


class FreezeGuard:
    """Notices that this process did not run. Without `start` it never complains."""

    def __init__(self, limit_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_seconds = limit_seconds
        self._clock = clock
        self._ticked: float | None = None

    def check(self) -> None:
        """Raise FrozenError when the last tick is too long ago."""
        if self._ticked is not None and (gap := self._clock() - self._ticked) > self.limit_seconds:
            raise FrozenError(
                f"this process did not run for {gap:.1f} s, longer than its session of {self.limit_seconds:g} s"
            )

    def tick(self) -> None:
        """Say that the process runs. Raises FrozenError when it did not for too long."""
        self.check()
        self._ticked = self._clock()

    def start(self, die: Callable[[BaseException], None]) -> None:
        """Tick in a thread of its own, and call `die` after a freeze."""
        self.tick()
        threading.Thread(target=self._run, args=(die,), name="freeze-guard", daemon=True).start()

    def _run(self, die: Callable[[BaseException], None]) -> None:
        pause = threading.Event()
        while not pause.wait(TICK_SECONDS):
            try:
                self.tick()
            except FrozenError as exc:
                die(exc)
                return
