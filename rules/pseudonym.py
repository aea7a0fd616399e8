"""Keyed pseudonyms of citizens: the same person gets the same key, and without the secret nobody can get back.

Phone numbers are few enough to hash them all within the hour, so the hash is keyed (HMAC-SHA256). A name alone never makes a key: too many
people share one. During a rotation a citizen has one key from each secret, the newest first, and counts follow either.
"""

import hmac
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.ticket_event import Citizen
from rules.masking import fold_digits

MIN_SECRET_BYTES = 24
_KEY_HEX_DIGITS = 32


@dataclass(frozen=True)
class PseudonymKey:
    """A secret and the id that stands before every pseudonym made with it. The secret is never shown."""

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]{1,16}", self.id):
            raise ValueError("a pseudonym key's id is 1 to 16 letters and digits")
        if len(self.secret) < MIN_SECRET_BYTES:
            raise ValueError(f"the pseudonym secret {self.id} is shorter than {MIN_SECRET_BYTES} bytes")

    def pseudonym(self, kind: str, normalised: str) -> str:
        """Return `<key id>:<128 bits of HMAC>` of one identity of one kind."""
        digest = hmac.digest(self.secret, f"{kind}\0{normalised}".encode(), "sha256").hex()
        return f"{self.id}:{digest[:_KEY_HEX_DIGITS]}"


def citizen_keys(citizen: Citizen | None, keys: Sequence[PseudonymKey]) -> list[str]:
    """Return the citizen's keys: the platform's own, else from the ID number, else from the phone; empty where there is none."""
    if citizen is None:
        return []
    if citizen.key is not None:
        return [citizen.key]
    for kind, value in (("id", _normal_id(citizen.id_number)), ("phone", _normal_phone(citizen.phone))):
        if value:
            return [key.pseudonym(kind, value) for key in keys]
    return []


def _normal_id(text: str | None) -> str:
    if text is None:
        return ""
    return re.sub(r"[^0-9A-Z]", "", unicodedata.normalize("NFKC", text).upper())


def _normal_phone(text: str | None) -> str:
    if text is None:
        return ""
    plain = text if text.isascii() else fold_digits(text)[0]
    digits = re.sub(r"\D", "", plain)
    return re.sub(r"^(?:0086|86)(?=1\d{10}$)", "", digits)
