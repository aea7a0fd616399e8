"""Rules changed while the worker runs: taken as a whole, or refused as a whole with file:line and the old ones stay."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from models.strict_yaml import ConfigFileError
from rules.engine import Engine
from rules.messages import ReviewMessage, decode
from rules.pack import Pack, load_pack
from streams.reloading import PackWatcher
from streams.routes import Out
from streams.settings import Settings
from streams.worker import Worker
from tests.builders import event_of
from tests.test_pack import DEFAULT, RULE, pack_with

STRICTER = RULE.replace("returns.count >= 4", "returns.count >= 3").replace("version: 1", "version: 2")
BROKEN = RULE.replace("returns.count >= 4", "returns.cuont >= 4")


class Folder:
    """A folder of rules whose files' times only the test moves."""

    def __init__(self, path: Path) -> None:
        self.path = pack_with(path)
        self._edits = 0
        self._settle_times()

    def write(self, text: str, name: str = "Z1-trial.yaml") -> None:
        (self.path / name).write_text(text, encoding="utf-8")
        self._settle_times(name)

    def _settle_times(self, *names: str) -> None:
        self._edits += 1
        for name in names or ("pack.yaml", "Z1-trial.yaml"):
            os.utime(self.path / name, ns=(self._edits * 10**9, self._edits * 10**9))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "rules")


def settled(watcher: PackWatcher) -> Pack | ConfigFileError | None:
    """Look until two looks in a row see the same files."""
    assert watcher.changed() is None
    return watcher.changed()


# --- the watcher


def test_nothing_is_read_while_nothing_changes(folder: Folder) -> None:
    watcher = PackWatcher(folder.path)
    assert [watcher.changed() for _ in range(3)] == [None, None, None]


def test_a_change_is_taken_once_it_has_settled(folder: Folder) -> None:
    watcher = PackWatcher(folder.path)
    folder.write(STRICTER)
    assert watcher.changed() is None, "it may be half written"
    pack = watcher.changed()
    assert isinstance(pack, Pack)
    assert [(rule.id, rule.version) for rule in pack.rules] == [("Z1", 2)]
    assert watcher.changed() is None, "it is taken once"


def test_a_folder_that_is_still_being_written_is_waited_for(folder: Folder) -> None:
    watcher = PackWatcher(folder.path)
    for turn in range(3):
        folder.write(RULE.replace("试规则", f"试规则{turn}"))
        assert watcher.changed() is None
    assert isinstance(watcher.changed(), Pack)


def test_new_and_removed_files_are_changes(folder: Folder) -> None:
    watcher = PackWatcher(folder.path)
    folder.write(RULE.replace("id: Z1", "id: Z2"), "Z2-more.yaml")
    pack = settled(watcher)
    assert isinstance(pack, Pack)
    assert [rule.id for rule in pack.rules] == ["Z1", "Z2"]
    (folder.path / "Z1-trial.yaml").unlink()
    pack = settled(watcher)
    assert isinstance(pack, Pack)
    assert [rule.id for rule in pack.rules] == ["Z2"]


