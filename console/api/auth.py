"""Who calls: the clients file, and the limit on failed tries."""

import os
import stat
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from math import ceil
from pathlib import Path

from models.api_client import ApiClient, ApiClientsFile, token_digest
from models.secrets import SecretRef
from models.strict_yaml import ConfigFileError, read_yaml

FAILURES_MAX = 10
WINDOW_SECONDS = 60.0
ADDRESSES_MAX = 10_000
_SECRET_FILE_BYTES_MAX = 4096


def load_clients(path: Path, environ: Mapping[str, str] | None = None) -> tuple[ApiClient, ...]:
    """Return the clients in a file. Raises ConfigFileError (file:line: what is wrong), which never shows a token."""
    environ = os.environ if environ is None else environ
    document = read_yaml(path)
    found: list[ApiClient] = []
    for index, entry in enumerate(document.validate(ApiClientsFile).clients):
        at = ("clients", index)
        if any(client.name == entry.name for client in found):
            raise document.error((*at, "name"), f"the name {entry.name} stands twice")
        try:
            digest = token_digest(_token(entry.token, path, environ))
        except ValueError as error:
            raise document.error((*at, "token"), f"{entry.name}: token: {error}") from None
        if any(client.digest == digest for client in found):
            raise document.error((*at, "token"), f"{entry.name}: token: another client has the same one")
        found.append(ApiClient(entry.name, entry.role, digest, entry.subscriber))
    return tuple(found)


def _token(ref: SecretRef, path: Path, environ: Mapping[str, str]) -> str:
    if ref.inline is not None:
        if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            raise ValueError("a secret in a file that others can read: chmod 600 it, or use file or env")
        return ref.inline.get_secret_value().strip()
    if ref.env is not None:
        if ref.env not in environ:
            raise ValueError(f"the environment has no {ref.env}")
        return environ[ref.env].strip()
    try:
        with (path.parent / str(ref.file)).open("rb") as file:
            return file.read(_SECRET_FILE_BYTES_MAX).decode().strip()
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not text") from None


class FailureLimiter:
    """Counts failed tries by address, and says how long one has to wait. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, address: str) -> int:
        """Return for how many seconds the address is not listened to, 0 if it is."""
        times = self._failures.get(_group(address))
        if times is None or len(times) < FAILURES_MAX:
            return 0
        return max(0, ceil(times[0] + WINDOW_SECONDS - self._clock()))

    def failed(self, address: str) -> None:
        """Count a failed try."""
        group = _group(address)
        self._failures.setdefault(group, deque(maxlen=FAILURES_MAX)).append(self._clock())
        self._failures.move_to_end(group)
        while len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)


def _group(address: str) -> str:
    """Return what is counted together: whoever has an IPv6 address has the 2^64 around it too."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped is not None else f"{int(parsed) >> 64:x}::/64"
    return address


__all__ = ["ConfigFileError", "FailureLimiter", "load_clients"]
