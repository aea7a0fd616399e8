"""The directory in force: what a changed file does, what a broken one does, and that nothing is sent without a registry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alerting.directory import DeliveryFiles
from models.strict_yaml import ConfigFileError
from streams.directories import DirectorySource
from tests.directory_support import delivery_files
from tests.live_support import subscribers_file
from tests.test_alerting_registration import write_certificate

URL = "http://127.0.0.1:9/hook"


@pytest.fixture
def files(tmp_path: Path) -> DeliveryFiles:
    return delivery_files(subscribers_file(tmp_path, URL))


def rewrite(path: Path | None, text: str | None = None) -> None:
    """Write a file anew; the same text is a change too."""
    assert path is not None
    path.write_text(path.read_text() if text is None else text)
    moment = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(moment, moment))


def settle(source: DirectorySource) -> bool:
    """Look until the files are seen the same twice."""
    return [source.look() for _ in range(2)][-1]


def test_nothing_is_different_until_a_file_changes_and_has_settled(files: DeliveryFiles) -> None:
    source = DirectorySource(files)
    first = source.current
    assert first is not None
    assert not source.look()
    rewrite(files.units)
    assert (source.look(), source.current) == (False, first), "it may still be being written"
    assert source.look()
    assert source.current is not first
    assert not source.look()


@pytest.mark.parametrize("broken", ["units: [{}]\n", "units: [", ""])
def test_without_a_sound_registry_there_is_no_directory_until_it_is_mended(files: DeliveryFiles, broken: str) -> None:
    source = DirectorySource(files)
    assert files.units is not None
    sound = files.units.read_text()
    rewrite(files.units, broken)
    assert settle(source)
    assert source.current is None
    assert source.problem is not None
    assert str(files.units) in source.problem
    rewrite(files.units, sound)
    assert settle(source)
    assert source.current is not None
    assert source.problem is None


def test_a_registry_that_goes_away_is_missed(files: DeliveryFiles) -> None:
    source = DirectorySource(files)
    assert files.units is not None
    files.units.unlink()
    assert settle(source)
    assert source.current is None


def test_another_broken_file_leaves_what_was_read_before_and_says_so(files: DeliveryFiles) -> None:
    source = DirectorySource(files)
    sound = files.subscribers.read_text()
    rewrite(files.subscribers, "subscribers: [{}]\n")
    assert settle(source)
    assert [one.name for one in source.subscribers] == ["test"]
    assert source.current is not None
    assert source.rejected is not None
    assert "subscribers.yaml:1" in source.rejected
    rewrite(files.subscribers, sound)
    assert settle(source)
    assert source.rejected is None


def test_it_starts_without_a_registry_and_without_nothing_else(files: DeliveryFiles, tmp_path: Path) -> None:
    source = DirectorySource(DeliveryFiles(files.subscribers))
    assert source.current is None
    assert source.problem is not None
    assert "units_file" in source.problem
    with pytest.raises(ConfigFileError):
        DirectorySource(DeliveryFiles(tmp_path / "missing.yaml", files.units))


def test_a_certificate_that_is_renewed_in_its_file_makes_another_subscriber(tmp_path: Path) -> None:
    write_certificate(tmp_path, "ours")
    certificate = {"cert_file": "ours.pem", "key_file": "ours.key.pem"}
    path = subscribers_file(tmp_path, "https://127.0.0.1:9/hook", client_certificate=certificate, allow_http=False)
    source = DirectorySource(delivery_files(path))
    settle(source)
    before = source.subscribers
    write_certificate(tmp_path, "ours")
    assert settle(source)
    assert source.subscribers != before
    assert not settle(source)


def test_who_belongs_to_no_unit_is_told(files: DeliveryFiles, caplog: pytest.LogCaptureFixture) -> None:
    text = files.subscribers.read_text().replace('"test"', '"stray"')
    files.subscribers.write_text(text)
    source = DirectorySource(files)
    assert source.current is not None
    assert len(source.current.loose_ends()) == 2
    assert "stray: no unit of the registry has this subscriber" in caplog.text
