"""Edits of the subscribers file, by commands and by the HTTP API.

An edit holds the file's lock, reads the file as strictly as the service does, changes what it is about and nothing else,
and is taken by the loader of the service before it replaces the file. What is refused leaves no trace: neither in the
file nor as a key.
"""

import asyncio
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from alerting.addresses import (
    AddressPolicy,
    RefusedEndpointError,
    ResolutionFailedError,
    check_endpoint,
    system_resolver,
)
from alerting.book_draft import (
    Answer,
    BookError,
    BookProblem,
    Draft,
    changed,
    has_crlf,
    new_draft,
    parsed,
    unknown,
    validated,
)
from alerting.locked_file import Seen, is_as_seen, locked, look_at, owner_for, sync_folder, write_beside
from alerting.new_keys import KeyFileError, KeyKind, new_key_file
from alerting.registration import load_subscribers
from alerting.signing import public_key_text
from alerting.yaml_splice import Path as KeyPath
from models.secrets import SecretRef, SigningKey
from models.strict_yaml import ConfigFileError
from models.subscriber import Subscriber, SubscriberEntry, SubscribersFile
from models.times import HOUR, SECOND, format_instant, parse_instant

OVERLAP_HOURS_MAX = 24 * 366
PREVIOUS_KEYS_MAX = 4

Check = Callable[[Subscriber], str | None]
"""What speaks against a subscriber, None where nothing does."""


@dataclass(frozen=True, slots=True)
class RotatedKey:
    """A key that was replaced."""

    name: str
    which: KeyKind
    file: Path
    """Where the new key is."""
    until: int | None
    """The instant until which calls carry the old key's signature too; None: there was none, or it ended at once."""
    ended: tuple[SecretRef, ...] = ()
    """Keys that the file does not name any more: what holds them can be deleted."""
    public_key: str | None = None
    """Of a new signing key: what the receiver needs."""


