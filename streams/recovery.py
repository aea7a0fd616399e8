"""Recovery of tables that ends the process where it would otherwise stop silently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped


class RecoveryTimeoutError(RuntimeError):
    """The broker did not answer in time while tables were to be recovered."""


class EndingRecovery(Recovery):
    """Faust's, but for a wait that takes too long.

    Faust takes it for the service's end: its recovery is over for good, without a word, and no partition is ever ready again.
    """

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 - Faust's own
        """Return when it is done. Raises RebalanceAgain, ServiceStopped, and where the process is not ended RecoveryTimeoutError."""
        again: Any = self.signal_recovery_start
        result = await self.wait_first(coro, again, timeout=timeout)
        if not result.stopped:
            if again in result.done:
                raise RebalanceAgain()
        elif self.should_stop or (self.app.should_stop and not self.app.crashed):
            # A stop reaches the app first, and its recovery only when streams are empty.
            raise ServiceStopped()
        else:
            late = RecoveryTimeoutError(f"tables cannot be recovered: Kafka did not answer within {timeout:g} s")
            tables: Any = self.tables
            if tables.on_recovery_timeout is not None:
                tables.on_recovery_timeout(late)
            raise late


class EndingTables(TableManager):
    """Faust's, with that recovery."""

    #: What ends the process, which is started again and recovers anew.
    on_recovery_timeout: Callable[[BaseException], Any] | None = None

    @property
    def recovery(self) -> Recovery:
        """Return the recovery, made when first asked for: not before the event loop runs, or it waits on another one."""
        if self._recovery is None:
            self._recovery = EndingRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
