"""The silences file: loading it, adding a silence, ending one before its time. Comments in it stay where they are.

Whoever writes holds a lock beside the file, writes a new one, and puts it in the place of the old one in one step: a
reader sees the old or the new, never half of one, and two who add at once both find theirs in it. What is to be written
is read again first, so that no file comes to be that would be refused. Nothing is ever taken out: silences that are over
are the record of what was held.

    SilencesError
    ├── SilencesFileError       the file cannot be locked, edited or written
    ├── DuplicateSilenceError   the id is in use
    ├── UnknownSilenceError     there is no such silence
    └── SilenceOverError        it is over already

A file that cannot be taken is a ConfigFileError, as everywhere.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from alerting.yaml_splice import YamlText
from models.silence import Silence, SilencesFile, SilenceState
from models.strict_yaml import MAX_FILE_BYTES, ConfigFileError, Document, parse_yaml, read_plain, read_yaml
from models.times import format_instant, format_minute

try:
    import fcntl
except ImportError:  # Windows: there the last of two who write at once wins
    fcntl = None  # type: ignore[assignment]

_NEW_FILE = "# Kept by `hotline-watch silences`; see docs/suppression.md.\nsilences: []\n"


class SilencesError(ValueError):
    """A change that cannot be made; the message says why and what to do."""


class SilencesFileError(SilencesError):
    """The file cannot be locked, edited or written."""


class DuplicateSilenceError(SilencesError):
    """The id is in use."""


class UnknownSilenceError(SilencesError):
    """There is no silence of that id."""


class SilenceOverError(SilencesError):
    """It is over already."""


def load_silences(path: Path) -> tuple[Silence, ...]:
    """Return the silences in a file, in its order, also those that are over; none where there is no file. Raises ConfigFileError."""
    try:
        path.stat()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigFileError(str(path), 1, f"cannot be read: {error.strerror}") from None
    return _silences(read_yaml(path))


def not_over(silences: Iterable[Silence], now: int) -> tuple[Silence, ...]:
    """Return the silences that hold or are still to hold: all that a judgement at `now` or later needs to look at."""
    return tuple(one for one in silences if one.state(now) is not SilenceState.OVER)


def add_silence(path: Path, silence: Silence) -> None:
    """Add a silence; the file is made where it is missing. Raises ConfigFileError, SilencesFileError and DuplicateSilenceError."""
    path = path.resolve()  # the file that a link leads to is replaced, not the link
    with _locked(path):
        before = load_silences(path)
        if any(one.id == silence.id for one in before):
            raise DuplicateSilenceError(f"{path}: there is a silence {silence.id} already: choose another id")
        edited = _edited(path)
        with _form_errors(path):
            edited.append(("silences",), silence.model_dump(mode="json", exclude_defaults=True))
        _replace(path, edited.text, (*before, silence))


def expire_silence(path: Path, silence_id: str, now: int, by: str) -> Silence:
    """End a silence at `now` (microseconds) and return it as it is then.

    Raises ConfigFileError, SilencesFileError, UnknownSilenceError, SilenceOverError, and ValueError where `by` is no name.
    """
    path = path.resolve()
    with _locked(path):
        before = load_silences(path)
        index = next((index for index, one in enumerate(before) if one.id == silence_id), None)
        if index is None:
            raise UnknownSilenceError(
                f"{path}: there is no silence {silence_id}: see `hotline-watch silences list --all`"
            )
        found = before[index]
        if found.state(now) is SilenceState.OVER:
            raise SilenceOverError(f"{silence_id} is over since {format_minute(found.ends)}")
        changes = {"expired_at": format_instant(now), "expired_by": by}
        changed = Silence.model_validate({**found.model_dump(mode="json", exclude_defaults=True), **changes})
        edited = _edited(path)
        with _form_errors(path):
            for key, value in changes.items():
                edited.set(("silences", index), key, value)
        _replace(path, edited.text, (*before[:index], changed, *before[index + 1 :]))
        return changed


def _silences(document: Document) -> tuple[Silence, ...]:
    found = document.validate(SilencesFile).silences
    seen: set[str] = set()
    for index, silence in enumerate(found):
        if silence.id in seen:
            raise document.error(("silences", index, "id"), f"the id {silence.id} stands twice")
        seen.add(silence.id)
    return tuple(found)


def _edited(path: Path) -> YamlText:
    try:
        text = read_plain(path, MAX_FILE_BYTES).decode()
    except FileNotFoundError:
        text = _NEW_FILE
    except UnicodeDecodeError:
        raise SilencesFileError(f"{path} is not UTF-8") from None
    except OSError as error:
        raise SilencesFileError(f"{path} cannot be read: {error.strerror}") from None
    with _form_errors(path):
        return YamlText(text)


def _bad_form(path: Path) -> SilencesFileError:
    return SilencesFileError(f"{path} is written in a form that cannot be edited: put each silence in lines of its own")


@contextmanager
def _form_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (LookupError, ValueError, yaml.YAMLError):
        raise _bad_form(path) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for the lock and hold it as long as the block runs. The system releases it when its holder dies."""
    try:
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise SilencesFileError(f"{path.parent} cannot be written: {error.strerror}") from None
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str, expected: Sequence[Silence]) -> None:
    """Put a text in the place of the file, durably, if it says what is expected."""
    try:
        written = _silences(parse_yaml(text, str(path)))
    except ConfigFileError as error:
        raise SilencesFileError(
            f"{path} would not be taken any longer ({error.problem}): move what is over to another file"
        ) from None
    if written != tuple(expected):
        raise _bad_form(path)
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)  # left behind by one who was killed
        with fresh.open("x", encoding="utf-8") as file:
            _take_over(path, file.fileno())
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise SilencesFileError(f"{path} cannot be written: {error.strerror}") from None


def _take_over(path: Path, descriptor: int) -> None:
    """Give the new file the owner and the mode of the old one, or whoever reads it could not any longer."""
    try:
        old = path.stat()
    except FileNotFoundError:
        return
    with suppress(PermissionError):  # only root may give a file to somebody else
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, old.st_mode & 0o777)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
