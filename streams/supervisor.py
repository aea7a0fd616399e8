"""Keeps processes running on one machine: starts them, restarts what fails, ends them gracefully, and by force when they don't listen."""

import logging
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from streams.child_process import ChildProcess

log = logging.getLogger(__name__)

BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 60.0
STOP_SECONDS = 32.0
MISCONFIGURED = 2


class MisconfiguredServiceError(RuntimeError):
    """A process ended because of its configuration: starting it again would not help."""


@dataclass
class Service:
    """One supervised process. Times are seconds of a monotonic clock that the caller reads."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log_path: Path
    http_port: int
    http_host: str = "127.0.0.1"
    ready_path: str = "/readyz"
    restarts: int = 0
    process: ChildProcess | None = None
    was_ready: bool = False
    """It worked once: a file that is broken since then may be mended, and must not take everything else down."""
    _started_at: float = 0.0
    _start_again_at: float | None = None
    _failures: int = field(default=0)

    @property
    def address(self) -> str:
        """Return where it answers."""
        return f"http://{f'[{self.http_host}]' if ':' in self.http_host else self.http_host}:{self.http_port}"

    def start(self, now: float) -> None:
        """Start the process."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        assignments = [f"{name}={value}" for name, value in self.environment.items()]
        # `env` sets the child's environment: the process that starts children has one environment for all.
        command = ["/usr/bin/env", *assignments, sys.executable, "-m", "cli.main", *self.arguments]
        self.process = ChildProcess(command, self.log_path)
        self._started_at = now
        self._start_again_at = None

    def keep_running(self, now: float) -> None:
        """Start the process again where it failed, later each time. Raises MisconfiguredServiceError where it never worked."""
        if self.process is None or self.process.alive():
            if self.process is not None and now - self._started_at > STEADY_SECONDS:
                self._failures = 0
            return
        if self._start_again_at is None:
            status = self.process.exit_status()
            if status == MISCONFIGURED:
                words = f"{self.name} cannot start: {self._last_words()}"
                if not self.was_ready:
                    raise MisconfiguredServiceError(words)
                log.error("%s", words)
            wait = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
            log.error("%s ended with status %s; starting it again in %g s", self.name, status, wait)
            self._failures += 1
            self._start_again_at = now + wait
        if now >= self._start_again_at:
            self.restarts += 1
            self.start(now)

    def is_ready(self) -> bool:
        """Tell whether the process says that it is ready."""
        if self.process is None or not self.process.alive():
            return False
        try:
            ready = httpx.get(f"{self.address}{self.ready_path}", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False
        self.was_ready = self.was_ready or ready
        return ready

    def ask_to_stop(self) -> None:
        """Ask the process to end."""
        if self.process is not None and self.process.alive():
            self.process.signal(signal.SIGTERM)

    def stop(self) -> None:
        """Wait for the process to end; end it by force when it takes too long."""
        if self.process is not None:
            self.process.stop(STOP_SECONDS)

    def _last_words(self) -> str:
        assert self.process is not None
        lines = [line for line in self.process.log_tail().splitlines() if line.strip()]
        return lines[-1] if lines else f"see {self.log_path}"


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
