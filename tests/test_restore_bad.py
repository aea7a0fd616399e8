"""A backup file that comes from anywhere: what no backup holds is refused in words that can be shown, and nothing of it stays."""

from __future__ import annotations

import errno
import resource
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from streams.archive import ArchiveError, DamagedArchiveError, Source, write_archive
from streams.archive_header import Header, cleaned, is_member_name
from streams.backup import make_backup
from streams.backup_config import ConfigFiles, config_files
from streams.restore import check_backup, restore_backup
from streams.settings import load_settings
from tests.backup_support import Member, crafted, data_dir, init_like, member, run, tree_of

NOW = 1_750_000_000_000_000
FOLDER = "/srv/old"


def refusal(folder: Path, content: bytes) -> str:
    """Return what the commands say of a file that both refuse, leaving nothing behind."""
    file = folder / "b.backup"
    file.write_bytes(content)
    before = {path.name for path in folder.rglob("*")}
    said = []
    for how in (["--check"], ["--to", str(folder / "deep" / "new")]):
        status, shown = run("restore", str(file), *how)
        assert (status, "Traceback" in shown, ".new-" in shown) == (2, False, False), shown
        said.append(shown)
    assert {path.name for path in folder.rglob("*")} == before, "nothing is left behind, not even the parents"
    assert all(one.isprintable() for one in said[1].splitlines()), "what it says can be shown"
    return said[1]


@pytest.mark.parametrize(
    "header",
    [
        {"made_at": 5},
        {"made_at": "yesterday"},
        {"made_by": ["x"]},
        {"made_by": "hotline-watch\x1b[2J"},
        {"cluster_id": {}},
        {"config": 7, "folder": FOLDER},
        {"config": "../../../etc/passwd", "folder": FOLDER},
        {"config": "a/b.toml", "folder": FOLDER},
        {"config": "..", "folder": FOLDER},
        {"config": "a\x1b.toml", "folder": FOLDER},
        {"config": "a.toml"},
        {"config": "not-there.toml", "folder": FOLDER},
        {"elsewhere": []},
        {"elsewhere": {"elsewhere/0-x": "relative"}},
        {"elsewhere": {"elsewhere/../../etc/x": "/x"}},
        {"elsewhere": {"data/x": "/x"}},
        {"elsewhere": {"elsewhere/x": "/x\u202egnp"}},
        {"folder": 3},
        {"folder": "/srv/x"},
        {"from_environment": "PATH"},
        {"from_environment": ["A B"]},
        {"anything": "else"},
    ],
    ids=repr,
)
def test_a_header_that_backup_does_not_write_is_refused(tmp_path: Path, header: dict[str, Any]) -> None:
    said = refusal(tmp_path, crafted(**header))
    assert "its header" in said or "it says that it has a settings file and has none" in said
    assert "passwd" not in said


