"""Children's logs: cut at line ends into bounded parts, nothing lost, readable by their owner alone."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.child_log import LogFile, part_path
from streams.child_process import ChildProcess


def parts_of(path: Path) -> list[Path]:
    """Return the parts that there are, the oldest first."""
    numbers = sorted((int(one.suffix[1:]) for one in path.parent.glob(f"{path.name}.*")), reverse=True)
    return [*(part_path(path, number) for number in numbers), path]


@given(st.lists(st.binary(max_size=60), max_size=60), st.integers(1, 50), st.integers(1, 5))
def test_what_is_left_is_the_end_of_what_was_written_in_bounded_parts(
    writes: list[bytes], bytes_max: int, count: int
) -> None:
    with TemporaryDirectory() as folder:
        log = LogFile(Path(folder) / "child.log", bytes_max, count)
        for data in writes:
            log.write(data)
        log.close()
        kept = [path.read_bytes() for path in parts_of(log.path)]
    assert len(kept) <= count
    assert b"".join(writes).endswith(b"".join(kept))
    assert all(len(part) < 2 * bytes_max + 60 for part in kept)
    assert log.lost_bytes == 0
    if count == 5 and sum(map(len, writes)) <= 2 * bytes_max:
        assert b"".join(kept) == b"".join(writes), "nothing is thrown away before the parts are full"


@given(st.lists(st.binary(max_size=9).map(lambda data: data.replace(b"\n", b".") + b"\n"), min_size=1, max_size=40))
def test_short_lines_are_never_cut(lines: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        log = LogFile(Path(folder) / "child.log", 20, 3)
        log.write(b"".join(lines))
        log.close()
        for part in parts_of(log.path):
            assert part.read_bytes().endswith(b"\n")
            assert part.stat().st_size <= 20


def test_a_log_goes_on_where_it_ended_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "child.log"
    path.write_bytes(b"before\n")
    path.chmod(0o644)
    log = LogFile(path)
    log.write(b"after\n")
    log.close()
    assert path.read_bytes() == b"before\nafter\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_written_counts_what_it_loses_and_holds_nobody_up(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "missing" / "child.log")
    log.write(b"lost\n")
    assert log.lost_bytes == 5
    (tmp_path / "missing").mkdir()
    log.write(b"kept\n")
    log.close()
    assert log.path.read_bytes() == b"kept\n"


def test_a_child_writes_to_both_outputs_and_its_last_words_are_there_when_it_has_ended(tmp_path: Path) -> None:
    program = "import sys; [print('line', n) for n in range(20000)]; print('the end', file=sys.stderr)"
    child = ChildProcess([sys.executable, "-c", program], tmp_path / "child.log")
    assert child.wait(60)
    assert "the end" in child.log_tail(1_000_000).splitlines()
    assert (tmp_path / "child.log").read_text().count("\n") == 20_001


def test_a_log_folder_that_is_missing_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ChildProcess([sys.executable, "-c", ""], tmp_path / "nowhere" / "child.log")
