"""Settings: from the environment, then a TOML file, then the defaults; what is wrong refuses to start and no value is ever shown."""

from __future__ import annotations

import os
import re
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from cli.main import app
from rules.matter import MatterConfig
from streams.settings import Settings, SettingsError, load_file, load_settings

SECRET = "a-secret-of-more-than-24-bytes-0123456789"
SHORT = "nineteen-bytes-only"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("HOTLINE_WATCH_")]:
        monkeypatch.delenv(name)


def _toml(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def _keys(**source: object) -> str:
    return orjson.dumps([{"id": "k1", **source}]).decode()


def test_the_defaults_are_taken_where_nothing_is_said() -> None:
    settings = load_settings()
    assert (settings.partitions, settings.core_time, settings.http_host) == (8, "wall", "127.0.0.1")
    assert settings.matter.config() == MatterConfig()
    assert settings.load_keys() == []


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _toml(tmp_path, 'partitions = 3\ntopic_prefix = "city."\n[matter]\nlow_floor = 0.25\n')
    monkeypatch.setenv("HOTLINE_WATCH_PARTITIONS", "5")
    monkeypatch.setenv("HOTLINE_WATCH_MATTER__WINDOW_DAYS", "30")
    settings = load_settings(config)
    assert (settings.partitions, settings.topic_prefix, settings.tick_seconds) == (5, "city.", 1.0)
    assert (settings.matter.low_floor, settings.matter.window_days) == (0.25, 30)
    assert settings.topics.ticket_events == "city.hotline.ticket-events"


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_WATCH_CONFIG", str(_toml(tmp_path, "partitions = 3\n")))
    assert load_settings().partitions == 3


REFUSED_VALUES = {
    "a text for a number": ("PARTITIONS", "nineteen"),
    "a number that is too small": ("PARTITIONS", "0"),
    "a number that is too large": ("HTTP_PORT", "99999"),
    "a real for an integer": ("REPLICATION", "1.5"),
    "no number at all": ("STALL_SECONDS", "nan"),
    "an infinite number": ("TICK_SECONDS", "inf"),
    "a word out of no list": ("CORE_TIME", "sometimes"),
    "another word out of no list": ("LOG_LEVEL", "loud"),
    "keys that are no JSON": ("PSEUDONYM_KEYS", SECRET),
    "a key without a source": ("PSEUDONYM_KEYS", '[{"id":"k1"}]'),
    "a key with two sources": ("PSEUDONYM_KEYS", _keys(secret=SECRET, secret_env="X")),
    "a key with an id of signs": ("PSEUDONYM_KEYS", '[{"id":"k:1","secret_env":"X"}]'),
    "a key with an unknown field": ("PSEUDONYM_KEYS", _keys(secret_env="X", sekret=SECRET)),
    "an unknown field inside": ("MATTER__FLOOR", "0.5"),
    "a floor above one": ("MATTER__LOW_FLOOR", "7.25"),
}


@pytest.mark.parametrize("what", REFUSED_VALUES)
def test_a_bad_value_in_the_environment_is_refused_and_not_shown(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = REFUSED_VALUES[what]
    monkeypatch.setenv(f"HOTLINE_WATCH_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert name.partition("__")[0].lower() in str(caught.value).lower()
    assert value not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "name", ["HOTLINE_WATCH_PARTITION", "hotline_watch_partition", "HOTLINE_WATCH_", "HOTLINE_WATCH_PARTITIONS__MAX"]
)
def test_an_unknown_variable_is_refused_and_its_value_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, SECRET)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert name in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_operators_own_secret_may_have_any_name_after_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_WATCH_SECRET_PLATFORM", SECRET)
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'partition = "{SECRET}"', "partition"),
        (f'[matter]\nfloor = "{SECRET}"', "matter.floor"),
        (f'partitions = "{SECRET}"', "partitions"),
        (f'[partitions]\nmany = "{SECRET}"', "partitions"),
        ("partitions = true", "partitions"),
        (f'matter = "{SECRET}"', "matter"),
        (f'pseudonym_keys = "{SECRET}"', "pseudonym_keys"),
        (f'[[pseudonym_keys]]\nid = "k1"\nsecret = "{SECRET}"\nsecret_env = "X"', "pseudonym_keys.0"),
        (f'name = "{SECRET}', "not TOML"),
        (f"partitions = 3\npartitions = 4  # {SECRET}", "line 2"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_its_values_not_shown(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(_toml(tmp_path, text))
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00"])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="is not TOML"):
        load_settings(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read"):
        load_settings(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_secret_in_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    text = f'[[pseudonym_keys]]\nid = "k1"\nsecret = "{SECRET}"\n'
    with pytest.raises(SettingsError, match="others can read it") as caught:
        load_settings(_toml(tmp_path, text, mode))
    assert SECRET not in str(caught.value)
    keys = load_settings(_toml(tmp_path, text, 0o600)).load_keys()
    assert [key.secret for key in keys] == [SECRET.encode()]
    assert SECRET not in repr(keys)


def test_a_file_that_only_names_its_secrets_may_be_read_by_all(tmp_path: Path) -> None:
    (tmp_path / "k1.secret").write_text(SECRET + "\n")
    text = f'[[pseudonym_keys]]\nid = "k1"\nsecret_file = "{tmp_path / "k1.secret"}"\n'
    assert load_settings(_toml(tmp_path, text, 0o644)).load_keys()[0].secret == SECRET.encode()


def test_a_secret_shorter_than_24_bytes_is_refused_from_every_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "short").write_text(SHORT)
    monkeypatch.setenv("HOTLINE_WATCH_SECRET_SHORT", SHORT)
    for source in (
        {"secret_file": str(tmp_path / "short")},
        {"secret_env": "HOTLINE_WATCH_SECRET_SHORT"},
        {"secret": SHORT},
    ):
        monkeypatch.setenv("HOTLINE_WATCH_PSEUDONYM_KEYS", _keys(**source))
        with pytest.raises(SettingsError, match="shorter than 24 bytes") as caught:
            load_settings().load_keys()
        assert SHORT not in str(caught.value)


def test_a_secret_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_WATCH_PSEUDONYM_KEYS", _keys(secret_file=str(tmp_path / "none")))
    with pytest.raises(SettingsError, match="pseudonym key k1: secret_file cannot be read"):
        load_settings().load_keys()
    monkeypatch.setenv("HOTLINE_WATCH_PSEUDONYM_KEYS", _keys(secret_env="HOTLINE_WATCH_SECRET_NONE"))
    with pytest.raises(SettingsError, match="pseudonym key k1: the environment variable"):
        load_settings().load_keys()


def test_no_secret_is_in_what_settings_show_of_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_WATCH_PSEUDONYM_KEYS", _keys(secret=SECRET))
    settings = load_settings()
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()}"


def test_the_data_directory_is_made_with_its_parents_for_the_owner_alone(tmp_path: Path) -> None:
    made = Settings(data_dir=tmp_path / "a" / "b").make_data_dir()
    assert made.is_dir()
    assert made.stat().st_mode & 0o077 == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="setting data_dir"):
        Settings(data_dir=tmp_path / "file" / "below").make_data_dir()


def test_a_bad_value_is_told_with_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "watch.toml"
    file.write_text("partitions = 0\n")
    with pytest.raises(SettingsError, match=rf"setting partitions: .*\(from {re.escape(str(file))}\)"):
        load_settings(file, {})
    with pytest.MonkeyPatch.context() as patch:  # it stands before the file
        patch.setenv("HOTLINE_WATCH_PARTITIONS", "-1")
        with pytest.raises(SettingsError, match=r"from the environment variable HOTLINE_WATCH_PARTITIONS\)"):
            load_settings(file)


@pytest.mark.parametrize(
    "command", [["worker"], ["dispatch"], ["up", "--data", "never"], ["tick", "--at", "2025-01-01T00:00:00"]]
)
def test_every_process_ends_with_2_and_one_line(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_WATCH_PARTITIONS", SECRET)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "setting partitions" in result.output
    assert SECRET not in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_dispatch_without_subscribers_refuses_to_start() -> None:
    result = CliRunner().invoke(app, ["dispatch"])
    assert result.exit_code == 2
    assert "subscribers_file" in result.output


def test_the_brokers_port_is_where_every_command_looks_unless_an_address_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.toml"
    file.write_text("broker_port = 19092\n")
    assert load_settings(file).bootstrap_servers == "127.0.0.1:19092"
    assert load_settings(file).cluster_at(None) == "127.0.0.1:19092"
    file.write_text('broker_port = 19092\nbootstrap_servers = "kafka-1:9093"\n')
    assert load_settings(file).bootstrap_servers == "kafka-1:9093"
    monkeypatch.setenv("HOTLINE_WATCH_BROKER_PORT", "0")
    file.write_text("broker_port = 19092\n")
    assert load_settings(file).bootstrap_servers == "127.0.0.1:9092"


def test_a_value_that_is_refused_is_refused_with_what_the_setting_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_WATCH_DRILL_EVERY_HOURS", "0")
    with pytest.raises(SettingsError, match=r"drill_every_hours: .*greater than 0; .*; left out: never"):
        load_settings()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"KEEP_CLOSED_DAYS": "400", "ALLOWED_LATENESS_DAYS": "401"}, "at least allowed_lateness_days"),
        ({"KEEP_CLOSED_DAYS": "89"}, "at least the 90 days within which complaints are counted"),
        ({"KEEP_CLOSED_DAYS": "400", "MATTER__WINDOW_DAYS": "401"}, "matter.window_days"),
        ({"KEEP_COMPLAINTS_DAYS": "119"}, "keep_complaints_days must be at least 120"),
        ({"KEEP_COMPLAINTS_DAYS": "120", "MATTER__WINDOW_DAYS": "91"}, "keep_complaints_days must be at least 121"),
    ],
)
def test_nothing_expires_that_is_still_wanted(
    given: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"HOTLINE_WATCH_{name}", value)
    with pytest.raises(SettingsError, match=r"^settings: keep_") as refused:
        load_settings()
    assert says in str(refused.value)


def test_what_is_kept_just_long_enough_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_WATCH_KEEP_CLOSED_DAYS", "200")
    monkeypatch.setenv("HOTLINE_WATCH_ALLOWED_LATENESS_DAYS", "200")
    monkeypatch.setenv("HOTLINE_WATCH_KEEP_COMPLAINTS_DAYS", "120")
    assert load_settings().keep_complaints_days == 120


def test_the_settings_of_a_file_alone_are_not_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.toml").write_text('units_file = "units.yaml"\n')
    monkeypatch.setenv("HOTLINE_WATCH_UNITS_FILE", "/else/units.yaml")
    monkeypatch.setenv("HOTLINE_WATCH_PARTITIONS", "3")
    found = load_file(tmp_path / "a.toml")
    assert (found.units_file, found.partitions) == (tmp_path / "units.yaml", 8)