class SubscriberBook:
    """The subscribers file, to be read and edited by name.

    Every edit raises BookError where it is refused; it waits for edits of others, so it is made in a thread where an
    event loop runs. `environ` and the secrets that entries name must be those of the service: the loader reads them.
    """

    def __init__(self, path: Path, secrets_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._secrets_dir = path.parent / "secrets" if secrets_dir is None else secrets_dir
        self._environ = os.environ if environ is None else environ

    def subscribers(self) -> tuple[Subscriber, ...]:
        """Return the subscribers as the service takes them; none where there is no file. Raises BookError."""
        if self._look() is None:
            return ()
        try:
            return load_subscribers(self._path, self._environ)
        except ConfigFileError as error:
            raise BookError(BookProblem.FILE, str(error)) from None

    def entries(self) -> list[SubscriberEntry]:
        """Return the entries as written; none where there is no file. Raises BookError."""
        seen = self._look()
        return [] if seen is None else validated(parsed(seen.text, self._path)).subscribers

    def entry(self, name: str) -> SubscriberEntry:
        """Return one entry as written. Raises BookError."""
        for entry in self.entries():
            if entry.name == name:
                return entry
        raise unknown(name)

    def add(
        self,
        entry: Mapping[str, Any],
        *,
        new_secret: bool = True,
        new_signing_key: bool = False,
        check: Check | None = None,
    ) -> SubscriberEntry:
        """Add an entry at the end and return it as written; a missing file is made.

        A key file `<name>.secret` is made unless the entry names its secret or is a chat robot; on wish one of an ed25519
        key, `<name>.key`. `check` is asked about the subscriber as it would be, the lock held: what it answers ends the
        edit (`endpoint_problem` is one).
        """
        fields = _fields(entry)
        if new_signing_key and "signing_key" in fields:
            raise BookError(BookProblem.ENTRY, "signing_key: either name one, or have one made")
        valid = _valid_entry(fields, needs_secret=not new_secret)

        def change(draft: Draft) -> SubscriberEntry:
            _check_name_is_free(draft.file, valid.name)
            if new_secret and "secret" not in fields and not valid.format.is_chat:
                fields["secret"] = self._new_key(draft, valid.name, "secret")
            if new_signing_key:
                fields["signing_key"] = self._new_key(draft, valid.name, "signing_key")
            written = {key: fields[key] for key in SubscriberEntry.model_fields if key in fields}
            draft.append(("subscribers",), written)
            draft.added = valid.name
            return SubscriberEntry.model_validate(written)

        return self._edit(change, may_be_missing=True, check=check)

    def rotate(self, name: str, *, now: int, overlap_hours: float = 24, which: KeyKind = "secret") -> RotatedKey:
        """Replace a key by a new one in a file of its own; until `overlap_hours` after `now` calls carry the signatures of
        both. An entry without a signing key gets its first one. Keys that have ended are taken out.
        """
        if not (math.isfinite(overlap_hours) and 0 <= overlap_hours <= OVERLAP_HOURS_MAX):
            raise BookError(BookProblem.ENTRY, f"the overlap is 0 to {OVERLAP_HOURS_MAX} hours")
        until = -(-(now + round(overlap_hours * HOUR)) // SECOND) * SECOND if overlap_hours else None

        def change(draft: Draft) -> RotatedKey:
            at: KeyPath = ("subscribers", draft.index_of(name))
            current = draft.place(at).get(which)
            if current is None and which == "secret":
                raise BookError(BookProblem.ENTRY, f"{name} is a chat robot without a secret: there is none to replace")
            ended = _put_behind(draft, at, which, until, now)
            draft.set(at, which, self._new_key(draft, name, which, first=1 if current is None else 2), after="name")
            file = draft.keys[-1]
            public = public_key_text(SigningKey.parse(file.read_text())) if which == "signing_key" else None
            return RotatedKey(name, which, file, None if current is None else until, _unnamed(ended, draft), public)

        return self._edit(change)

    def set_enabled(self, name: str, enabled: bool) -> None:
        """Enable or disable a subscriber; what is due to a disabled one is kept."""

        def change(draft: Draft) -> None:
            index = draft.index_of(name)
            if draft.file.subscribers[index].enabled is not enabled:
                draft.set(("subscribers", index), "enabled", enabled, after="name")

        self._edit(change)

    def remove(self, name: str) -> None:
        """Take an entry out. Its name is never given to somebody else; its key files stay where they are."""

        def change(draft: Draft) -> None:
            draft.delete(("subscribers",), draft.index_of(name))
            if "removed" in draft.data:
                draft.append(("removed",), name)
            else:
                draft.set((), "removed", [name])

        self._edit(change)

    def revise(self, name: str) -> int:
        """Raise the revision by one and return it: an endpoint that answered 410 Gone is tried again."""

        def change(draft: Draft) -> int:
            index = draft.index_of(name)
            revision = draft.file.subscribers[index].revision + 1
            draft.set(("subscribers", index), "revision", revision, after="name")
            return revision

        return self._edit(change)

    def _edit(
        self, change: Callable[[Draft], Answer], *, may_be_missing: bool = False, check: Check | None = None
    ) -> Answer:
        if self._path.is_symlink():
            raise self._file_error("is a symbolic link: name the file that it leads to")
        try:
            with locked(self._path):
                draft = self._draft(may_be_missing)
                before = draft.text.text
                try:
                    answer = changed(change, draft, self._path)
                    if draft.text.text != before:
                        self._replace(draft, check)
                except BaseException:
                    for key in draft.keys:
                        key.unlink(missing_ok=True)
                    raise
                sync_folder(self._path.parent)  # behind the point of no return: the keys are in use
                return answer
        except OSError as error:
            raise self._file_error(f"cannot be edited: {error.strerror or type(error).__name__}") from None

    def _draft(self, may_be_missing: bool) -> Draft:
        seen = self._look()
        if seen is None and not may_be_missing:
            raise self._file_error("there is no such file: `subscribers add` makes it")
        return new_draft(seen, self._path)

    def _replace(self, draft: Draft, check: Check | None) -> None:
        text = draft.text.text
        beside = write_beside(self._path, text.replace("\n", "\r\n") if has_crlf(draft.seen.text) else text, draft.seen)
        try:
            self._load_as_the_service_does(beside, draft, check)
            if not is_as_seen(self._path, draft.seen):
                raise BookError(BookProblem.CHANGED, f"{self._path}: somebody changed it in between: do it again")
            beside.replace(self._path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def _load_as_the_service_does(self, beside: Path, draft: Draft, check: Check | None) -> None:
        try:
            subscribers = load_subscribers(beside, self._environ)
        except ConfigFileError as error:
            if draft.added is not None and error.problem.startswith(f"{draft.added}: "):
                raise BookError(BookProblem.ENTRY, f"{error.problem}; nothing was written") from None
            # Its line is that of the text that was not written.
            raise BookError(
                BookProblem.FILE, f"{self._path}: the file would not be taken: {error.problem}; nothing was written"
            ) from None
        if check is None:
            return
        for subscriber in subscribers:
            if subscriber.name == draft.added and (problem := check(subscriber)) is not None:
                raise BookError(BookProblem.ENDPOINT, f"{draft.added}: {problem}; nothing was written")

    def _look(self) -> Seen | None:
        try:
            return look_at(self._path)
        except OSError as error:
            raise self._file_error(f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise self._file_error("is not UTF-8") from None

    def _new_key(self, draft: Draft, name: str, kind: KeyKind, first: int = 1) -> dict[str, str]:
        try:
            path = new_key_file(self._secrets_dir, name, kind, first, owner_for(self._path))
        except KeyFileError as error:
            raise BookError(BookProblem.FILE, str(error)) from None
        draft.keys.append(path)
        folder = self._path.parent
        below = path.is_relative_to(folder) and ".." not in path.relative_to(folder).parts
        return {"file": str(path.relative_to(folder) if below else path.resolve())}

    def _file_error(self, problem: str) -> BookError:
        return BookError(BookProblem.FILE, f"{self._path}: {problem}")


def endpoint_problem(subscriber: Subscriber) -> str | None:
    """Return why the endpoint may not be called, or that its name leads nowhere: every address it has now is checked. Not
    on an event loop.
    """
    try:
        asyncio.run(check_endpoint(subscriber.url, AddressPolicy.of(subscriber), system_resolver()))
    except (RefusedEndpointError, ResolutionFailedError) as error:
        return str(error)
    return None


def _put_behind(draft: Draft, at: KeyPath, which: KeyKind, until: int | None, now: int) -> list[Any]:
    """Move the current key to the previous ones and take those out that have ended; return what was taken out."""
    name = f"previous_{which}s"
    entry = draft.place(at)
    before: list[dict[str, Any]] = list(entry.get(name) or ())
    ended = [index for index, one in enumerate(before) if parse_instant(one["until"]) <= now]
    gone = [before[index]["secret"] for index in ended]
    current = entry.get(which)
    if current is not None and until is None:
        gone.append(current)
    elif current is not None and until is not None:
        if len(before) - len(ended) >= PREVIOUS_KEYS_MAX:
            problem = (
                f"{PREVIOUS_KEYS_MAX} previous keys still sign: wait until one has ended, or take it out of the file"
            )
            raise BookError(BookProblem.ENTRY, f"{entry['name']}: {name}: {problem}")
        previous = {"secret": current, "until": format_instant(until)}
        if name in entry:
            draft.append((*at, name), previous)
        else:
            draft.set(at, name, [previous], after=which)
    for index in reversed(ended):
        draft.delete((*at, name), index)
    return gone


def _unnamed(gone: list[Any], draft: Draft) -> tuple[SecretRef, ...]:
    """Return those of the references that nobody in the file has any more."""
    kept = []
    for entry in draft.data["subscribers"]:
        kept += [entry.get(which) for which in ("secret", "signing_key")]
        kept += [
            one["secret"] for which in ("previous_secrets", "previous_signing_keys") for one in entry.get(which) or ()
        ]
    return tuple(SecretRef.model_validate(one) for one in gone if one not in kept)


def _check_name_is_free(file: SubscribersFile, name: str) -> None:
    if any(one.name == name for one in file.subscribers):
        raise BookError(BookProblem.NAME_TAKEN, f"the name {name} is in use: choose another")
    if name in file.removed:
        problem = f"the name {name} was removed: what is still kept for it would go to somebody else"
        raise BookError(BookProblem.NAME_REMOVED, f"{problem}; choose another")


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as a file says it; None is what is not said."""
    return {str(key): _plain(value) for key, value in entry.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _valid_entry(fields: dict[str, Any], *, needs_secret: bool) -> SubscriberEntry:
    made_later = {} if needs_secret or "secret" in fields else {"secret": {"file": "made later"}}
    try:
        return SubscriberEntry.model_validate({**fields, **made_later})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BookError(BookProblem.ENTRY, f"{where or 'entry'}: {first['msg']}; nothing was written") from None


__all__ = [
    "OVERLAP_HOURS_MAX",
    "PREVIOUS_KEYS_MAX",
    "BookError",
    "BookProblem",
    "RotatedKey",
    "SubscriberBook",
    "endpoint_problem",
]
