"""Backup and restore of files: what is kept, what is refused, and that nothing half done is ever left behind."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.archive import CHECKSUMS, HEADER, ArchiveError, DamagedArchiveError, Source, write_archive
from streams.archive_header import Header
from streams.archive_reading import Contents, extract_archive
from streams.backup import make_backup
from streams.backup_config import ConfigFiles, MissingFileError, config_files
from streams.broker_errors import DataDirInUseError, DataDirUnusableError
from streams.broker_lock import lock as lock_broker
from streams.hold import Running, held_still, hold_up, is_up, said_running, say_running, stillness_wanted
from streams.restore import restore_backup
from streams.settings import Settings, load_settings
from streams.single import SingleMachine
from tests.backup_support import FakeKafka, Tree, data_dir, init_like, run, tar_of, tree_of

NOW = 1_750_000_000_000_000


def sources_of(folder: Path) -> list[Source]:
    """Return everything below a folder, as data, directories first."""
    return [Source(f"data/{path.relative_to(folder)}", path) for path in sorted(folder.rglob("*"))]


# --- the file


def test_what_comes_out_is_what_went_in_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    data = data_dir(tmp_path)
    (data / "open").write_bytes(b"x")
    (data / "open").chmod(0o646)
    written = write_archive(tmp_path / "b", Header(made_by="test"), sources_of(data))
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    target = tmp_path / "out"
    target.mkdir()
    contents = extract_archive(tmp_path / "b", target)
    assert contents.header.made_by == "test"
    before, after = tree_of(data), tree_of(target / "data")
    assert contents.files == {f"data/{name}" for name in before}
    assert {name: content for name, (content, _) in after.items()} == {n: c for n, (c, _) in before.items()}
    assert after["open"][1] == 0o640
    assert after["secrets/pseudonym-k1"][1] == 0o600
    assert stat.S_IMODE((target / "data" / "secrets").stat().st_mode) == 0o700
    assert written.files == len(before)
    assert read_through(tmp_path / "b") == contents


def read_through(path: Path) -> Contents:
    """Read a file to its end as `restore --check` does, with nothing of it wanted."""
    with tempfile.TemporaryDirectory() as folder:
        return extract_archive(path, Path(folder), lambda _: False)


def small_archive(folder: Path) -> bytes:
    (folder / "in" / "deep").mkdir(parents=True)
    (folder / "in" / "deep" / "a").write_bytes(b"first" * 30)
    (folder / "in" / "b").write_bytes(b"second")
    write_archive(folder / "backup", Header(), sources_of(folder / "in"))
    return (folder / "backup").read_bytes()


with TemporaryDirectory() as _folder:
    SMALL = small_archive(Path(_folder))
    WHOLE = tree_of(Path(_folder) / "in")


def taken(content: bytes) -> Tree | None:
    """Return what a file is restored to, None where it is refused."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "backup").write_bytes(content)
        (Path(folder) / "out").mkdir()
        try:
            extract_archive(Path(folder) / "backup", Path(folder) / "out")
        except ArchiveError:
            return None
        return tree_of(Path(folder) / "out" / "data")


def contents(tree: Tree | None) -> dict[str, bytes] | None:
    return None if tree is None else {name: content for name, (content, _) in tree.items()}


@given(st.integers(0, len(SMALL) - 1), st.integers(1, 255))
def test_a_byte_that_changed_is_found_or_meant_nothing(at: int, change: int) -> None:
    damaged = SMALL[:at] + bytes([SMALL[at] ^ change]) + SMALL[at + 1 :]
    assert contents(taken(damaged)) in (None, contents(WHOLE))


@given(st.integers(0, len(SMALL)))
def test_a_file_that_was_cut_short_is_refused_unless_only_its_padding_is_missing(length: int) -> None:
    assert contents(taken(SMALL[:length])) in (None, contents(WHOLE))
    if length <= SMALL.rindex(b'"files"'):
        assert taken(SMALL[:length]) is None


@given(st.binary(max_size=3000))
def test_any_other_file_is_refused(content: bytes) -> None:
    assert taken(content) is None