def test_a_broken_rule_refuses_the_whole_pack_with_file_and_line(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = PackWatcher(folder.path)
    folder.write(RULE.replace("id: Z1", "id: Z2"), "Z2-more.yaml")
    folder.write(BROKEN)
    refused = settled(watcher)
    assert isinstance(refused, ConfigFileError)
    assert "Z1-trial.yaml:9:" in str(refused)
    (logged,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "Z1-trial.yaml:9:" in logged.getMessage()
    assert watcher.changed() is None, "it is told once"


def test_a_refused_change_that_is_mended_is_taken(folder: Folder) -> None:
    watcher = PackWatcher(folder.path)
    folder.write(BROKEN)
    assert isinstance(settled(watcher), ConfigFileError)
    folder.write(STRICTER)
    assert isinstance(settled(watcher), Pack)


@pytest.mark.parametrize("left", ["no rule", "no pack.yaml", "no folder"])
def test_a_folder_that_is_emptied_is_refused(left: str, folder: Folder) -> None:
    watcher = PackWatcher(folder.path)
    for path in folder.path.iterdir():
        if left != "no pack.yaml" or path.name == "pack.yaml":
            path.unlink(missing_ok=left != "no rule" or path.name != "pack.yaml")
    if left == "no folder":
        folder.path.rmdir()
    assert isinstance(settled(watcher), ConfigFileError)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  cues:\n    [\n", "  cues:\n    [\n      '吃,拿',\n"),
        ("  severe: [", "  severe: ['(?=a)', "),
        ("  own_actor:\n    [\n", "  own_actor:\n    [\n      '请…{nobody}…吃',\n"),
    ],
    ids=["punctuation in a cue", "a lookaround", "an unknown list"],
)
def test_a_cue_that_cannot_be_taken_refuses_the_pack(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.mkdir()
    for source in ("pack.yaml", "words.yaml", "C01-banquets.yaml"):
        (path / source).write_bytes((DEFAULT / source).read_bytes())
    watcher = PackWatcher(path)
    rule = path / "C01-banquets.yaml"
    text = rule.read_text(encoding="utf-8")
    assert old in text
    rule.write_text(text.replace(old, new, 1), encoding="utf-8")
    refused = settled(watcher)
    assert isinstance(refused, ConfigFileError)
    assert "C01-banquets.yaml:" in str(refused)


# --- the worker


@pytest.fixture
def settings(folder: Folder, tmp_path: Path) -> Settings:
    secret = tmp_path / "pseudonym.secret"
    secret.write_text("a secret for tests, nothing else")
    return Settings(
        data_dir=tmp_path / "data",
        rules_dir=folder.path,
        pseudonym_keys=[{"id": "k1", "secret_file": str(secret)}],  # type: ignore[arg-type]
    )


@pytest.fixture
def worker(settings: Settings) -> Worker:
    return Worker(settings)


class Opened:
    """A partition of the tickets' table, of which only the engine matters here."""

    def __init__(self, worker: Worker) -> None:
        self.engine = worker.engine
        self.reviewing = False
        worker.ticket_partitions[0] = self  # type: ignore[assignment]

    @property
    def reckons_otherwise(self) -> bool:
        return not self.reviewing

    def use(self, engine: Engine) -> None:
        self.engine = engine


def _reloads(worker: Worker) -> tuple[float, float]:
    taken, refused = (worker.metrics.reloads.labels(outcome) for outcome in ("taken", "refused"))
    return taken._value.get(), refused._value.get()


async def test_a_worker_judges_by_the_new_rules_in_every_partition(worker: Worker, folder: Folder) -> None:
    opened = Opened(worker)
    folder.write(STRICTER)
    await worker._reload()
    assert [rule.version for rule in worker.pack.rules] == [1]
    await worker._reload()
    assert [rule.version for rule in worker.pack.rules] == [2]
    assert opened.engine is worker.engine
    assert _reloads(worker) == (1, 0)


async def test_a_worker_keeps_its_rules_where_the_new_ones_are_broken(
    worker: Worker, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    opened, before, reader = Opened(worker), worker.engine, worker.intake.reader
    folder.write(BROKEN)
    await worker._reload()
    await worker._reload()
    assert worker.engine is before is opened.engine
    assert worker.intake.reader is reader
    assert _reloads(worker) == (0, 1)
    assert "Z1-trial.yaml:9:" in caplog.text


async def test_what_is_read_of_texts_changes_with_the_pack(worker: Worker, folder: Folder) -> None:
    said = {"event_id": "e-1", "ticket_id": "T-1", "type": "visited", "occurred_at": "2025-03-03T09:00:00+08:00"}
    said |= {"comment": "村主任拿集体的钱大吃大喝，在镇上饭店挂账吃饭一万多至今没结"}
    assert "texts" not in event_of(said, worker.intake.reader).data
    for name in ("words.yaml", "C01-banquets.yaml"):
        folder.write((DEFAULT / name).read_text(encoding="utf-8"), name)
    await worker._reload()
    await worker._reload()
    assert "C01" in {one[0] for one in event_of(said, worker.intake.reader).data["texts"]["comment"][0]}


async def test_a_change_while_the_worker_starts_is_not_missed(
    folder: Folder, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_while_somebody_writes(path: Path) -> Pack:
        pack = load_pack(path)
        folder.write(STRICTER)
        return pack

    monkeypatch.setattr("streams.worker.load_pack", load_while_somebody_writes)
    worker = Worker(settings)
    assert [rule.version for rule in worker.pack.rules] == [1]
    await worker._reload()
    await worker._reload()
    assert [rule.version for rule in worker.pack.rules] == [2]


# --- the calendar and the limits

LIMITS = """\
version: "1"
profiles:
  - name: 试市
    basis: 试办法
    districts: []
    handling:
      - limit: {value: 5, unit: work_days}
"""
YEAR = """\
version: "1"
source: 试通知
years:
  - year: 2027
    holidays: [2027-01-01/2027-01-03, 2027-05-01, 2027-10-01/2027-10-07]
    work_days: [2027-01-09]
"""


@pytest.fixture
def reckoned(settings: Settings, tmp_path: Path) -> Settings:
    for name, text in (("calendar", YEAR), ("limits", LIMITS)):
        _write(tmp_path / f"{name}.yaml", text, 1)
    files = {"calendar_file": tmp_path / "calendar.yaml", "limits_file": tmp_path / "limits.yaml"}
    return settings.model_copy(update=files)


def _write(path: Path, text: str, second: int) -> None:
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(second * 10**9, second * 10**9))


async def test_a_worker_takes_the_calendar_and_the_limits_together(reckoned: Settings, tmp_path: Path) -> None:
    worker = Worker(reckoned)
    assert 2027 in worker.engine.reckoning.calendar.years
    before, pack, opened = worker.engine.reckoning, worker.pack, Opened(worker)
    _write(tmp_path / "limits.yaml", LIMITS.replace("value: 5", "value: 3"), 2)
    await worker._reload_reckoning()
    assert worker.engine.reckoning is before
    await worker._reload_reckoning()
    assert worker.engine.reckoning.version != before.version
    assert opened.engine is worker.engine
    assert worker.pack is pack
    assert _reloads(worker) == (1, 0)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("limits", LIMITS.replace("work_days", "fortnights"), 7),
        ("limits", LIMITS.replace("name: 试市", "nmae: 试市"), 3),
        ("calendar", YEAR.replace("2027-01-09", "2027-01-08"), 6),
        ("calendar", YEAR.replace("2027-05-01", "2027-02-30"), 5),
        ("calendar", "a: &a [x, x, x]\nb: [*a, *a, *a]\n" + YEAR, 1),
        ("calendar", YEAR.replace("year: 2027", "year: .nan"), 4),
        ("limits", LIMITS.replace("value: 5", "value: .nan"), 7),
        ("limits", LIMITS + "#" * 2**20, 1),
        ("calendar", None, 1),
    ],
)
async def test_of_a_file_that_cannot_be_taken_nothing_is_taken(
    reckoned: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, text: str | None, line: int
) -> None:
    worker = Worker(reckoned)
    before = worker.engine
    other = {"limits": ("calendar", YEAR), "calendar": ("limits", LIMITS)}[name]
    _write(tmp_path / f"{other[0]}.yaml", other[1].replace('"1"', '"2"'), 2)  # it may be taken, but not alone
    if text is None:
        (tmp_path / f"{name}.yaml").unlink()
    else:
        _write(tmp_path / f"{name}.yaml", text, 2)
    await worker._reload_reckoning()
    await worker._reload_reckoning()
    assert worker.engine is before
    assert _reloads(worker) == (0, 1)
    assert f"{name}.yaml:{line}:" in caplog.text


async def test_a_file_put_in_place_of_another_is_seen_though_it_is_as_old_and_as_long(
    reckoned: Settings, tmp_path: Path
) -> None:
    worker = Worker(reckoned)
    _write(tmp_path / "limits.new", LIMITS.replace("value: 5", "value: 3"), 1)
    (tmp_path / "limits.new").replace(tmp_path / "limits.yaml")
    await worker._reload_reckoning()
    await worker._reload_reckoning()
    assert _reloads(worker) == (1, 0)


async def test_rules_that_change_keep_the_reckoning(reckoned: Settings, folder: Folder) -> None:
    worker = Worker(reckoned)
    before = worker.engine.reckoning
    folder.write(STRICTER)
    await worker._reload()
    await worker._reload()
    assert [rule.version for rule in worker.pack.rules] == [2]
    assert worker.engine.reckoning is before


async def test_a_partition_is_asked_once_to_review_what_was_judged_otherwise(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Out] = []

    async def send(outs: list[Out]) -> None:
        sent.extend(outs)

    monkeypatch.setattr(worker, "_send", send)
    Opened(worker)
    await worker._review()
    await worker._review()
    assert [(out.topic, out.partition, decode(out.value)) for out in sent] == [
        (worker.topics.tickets, 0, ReviewMessage())
    ]
