"""`hotline-watch subscribers`: what an operator types, what comes back, and that no secret does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.main import get_command
from typer.testing import CliRunner

from alerting.subscriber_book import SubscriberBook
from cli.main import app
from cli.subscribers import app as subscribers_app
from models.base import Level
from models.subscriber import ClientCertificate, PreviousSecret, QuietHours, SubscriberEntry, SubscribersFile

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "subscribers.md").read_text(encoding="utf-8")
URL = "https://receiver.example/hook?token=hidden"
COMMANDS = set(get_command(subscribers_app).commands)  # type: ignore[attr-defined]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "subscribers.yaml"
    monkeypatch.setenv("HOTLINE_WATCH_SUBSCRIBERS_FILE", str(file))
    monkeypatch.chdir(tmp_path)
    return file


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["subscribers", *arguments])


def answer(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def add(*arguments: str) -> Result:
    return run("add", *arguments, "--offline")


def entry(path: Path, name: str = "platform") -> SubscriberEntry:
    return SubscriberBook(path).entry(name)


def test_adding_says_where_the_secret_is_and_never_what_it_is(path: Path) -> None:
    result = add("platform", "--url", URL)
    assert result.exit_code == 0, result.output
    secret = path.parent / "secrets" / "platform.secret"
    assert str(secret) in result.output
    assert secret.read_text().strip() not in result.output
    assert "hidden" not in result.output
    assert entry(path).url == URL


def test_checking_against_the_registry_names_who_belongs_to_no_unit_and_who_is_missing(path: Path) -> None:
    add("platform", "--url", URL)
    add("stray", "--url", URL)
    units = path.parent / "units.yaml"
    office = "{id: OFFICE, name: 测试室, kind: discipline_office, level: county, duty: human_pool, subscribers: [%s]}"
    units.write_text(f"units: [{office % 'platform, gone'}]\n")
    result = run("check", str(path), "--offline", "--units", str(units))
    assert result.exit_code == 1
    assert "stray: no unit of the registry has this subscriber" in result.output
    assert "gone: a unit of the registry has it" in result.output
    assert "platform: " not in result.output
    assert "hint: no unit has the duty platform" in result.output
    units.write_text(f"units: [{office % 'platform, stray'}]\n")
    assert answer("check", str(path), "--offline", "--units", str(units))["loose_ends"] == []
    units.write_text("units: [{}]\n")
    broken = run("check", str(path), "--offline", "--units", str(units))
    assert (broken.exit_code, "units.yaml:1" in broken.output) == (2, True)


def test_adding_with_a_signing_key_prints_its_public_half(path: Path) -> None:
    told = answer("add", "platform", "--url", URL, "--signing-key", "--offline")
    assert re.fullmatch(r"whpk_[A-Za-z0-9+/]{43}=", told["public_key"])
    assert told["signing_key_file"].endswith("secrets/platform.key")
    assert told["secret_file"].endswith("secrets/platform.secret")
    (row,) = answer("list", str(path))["subscribers"]
    assert row["public_keys"] == [{"key": told["public_key"], "until": None}]
    shown = add("other", "--url", URL, "--signing-key").output
    public_keys = [row["public_keys"][0]["key"] for row in answer("list", str(path))["subscribers"]]
    assert public_keys[1] in shown
    assert (path.parent / "secrets" / "other.key").read_text().strip() not in shown


def test_every_option_reaches_the_entry(path: Path) -> None:
    (path.parent / "robot").write_text("a robot's secret")
    (path.parent / "own.secret").write_text("s" * 32)
    (path.parent / "url").write_text("http://127.0.0.1:8099/hook")
    arguments = (
        *("platform", "--url-file", "url", "--format", "feishu", "--privacy", "minimal"),
        *("--level", "yellow", "--level", "red", "--family", "P", "--unit", "U-1", "--unit", "U-2", "--owner-unit", "U-9"),
        *("--allow-network", "127.0.0.0/8", "--allow-http", "--header", "X-A=b=c", "--secret-file", "own.secret"),
        *("--robot-secret-file", "robot", "--rate", "5", "--quiet", "22:00-07:00", "--quiet-level", "yellow"),
        *("--group-wait", "30", "--repeat-hours", "24", "--timeout", "5", "--concurrency", "1"),
    )  # fmt: skip
    result = add(*arguments)
    assert result.exit_code == 0, result.output
    found = entry(path).model_dump(exclude_unset=True)
    assert found == {
        "name": "platform",
        "url": {"file": "url"},
        "format": "feishu",
        "privacy": "minimal",
        "secret": {"file": "own.secret"},
        "robot_secret": {"file": "robot"},
        "levels": [Level.YELLOW, Level.RED],
        "families": ["P"],
        "units": ["U-1", "U-2"],
        "owner_units": ["U-9"],
        "allow_http": True,
        "allow_networks": ["127.0.0.0/8"],
        "timeout_seconds": 5,
        "concurrency": 1,
        "rate_per_minute": 5,
        "group_wait_seconds": 30,
        "repeat_hours": 24,
        "quiet_hours": {"start": "22:00", "end": "07:00", "levels": [Level.YELLOW]},
        "headers": {"X-A": "b=c"},
    }


def test_paths_are_relative_to_where_the_command_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "own.secret").write_text("s" * 32)
    (path.parent.parent / "outside.secret").write_text("s" * 32)
    monkeypatch.chdir(elsewhere)
    assert add("platform", "--url", URL, "--secret-file", "own.secret").exit_code == 0
    assert add("other", "--url", URL, "--secret-file", "../../outside.secret").exit_code == 0
    assert [entry(path, name).secret.file for name in ("platform", "other")] == [  # type: ignore[union-attr]
        "elsewhere/own.secret",
        str(path.parent.parent / "outside.secret"),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("platform",), "--url"),
        (("platform", "--url", URL, "--url-env", "X"), "exactly one"),
        (("platform", "--url-file", "x", "--url-env", "X"), "either"),
        (("platform", "--url", URL, "--secret-file", "x", "--secret-env", "X"), "either"),
        (("platform", "--url", URL, "--client-cert", "x"), "both"),
        (("platform", "--url", URL, "--header", "X-A"), "NAME=VALUE"),
        (("platform", "--url", URL, "--header", "X-A=1", "--header", "X-A=2"), "once"),
        (("platform", "--url", URL, "--header", "Authorization=hidden"), "secret into the file"),
        (("platform", "--url", URL, "--header", "X-A=a\r\nX-B: b"), "line break"),
        (("platform", "--url", URL, "--quiet", "22:00"), "22:00-07:00"),
        (("platform", "--url", URL, "--quiet", "22-7"), "time of day"),
        (("platform", "--url", URL, "--quiet-level", "red"), "--quiet"),
        (("platform", "--url", URL, "--level", "purple"), "purple"),
        (("platform", "--url", URL, "--rate", "0"), "rate_per_minute"),
        (("platform", "--url", URL, "--robot-secret-file", "x"), "robot_secret"),
        (("Platform", "--url", URL), "name"),
        (("../platform", "--url", URL), "name"),
        (("platform", "--url", "http://receiver.example/hidden"), "allow_http"),
        (("platform", "--url", "https://user:hidden@receiver.example/"), "user or a password"),
        (("platform", "--url", "https://127.0.0.1/hidden"), "not public"),
        (("platform", "--url", "https://2130706433/hidden"), "number"),
        (("platform", "--url", "file:///etc/passwd"), "neither https nor http"),
    ],
)
def test_what_cannot_be_added_ends_with_2_says_why_and_writes_nothing(
    path: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = add(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert "hidden" not in result.output
    assert "Traceback" not in result.output
    assert not path.exists()
    assert not list(path.parent.glob("secrets/*"))


def test_a_name_that_leads_to_this_machine_is_refused_before_anything_is_written(path: Path) -> None:
    result = run("add", "platform", "--url", "https://localhost/hidden")
    assert result.exit_code == 1
    assert result.stderr.startswith("hotline-watch: platform: the address is not public")
    assert "hidden" not in result.output
    assert not path.exists()
    assert run("add", "platform", "--url", "https://127.0.0.1/hook", "--allow-network", "127.0.0.0/8").exit_code == 0


def test_an_entry_lives_from_add_to_remove(path: Path) -> None:
    assert add("platform", "--url", URL).exit_code == 0
    assert answer("disable", "platform") == {"disabled": "platform"}
    (row,) = answer("list", str(path))["subscribers"]
    assert (row["enabled"], row["format"], row["endpoint"]) == (False, "json", "https://receiver.example:443")
    assert "disabled" in run("list", str(path)).output
    assert answer("enable", "platform") == {"enabled": "platform"}
    assert answer("revise", "platform") == {"revised": "platform", "revision": 2}
    assert answer("check", str(path), "--offline") == {
        "ok": True,
        "subscribers": 1,
        "problems": {},
        "loose_ends": [],
        "hints": [],
    }
    assert answer("remove", "platform") == {"removed": "platform"}
    again = add("platform", "--url", URL)
    assert again.exit_code == 2
    assert "was removed" in again.stderr


def test_rotating_says_where_the_new_key_is_and_until_when_the_old_one_signs(path: Path) -> None:
    add("platform", "--url", URL)
    told = answer("rotate", "platform", "--overlap-hours", "48")
    assert told["file"].endswith("secrets/platform-2.secret")
    assert (told["which"], told["ended"], told["public_key"]) == ("secret", [], None)
    (row,) = answer("list", str(path))["subscribers"]
    assert row["secrets"] == [{"until": None}, {"until": told["previous_until"]}]
    signing = answer("rotate", "platform", "--which", "signing-key")
    assert signing["public_key"].startswith("whpk_")
    for arguments in ((), ("--which", "signing-key"), ("--overlap-hours", "0")):
        result = run("rotate", "platform", *arguments)
        assert result.exit_code == 0
        for key in (path.parent / "secrets").iterdir():
            assert key.read_text().strip() not in result.output
    assert "can be deleted: secrets/platform" in result.output
    assert run("rotate", "platform", "--overlap-hours", "nan").exit_code == 2


@pytest.mark.parametrize("command", ["rotate", "enable", "disable", "revise", "remove", "test"])
def test_nobody_of_that_name_ends_with_2(path: Path, command: str) -> None:
    add("platform", "--url", URL)
    before = path.read_text()
    result = run(command, "nobody")
    assert (result.exit_code, "nobody" in result.stderr) == (2, True)
    assert path.read_text() == before


@pytest.mark.parametrize("command", ["add", "rotate", "enable", "disable", "revise", "remove", "test"])
def test_without_a_file_it_says_which_setting(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOTLINE_WATCH_SUBSCRIBERS_FILE", raising=False)
    result = run(command, "platform", *(("--url", URL) if command == "add" else ()))
    assert (result.exit_code, "subscribers_file" in result.stderr) == (2, True)


def test_the_option_goes_before_the_setting_and_secrets_go_where_they_are_set_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = path.parent / "other.yaml"
    monkeypatch.setenv("HOTLINE_WATCH_SECRETS_DIR", str(path.parent / "keys"))
    assert add("platform", "--url", URL, "--file", str(other)).exit_code == 0
    assert (path.exists(), other.exists()) == (False, True)
    assert (path.parent / "keys" / "platform.secret").exists()


def test_a_file_that_cannot_be_taken_ends_with_its_line(path: Path) -> None:
    path.write_text("subscribers: []\nsubscribers: []\n")
    for command in ("enable", "remove"):
        result = run(command, "platform")
        assert (result.exit_code, f"{path}:2: " in result.stderr) == (2, True)


def test_a_disabled_one_is_sent_no_drill(path: Path) -> None:
    add("platform", "--url", URL)
    run("disable", "platform")
    result = run("test", "platform")
    assert (result.exit_code, "enable it first" in result.stderr) == (2, True)


# --- the operator's page ---


@pytest.mark.parametrize("model", [SubscriberEntry, QuietHours, PreviousSecret, ClientCertificate, SubscribersFile])
def test_every_field_is_in_the_page(model: type[Any]) -> None:
    prefix = {QuietHours: "quiet_hours.", PreviousSecret: "previous_secrets.", ClientCertificate: "client_certificate."}
    rows = re.findall(r"^\| `([a-z_.]+)` \|", PAGE, re.MULTILINE)
    if model is SubscribersFile:
        assert [name for name in model.model_fields if f"`{name}`" not in PAGE] == []
    else:
        assert [name for name in model.model_fields if prefix.get(model, "") + name not in rows] == []


def test_the_page_names_no_field_that_is_not_there() -> None:
    table = PAGE[PAGE.index("## Fields") : PAGE.index("## Commands")]
    rows = [name for name in re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE) if "." not in name]
    assert rows == list(SubscriberEntry.model_fields)


def test_every_command_is_in_the_page_with_an_example() -> None:
    assert [name for name in COMMANDS if f"    hotline-watch subscribers {name} " not in PAGE] == []


def test_the_examples_of_the_page_are_commands_that_there_are() -> None:
    for line in re.findall(r"^    hotline-watch subscribers (\S+)", PAGE, re.MULTILINE):
        assert line in COMMANDS | {"route"}