HEAD = (tarfile.TarInfo(HEADER), b'{"format":"hotline-watch-backup","version":1}')


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "../../x", "data/../../x"], ids=["absolute", "up", "up inside"])
def test_a_path_that_leads_outside_is_refused_and_written_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "b").write_bytes(tar_of(HEAD, (tarfile.TarInfo(name), b"evil")))
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    with pytest.raises(DamagedArchiveError):
        extract_archive(tmp_path / "b", out)
    assert "x" not in {path.name for path in tmp_path.rglob("*")}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("data/link")
    member.type, member.linkname = kind, "/etc/passwd"
    (tmp_path / "b").write_bytes(tar_of(HEAD, (member, b"")))
    with pytest.raises(DamagedArchiveError, match="a link, a device"):
        read_through(tmp_path / "b")


def test_what_is_wrong_with_a_file_is_told_apart(tmp_path: Path) -> None:
    def refused(content: bytes) -> str:
        (tmp_path / "b").write_bytes(content)
        with pytest.raises(ArchiveError) as caught:
            read_through(tmp_path / "b")
        return f"{type(caught.value).__name__}: {caught.value}"

    newer = (tarfile.TarInfo(HEADER), b'{"format":"hotline-watch-backup","version":2}')
    assert refused(b"").startswith("ForeignArchiveError")
    assert refused(tar_of((tarfile.TarInfo("x"), b"y"))).startswith("ForeignArchiveError")
    assert "by another version" in refused(tar_of(newer))
    assert "it has no checksums" in refused(tar_of(HEAD, (tarfile.TarInfo("data/x"), b"y")))
    assert "cut short" in refused(SMALL[: SMALL.index(b"first") + 3])
    assert "data/deep/a is not what it was" in refused(SMALL.replace(b"first", b"fIrst", 1))
    lacks = tar_of(HEAD, (tarfile.TarInfo(CHECKSUMS), b'{"files":{"x":[1,"0"]}}'))
    assert "is damaged" in refused(lacks)


def test_a_backup_overwrites_nothing_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(ArchiveError, match="nothing is overwritten"):
        write_archive(tmp_path / "there", Header(), [])
    assert (tmp_path / "there").read_text() == "precious"
    with pytest.raises(OSError, match="gone"):
        write_archive(tmp_path / "new", Header(), [Source("data/a", tmp_path / "gone")])
    assert {path.name for path in tmp_path.iterdir()} == {"there"}


# --- the whole of one machine


def test_a_backup_holds_the_data_the_settings_and_all_that_they_name(tmp_path: Path) -> None:
    folder = tmp_path / "installation"
    folder.mkdir()
    data, config = data_dir(folder), init_like(folder)
    files = config_files(load_settings(config, {}), config, data)
    assert files.from_environment == ("HOTLINE_WATCH_SECRET_OTHER",)
    made = make_backup(data, files, tmp_path / "b", NOW)
    assert made.file_bytes == (tmp_path / "b").stat().st_size
    restored = restore_backup(tmp_path / "b", tmp_path / "new")
    assert (restored.data_dir, restored.config) == (tmp_path / "new" / "data", tmp_path / "new" / "hotline-watch.toml")
    before, after = tree_of(folder), tree_of(tmp_path / "new")
    expected = {
        name: content
        for name, (content, _) in before.items()
        if "logs/" not in name and name not in ("data/up.lock", "data/up.json", "data/backup.lock", "data/kafka/lock")
    }
    (elsewhere,) = restored.header.elsewhere.items()
    assert elsewhere[1] == str(tmp_path / "elsewhere" / "units.yaml")
    assert {name: content for name, (content, _) in after.items()} == expected | {elsewhere[0]: b"units: []\n"}
    assert {mode & 0o007 for _, mode in after.values()} == {0}
    assert after["secrets/k1"][1] == after["data/secrets/pseudonym-k1"][1] == 0o600
    for path in ("", "secrets", "data/secrets"):
        assert stat.S_IMODE((tmp_path / "new" / path).stat().st_mode) == 0o700
    again = load_settings(restored.config, {})
    assert again.subscribers_file == tmp_path / "new" / "subscribers.yaml"


