"""Reading the subscribers file: every entry and every cross-reference is checked, and the file is taken or refused as
a whole.
"""

import hashlib
import os
import ssl
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from alerting.addresses import AddressPolicy, RefusedEndpointError, check_url
from models.secrets import RobotSecret, Rolling, SecretRef, SigningKey, WebhookSecret
from models.strict_yaml import ConfigFileError, Document, KeyPath, read_plain, read_yaml
from models.subscriber import (
    URL_LENGTH_MAX,
    Keys,
    PreviousSecret,
    Subscriber,
    SubscriberEntry,
    SubscribersFile,
    parse_network,
    resolved,
)
from models.times import parse_instant

_MAX_SECRET_FILE_BYTES = 4096

Parsed = TypeVar("Parsed")
Key = TypeVar("Key", WebhookSecret, SigningKey)


def load_subscribers(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Subscriber, ...]:
    """Return the subscribers in a file, in its order.

    Names are not resolved here: a name server that is down must not keep the service down, and every call checks the
    address anyway. Raises ConfigFileError (file:line: what is wrong), which never shows a secret or a URL.
    """
    environ = os.environ if environ is None else environ
    document = read_yaml(path)
    file = document.validate(SubscribersFile)
    _check_names(document, file)
    return tuple(
        _Entry(document, ("subscribers", index), entry, path, environ).load()
        for index, entry in enumerate(file.subscribers)
    )


def _check_names(document: Document, file: SubscribersFile) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(file.subscribers):
        if entry.name in seen:
            raise document.error(("subscribers", index, "name"), f"the name {entry.name} stands twice")
        if entry.name in file.removed:
            problem = f"the name {entry.name} was removed: what is still kept for it would go to somebody else"
            raise document.error(("subscribers", index, "name"), f"{problem}; choose another")
        seen.add(entry.name)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry, where it stands, and what its references are read from."""

    document: Document
    at: KeyPath
    entry: SubscriberEntry
    path: Path
    environ: Mapping[str, str]

    def load(self) -> Subscriber:
        entry = self.entry
        ca_file, client_certificate = self._ca_file(), self._client_certificate()
        keys = Keys(
            url=self._url(),
            secrets=self._rolling("secret", entry.secret, entry.previous_secrets, WebhookSecret.parse),
            signing_keys=self._rolling("signing_key", entry.signing_key, entry.previous_signing_keys, SigningKey.parse),
            robot_secret=self._read("robot_secret", entry.robot_secret, RobotSecret.parse)
            if entry.robot_secret
            else None,
            ca_file=ca_file,
            client_certificate=client_certificate,
            tls_digest=_digest((*((ca_file,) if ca_file else ()), *(client_certificate or ()))),
        )
        return resolved(entry, keys)

    def _error(self, field: str, problem: str) -> ConfigFileError:
        return self.document.error((*self.at, field), f"{self.entry.name}: {problem}")

    def _url(self) -> str:
        entry = self.entry
        if isinstance(entry.url, str):
            url = entry.url
            if entry.format.is_chat and self._others_can_read():
                problem = "a chat robot's URL holds its token: name it with file or env, or chmod 600 this file"
                raise self._error("url", problem)
        else:
            url = self._read("url", entry.url, _url_text)
        networks = tuple(parse_network(text) for text in entry.allow_networks)
        try:
            check_url(url, AddressPolicy(entry.allow_http, networks))
        except RefusedEndpointError as error:
            raise self._error("url", str(error)) from None
        if entry.client_certificate is not None and url.startswith("http:"):
            raise self._error("client_certificate", "client_certificate: only an https endpoint asks for one")
        return url

    def _rolling(
        self, field: str, current: SecretRef | None, previous: Sequence[PreviousSecret], parse: Callable[[str], Key]
    ) -> tuple[Rolling[Key], ...]:
        found = [Rolling(self._read(field, current, parse))] if current is not None else []
        for one in previous:
            if current is None:
                raise self._error(field, f"{field}: there is a previous one but none in use")
            found.append(Rolling(self._read(f"previous_{field}s", one.secret, parse), parse_instant(one.until)))
        return tuple(found)

    def _read(self, field: str, ref: SecretRef, parse: Callable[[str], Parsed]) -> Parsed:
        try:
            if ref.inline is not None:
                if self._others_can_read():
                    raise ValueError("a secret in a file that others can read: chmod 600 it, or use file or env")
                return parse(ref.inline.get_secret_value())
            if ref.env is not None:
                if ref.env not in self.environ:
                    raise ValueError(f"the environment has no {ref.env}")
                return parse(self.environ[ref.env])
            return parse(_read_secret(self.path.parent / str(ref.file)))
        except ValueError as error:
            raise self._error(field, f"{field}: {error}") from None

    def _others_can_read(self) -> bool:
        return bool(self.path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))

    def _ca_file(self) -> str | None:
        if self.entry.ca_file is None:
            return None
        ca_file = self.path.parent / self.entry.ca_file
        try:
            ssl.create_default_context(cafile=str(ca_file))
        except (OSError, ssl.SSLError):
            raise self._error("ca_file", "ca_file: cannot be read as PEM certificates") from None
        return str(ca_file)

    def _client_certificate(self) -> tuple[str, str] | None:
        named = self.entry.client_certificate
        if named is None:
            return None
        cert_file, key_file = (str(self.path.parent / name) for name in (named.cert_file, named.key_file))
        try:
            # Without a password OpenSSL would ask the terminal for the one of an encrypted key, and wait.
            ssl.create_default_context().load_cert_chain(cert_file, key_file, password="")
        except (OSError, ssl.SSLError):
            problem = "cannot be read as a PEM certificate and its key (one without a passphrase)"
            raise self._error("client_certificate", f"client_certificate: {problem}") from None
        return cert_file, key_file


def _digest(paths: Sequence[str]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        whole.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return whole.hexdigest() if paths else ""


def _url_text(text: str) -> str:
    url = text.strip()
    if not 0 < len(url) <= URL_LENGTH_MAX:
        raise ValueError(f"a URL has 1 to {URL_LENGTH_MAX} characters")
    return url


def _read_secret(path: Path) -> str:
    try:
        content = read_plain(path, _MAX_SECRET_FILE_BYTES)
        if len(content) > _MAX_SECRET_FILE_BYTES:
            raise ValueError("the file is far too large for a secret")
        return content.decode()
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not text: keep a key as whsec_ and its base64") from None


__all__ = ["ConfigFileError", "load_subscribers"]
