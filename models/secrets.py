"""Keys that sign calls. They never show themselves: not in an error, not in a repr.

A secret is named, not written down: `{file: PATH}` or `{env: NAME}`; `{inline: …}` is taken only from a file that others
cannot read.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from pydantic import SecretStr, model_validator

from models.base import Contract

SECRET_BYTES_MIN = 24
SECRET_BYTES_MAX = 512
ROBOT_SECRET_BYTES_MIN = 8
SIGNING_KEY_BYTES = 32
_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefixes that Standard Webhooks gives its keys
_SIGNING_KEY_PREFIX = "whsk_"


class SecretRef(Contract):
    """Where a secret is: exactly one of `file` (relative to the file that names it), `env` or `inline`."""

    file: str | None = None
    env: str | None = None
    inline: SecretStr | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if [self.file, self.env, self.inline].count(None) != 2:
            raise ValueError("say exactly one of file, env and inline")
        return self


class _Hidden:
    """Bytes that compare but never show."""

    __slots__ = ("key",)

    def __init__(self, key: bytes) -> None:
        self.key = key

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class WebhookSecret(_Hidden):
    """A key of HMAC-SHA256 signatures (`v1`)."""

    __slots__ = ()

    def __init__(self, key: bytes) -> None:
        if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
            raise ValueError(f"a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, this one {len(key)}")
        super().__init__(key)

    @classmethod
    def parse(cls, text: str) -> "WebhookSecret":
        """Return the secret in a text, `whsec_` and base64 or raw. Raises ValueError, which never shows it."""
        text = text.strip()
        if text.startswith(_SECRET_PREFIX):
            return cls(_decoded(text.removeprefix(_SECRET_PREFIX), _SECRET_PREFIX))
        # Whoever has the public key could sign; and what looks like a prefixed key is not meant to be taken as it is.
        if re.match(r"wh(sec|sk|pk)_", text, re.IGNORECASE):
            raise ValueError("a secret is written as whsec_ and its base64, or raw; this is another kind of key")
        return cls(text.encode())


class SigningKey(_Hidden):
    """The private seed of ed25519 signatures (`v1a`)."""

    __slots__ = ()

    def __init__(self, key: bytes) -> None:
        if len(key) != SIGNING_KEY_BYTES:
            raise ValueError(f"a signing key has {SIGNING_KEY_BYTES} bytes, this one {len(key)}")
        super().__init__(key)

    @classmethod
    def parse(cls, text: str) -> "SigningKey":
        """Return the key in a text: `whsk_` and base64 of the seed, or of seed and public key. Raises ValueError."""
        text = text.strip()
        if not text.startswith(_SIGNING_KEY_PREFIX):
            raise ValueError("a signing key is written as whsk_ and its base64")
        key = _decoded(text.removeprefix(_SIGNING_KEY_PREFIX), _SIGNING_KEY_PREFIX)
        return cls(key[:SIGNING_KEY_BYTES] if len(key) == 2 * SIGNING_KEY_BYTES else key)


class RobotSecret(_Hidden):
    """What a chat robot's own signature is made with (加签、签名校验); their makers give short ones."""

    __slots__ = ()

    def __init__(self, key: bytes) -> None:
        if not ROBOT_SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
            raise ValueError(f"a robot's secret has {ROBOT_SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes")
        super().__init__(key)

    @classmethod
    def parse(cls, text: str) -> "RobotSecret":
        """Return the secret in a text, as the robot's maker shows it. Raises ValueError."""
        return cls(text.strip().encode())


Key = TypeVar("Key", WebhookSecret, SigningKey)


@dataclass(frozen=True, slots=True)
class Rolling(Generic[Key]):
    """A key in use; `until`: the instant (microseconds) from which it signs no more, None for the current one."""

    key: Key
    until: int | None = None

    def signs(self, now: int) -> bool:
        """Return whether calls made now carry its signature."""
        return self.until is None or now < self.until


def _decoded(encoded: str, prefix: str) -> bytes:
    try:
        # Keys are often passed round without their padding.
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {prefix} is not base64") from None
