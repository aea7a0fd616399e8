"""What comes over the API and is a secret (a chat robot's URL, its signing secret) goes into a file of its own, and the subscribers
file names it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alerting.locked_file import owner_for, sync_folder
from alerting.new_keys import hand_over

_NUMBERS_MAX = 1000


@contextmanager
def secret_file(folder: Path, name: str, suffix: str, text: str, beside: Path) -> Iterator[dict[str, str]]:
    """Yield the reference to a new file with the text, as the file `beside` writes it; where the block raises, the file goes
    again. Raises OSError.
    """
    path = _written(folder, name, suffix, text, beside)
    base = beside.parent
    try:
        yield {"file": str(path.relative_to(base) if path.is_relative_to(base) else path.resolve())}
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _written(folder: Path, name: str, suffix: str, text: str, beside: Path) -> Path:
    owner = owner_for(beside)
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        if owner is not None:
            os.chown(folder, *owner)
    for number in range(1, _NUMBERS_MAX):
        path = folder / f"{name}{'' if number == 1 else f'-{number}'}{suffix}"
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                hand_over(descriptor, owner)
                file.write(f"{text}\n")
                file.flush()
                os.fsync(descriptor)
            sync_folder(folder)
            return path
    raise FileExistsError(17, "too many files of that name", str(folder))
