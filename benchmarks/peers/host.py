"""What the hosts of the job share: their arguments, the names of their topics, and the moment at which the clock starts."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

COMMIT_SECONDS = 1.0
"""How often each host makes its progress durable."""
FIRST, DONE = "first record", "all done"
"""What a host writes when it gets its first record, and, where it ends by itself, when everything is durable."""
TICKETS, CITIZENS = "tickets", "citizens"


@dataclass(frozen=True, slots=True)
class Host:
    """Where one host reads and writes: a source that all share, and topics, group and disk of its own, by its name."""

    name: str
    bootstrap_servers: str
    source: str
    partitions: int
    datadir: Path

    @classmethod
    def from_arguments(cls) -> Self:
        """Return the host that the command line tells of."""
        name, bootstrap_servers, source, partitions, datadir = sys.argv[1:]
        return cls(name, bootstrap_servers, source, int(partitions), Path(datadir))

    @property
    def arguments(self) -> list[str]:
        """Return the command line that tells of this host."""
        return [self.name, self.bootstrap_servers, self.source, str(self.partitions), str(self.datadir)]

    @property
    def group(self) -> str:
        """Return its consumer group."""
        return self.name

    @property
    def citizens(self) -> str:
        """Return the topic of its complaints by citizen."""
        return f"{self.name}-claims"

    @property
    def warnings(self) -> str:
        """Return the topic of its warnings."""
        return f"{self.name}-warnings"

    @property
    def changelogs(self) -> tuple[str, str]:
        """Return the changelogs of its two tables, as Faust calls them."""
        return f"{self.name}-{TICKETS}-changelog", f"{self.name}-{CITIZENS}-changelog"


class FirstRecord:
    """Says once that records have come."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self) -> None:
        """Say it, the first time."""
        if not self._said:
            self._said = True
            print(FIRST, flush=True)
