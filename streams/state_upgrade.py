"""Values of a table in an earlier schema, migrated when they are read."""

from collections.abc import Callable

from rules.migrations import Steps, migrated
from streams.partition import RESERVED
from streams.stored import with_body


def upgrades(steps: Steps) -> Callable[[int, bytes, bytes], bytes]:
    """Return a table's `upgrade`: it migrates a key's state. What a partition notes of itself is of every schema the same."""

    def upgrade(schema: int, key: bytes, value: bytes) -> bytes:
        return value if key.startswith(RESERVED) else with_body(value, lambda body: migrated(body, schema, steps))

    return upgrade
