"""`init`: what it writes is taken by everything that reads it, is its owner's alone, and overwrites nothing."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alerting.directory import load_directory
from cli.main import app
from console.api.auth import load_clients
from models.api_client import Role
from rules.sealing import load_posts
from streams.new_folder import FolderRefusedError, filled
from streams.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("HOTLINE_WATCH_")]:
        monkeypatch.delenv(name)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout + result.stderr


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    folder = tmp_path / "hotline"
    before = os.umask(0o000)
    try:
        assert run("init", str(folder))[0] == 0
    finally:
        os.umask(before)
    return folder


def test_everything_it_writes_is_its_owners_alone_even_where_the_umask_is_open(installation: Path) -> None:
    for path in (installation, *installation.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_settings_are_taken_from_wherever_they_are_used(
    installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path("hotline/hotline-watch.toml"))
    assert (settings.keep_closed_days, settings.keep_complaints_days) == (1095, 1095)
    assert settings.subscribers_file == installation / "subscribers.yaml"
    assert settings.secrets_dir == installation / "secrets"
    assert [len(key.secret) for key in settings.load_keys()] == [64]
    directory = load_directory(settings.delivery_files())
    assert (directory.subscribers, directory.loose_ends(), directory.silences) == ((), (), ())
    assert settings.api_clients_file is not None
    assert settings.posts_file is not None
    assert [client.role for client in load_clients(settings.api_clients_file)] == [Role.ADMIN]
    assert not load_posts(settings.posts_file).any


def test_every_setting_that_it_names_in_a_comment_is_one(installation: Path) -> None:
    text = (installation / "hotline-watch.toml").read_text(encoding="utf-8")
    named = {
        line.removeprefix("# ").split("=")[0].strip()
        for line in text.splitlines()
        if line.startswith("# ") and " = " in line and not line.startswith("# -")
    }
    assert named
    assert named <= set(Settings.model_fields)


def test_two_installations_have_secrets_of_their_own(installation: Path, tmp_path: Path) -> None:
    assert run("init", str(tmp_path / "other"))[0] == 0
    for name in ("pseudonym-k1", "api-operations"):
        ours, theirs = ((folder / "secrets" / name).read_text() for folder in (installation, tmp_path / "other"))
        assert ours != theirs
        assert len(ours.strip()) == 64


def test_no_secret_is_shown(tmp_path: Path) -> None:
    status, shown = run("init", str(tmp_path / "a"), "--json")
    assert status == 0
    secrets = [path.read_text().strip() for path in (tmp_path / "a" / "secrets").iterdir()]
    assert not [secret for secret in secrets if secret in shown]
    assert set(json.loads(shown)["files"]) >= {"hotline-watch.toml", "secrets/pseudonym-k1"}


@pytest.mark.parametrize("what", ["a file in it", "a file of its name"])
def test_nothing_is_overwritten(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "a"
    precious = folder / "units.yaml" if what == "a file in it" else folder
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("precious")
    status, shown = run("init", str(folder))
    assert status == 2
    assert "nothing is overwritten" in shown
    assert precious.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["a"], "nothing half done is left"


def test_an_empty_directory_is_filled_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Made for the service's user by root, say, in a directory where that user may make nothing; and somebody stands in it.
    (tmp_path / "a").mkdir(mode=0o755)
    monkeypatch.chdir(tmp_path / "a")
    before = (tmp_path / "a").stat().st_ino
    status, shown = run("init", ".")
    assert (status, (tmp_path / "a").stat().st_ino) == (0, before), shown
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert (Path("hotline-watch.toml").exists(), [path.name for path in tmp_path.iterdir()]) == (True, ["a"])
    assert not [path for path in (tmp_path / "a").iterdir() if path.name.startswith(".")]
    status, shown = run("init", ".")
    assert (status, "is not empty, it has api-clients.yaml" in shown) == (2, True)


@pytest.mark.parametrize("there", [True, False])
def test_where_it_cannot_finish_nothing_is_left(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "a").mkdir()

    def fill() -> None:
        with filled(tmp_path / "a") as staged:
            (staged / "first").write_text("x")
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        fill()
    assert [path.name for path in tmp_path.rglob("*")] == (["a"] if there else [])


def test_what_came_meanwhile_is_not_overwritten_and_nothing_half_done_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    def fill() -> None:
        with filled(tmp_path / "a") as staged:
            for name in ("first", "second"):
                (staged / name).write_text("ours")
            (tmp_path / "a" / "second").write_text("precious")

    with pytest.raises(FolderRefusedError, match="second is there now"):
        fill()
    assert {path.name: path.read_text() for path in (tmp_path / "a").iterdir()} == {"second": "precious"}


def test_commands_that_edit_the_files_take_them_as_they_are(installation: Path) -> None:
    config = ["--config", str(installation / "hotline-watch.toml")]
    url = ["--url", "https://10.20.0.5/hooks", "--allow-network", "10.20.0.0/16", "--offline"]
    status, shown = run("subscribers", "add", "platform", *url, *config)
    assert status == 0, shown
    units = installation / "units.yaml"
    text = units.read_text(encoding="utf-8")
    units.write_text(text.replace("duty: platform, subscribers: []", "duty: platform, subscribers: [platform]"))
    directory = load_directory(load_settings(installation / "hotline-watch.toml").delivery_files())
    assert [one.name for one in directory.subscribers] == ["platform"]
    assert directory.loose_ends() == ()


def test_where_no_directory_can_be_made_the_one_that_was_wished_for_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    status, shown = run("init", str(tmp_path / "link"))
    assert (status, f"{tmp_path}/link is a link to {tmp_path}/gone, which is not there" in shown) == (2, True), shown
    long = str(tmp_path / ("x" * 300))
    for folder in ("/proc/hotline", "/proc/deep/hotline", long):
        status, shown = run("init", folder)
        assert (status, f"{folder} cannot be made" in shown or f"{folder}: " in shown, ".new" in shown) == (
            2,
            True,
            False,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_parents_that_were_made_for_nothing_are_taken_away_again(tmp_path: Path) -> None:
    def fill() -> None:
        with filled(tmp_path / "a" / "b" / "c") as staged:
            (staged / "first").mkdir()
            (staged / "first" / "x").open()

    with pytest.raises(FileNotFoundError) as caught:
        fill()
    assert caught.value.filename == str(tmp_path / "a" / "b" / "c" / "first" / "x")
    assert list(tmp_path.iterdir()) == []
