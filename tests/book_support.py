"""What the tests of the subscribers file share: a file with comments everywhere, and looks at what became of it."""

from __future__ import annotations

import stat
from pathlib import Path

from alerting.subscriber_book import SubscriberBook
from models.subscriber import Subscriber
from models.times import parse_instant

ROOT = Path(__file__).resolve().parent.parent
SECRET_TEXT = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk"
ENVIRON = {"HOOK_SECRET": SECRET_TEXT, "ROBOT_URL": "https://qyapi.example/send?key=robot-token"}
NOW = parse_instant("2025-06-18T09:00:00+08:00")
ENTRY = {"name": "platform", "url": "https://receiver.example/hook"}
TEXT = """\
# Kept by the duty office

subscribers:
  # The platform, on premises
  - name: one   # its name
    url: https://one.example/hook
    secret: {env: HOOK_SECRET}   # from the service's environment
    # ca_file: one.pem

  # A posted team
  - name: two
    url: "https://two.example/hook"
    secret: {env: HOOK_SECRET}
    levels: [yellow, red]

# Names that were in use
removed: [old]
"""


def book_in(folder: Path, text: str | None = None, mode: int = 0o600) -> tuple[Path, SubscriberBook]:
    """Return a subscribers file in the folder, with this text if any, and the book that edits it."""
    path = folder / "subscribers.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
    return path, SubscriberBook(path, environ=ENVIRON)


def comments(text: str) -> list[str]:
    """Return every comment in a text, in order."""
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


def files_in(folder: Path) -> list[str]:
    """Return the files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def mode_of(path: Path) -> int:
    """Return a file's permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def the(book: SubscriberBook, name: str) -> Subscriber:
    """Return the subscriber of this name."""
    return next(one for one in book.subscribers() if one.name == name)
