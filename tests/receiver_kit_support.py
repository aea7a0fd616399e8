"""What the tests of docs/receivers share: each receiver as a process, calls as the service makes them, a server to pull from."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from standardwebhooks import Webhook

from streams import child_stub
from tests.kafka_support import ROOT, eventually

FOLDER = ROOT / "docs" / "receivers"
NEW_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(100, 132))).decode()
FOREIGN_SECRET = "whsec_" + base64.b64encode(bytes(range(200, 232))).decode()
TOKEN = "a-token-for-pulling"
BODY_BYTES_MAX = 1024 * 1024
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""A short life: it starts in half the time."""
_SECONDS = 30
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Kit:
    """One receiver of the kit: its file, and the command that runs it."""

    file: str
    program: str
    version_min: int
    """The major version that its page asks for; of Python, that of this very interpreter is right."""

    def why_not(self) -> str | None:
        """Return why it cannot run here, None if it can."""
        if self.program == "python":
            return None
        found = shutil.which(self.program)
        if found is None:
            return f"{self.program} is not installed"
        said = subprocess.run(
            [found, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False
        ).stdout
        version = re.search(r"\d+", said)
        if version is None or int(version[0]) < self.version_min:
            return f"{self.program} {self.version_min} or newer is needed"
        return None

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        program = sys.executable if self.program == "python" else shutil.which(self.program)
        assert program is not None
        return [program, str(FOLDER / self.file)]


KITS = (
    Kit("fastapi_receiver.py", "python", 3),
    Kit("flask_receiver.py", "python", 3),
    Kit("receiver.mjs", "node", 20),
    Kit("Receiver.java", "java", 17),
)


class Running:
    """A receiver as a process, restarted over the same store; its output in a file. It dies with the test run."""

    def __init__(self, kit: Kit, folder: Path, env: Mapping[str, str]) -> None:
        self.kit, self.log_path, self.store_path = kit, folder / "log", folder / "store"
        self._env = {
            **os.environ,
            "WEBHOOK_SECRETS": f"{OLD_SECRET},{NEW_SECRET}",
            "STORE": str(self.store_path),
            "PORT": "0",
            "PULL_TOKEN": TOKEN,
            "PULL_SECONDS": "3600",  # what is pulled is pulled for a reason
            "HOST": "127.0.0.1",
            "JDK_JAVA_OPTIONS": JAVA_OPTIONS,
            **env,
        }
        self.start()

    def start(self, **env: str) -> None:
        """Start it and return when it listens."""
        before = self.log().count("listening on ") if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", child_stub.__file__, str(os.getpid()), *self.kit.command()],
                cwd=self.log_path.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._env, **env},
                start_new_session=True,
            )
        eventually(lambda: self.log().count("listening on ") > before or self._popen.poll() is not None, _SECONDS)
        assert self._popen.poll() is None, self.log()
        self.port = int(re.findall(r"listening on (\d+)", self.log())[-1])

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._popen.send_signal(signal.SIGKILL)
        self._popen.wait(_SECONDS)

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def post(self, body: bytes, headers: Mapping[str, str], path: str = "/alerts") -> int:
        """Return the status of a call."""
        return self._ask("POST", path, body, headers)[0]

    def filed(self) -> list[dict[str, Any]]:
        status, body = self._ask("GET", "/filed")
        assert status == 200
        return json.loads(body)

    def filed_of(self, case_id: str) -> list[int]:
        """Return the numbers of what was filed of a case, in that order."""
        return [entry["delivery_sequence"] for entry in self.filed() if entry["case_id"] == case_id]

    def files(self, case_id: str, *numbers: int) -> None:
        """Return when exactly this was filed of the case; fail when it does not come about."""
        eventually(
            lambda: self.filed_of(case_id) == [*numbers], _SECONDS, f"{case_id} filed as {numbers}; {self.log()}"
        )

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@contextmanager
def running(kit: Kit, folder: Path, **env: str) -> Iterator[Running]:
    """Run a receiver and end it."""
    receiver = Running(kit, folder, env)
    try:
        yield receiver
    finally:
        receiver.kill()


def new_case() -> str:
    """Return the id of a case that no other test uses."""
    return f"case-{next(_numbers)}"


