"""Reading the subscribers file: every entry and every cross-reference is checked, and the file is taken or refused as
a whole.
"""

import os
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path

from alerting.addresses import AddressPolicy, RefusedEndpointError, check_url
from models.strict_yaml import ConfigFileError, Document, KeyPath, read_yaml
from models.subscriber import (
    Subscriber,
    SubscriberEntry,
    SubscribersFile,
    WebhookSecret,
    parse_network,
    resolved,
)

_MAX_SECRET_FILE_BYTES = 4096


def load_subscribers(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Subscriber, ...]:
    """Return the subscribers in a file, in its order.

    Names are not resolved here: a name server that is down must not keep the service down, and every call checks the
    address anyway. Raises ConfigFileError (file:line: what is wrong), which never shows a secret or a URL.
    """
    environ = os.environ if environ is None else environ
    document = read_yaml(path)
    entries = document.validate(SubscribersFile).subscribers
    _check_names(document, entries)
    return tuple(_load_entry(document, index, entry, path, environ) for index, entry in enumerate(entries))


def _check_names(document: Document, entries: list[SubscriberEntry]) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if entry.name in seen:
            raise document.error(("subscribers", index, "name"), f"the name {entry.name} stands twice")
        seen.add(entry.name)


def _load_entry(
    document: Document, index: int, entry: SubscriberEntry, path: Path, environ: Mapping[str, str]
) -> Subscriber:
    at: KeyPath = ("subscribers", index)
    networks = tuple(parse_network(text) for text in entry.allow_networks)
    try:
        check_url(entry.url, AddressPolicy(entry.allow_http, networks))
    except RefusedEndpointError as error:
        raise document.error((*at, "url"), f"{entry.name}: {error}") from None
    secret = _load_secret(document, at, entry, path, environ)
    return resolved(entry, secret, _checked_ca_file(document, at, entry, path))


def _load_secret(
    document: Document, at: KeyPath, entry: SubscriberEntry, path: Path, environ: Mapping[str, str]
) -> WebhookSecret:
    ref = entry.secret
    try:
        if ref.inline is not None:
            if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
                raise ValueError("a secret in a file that others can read: chmod 600 it, or use file or env")
            return WebhookSecret.parse(ref.inline.get_secret_value())
        if ref.env is not None:
            if ref.env not in environ:
                raise ValueError(f"the environment has no {ref.env}")
            return WebhookSecret.parse(environ[ref.env])
        return WebhookSecret.parse(_read_secret(path.parent / str(ref.file)))
    except ValueError as error:
        raise document.error((*at, "secret"), f"{entry.name}: secret: {error}") from None


def _read_secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET_FILE_BYTES + 1)
        if len(content) > _MAX_SECRET_FILE_BYTES:
            raise ValueError("the file is far too large for a secret")
        return content.decode()
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not text: keep a key as whsec_ and its base64") from None


def _checked_ca_file(document: Document, at: KeyPath, entry: SubscriberEntry, path: Path) -> str | None:
    if entry.ca_file is None:
        return None
    ca_file = path.parent / entry.ca_file
    try:
        ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError):
        problem = f"{entry.name}: ca_file: cannot be read as PEM certificates"
        raise document.error((*at, "ca_file"), problem) from None
    return str(ca_file)


__all__ = ["ConfigFileError", "load_subscribers"]
