"""What tests of backups share: an installation's files, and backup files made by hand."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cli.main import app
from streams.archive import CHECKSUMS, HEADER

Tree = dict[str, tuple[bytes, int]]
Member = tuple[tarfile.TarInfo, bytes]


class FakeKafka:
    """A broker that is there at once."""

    pids, bootstrap_servers = (1,), "127.0.0.1:1"

    def start(self) -> None: ...
    def stop(self) -> None: ...


def tree_of(folder: Path) -> Tree:
    """Return every file below a folder: its content and mode."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in files}


def data_dir(folder: Path) -> Path:
    """Make what looks like the data directory of an `up` that is down."""
    data = folder / "data"
    (data / "kafka" / "broker-1" / "data" / "hw.tickets-0").mkdir(parents=True)
    (data / "kafka" / "cluster.json").write_text('{"cluster_id": "abc", "brokers": []}')
    (data / "kafka" / "broker-1" / "data" / "hw.tickets-0" / "0.log").write_bytes(bytes(range(256)) * 20)
    (data / "kafka" / "broker-1" / "data" / "hw.tickets-0" / "0.index").write_bytes(bytes(3_000_000))
    (data / "secrets").mkdir(mode=0o700)
    (data / "secrets" / "pseudonym-k1").write_text("s" * 64)
    (data / "secrets" / "pseudonym-k1").chmod(0o600)
    for left_out in ("logs/worker-1.log", "kafka/logs/broker-1.log", "up.lock", "up.json"):
        (data / left_out).parent.mkdir(exist_ok=True)
        (data / left_out).write_text("not state")
    return data


def init_like(folder: Path) -> Path:
    """Make a configuration as `init` lays it out, with one subscriber and what it names."""
    (folder / "secrets").mkdir(mode=0o700)
    for name in ("platform.secret", "k1"):
        (folder / "secrets" / name).write_text("s" * 40)
        (folder / "secrets" / name).chmod(0o600)
    (folder / "subscribers.yaml").write_text(
        "subscribers: [{name: platform, url: 'https://platform.example.org/', secret: {file: secrets/platform.secret}}, "
        "{name: other, url: 'https://other.example.org/', secret: {env: HOTLINE_WATCH_SECRET_OTHER}}]\n"
    )
    outside = folder.parent / "elsewhere"
    outside.mkdir()
    (outside / "units.yaml").write_text("units: []\n")
    config = folder / "hotline-watch.toml"
    config.write_text(
        'subscribers_file = "subscribers.yaml"\nsilences_file = "silences.yaml"\n'
        f'units_file = "{outside}/units.yaml"\n[[pseudonym_keys]]\nid = "k1"\nsecret_file = "secrets/k1"\n'
    )
    return config


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return body.getvalue()


def member(name: str, content: bytes = b"x", **fields: Any) -> Member:
    """Return one member of a tar."""
    found = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(found, field, value)
    return found, content


def crafted(*members: Member, **header: Any) -> bytes:
    """Return a backup file with any header and any members, and the right checksums of them."""
    head = json.dumps({"format": "hotline-watch-backup", "version": 1, **header}).encode()
    every = [member(HEADER, head), member("data/kafka/cluster.json", b"{}"), *members]
    sums = {one.name: [len(body), hashlib.sha256(body).hexdigest()] for one, body in every if not one.isdir()}
    return tar_of(*every, member(CHECKSUMS, json.dumps({"files": sums}).encode()))


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout + result.stderr