def alert_of(case_id: str, number: int, **fields: Any) -> dict[str, Any]:
    """Return a call's body: what the receiver needs, and some of what else an alert says."""
    return {
        "schema_version": 1,
        "alert_id": f"alert-{case_id}-{number}",
        "case_id": case_id,
        "sequence": number,
        "status": "raised",
        "family": "P",
        "level": "yellow",
        "rule": {"id": "P01", "version": 1, "title": "多次退单"},
        "headline": '疑似推诿:多次退单 \\ "甲街道办事处" \U0001f4de',
        "facts": {"returns.count": 3, "share": 0.25, "known": True, "none": None, "list": []},
        "delivery_sequence": number,
        "delivery_id": f"{case_id}-{number}",
    } | fields


@dataclass(frozen=True, slots=True)
class Call:
    """A signed call."""

    body: bytes
    headers: dict[str, str]

    def to(self, receiver: Running) -> int:
        """Make it and return the answer's status."""
        return receiver.post(self.body, self.headers)


def signed(delivery_id: str, body: bytes, *secrets: str, age_seconds: int = 0) -> Call:
    """Return the call that carries the body, signed with each secret."""
    seconds = int(time.time()) - age_seconds
    moment = datetime.fromtimestamp(seconds, UTC)
    signatures = [Webhook(secret).sign(delivery_id, moment, body.decode()) for secret in secrets or (NEW_SECRET,)]
    headers = {
        "content-type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signatures),
    }
    return Call(body, headers)


def call_of(case_id: str, number: int, *secrets: str, age_seconds: int = 0, **fields: Any) -> Call:
    """Return the signed call of an alert."""
    alert = alert_of(case_id, number, **fields)
    return signed(alert["delivery_id"], json.dumps(alert).encode(), *secrets, age_seconds=age_seconds)


@dataclass
class PullServer:
    """What the service answers to a puller: pages of two, cursors that only it can read."""

    deliveries: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """The cursors that came with the right token."""
    refused: int = 0
    failing: bool = False
    url: str = ""

    def add(self, case_id: str, number: int, **fields: Any) -> None:
        """Let a delivery be pulled."""
        alert = alert_of(case_id, number, **fields)
        kind = alert.pop("kind", "alert")
        number, delivery_id = alert.pop("delivery_sequence"), alert.pop("delivery_id")
        entry = {"delivery_id": delivery_id, "delivery_sequence": number, "kind": kind, "alert": alert}
        self.deliveries.append(entry)

    def cursor(self, position: int) -> str:
        """Return the cursor that stands behind so many deliveries; the first is empty."""
        return f"+/={position}&?#%" if position else ""

    def answer(self, path: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Return status and body of what is asked for."""
        target = urlsplit(path)
        query = parse_qs(target.query, keep_blank_values=True)
        if authorization != f"Bearer {TOKEN}":
            self.refused += 1
            return 401, {}
        if self.failing:
            return 503, {}
        assert target.path == "/v1/alerts"
        assert query["limit"] == ["100"]
        (after,) = query.get("after", [""])
        assert after or "after" not in query
        self.asked.append(after)
        position = next(number for number in range(len(self.deliveries) + 1) if self.cursor(number) == after)
        end = min(position + 2, len(self.deliveries))
        page = self.deliveries[position:end]
        return 200, {"alerts": page, "next": self.cursor(end), "more": end < len(self.deliveries)}


@contextmanager
def pull_server() -> Iterator[PullServer]:
    """Serve deliveries to pull on 127.0.0.1."""
    state = PullServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, page = state.answer(self.path, self.headers["Authorization"])
            body = json.dumps(page).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}/v1/alerts"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join(_SECONDS)


def status_of_chunks(port: int, headers: Mapping[str, str], chunks: Sequence[bytes]) -> int:
    """Return the answer to a body that never says how long it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.putrequest("POST", "/alerts")
        for name, value in {**headers, "transfer-encoding": "chunked"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        try:
            for chunk in chunks:
                connection.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            connection.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # it had heard enough
        return connection.getresponse().status
    finally:
        connection.close()


def status_of_declared(port: int, length: int) -> int:
    """Return the answer to a call that says how long its body is and does not send it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.putrequest("POST", "/alerts")
        connection.putheader("content-length", str(length))
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()
