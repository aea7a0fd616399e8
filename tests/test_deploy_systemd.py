"""deploy/systemd: what systemd says of the units, and that they say the same as the service and as Prometheus's targets."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.deploy_support import DEPLOY, is_setting, read, run, tool

SYSTEMD = DEPLOY / "systemd"
UNITS = (
    "hotline-watch-topics",
    "hotline-watch-worker@1",
    "hotline-watch-dispatch",
    "hotline-watch-api",
    "hotline-watch-drill",
    "hotline-watch-up",
)

#: systemd's own figure, 0.0 to 10.0; a service that says nothing has 9.6.
EXPOSURE_MAX = 2.0


def _unit(path: Path) -> dict[str, list[str]]:
    """Return what a unit file says, by key."""
    said: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            said.setdefault(key, []).append(value)
    return said


def _environment(path: Path) -> dict[str, str]:
    words = " ".join(_unit(path).get("Environment", [])).split()
    return {name: value for name, _, value in (word.partition("=") for word in words)}


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as they are installed, but for the program, which is not in /opt here."""
    folder = tmp_path_factory.mktemp("systemd")
    shutil.copytree(SYSTEMD, folder, dirs_exist_ok=True)
    program = shutil.which("true")
    assert program
    for path in folder.glob("*.service"):
        path.write_text(path.read_text().replace("/opt/hotline-watch/bin/hotline-watch", program))
    shutil.copy(folder / "hotline-watch-worker@.service", folder / "hotline-watch-worker@1.service")
    return folder


def test_systemd_takes_the_units(units: Path) -> None:
    names = [f"./{name}.service" for name in UNITS]
    checked = run(tool("systemd-analyze"), "verify", "./hotline-watch.target", *names, cwd=units)
    assert (checked.returncode, checked.stdout.strip()) == (0, "")


def test_systemd_would_notice_a_directive_that_is_none(units: Path, tmp_path: Path) -> None:
    text = (units / "hotline-watch-api.service").read_text()
    (tmp_path / "broken.service").write_text(text.replace("Restart=on-failure", "Restart=on-failur\nNoSuchThing=yes"))
    checked = run(tool("systemd-analyze"), "verify", "./broken.service", cwd=tmp_path)
    assert "NoSuchThing" in checked.stdout
    assert "on-failur" in checked.stdout


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_hardened(units: Path, name: str) -> None:
    asked = run(tool("systemd-analyze"), "security", "--offline=true", "--no-pager", f"./{name}.service", cwd=units)
    found = re.search(r"exposure level for \S+: ([\d.]+)", asked.stdout)
    assert found, asked.stdout
    assert float(found[1]) <= EXPOSURE_MAX, asked.stdout


def test_every_unit_gets_the_hardening() -> None:
    drop_in = _unit(SYSTEMD / "hotline-watch-.service.d" / "50-hardening.conf")
    assert drop_in["NoNewPrivileges"] == ["yes"]
    assert drop_in["ProtectSystem"] == ["strict"]
    assert drop_in["User"] == ["hotline-watch"]
    services = sorted(SYSTEMD.glob("*.service"))
    assert len(services) == len(UNITS)
    for path in services:
        assert path.name.startswith("hotline-watch-"), "the drop-in goes by the name's beginning"
        said = _unit(path)
        assert not set(said) & (set(drop_in) - {"MemoryDenyWriteExecute"}), path.name
        assert said["MemoryDenyWriteExecute"] == ["no" if path.name == "hotline-watch-up.service" else "yes"]
        assert said["ExecStart"][0].startswith("/opt/hotline-watch/bin/hotline-watch ")


def test_units_set_only_what_there_is_to_set_and_only_the_api_may_write_the_configuration() -> None:
    may_write = set()
    for path in SYSTEMD.glob("*.service"):
        assert [name for name in _environment(path) if not is_setting(name)] == [], path.name
        if "/etc/hotline-watch" in _unit(path).get("ReadWritePaths", []):
            may_write.add(path.name)
    assert may_write == {"hotline-watch-api.service", "hotline-watch-up.service"}


def test_prometheus_is_told_where_the_units_answer() -> None:
    told = {
        target: entry["labels"]["process"]
        for entry in read("prometheus/targets/systemd.yaml")
        for target in entry["targets"]
    }
    worker = _environment(SYSTEMD / "hotline-watch-worker@.service")["HOTLINE_WATCH_HTTP_PORT"]
    dispatch = _environment(SYSTEMD / "hotline-watch-dispatch.service")["HOTLINE_WATCH_HTTP_PORT"]
    api = _environment(SYSTEMD / "hotline-watch-api.service")["HOTLINE_WATCH_API_PORT"]
    wanted = {f"127.0.0.1:{worker.replace('%i', number)}": "worker" for number in ("1", "2")}
    drill = _environment(SYSTEMD / "hotline-watch-drill.service")["HOTLINE_WATCH_HTTP_PORT"]
    others = {"dispatch": dispatch, "api": api, "drill": drill}
    assert told == wanted | {f"127.0.0.1:{port}": process for process, port in others.items()}
    # `up` counts its ports from the first worker's on.
    together = _environment(SYSTEMD / "hotline-watch-up.service")
    first = int(together["HOTLINE_WATCH_HTTP_PORT"])
    assert [f"127.0.0.1:{first + number}" for number in range(4)] == sorted(told)[1:]
    assert together["HOTLINE_WATCH_API_PORT"] == api


def test_systemd_makes_the_user(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    made = run(tool("systemd-sysusers"), f"--root={tmp_path}", SYSTEMD / "hotline-watch.sysusers.conf")
    if made.returncode != 0 and os.geteuid() != 0:
        pytest.skip("only root makes users")
    assert made.returncode == 0, made.stdout
    entry = (tmp_path / "etc" / "passwd").read_text().split(":")
    assert (entry[0], entry[5], entry[6].strip()) == ("hotline-watch", "/var/lib/hotline-watch", "/usr/sbin/nologin")
