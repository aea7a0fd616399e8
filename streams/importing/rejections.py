"""The rejected rows of an import, on disk: a table with a date format that nobody expected is rejected row by row."""

import sqlite3
from collections.abc import Iterator

from streams.importing.faults import ImportFault
from streams.importing.report import Rejection

_CACHE_KIB = 4_096
_BATCH = 1_000


class Rejections:
    """Takes rejected rows in any order, gives them by line. It lies in a private temporary file that goes away with it.

    Raises ImportFault where there is no room for it.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA temp_store = FILE")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE rejected (sheet INTEGER, line INTEGER, reason TEXT, detail TEXT)")
        self._db.execute("BEGIN")
        self._sheets: list[str] = []
        self._waiting: list[tuple[int, int, str, str]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Rejection]:
        return self.first(-1)

    def append(self, one: Rejection) -> None:
        """Take one rejected row. The sheets come in the workbook's order."""
        if one.sheet not in self._sheets:
            self._sheets.append(one.sheet)
        self._waiting.append((self._sheets.index(one.sheet), one.line, one.reason, one.detail))
        self._count += 1
        if len(self._waiting) >= _BATCH:
            self._write()

    def first(self, limit: int) -> Iterator[Rejection]:
        """Yield the first rows by sheet and line; all where the limit is negative."""
        self._write()
        found = self._db.execute(
            "SELECT line, reason, detail, sheet FROM rejected ORDER BY sheet, line, rowid LIMIT ?", (limit,)
        )
        for line, reason, detail, sheet in found:
            yield Rejection(line, reason, detail, self._sheets[sheet])

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def _write(self) -> None:
        try:
            self._db.executemany("INSERT INTO rejected VALUES (?, ?, ?, ?)", self._waiting)
        except sqlite3.Error as error:
            problem = f"no room to list the rejected rows in the temporary folder ({error}): set SQLITE_TMPDIR"
            raise ImportFault(problem) from None
        self._waiting.clear()
