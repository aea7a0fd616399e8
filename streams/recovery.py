"""Recovery of tables that ends the process where it would otherwise stop silently."""

from __future__ import annotations

from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped


class RecoveryTimeoutError(RuntimeError):
    """The broker did not answer in time while tables were to be recovered; the process ends, and begins anew."""


class EndingRecovery(Recovery):
    """Faust's, but for a wait that takes too long.

    Faust takes it for the service's end: its recovery is over for good, without a word, and no partition is ever ready again.
    """

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 - Faust's own
        """Return when it is done. Raises RebalanceAgain, ServiceStopped, and RecoveryTimeoutError, which crashes the app."""
        again: Any = self.signal_recovery_start
        result = await self.wait_first(coro, again, timeout=timeout)
        if result.stopped:
            if self.should_stop:
                raise ServiceStopped()
            raise RecoveryTimeoutError(f"tables cannot be recovered: Kafka did not answer within {timeout:g} s")
        if again in result.done:
            raise RebalanceAgain()


class EndingTables(TableManager):
    """Faust's, with that recovery."""

    @property
    def recovery(self) -> Recovery:
        """Return the recovery, made when first asked for."""
        if self._recovery is None:
            self._recovery = EndingRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
