"""Sends ticket events to hotline-watch over HTTP, with Python's standard library alone: none is lost, and one that is sent
twice counts once.

    URL=https://hotline-watch.example.org TOKEN_FILE=token python http_producer.py events.jsonl

The file has one ticket event a line and may grow: each run goes on where the last one ended, by the number of lines in
`events.jsonl.sent`, which is written only after the answer 202. While the service is away it waits and tries again, for
TRY_SECONDS (an hour) in all. To send from a program or an outbox table, copy Door.

Exit status: 0 all sent, 1 not all, 2 wrongly called.
"""

import http.client
import json
import os
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

TOGETHER = 100
TOGETHER_BYTES = 1024 * 1024
TIMEOUT_SECONDS = 30
PAUSE_SECONDS_MAX = 60.0
TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class RefusedError(Exception):
    """The batch will not be taken as it is; the message says why, `lines` which of its lines are at fault (from 0)."""

    def __init__(self, message: str, lines: Sequence[tuple[int, str]] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class Door:
    """Sends batches over one connection, opened again when it breaks."""

    def __init__(self, url: str, token: str, try_seconds: float = 3600) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError("URL begins with https:// (or http:// on the same machine)")
        if not token.isascii() or not token.isprintable() or not token:
            # The library would show it in its own error.
            raise ValueError("TOKEN_FILE must hold the token, in one line")
        self._path = f"{parts.path.rstrip('/')}/v1/events"
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/x-ndjson"}
        self._try_seconds = try_seconds
        self._connection = (
            http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
            )
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        )

    def send(self, lines: Sequence[bytes]) -> None:
        """Send a batch of events, each as JSON in one line, and return when they are safe.

        Raises RefusedError where trying again would not help, OSError when time is over. It is safe to send all of it again.
        """
        body = b"\n".join(line.strip() for line in lines)
        give_up_at, pause = time.monotonic() + self._try_seconds, 1.0
        while True:
            status, answer, wait = self._post(body)
            if status == 202:
                return
            if status not in TRY_AGAIN:
                raise _refusal(status, answer)
            wait = max(wait, pause)
            if time.monotonic() + wait > give_up_at:
                raise OSError(f"the last answer was {status or 'none'}")
            time.sleep(wait)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    def _post(self, body: bytes) -> tuple[int, bytes, float]:
        """Return status, answer and how long it asks us to wait; without an answer a status 503 of our own."""
        try:
            self._connection.request("POST", self._path, body, self._headers)
            answer = self._connection.getresponse()
            wait = answer.headers.get("retry-after", "")
            return answer.status, answer.read(), float(wait) if wait.isdigit() else 0.0
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens a new one
            return 503, b"", 0.0


def _refusal(status: int, answer: bytes) -> RefusedError:
    try:
        problem = json.loads(answer)
        faults = [(one["index"], f"{one['reason']}: {one['detail']}") for one in problem.get("errors", ())]
        return RefusedError(f"{status} {problem['code']}: {problem['detail']}", faults)
    except (ValueError, KeyError, TypeError, AttributeError):
        return RefusedError(f"{status}, with an answer that is not this service's: is it the right URL?")


def lines_after(path: Path, number: int) -> Iterator[tuple[int, bytes]]:
    """Yield each line after the first so many, with its number from 1; a last line that is not ended yet is left alone, and
    blank ones are passed over.
    """
    with path.open("rb") as file:
        for at, line in enumerate(file, 1):
            if at > number and line.endswith(b"\n") and line.strip():
                yield at, line


def batches(lines: Iterator[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the lines some at a time: at most TOGETHER, and a megabyte but for a single longer one."""
    some: list[tuple[int, bytes]] = []
    size = 0
    for at, line in lines:
        if some and (len(some) == TOGETHER or size + len(line) > TOGETHER_BYTES):
            yield some
            some, size = [], 0
        some.append((at, line))
        size += len(line)
    if some:
        yield some


def remember(path: Path, number: int) -> None:
    """Write down how many lines are sent, so that a crash leaves the old number or the new one."""
    partial = path.with_name(f"{path.name}.part")
    with partial.open("w") as file:
        file.write(str(number))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def send_file(path: Path, door: Door) -> int:
    """Send what is new in a file; return the number of events. Raises RefusedError with the lines at fault, and OSError."""
    position = path.with_name(f"{path.name}.sent")
    done = int(position.read_text()) if position.exists() else 0
    count = 0
    for some in batches(lines_after(path, done)):
        try:
            door.send([line for _, line in some])
        except RefusedError as refused:
            raise RefusedError(str(refused), [(some[index][0], why) for index, why in refused.lines]) from None
        remember(position, some[-1][0])
        count += len(some)
    return count


def main() -> int:
    """Send a file; return the exit status."""
    if len(sys.argv) != 2 or "URL" not in os.environ or "TOKEN_FILE" not in os.environ:
        sys.stderr.write("URL=https://… TOKEN_FILE=token python http_producer.py EVENTS.jsonl\n")
        return 2
    try:
        token = Path(os.environ["TOKEN_FILE"]).read_text(encoding="ascii").strip()
        door = Door(os.environ["URL"], token, float(os.environ.get("TRY_SECONDS", "3600")))
        count = send_file(Path(sys.argv[1]), door)
    except RefusedError as refused:
        faults = "".join(f"\n  line {at}: {why}" for at, why in refused.lines)
        sys.stderr.write(f"not all was sent: {refused}{faults}\nmend it and run again\n")
        return 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f"not all was sent: {error}: run again later\n")
        return 1
    sys.stdout.write(f"sent {count} events\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