@pytest.mark.parametrize(
    "bad",
    [
        member("etc/cron.d/x"),
        member("x"),
        member("data"),
        member("config"),
        member("data/./x"),
        member("data//x"),
        member("data/\x1b[31mx"),
        member("data/\u202ex"),
        member("data/x", type=tarfile.CONTTYPE),
        member("data/x", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    ],
    ids=lambda one: ascii(one[0].name),
)
def test_a_member_that_no_backup_has_is_refused(tmp_path: Path, bad: Member) -> None:
    said = refusal(tmp_path, crafted(bad))
    assert "holds what no backup holds" in said or "a backup has nothing but config, data, elsewhere" in said


@pytest.mark.parametrize(
    "bad",
    [
        (member("data/a"), member("data/a")),
        (member("data/a"), member("data/a/b")),
        (member("data/a/b"), member("data/a")),
        (member("data/a"), member("data/a", b"", type=tarfile.DIRTYPE)),
        (member("data/a", b"", type=tarfile.DIRTYPE), member("data/a")),
    ],
    ids=["twice", "below a file", "a folder's", "a file's, as folder", "a folder's, as file"],
)
def test_a_name_that_is_there_twice_is_refused_by_its_name(tmp_path: Path, bad: tuple[Member, ...]) -> None:
    assert "twice; take another copy" in refusal(tmp_path, crafted(*bad))


def test_what_follows_the_end_is_refused_and_padding_is_not(tmp_path: Path) -> None:
    whole = crafted()
    assert "something follows its end" in refusal(tmp_path, whole + b"\0" * 100_000 + b"junk")
    assert "something follows its end" in refusal(tmp_path, whole + crafted())
    (tmp_path / "b").write_bytes(whole + b"\0" * 4096)
    assert check_backup(tmp_path / "b")[0] == Header()


def test_names_in_damaged_checksums_are_shown_cleaned(tmp_path: Path) -> None:
    content = crafted(member("data/abcdef"))
    assert "data/\ufffd and 1 more is not what it was" in refusal(
        tmp_path, content.replace(b'"data/abcdef"', b'"data/\\u001b"')
    )


def test_rights_to_run_as_somebody_else_are_neither_kept_nor_restored(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(
        crafted(member("data/f", mode=0o6777), member("data/d", b"", type=tarfile.DIRTYPE, mode=0o7777))
    )
    data = restore_backup(tmp_path / "b", tmp_path / "new").data_dir
    assert stat.S_IMODE((data / "f").stat().st_mode) == 0o660
    assert stat.S_IMODE((data / "d").stat().st_mode) == 0o770
    (tmp_path / "s").write_text("x")
    (tmp_path / "s").chmod(0o4755)
    write_archive(tmp_path / "b2", Header(), [Source("data/s", tmp_path / "s")])
    with tarfile.open(tmp_path / "b2") as tar:
        assert tar.getmember("data/s").mode == 0o755


def test_a_name_that_could_not_be_shown_is_refused_when_the_backup_is_made(tmp_path: Path) -> None:
    data = data_dir(tmp_path)
    (data / "a\udcff").write_text("no Unicode")
    with pytest.raises(ArchiveError, match="a name that cannot be kept"):
        make_backup(data, ConfigFiles(), tmp_path / "b", NOW)
    assert not list(tmp_path.glob("b*"))
    assert is_member_name("data/表　一.csv")
    assert cleaned("a\x1b\u202e\udcffb") == "a\ufffd\ufffd\ufffdb"


def test_a_configuration_with_folders_called_as_ours_comes_back_and_one_in_the_way_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "installation"
    folder.mkdir()
    data, config = data_dir(folder), init_like(folder)
    for name in ("config", "elsewhere"):
        (folder / name).mkdir(mode=0o700)
    (folder / "config" / "rules").mkdir()
    (folder / "config" / "rules" / "a.yaml").write_text("{}")
    config.write_text('rules_dir = "config/rules"\nlimits_file = "elsewhere/0-limits.yaml"\n' + config.read_text())
    (folder / "elsewhere" / "0-limits.yaml").write_text("{}")
    make_backup(data, config_files(load_settings(config, {}), config, data), tmp_path / "b", NOW)
    restored = restore_backup(tmp_path / "b", tmp_path / "new")
    after = set(tree_of(tmp_path / "new"))
    assert {"config/rules/a.yaml", "elsewhere/0-limits.yaml", *restored.header.elsewhere} <= after
    (folder / "limits").mkdir()
    own = config.read_text().replace('"config/rules"', '"data/rules"')
    (folder / "data" / "rules").mkdir()
    config.write_text(own)
    (tmp_path / "state").mkdir()
    with pytest.raises(ArchiveError, match="is where a restore puts the data"):
        make_backup(
            data_dir(tmp_path / "state"),
            config_files(load_settings(config, {}), config, tmp_path / "state" / "data"),
            tmp_path / "b2",
            NOW,
        )


def test_what_the_settings_name_and_the_backup_does_not_hold_is_told(tmp_path: Path) -> None:
    settings = (
        b'subscribers_file = "subscribers.yaml"\nposts_file = "/srv/old/posts.yaml"\nunits_file = "/else/units.yaml"\n'
        b'[[pseudonym_keys]]\nid = "k1"\nsecret_file = "secrets/k1"\n'
        b'[[pseudonym_keys]]\nid = "k2"\nsecret_file = "data/secrets/k2"\n'
    )
    subscribers = b"subscribers: [{name: a, url: 'https://a.example.org/', secret: {file: \"x\\e[2J\"}}]\n"
    (tmp_path / "b").write_bytes(
        crafted(
            member("config/a.toml", settings),
            member("config/subscribers.yaml", subscribers),
            member("config/posts.yaml", b"{}"),
            member("data/secrets/k2"),
            member("elsewhere/0-units.yaml"),
            config="a.toml",
            folder=FOLDER,
            elsewhere={"elsewhere/0-units.yaml": "/else/units.yaml"},
            from_environment=["HOTLINE_WATCH_SECRET_X"],
        )
    )
    _, lacking = check_backup(tmp_path / "b")
    assert (set(lacking.files), lacking.variables) == ({"secrets/k1", "x\ufffd[2J"}, ("HOTLINE_WATCH_SECRET_X",))
    status, shown = run("restore", str(tmp_path / "b"), "--to", str(tmp_path / "new"))
    assert status == 0
    assert f"{tmp_path}/new/secrets/k1 is named by the settings, and it is not in the backup" in shown
    assert "set them again: HOTLINE_WATCH_SECRET_X" in shown
    assert "\x1b" not in shown


def test_settings_in_a_backup_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    for number, text in enumerate((b"not = TOML = at all", b"\xff", b"unknown_name = 1", b"x = " + b"[" * 9_000)):
        (tmp_path / f"b{number}").write_bytes(crafted(member("config/a.toml", text), config="a.toml", folder=FOLDER))
        assert check_backup(tmp_path / f"b{number}")[1].files == ("a.toml",)


def test_a_file_that_grows_too_large_is_told_with_its_name_and_nothing_is_left(tmp_path: Path) -> None:
    data = data_dir(tmp_path)
    make_backup(data, ConfigFiles(), tmp_path / "b", NOW)
    before = {path.name for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))  # as `ulimit -f` does
    try:
        with pytest.raises(ArchiveError, match=r"/b2 would be larger than a file may be here: raise the limit"):
            make_backup(data, ConfigFiles(), tmp_path / "b2", NOW)
        with pytest.raises(ArchiveError, match=r"/new would be larger than a file may be here: raise the limit"):
            restore_backup(tmp_path / "b", tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_fault_of_the_disk_names_what_was_wished_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_dir(tmp_path)
    make_backup(data, ConfigFiles(), tmp_path / "b", NOW)

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(ArchiveError, match=r"/b2 cannot be written \(Input/output error\)"):
        make_backup(data, ConfigFiles(), tmp_path / "b2", NOW)
    long = "x" * 253  # with `.part` at its end it is too long a name
    with pytest.raises(ArchiveError, match=r"/x+ cannot be written \(File name too long\)"):
        make_backup(data, ConfigFiles(), tmp_path / long, NOW)


def test_a_damaged_file_says_so_before_any_name_of_it_is_believed(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"")
    with pytest.raises(ArchiveError, match="is no backup"):
        check_backup(tmp_path / "b")
    (tmp_path / "b").write_bytes(crafted()[:600])
    with pytest.raises(DamagedArchiveError):
        check_backup(tmp_path / "b")