def test_a_secret_that_is_named_and_missing_is_told_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "installation"
    folder.mkdir()
    config = init_like(folder)
    (folder / "secrets" / "platform.secret").unlink()
    with pytest.raises(MissingFileError, match=r"platform\.secret is named by the configuration"):
        config_files(load_settings(config, {}), config, folder / "data")


def test_a_restore_goes_only_where_nothing_is_and_leaves_nothing_of_a_damaged_file(tmp_path: Path) -> None:
    data = data_dir(tmp_path)
    make_backup(data, ConfigFiles(), tmp_path / "b", NOW)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("precious")
    with pytest.raises(ArchiveError, match="is not empty"):
        restore_backup(tmp_path / "b", tmp_path / "full")
    content = (tmp_path / "b").read_bytes()
    (tmp_path / "bad").write_bytes(content.replace(bytes(range(256)), bytes(256), 1))
    (tmp_path / "empty").mkdir()
    before = {path.name for path in tmp_path.iterdir()}
    for target in ("empty", "new"):
        with pytest.raises(DamagedArchiveError, match=r"0\.log is not what it was"):
            restore_backup(tmp_path / "bad", tmp_path / target)
    assert {path.name for path in tmp_path.iterdir()} == before
    assert list((tmp_path / "empty").iterdir()) == []
    inode = (tmp_path / "empty").stat().st_ino
    assert restore_backup(tmp_path / "b", tmp_path / "empty").config is None
    assert ((tmp_path / "empty").stat().st_ino, [one.name for one in (tmp_path / "empty").iterdir()]) == (
        inode,
        ["data"],
    )


def test_configuration_that_names_paths_of_the_old_place_is_told_once_it_lies_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "installation"
    folder.mkdir()
    data, config = data_dir(folder), init_like(folder)
    config.write_text(config.read_text().replace('"silences.yaml"', f'"{folder}/silences.yaml"'))
    (folder / "silences.yaml").write_text("silences: []\n")
    make_backup(data, config_files(load_settings(config, {}), config, data), tmp_path / "b", NOW)
    assert restore_backup(tmp_path / "b", tmp_path / "new").bound == (tmp_path / "new" / "hotline-watch.toml",)
    status, shown = run("restore", str(tmp_path / "b"), "--to", str(tmp_path / "other"))
    assert status == 0
    assert (
        f"hotline-watch.toml names files of {folder}, where the backup was made: change them to {tmp_path}/other"
        in shown
    )
    shutil.rmtree(folder)
    assert restore_backup(tmp_path / "b", folder).bound == ()


