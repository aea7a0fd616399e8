"""A table in memory, for what is measured or made without a broker."""

from collections.abc import Iterator


class MemoryTable:
    """Keys and values of all partitions; nothing is durable."""

    def __init__(self) -> None:
        self.values: dict[int, dict[bytes, bytes]] = {}

    def get(self, partition: int, key: bytes) -> bytes | None:
        """Return a key's value."""
        return self.values.get(partition, {}).get(key)

    def put(self, partition: int, key: bytes, value: bytes) -> None:
        """Set a key's value."""
        self.values.setdefault(partition, {})[key] = value

    def partition_items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Return all keys and values of a partition."""
        return iter(list(self.values.get(partition, {}).items()))

    def count(self, partition: int) -> int:
        """Return how many keys a partition has."""
        return len(self.values.get(partition, {}))
