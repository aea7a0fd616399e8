"""What a format gives back: the body, and what of the request depends on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

JSON = "application/json"
JSON_UTF8 = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Written:
    """A body, its type, further headers, and what is appended to the URL's query (a robot's signature)."""

    body: bytes = field(repr=False)
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = field(default="", repr=False)