def test_a_disk_that_is_full_is_told_and_nothing_half_done_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_dir(tmp_path)
    make_backup(data, ConfigFiles(), tmp_path / "b", NOW)
    before = {path.name for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ArchiveError, match=r"no room is left for .*b2: free some space"):
        make_backup(data, ConfigFiles(), tmp_path / "b2", NOW)
    monkeypatch.setattr("os.sync", full)
    with pytest.raises(ArchiveError, match=r"no room is left for .*new: free some space"):
        restore_backup(tmp_path / "b", tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == before
    monkeypatch.setattr("streams.disk_room.SPARE_BYTES", 2**60)
    with pytest.raises(ArchiveError, match=r"MB are needed below"):
        make_backup(data, ConfigFiles(), tmp_path / "b2", NOW)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_backup_is_not_made_into_what_is_backed_up_nor_of_another_directory(tmp_path: Path) -> None:
    data = data_dir(tmp_path)
    with pytest.raises(ArchiveError, match="name a file elsewhere"):
        make_backup(data, ConfigFiles(), data / "b", NOW)
    with pytest.raises(ArchiveError, match="make it, or mount the disk"):
        make_backup(data, ConfigFiles(), tmp_path / "not" / "mounted", NOW)
    (tmp_path / "other").mkdir()
    with pytest.raises(DataDirUnusableError, match="no data directory of `hotline-watch up`"):
        make_backup(tmp_path / "other", ConfigFiles(), tmp_path / "b", NOW)


def test_holes_stay_holes(tmp_path: Path) -> None:
    make_backup(data_dir(tmp_path), ConfigFiles(), tmp_path / "b", NOW)
    restored = restore_backup(tmp_path / "b", tmp_path / "new").data_dir
    status = (restored / "kafka" / "broker-1" / "data" / "hw.tickets-0" / "0.index").stat()
    assert status.st_size == 3_000_000
    assert status.st_blocks * 512 < 2_000_000


# --- holding still


class FakeUp(threading.Thread):
    """What `up` does about stillness, with no process below it."""

    def __init__(self, data: Path) -> None:
        super().__init__(daemon=True)
        self.data, self.ended, self.stops = data, threading.Event(), 0
        self.holding = contextlib.ExitStack()
        self.broker = lock_broker(data / "kafka")

    def run(self) -> None:
        still = False
        while not self.ended.wait(0.01):
            wanted = stillness_wanted(self.data)
            if wanted and not still:
                self.stops += 1
                self.broker.close()
            elif still and not wanted:
                self.broker = lock_broker(self.data / "kafka")
            still = wanted
        self.broker.close()


@pytest.fixture
def fake_up(tmp_path: Path) -> Iterator[FakeUp]:
    up = FakeUp(data_dir(tmp_path))
    up.start()
    yield up
    up.ended.set()
    up.join()


def test_a_running_up_holds_still_for_a_backup_and_goes_on(fake_up: FakeUp, tmp_path: Path) -> None:
    for number in range(2):
        make_backup(fake_up.data, ConfigFiles(), tmp_path / f"b{number}", NOW)
    with held_still(fake_up.data):
        assert stillness_wanted(fake_up.data)
    assert not stillness_wanted(fake_up.data)
    assert 1 <= fake_up.stops <= 3


def test_an_up_that_holds_still_says_nothing_of_itself_until_all_is_ready_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.single.create_topics", lambda *_: None)
    data = data_dir(tmp_path)
    machine = SingleMachine(Settings(), data, tmp_path / "a.toml", workers=0)
    machine.kafka = FakeKafka()  # type: ignore[assignment]
    machine.start()
    told = said_running(data)
    assert told is not None
    assert told.config == tmp_path / "a.toml"
    with held_still(data):
        machine.watch()
        assert (machine.held_still, said_running(data)) == (True, None)
        status, shown = run("backup", "--data", str(data), "--to", str(tmp_path / "b"))
        assert (status, "try again in a minute, or say --config" in shown) == (2, True)
    machine.watch()
    assert (machine.held_still, said_running(data)) == (False, told)
    machine.stop()
    assert not is_up(data)


def test_what_does_not_hold_still_is_told(tmp_path: Path) -> None:
    data = data_dir(tmp_path)
    with (
        contextlib.closing(lock_broker(data / "kafka")),
        pytest.raises(DataDirInUseError, match="does not hold still"),
        held_still(data, timeout_seconds=0.3),
    ):
        pass


def test_two_backups_at_once_are_made_one_after_the_other_or_refused(tmp_path: Path) -> None:
    data = data_dir(tmp_path)
    with (
        held_still(data),
        pytest.raises(DataDirInUseError, match="another backup is being made"),
        held_still(data, timeout_seconds=0.3),
    ):
        pass


def test_a_lock_that_root_takes_is_the_services_own_users(tmp_path: Path) -> None:
    data = data_dir(tmp_path)
    if os.geteuid() == 0:
        os.chown(data, 65534, 65534)
    with held_still(data):
        pass
    assert (data / "backup.lock").stat().st_uid == data.stat().st_uid


def test_one_up_at_a_time_and_it_is_known_to_run(tmp_path: Path) -> None:
    assert not is_up(tmp_path)
    held = hold_up(tmp_path)
    assert is_up(tmp_path)
    with pytest.raises(DataDirInUseError, match="another `up`"):
        hold_up(tmp_path)
    held.close()
    assert not is_up(tmp_path)


def test_what_up_says_of_itself_is_read_again(tmp_path: Path) -> None:
    told = Running(config=tmp_path / "a.toml", bootstrap_servers="127.0.0.1:1", services={"worker-1": "http://x"})
    say_running(tmp_path, told)
    assert said_running(tmp_path) == told
    assert stat.S_IMODE((tmp_path / "up.json").stat().st_mode) == 0o600
    say_running(tmp_path, None)
    assert said_running(tmp_path) is None


# --- the commands


def test_one_command_makes_a_backup_and_one_restores_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HOTLINE_WATCH_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "installation"
    folder.mkdir()
    data, config = data_dir(folder), init_like(folder)
    to = str(tmp_path / "b.backup")
    status, shown = run("backup", "--data", str(data), "--to", to, "--config", str(config), "--json")
    assert status == 0, shown
    assert "not in it, for they come from the environment: HOTLINE_WATCH_SECRET_OTHER" in shown
    answer = next(line for line in shown.splitlines() if line.startswith("{"))
    assert json.loads(answer)["from_environment"] == ["HOTLINE_WATCH_SECRET_OTHER"]
    assert run("restore", to, "--check")[0] == 0
    status, shown = run("restore", to, "--to", str(tmp_path / "new"))
    assert status == 0
    assert f"up --data {tmp_path}/new/data --config {tmp_path}/new/hotline-watch.toml" in shown.replace("\n", "")
    assert "units.yaml lay outside" in shown
    assert run("restore", to, "--to", str(tmp_path / "new"))[0] == 2
    assert run("restore", to)[0] == 2
    assert run("restore", str(config), "--check") == (2, f"hotline-watch: {config} is no backup of hotline-watch\n")
    status, shown = run("restore", str(tmp_path / "nothing"), "--check")
    assert (status, "name one that `hotline-watch backup` wrote" in shown) == (2, True)


@pytest.fixture
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HOTLINE_WATCH_")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("_no_settings")
def test_without_settings_no_backup_is_made_unless_it_is_said_and_then_what_is_lacking_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "installation"
    folder.mkdir()
    data, config = data_dir(folder), init_like(folder)
    to = tmp_path / "b"
    monkeypatch.setenv("HOTLINE_WATCH_LOG_LEVEL", "info")  # a setting, but none that names what is to be kept
    status, shown = run("backup", "--data", str(data), "--to", str(to))
    assert (status, "say --config FILE, or --state-only" in shown, to.exists()) == (2, True, False)
    status, shown = run("backup", "--data", str(data), "--to", str(to), "--state-only", "--config", str(config))
    assert (status, to.exists()) == (2, False)
    status, shown = run("backup", "--data", str(data), "--to", str(to), "--state-only")
    assert (status, "settings, subscribers and secrets are not in it" in shown) == (0, True)
    for how in (["--check"], ["--to", str(tmp_path / "new")]):
        status, shown = run("restore", str(to), *how, "--json")
        assert (status, "no settings file is in it" in shown, "the same pseudonym secret" in shown) == (0, True, True)
        assert json.loads(shown[shown.index("{") : shown.rindex("}") + 1])["lacking"]["settings"] is True


@pytest.mark.usefixtures("_no_settings")
def test_settings_that_the_environment_names_are_in_the_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "installation"
    folder.mkdir()
    data, config = data_dir(folder), init_like(folder)
    monkeypatch.setenv("HOTLINE_WATCH_CONFIG", str(config))
    status, shown = run("backup", "--data", str(data), "--to", str(tmp_path / "b"), "--json")
    assert status == 0, shown
    status, shown = run("restore", str(tmp_path / "b"), "--check")
    assert (status, "set them again: HOTLINE_WATCH_SECRET_OTHER" in shown, "no settings" in shown) == (0, True, False)
    monkeypatch.delenv("HOTLINE_WATCH_CONFIG")
    monkeypatch.setenv("HOTLINE_WATCH_SUBSCRIBERS_FILE", str(folder / "subscribers.yaml"))
    status, shown = run("backup", "--data", str(data), "--to", str(tmp_path / "b2"))
    assert (status, "the settings came from the environment" in shown) == (0, True)
    held = restore_backup(tmp_path / "b2", tmp_path / "new").header.elsewhere.values()
    assert {str(folder / "subscribers.yaml"), str(folder / "secrets" / "platform.secret")} == set(held)
