"""Times in the layouts of other systems: the quick reader says what strptime says."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.importing.columns import time_reader

LAYOUTS = [
    "%Y-%m-%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y年%m月%d日 %H时%M分",
    "%Y年%m月%d日",
    "%Y%m%d%H%M%S",
    "%d/%m/%Y %H:%M",
    "%H:%M %d.%m.%Y",
    "%m-%d-%Y",
]
TEXTS = st.one_of(
    st.text("0123456789-/: 年月日时分.", max_size=20),
    st.tuples(
        st.sampled_from(LAYOUTS),
        st.datetimes(*(datetime(year, 1, 1) for year in (1995, 2099))),  # noqa: DTZ001
        st.booleans(),
    ).map(lambda drawn: drawn[1].strftime(drawn[0]).replace("0", "" if drawn[2] else "0", 1)),
)


def _slowly(text: str, layout: str) -> str | None:
    try:
        moment = datetime.strptime(text, layout).replace(tzinfo=timezone(timedelta(hours=8)))
    except ValueError:
        return None
    return moment.isoformat() if 1990 <= moment.year < 2100 else None


@given(st.sampled_from(LAYOUTS), TEXTS)
def test_a_time_is_read_as_strptime_reads_it(layout: str, text: str) -> None:
    # In UTC the years 1990 and 2100 begin eight hours later: times near there are not drawn.
    assert time_reader([layout], "+08:00")(text) == _slowly(text, layout)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-06-18 09:00:00", "2025-06-18T09:00:00+08:00"),
        ("2025/6/18 9:00", "2025-06-18T09:00:00+08:00"),
        ("2025年6月18日 9时0分", "2025-06-18T09:00:00+08:00"),
        ("20250618090000", "2025-06-18T09:00:00+08:00"),
        ("2025-06-18T09:00:00Z", "2025-06-18T09:00:00+00:00"),
        ("2025-02-29 09:00:00", None),
        ("2025/13/1 9:00", None),
        ("18.6.2025", None),
        ("1815-06-18 09:00:00", None),
        ("2025-06-18 25:00:00", None),
    ],
)
def test_several_layouts_are_tried_in_their_order(text: str, expected: str | None) -> None:
    layouts = ["%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y年%m月%d日 %H时%M分", "%Y%m%d%H%M%S", "iso"]
    assert time_reader(layouts, "+08:00")(text) == expected


def test_layouts_beyond_plain_numbers_are_read_too() -> None:
    assert time_reader(["%d %b %Y %I:%M %p"], "-03:30")("18 Jun 2025 09:00 PM") == "2025-06-18T21:00:00-03:30"
    assert time_reader(["%Y-%m-%d %H:%M:%S.%f"], "+08:00")("2025-06-18 09:00:00.0") == "2025-06-18T09:00:00+08:00"
