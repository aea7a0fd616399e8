"""The subscribers file in the hands of several, and of what dies in between: the old file or the new one, nobody's edit lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alerting.subscriber_book import BookError, BookProblem
from models.subscriber import Subscriber
from tests.book_support import ENTRY, ROOT, SECRET_TEXT, TEXT, book_in, comments, files_in, the


def test_an_error_between_writing_and_replacing_leaves_the_old_file(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT)

    def crash(_: Subscriber) -> str:
        assert (tmp_path / ".subscribers.yaml.new").exists()
        raise RuntimeError("crash here")

    with pytest.raises(RuntimeError):
        book.add(ENTRY, check=crash)
    assert path.read_text() == TEXT
    assert files_in(tmp_path) == [".subscribers.yaml.lock", "subscribers.yaml"]
    book.add(ENTRY)


def run(folder: Path, code: str) -> subprocess.Popen[bytes]:
    head = "import os, signal, sys\nfrom pathlib import Path\nfrom alerting.subscriber_book import SubscriberBook\n"
    body = f"book = SubscriberBook(Path({str(folder / 'subscribers.yaml')!r}), environ=dict(HOOK_SECRET={SECRET_TEXT!r}))\n"
    return subprocess.Popen([sys.executable, "-c", head + body + code], cwd=ROOT, stderr=subprocess.PIPE)


def test_a_kill_between_writing_and_replacing_leaves_the_old_file_and_no_lock(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT)
    process = run(tmp_path, f"book.add({ENTRY!r}, check=lambda _: os.kill(os.getpid(), signal.SIGKILL))\n")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert path.read_text() == TEXT
    book.add(ENTRY)
    assert [one.name for one in book.subscribers()] == ["one", "two", "platform"]
    assert not (tmp_path / ".subscribers.yaml.new").exists()


def test_an_editor_that_saves_in_between_wins(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT)
    with pytest.raises(BookError, match="do it again") as refused:
        book.add(ENTRY, check=lambda _: None if path.write_text(TEXT + "# by hand\n") else "")
    assert refused.value.problem is BookProblem.CHANGED
    assert path.read_text() == TEXT + "# by hand\n"
    assert not (tmp_path / "secrets" / "platform.secret").exists()


def test_edits_of_several_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT)
    adding = "for n in range(5): book.add({'name': f'p%d-{n}', 'url': 'https://receiver.example/hook'})\n"
    processes = [run(tmp_path, adding % number) for number in range(3)]
    processes.append(run(tmp_path, "for _ in range(10): book.revise('one')\n"))
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    names = {one.name for one in book.subscribers()}
    assert names == {"one", "two"} | {f"p{number}-{n}" for number in range(3) for n in range(5)}
    assert the(book, "one").revision == 11
    assert comments(path.read_text()) == comments(TEXT)
    assert len({one.secrets[0].key for one in book.subscribers() if one.name.startswith("p")}) == 15
