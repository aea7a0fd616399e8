"""What the tests of deploy/ share: Debian's tools, and a Prometheus that scrapes a real run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from streams.child_process import ChildProcess
from streams.settings import PREFIX, Settings
from streams.supervisor import free_port
from tests.kafka_support import ROOT, eventually

DEPLOY = ROOT / "deploy"
STOP_SECONDS = 10.0


def tool(*names: str) -> str:
    """Return where one of the programs is. Where none is there, a laptop skips the test and CI fails it."""
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    message = f"{names[0]} is not installed: .ci/run installs it from Debian"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it said, with its error output in `stdout` too."""
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
    )


def read(path: str | Path) -> Any:
    """Return a YAML file below deploy/, its merges resolved."""
    return yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))


def is_setting(name: str) -> bool:
    """Tell whether a variable is one that the service takes."""
    return (
        not name.startswith(PREFIX)
        or name == f"{PREFIX}CONFIG"
        or name.removeprefix(PREFIX).lower() in Settings.model_fields
    )


def alert_rules() -> list[dict[str, Any]]:
    """Return every alert rule."""
    return [rule for group in read("prometheus/alerts.yaml")["groups"] for rule in group["rules"]]


def prometheus_folder(folder: Path, targets: Sequence[Mapping[str, Any]], alertmanager: str | None = None) -> Path:
    """Write Prometheus's configuration as it is deployed, but for its targets and a second's interval; return its path."""
    text = (DEPLOY / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8")
    assert text.count("_interval: 15s") == 2
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "prometheus.yaml"
    path.write_text(text.replace("_interval: 15s", "_interval: 1s"), encoding="utf-8")
    shutil.copy(DEPLOY / "prometheus" / "alerts.yaml", folder)
    for name, entries in (
        ("targets.d", targets),
        ("alertmanagers.d", [] if alertmanager is None else [{"targets": [alertmanager]}]),
    ):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "run.yaml").write_text(yaml.safe_dump([dict(entry) for entry in entries]))
    return path


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that runs."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an answer of its API."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10, trust_env=False)
        body = answer.json()
        assert body["status"] == "success", body
        return body["data"]

    def ask(self, query: str) -> list[float]:
        """Return the values of an instant query, one for each series."""
        return [float(one["value"][1]) for one in self.get("query", query=query)["result"]]

    def until(self, query: str, deadline_seconds: float = 30.0) -> list[float]:
        """Return the values of a query that selects what is awaited, once there are any."""
        return eventually(lambda: self.ask(query), deadline_seconds, query)


@contextmanager
def running(command: Sequence[str], ready_url: str, log: Path) -> Iterator[ChildProcess]:
    """Yield a program once it answers at `ready_url`; it ends with the test."""
    process = ChildProcess(command, log)

    def is_ready() -> bool:
        assert process.alive(), process.log_tail()
        try:
            return httpx.get(ready_url, timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        eventually(is_ready, 30, ready_url)
        yield process
    finally:
        process.stop(STOP_SECONDS)


@contextmanager
def prometheus(config: Path) -> Iterator[Prometheus]:
    """Yield a real Prometheus with this configuration."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'data'}",
        f"--web.listen-address={address}",
    ]
    with running(command, f"http://{address}/-/ready", config.parent / "prometheus.log"):
        yield Prometheus(f"http://{address}")


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """Yield the address of a real Alertmanager with the configuration that is deployed."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        tool("prometheus-alertmanager", "alertmanager"),
        f"--config.file={DEPLOY / 'alertmanager' / 'alertmanager.yaml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with running(command, f"http://{address}/-/ready", folder / "alertmanager.log"):
        yield address
