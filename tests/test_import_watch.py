"""Files dropped in a folder: each is imported once, when it is whole; what cannot be taken is set aside with a report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.importing import ImportFault, ImportState, Rejection, Report, SinkFault, load_mapping, run_import, watching
from streams.importing.watching import Ending, Outcome, Watcher
from tests.snapshot_support import Crash, Log

HEADER = "id,user,title,time,text\n"


def rows(*ids: str, time: str = "2020-01-02T03:04:05") -> str:
    return HEADER + "".join(f"{at},A1,路灯不亮,{time},北门外路灯不亮。\n" for at in ids)


class Folder:
    """A folder that is watched, with a clock of its own and a log as Kafka would keep it."""

    def __init__(self, path: Path) -> None:
        self.path, self.log, self.now = path, Log(), 0.0
        self.while_reading: Callable[[], None] = lambda: None
        self.state = ImportState(path.parent / "state")
        self.watcher = self.start()

    def start(self) -> Watcher:
        """Start the watcher, again after a crash."""
        self.watcher = Watcher(
            self.path, self.state, self._take, clock=lambda: self.now, settle_seconds=10, snapshots=False
        )
        return self.watcher

    def drop(self, name: str, text: str, at: int = 0) -> Path:
        """Put a file into the folder."""
        path = self.path / name
        path.write_text(text, encoding="utf-8")
        os.utime(path, (1_700_000_000 + at, 1_700_000_000 + at))
        return path

    def look(self, seconds: float = 0) -> list[Outcome]:
        """Look after so many seconds."""
        self.now += seconds
        return list(self.watcher.look())

    def settled(self) -> list[Outcome]:
        """Look twice, with time in between for files to settle."""
        return self.look() + self.look(10)

    def names(self, folder: str = ".") -> list[str]:
        """Return the names of the files in a folder."""
        return sorted(path.name for path in (self.path / folder).iterdir() if path.is_file())

    def _take(
        self, path: Path, sha256: str, unchanged: Callable[[], None], on_rejection: Callable[[Rejection], None]
    ) -> Report:
        def before_sending() -> None:
            self.while_reading()
            unchanged()

        return run_import(
            path, load_mapping("citizen-messages"), self.log, on_rejection=on_rejection, before_sending=before_sending
        )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    (tmp_path / "in").mkdir()
    watched = Folder(tmp_path / "in")
    yield watched
    watched.state.close()


def endings(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(one.file, one.ending.value) for one in outcomes]


def test_a_file_is_imported_when_it_has_settled_and_goes_where_done_files_are(folder: Folder) -> None:
    folder.drop("a.csv", rows("1"))
    assert folder.look() == []
    assert folder.look(9) == []
    assert folder.watcher.unsettled == 1
    assert endings(folder.look(1)) == [("a.csv", "imported")]
    assert folder.names() == []
    assert folder.names("done") == ["a.csv", "a.csv.report.json"]
    assert json.loads((folder.path / "done" / "a.csv.report.json").read_text())["events"] == 1
    assert folder.settled() == []
    assert len(folder.log.bodies) == 1


def test_a_file_that_grows_is_left_until_it_no_longer_does(folder: Folder) -> None:
    folder.drop("a.csv", rows("1"))
    for size in range(2, 5):
        assert folder.look(9) == []
        folder.drop("a.csv", rows(*map(str, range(size))))
    assert folder.look(9) == []
    assert endings(folder.look(10)) == [("a.csv", "imported")]
    assert len(folder.log.bodies) == 4


@pytest.mark.parametrize("name", [".a.csv", "~$a.xlsx", "a.csv.part", "a.csv.tmp", "a.csv~"])
def test_files_that_programs_have_not_finished_are_left_alone(folder: Folder, name: str) -> None:
    folder.drop(name, rows("1"))
    assert folder.settled() == []
    assert folder.names() == [name]


def test_files_are_taken_in_the_order_of_their_times(folder: Folder) -> None:
    for name, at in [("a.csv", 3), ("b.csv", 1), ("c.csv", 2)]:
        folder.drop(name, rows(name), at)
    assert [name for name, _ in endings(folder.settled())] == ["b.csv", "c.csv", "a.csv"]


def test_the_same_content_under_another_name_is_not_imported_again(folder: Folder) -> None:
    folder.drop("a.csv", rows("1"))
    folder.settled()
    folder.drop("b.csv", rows("1"))
    folder.drop("a.csv", rows("2"))
    assert sorted(endings(folder.settled())) == [("a.csv", "imported"), ("b.csv", "already_done")]
    assert folder.names("done") == [
        "a.csv",
        "a.csv.2",
        "a.csv.2.report.json",
        "a.csv.report.json",
        "b.csv",
        "b.csv.report.json",
    ]
    assert len(folder.log.bodies) == 2


def test_a_file_that_cannot_be_taken_is_set_aside_with_the_reason_and_the_next_is_taken(folder: Folder) -> None:
    folder.drop("bad.csv", "number,name\n1,2\n", 1)
    folder.drop("good.csv", rows("1"), 2)
    assert endings(folder.settled()) == [("bad.csv", "failed"), ("good.csv", "imported")]
    report = json.loads((folder.path / "failed" / "bad.csv.report.json").read_text())
    assert "the file has no column 'id', nor 'time'" in report["problem"]
    assert folder.names("failed") == ["bad.csv", "bad.csv.report.json"]


def test_a_file_that_failed_may_be_dropped_again(folder: Folder) -> None:
    folder.drop("a.csv", "number,name\n1,2\n")
    folder.settled()
    folder.drop("a.csv", "number,name\n1,2\n")
    assert endings(folder.settled()) == [("a.csv", "failed")]
    assert folder.names("failed") == ["a.csv", "a.csv.2", "a.csv.2.report.json", "a.csv.report.json"]


def test_rejected_rows_are_listed_beside_the_file(folder: Folder) -> None:
    folder.drop("a.csv", rows("1") + rows("2", time="never").removeprefix(HEADER))
    folder.settled()
    lines = (folder.path / "done" / "a.csv.rejects.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [3]


def test_where_the_events_cannot_go_the_files_stay_and_are_tried_again(folder: Folder) -> None:
    folder.drop("a.csv", rows("1"), 1)
    folder.drop("b.csv", rows("2"), 2)
    folder.log.breaks_at_close, folder.log.error = True, SinkFault
    assert endings(folder.settled()) == [("a.csv", "postponed")]
    assert folder.names() == ["a.csv", "b.csv"]
    folder.log.heal()
    assert endings(folder.settled()) == [("b.csv", "imported"), ("a.csv", "imported")]
    assert len(folder.log.events()) == 2


def test_a_file_that_nobody_may_read_does_not_hold_up_the_others(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest_of(path: Path) -> str:
        if path.name == "a.csv":
            raise PermissionError(13, "Permission denied")
        return watching_digest(path)

    watching_digest = watching.digest_of
    monkeypatch.setattr(watching, "digest_of", digest_of)
    folder.drop("a.csv", rows("1"), 1)
    folder.drop("b.csv", rows("2"), 2)
    outcomes = folder.settled()
    assert endings(outcomes) == [("a.csv", "postponed"), ("b.csv", "imported")]
    assert outcomes[0].problem is not None
    assert outcomes[0].problem.startswith(
        "cannot be read: Permission denied: let the user that runs the import read it"
    )
    monkeypatch.undo()
    assert endings(folder.settled()) == [("a.csv", "imported")]


def test_what_is_no_file_is_not_read_and_set_aside_with_the_reason(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("b6f1c0", encoding="utf-8")
    (folder.path / "link.csv").symlink_to(tmp_path / "secret")
    (folder.path / "nowhere.csv").symlink_to(tmp_path / "none")
    os.mkfifo(folder.path / "pipe.csv")
    folder.drop("good.csv", rows("1"))
    outcomes = {one.file: one for one in folder.settled()}
    assert {name: one.ending.value for name, one in outcomes.items()} == {
        "link.csv": "failed", "nowhere.csv": "failed", "pipe.csv": "failed", "good.csv": "imported"
    }  # fmt: skip
    assert outcomes["link.csv"].problem == "is a symbolic link and was not read: drop the file itself"
    assert outcomes["pipe.csv"].problem == "is a named pipe and was not read: drop the file itself"
    assert (folder.path / "failed" / "link.csv").is_symlink()
    reports = [path.read_text() for path in (folder.path / "failed").glob("*.json")]
    assert len(reports) == 3
    assert not any("b6f1c0" in text for text in reports)
    (folder.path / "nowhere.csv").symlink_to(tmp_path / "none")
    assert endings(folder.settled()) == [("nowhere.csv", "failed")]
    assert os.path.lexists(folder.path / "failed" / "nowhere.csv.2")


def test_a_file_that_becomes_a_link_while_it_is_looked_at_is_not_read(folder: Folder, tmp_path: Path) -> None:
    path = folder.drop("a.csv", rows("1"))
    (tmp_path / "secret").write_text(rows("2"), encoding="utf-8")
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic link"):
        watching.digest_of(path)


def test_a_folder_in_the_folder_is_told_of_once(folder: Folder) -> None:
    (folder.path / "2025").mkdir()
    outcomes = folder.look()
    assert endings(outcomes) == [("2025", "passed_over")]
    assert outcomes[0].problem is not None
    assert "is a folder" in outcomes[0].problem
    assert folder.settled() == []
    (folder.path / "2025").rmdir()
    assert folder.look() == []
    (folder.path / "2025").mkdir()
    assert endings(folder.look()) == [("2025", "passed_over")]


@pytest.mark.parametrize("name", [b"\xff.csv", b"a\x1b[2J.csv", b"a\nb.csv"])
def test_a_name_that_no_terminal_should_see_is_imported_and_told_harmlessly(folder: Folder, name: bytes) -> None:
    folder.drop(os.fsdecode(name), rows("1"))
    outcomes = folder.settled()
    assert outcomes[0].ending is Ending.IMPORTED
    assert outcomes[0].file == os.fsdecode(name).translate({0xDCFF: "\ufffd", 0x1B: "\ufffd", 0x0A: "\ufffd"})
    assert folder.names("done") == sorted([os.fsdecode(name), f"{os.fsdecode(name)}.report.json"])


def test_a_file_that_is_written_to_while_it_is_read_is_not_sent(folder: Folder) -> None:
    folder.drop("a.csv", rows("1"))
    folder.while_reading = lambda: (folder.drop("a.csv", rows("1", "2"), 5), None)[1]
    assert endings(folder.settled()) == [("a.csv", "postponed")]
    assert folder.log.bodies == []
    folder.while_reading = lambda: None
    assert endings(folder.settled()) == [("a.csv", "imported")]
    assert len(folder.log.bodies) == 2


def test_after_a_crash_before_the_acknowledgement_the_same_events_come_again(folder: Folder) -> None:
    folder.drop("a.csv", rows("1", "2"))
    folder.log.breaks_at_close, folder.log.error = True, Crash
    with pytest.raises(Crash):
        folder.settled()
    folder.log.heal()
    folder.start()
    assert endings(folder.settled()) == [("a.csv", "imported")]
    assert len(folder.log.bodies) == 4
    assert len(folder.log.events()) == 2


def test_after_a_crash_between_the_record_and_the_move_nothing_is_sent_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.drop("a.csv", rows("1"))

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash)
        with pytest.raises(Crash):
            folder.settled()
    folder.start()
    assert endings(folder.settled()) == [("a.csv", "already_done")]
    assert len(folder.log.bodies) == 1
    assert "a.csv" not in folder.names()


def test_what_is_set_aside_can_be_read_by_the_owner_only(folder: Folder) -> None:
    folder.drop("a.csv", rows("1"))
    folder.settled()
    assert (folder.path / "done").stat().st_mode & 0o077 == 0
    assert (folder.path / "done" / "a.csv.report.json").stat().st_mode & 0o077 == 0


def test_a_folder_that_goes_away_ends_the_watch(folder: Folder) -> None:
    for name in ("done", "failed"):
        (folder.path / name).rmdir()
    folder.path.rmdir()
    with pytest.raises(ImportFault, match="cannot be read"):
        folder.look()


def test_no_ending_is_without_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [one for one in Ending if f'"{one.value}"' not in text] == []
