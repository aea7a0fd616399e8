"""Receives hotline-watch's warnings with FastAPI: verifies, stores, files each case in order, pulls what is missing.

    pip install fastapi uvicorn standardwebhooks
    WEBHOOK_SECRETS=whsec_… PORT=8080 python fastapi_receiver.py     or: uvicorn --factory fastapi_receiver:create_app

From the environment: WEBHOOK_SECRETS (comma separated: two while a secret is replaced), STORE (an SQLite file), HOST, PORT;
PULL_URL, PULL_TOKEN and PULL_SECONDS (how often it pulls anyway); SKIP_GAPS=1 (after the first pull, wait no more for
what nobody has). Put a proxy with TLS before it that passes on POST /alerts alone; GET /filed is for trying out.
"""

import base64
import http.client
import json
import os
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from standardwebhooks import Webhook, WebhookVerificationError

BODY_BYTES_MAX = 1024 * 1024
PAGE_BYTES_MAX = 64 * 1024 * 1024
SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (
    delivery_id TEXT PRIMARY KEY, case_id TEXT NOT NULL, delivery_sequence INTEGER NOT NULL, drill INTEGER NOT NULL,
    whole INTEGER NOT NULL, alert TEXT NOT NULL, filed INTEGER UNIQUE);
CREATE INDEX IF NOT EXISTS by_case ON deliveries (case_id, delivery_sequence);
CREATE TABLE IF NOT EXISTS pulled (one INTEGER PRIMARY KEY CHECK (one = 1), cursor TEXT NOT NULL);
PRAGMA synchronous = FULL;
"""
TAKE = """
INSERT OR IGNORE INTO deliveries (delivery_id, case_id, delivery_sequence, drill, whole, alert) VALUES (?, ?, ?, ?, ?, ?)
"""
COMPLETE = "UPDATE deliveries SET whole = 1, alert = ? WHERE delivery_id = ? AND ? AND NOT whole"
FILED = "SELECT case_id, delivery_sequence, delivery_id FROM deliveries WHERE filed AND NOT drill ORDER BY filed"
WAITING = """
SELECT delivery_id, case_id, delivery_sequence, whole FROM deliveries WHERE filed IS NULL ORDER BY case_id, delivery_sequence
"""
LAST = "SELECT coalesce(max(delivery_sequence), 0) FROM deliveries WHERE case_id = ? AND filed"
FILE = "UPDATE deliveries SET filed = (SELECT coalesce(max(filed), 0) + 1 FROM deliveries) WHERE delivery_id = ?"


def webhooks_of(secrets: str) -> list[Webhook]:
    """Return a verifier for each of the comma separated secrets. Ends the program where one is none."""
    texts = [text.strip() for text in secrets.split(",") if text.strip()]
    bare = [text[6:] if text.startswith("whsec_") else "" for text in texts]
    try:
        keys = [base64.b64decode(text + "=" * (-len(text) % 4), validate=True) for text in bare]
    except ValueError:
        keys = []
    if not keys or min(map(len, keys)) < 24:
        sys.exit("WEBHOOK_SECRETS: give whsec_…, several separated by commas")
    return [Webhook(key) for key in keys]


def is_verified(webhooks: Sequence[Webhook], headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether one of the secrets signed this very body within the last five minutes."""
    given = {name: headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    known = [one for one in given["webhook-signature"].split() if one.startswith("v1,")]  # other versions are not ours
    given["webhook-signature"] = " ".join(known)
    for webhook in webhooks:
        try:
            webhook.verify(body, given, json_parse=False)
            return True
        except (WebhookVerificationError, ValueError):
            continue
    return False


def row_of(delivery_id: Any, alert: Any, pulled: bool) -> tuple[Any, ...]:
    """Return a delivery as its row. Raises ValueError where it is none."""
    if not isinstance(delivery_id, str) or not isinstance(alert, dict):
        raise ValueError("not a delivery")
    case_id, number = alert.get("case_id"), alert.get("delivery_sequence")
    if not isinstance(case_id, str) or type(number) is not int or not 1 <= number < 2**53:
        raise ValueError("not a delivery")
    drill = alert.get("drill") is True or alert.get("kind") == "drill"
    whole = pulled or "fetch" not in alert or not os.environ.get("PULL_URL")  # a thin call waits for its contents
    return delivery_id, case_id, number, drill, whole, json.dumps(alert, ensure_ascii=False)


class Store:
    """The deliveries, each once, in SQLite; `filed` numbers them as they were filed and is NULL while they wait."""

    def __init__(self, path: str) -> None:
        self._lock, self._db = threading.Lock(), sqlite3.connect(path, check_same_thread=False)
        self._db.executescript(SCHEMA)

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock, self._db:
            return self._db.execute(sql, values).fetchall()

    def take(self, rows: Sequence[tuple[Any, ...]], cursor: str | None = None) -> None:
        """Keep what is new and the cursor after it, all or nothing; it is on the disk when this returns."""
        drills = []
        with self._lock, self._db:
            for row in rows:
                delivery_id, _, _, drill, whole, alert = row
                if self._db.execute(TAKE, row).rowcount and drill:
                    drills.append(delivery_id)
                self._db.execute(COMPLETE, (alert, delivery_id, whole))
            if cursor is not None:
                self._db.execute("INSERT OR REPLACE INTO pulled VALUES (1, ?)", (cursor,))
        for delivery_id in drills:
            sys.stdout.write(f"drill received: {delivery_id!r}\n")
            sys.stdout.flush()

    def cursor(self) -> str:
        """Return where the last pull ended, empty before the first."""
        return next((row[0] for row in self._rows("SELECT cursor FROM pulled")), "")

    def waiting(self) -> set[str]:
        """Return the ids of what is not filed yet."""
        return {row[0] for row in self._rows(WAITING)}

    def filed(self) -> list[dict[str, Any]]:
        """Return what was filed, in that order."""
        names = ("case_id", "delivery_sequence", "delivery_id")
        return [dict(zip(names, row, strict=True)) for row in self._rows(FILED)]

    def file_ready(self, over_gaps: bool = False) -> None:
        """File what is next in its case."""
        for delivery_id, case_id, number, whole in self._rows(WAITING):
            if over_gaps or (whole and number <= self._rows(LAST, case_id)[0][0] + 1):
                # Here, unless it is a drill, your own work with the row's alert begins. After a crash it is done again,
                # so let it know a delivery_id that it has seen. In force is, of each case_id and rule.id, the version
                # with the greatest sequence, unless its status is retracted.
                self._rows(FILE, delivery_id)


def pull(store: Store) -> None:
    """Fetch page after page from where the last pull ended. Raises whatever goes wrong."""
    url = urlsplit(os.environ.get("PULL_URL", ""))
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    more = bool(url.netloc)
    while more:
        cursor, connection = store.cursor(), connect(url.netloc, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {os.environ.get('PULL_TOKEN', '')}"}
            query = urlencode({"limit": 100, **({"after": cursor} if cursor else {})})
            connection.request("GET", f"{url.path}?{query}", headers=headers)
            answer = connection.getresponse()
            text = answer.read(PAGE_BYTES_MAX + 1)
        finally:
            connection.close()
        if answer.status != 200 or len(text) > PAGE_BYTES_MAX:
            raise OSError(f"status {answer.status}, {len(text)} bytes")
        page = json.loads(text)
        rows = [row_of(one["delivery_id"], {**one.pop("alert"), **one}, pulled=True) for one in page["alerts"]]
        store.take(rows, page["next"])
        store.file_ready()
        more = page["more"] and page["next"] != cursor


def work(store: Store, wake: threading.Event) -> None:
    """File what comes; pull at the start, when something new has to wait, and every PULL_SECONDS. Never returns."""
    known: set[str] = set()
    pull_at, skip = time.monotonic(), os.environ.get("SKIP_GAPS") == "1"
    while True:
        wake.clear()
        try:
            store.file_ready()
            waiting = store.waiting()
            if waiting - known or time.monotonic() >= pull_at:
                known, pull_at = waiting, time.monotonic() + float(os.environ.get("PULL_SECONDS", "60"))
                pull(store)
                store.file_ready(over_gaps=skip)
                skip = False
                if left := store.waiting():
                    sys.stderr.write(f"{len(left)} wait for an earlier one of their case\n")
        except Exception as error:
            sys.stderr.write(f"to be tried again: {type(error).__name__}: {error}\n")
        wake.wait(max(pull_at - time.monotonic(), 0.1))


def create_app() -> FastAPI:
    """Return the receiver, its store open and its worker running."""
    os.umask(0o077)  # the store is nobody else's to read
    webhooks, wake = webhooks_of(os.environ.get("WEBHOOK_SECRETS", "")), threading.Event()
    store = Store(os.environ.get("STORE", "warnings.db"))
    threading.Thread(target=work, args=(store, wake), daemon=True).start()
    app = FastAPI(openapi_url=None)

    @app.post("/alerts")
    async def alerts(request: Request) -> Response:
        body, declared = bytearray(), int(request.headers.get("content-length", "0"))
        if declared <= BODY_BYTES_MAX:
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    break
        if max(declared, len(body)) > BODY_BYTES_MAX:
            return Response(status_code=413)
        if not is_verified(webhooks, request.headers, bytes(body)):
            return Response(status_code=401)
        try:
            row = row_of(request.headers["webhook-id"], json.loads(body), pulled=False)
            await run_in_threadpool(store.take, [row])
        except (ValueError, RecursionError):
            return Response(status_code=400)
        wake.set()
        return Response(status_code=204)

    @app.get("/filed")
    def filed() -> list[dict[str, Any]]:
        return store.filed()

    return app


def main() -> None:
    """Serve on HOST and PORT."""
    app = create_app()
    listener = socket.create_server((os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080"))))
    sys.stdout.write(f"listening on {listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
