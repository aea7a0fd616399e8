"""Old complaints go, and nobody is told anything because they do: not then, and not with the next complaint either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.times import DAY
from rules.citizens import CitizenState, decode_state
from rules.matter import MatterConfig
from rules.messages import ClaimMessage, RepeatMessage, decode, encode
from rules.old_complaints import without_old
from rules.repeats import Complaint, Repeat
from streams import expiring
from streams.citizen_partition import CitizenPartition
from streams.partition import RESERVED
from streams.stored import unpack
from streams.topics import TopicSet
from tests.builders import day
from tests.partition_support import Agent, DictTable, Watch
from tests.test_citizens import complaint

TOPICS = TopicSet(partitions=1)
KEEP_DAYS, LATE_DAYS = 130, 30
CONFIG = MatterConfig()
STEPS = ("debts", "flush", "outputs", "acknowledge", "never", "never")
MATTERS = (complaint("x"), complaint("x", category=("城乡建设", "路灯"), text="路灯不亮,夜里看不见路"))


class Service:
    """One partition of citizens that keeps complaints for so long; what is acknowledged is committed."""

    def __init__(self, keep_days: int | None = KEEP_DAYS) -> None:
        self.watch = Watch()
        self.keep = None if keep_days is None else keep_days * DAY
        self.committed: int | None = None
        self.agent = Agent(self._open, [])

    def _open(self, table: DictTable, first_offset: int) -> CitizenPartition:
        return CitizenPartition(
            0, table, CONFIG, TOPICS, self.watch, first_offset, keep=self.keep, committed=self._committed
        )

    def _committed(self) -> int:
        return self.agent.acknowledged if self.committed is None else self.committed

    def claim(self, *claims: ClaimMessage, crashes: Sequence[tuple[str, int]] = ()) -> None:
        self.agent.log = [*self.agent.log, *map(encode, claims)]
        self.agent.run(crashes=crashes)

    def later(self, number: float) -> None:
        """Let somebody else complain, twice: time goes on, and what has become old is looked for again."""
        for tenth in range(2):
            when = number + tenth * 1.1
            self.claim(claimed(complaint(f"Z-{when}", when), citizen="other"))

    @property
    def kept(self) -> set[str]:
        return {key.decode() for _, key in self.agent.table.durable if not key.startswith(RESERVED)}

    def state(self, citizen: str = "c-1") -> CitizenState:
        return decode_state(unpack(self.agent.table.durable[0, citizen.encode()]).body)

    def told(self) -> dict[str, list[Repeat]]:
        """Return what each lineage was told of the one citizen, in order."""
        found: dict[str, list[Repeat]] = {}
        for out in self.agent.once():
            message = decode(out.value)
            if isinstance(message, RepeatMessage) and message.citizen == "c-1":
                found.setdefault(message.key, []).append(message.repeat)
        return found


def claimed(*complaints: Complaint, citizen: str = "c-1", version: int = 1, root: str | None = None) -> ClaimMessage:
    return ClaimMessage(citizen, root or complaints[0].ticket_id, version, complaints)


def test_a_citizen_goes_with_the_last_complaint_that_is_young_enough() -> None:
    service = Service()
    service.claim(claimed(complaint("T-1", 0)))
    service.later(KEEP_DAYS - 2)
    assert "c-1" in service.kept
    service.later(KEEP_DAYS + 2)
    assert service.kept == {"other"}
    assert service.watch.of("expired") == [("citizens", 1)]


def test_by_default_every_complaint_stays() -> None:
    service = Service(None)
    service.claim(claimed(complaint("T-1", 0)))
    service.later(10_000)
    assert "c-1" in service.kept


def test_old_complaints_go_from_among_younger_ones() -> None:
    service = Service()
    service.claim(claimed(complaint("T-1", 0)), claimed(complaint("T-2", 100)))
    service.later(KEEP_DAYS + 50)
    assert set(service.state().claims) == {"T-2"}
    assert service.told() == {"T-1": service.told()["T-1"]}, "T-1 alone was told, of T-2 that came later"


def test_those_that_count_together_stay_together_and_nobody_is_told_of_fewer() -> None:
    service = Service()
    service.claim(claimed(complaint("T-1", 0)), claimed(complaint("T-2", 80)))
    before = service.told()
    service.later(KEEP_DAYS + 50)
    assert set(service.state().claims) == {"T-1", "T-2"}
    service.claim(claimed(complaint("T-3", KEEP_DAYS + 55)))
    assert service.told()["T-2"][-1].count == 2, "the third is too far from both, and the first still counts"
    service.later(3 * KEEP_DAYS)
    assert service.kept == {"other"}
    assert {root: said[: len(before[root])] for root, said in service.told().items() if root in before} == before


def test_a_claim_of_old_complaints_alone_brings_nobody_back() -> None:
    service = Service()
    service.later(500)
    service.claim(claimed(complaint("T-1", 0)), claimed(complaint("T-1", 0), version=2), claimed(root="T-2", version=3))
    assert service.kept == {"other"}


def test_what_claims_nothing_any_more_goes_too() -> None:
    service = Service()
    service.claim(claimed(complaint("T-1", 0)), claimed(root="T-1", version=2))
    service.later(KEEP_DAYS + 2)
    assert service.kept == {"other"}


def test_what_is_found_in_a_second_life_counts_as_later() -> None:
    service = Service()
    service.claim(claimed(complaint("T-1", 0)), claimed(complaint("T-2", 1)))
    first = service.state().version
    service.later(500)
    assert service.kept == {"other"}
    service.claim(claimed(complaint("T-3", 502)), claimed(complaint("T-4", 503)))
    assert service.told()["T-3"][0].version > first
    assert service.told()["T-3"][0].count == 2


def test_a_citizen_stays_while_one_of_the_claims_may_come_again() -> None:
    service = Service()
    service.claim(claimed(complaint("T-1", 0)))
    service.committed = 0
    service.later(500)
    assert "c-1" in service.kept
    service.committed = None
    service.later(510)
    assert "c-1" not in service.kept
    service.agent.restart()
    service.agent.acknowledged = 1
    service.agent.run()
    assert "c-1" not in service.kept


def test_the_walk_goes_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiring, "EXPIRY_SLICE", 3)
    service = Service()
    for number in range(10):
        service.claim(claimed(complaint(f"T-{number}", 0), citizen=f"c-{number}"))
    service.claim(claimed(complaint("Z-1", 500), citizen="other"))
    assert len(service.kept) > 7
    for number in range(5):
        service.claim(claimed(complaint(f"Y-{number}", 500), citizen="other"))
    assert service.kept == {"other"}


def test_the_number_of_citizens_stays_bounded_over_many_years() -> None:
    service = Service()
    most = 0
    for number in range(300):
        service.claim(claimed(complaint(f"T-{number}", 10 * number), citizen=f"c-{number}"))
        most = max(most, len(service.kept))
    assert most <= KEEP_DAYS / 10 + 3


@st.composite
def _claims(draw: st.DrawFn) -> list[ClaimMessage]:
    """Complaints of one citizen about two matters over some years, some of which come late, some withdrawn or claimed together."""
    found: list[tuple[float, ClaimMessage]] = []
    when = 0.0
    for number in range(draw(st.integers(2, 14))):
        when += draw(st.integers(0, 70))
        ticket = f"T-{number:02}"
        made = draw(st.sampled_from(MATTERS))._replace(ticket_id=ticket, event_id=f"{ticket}-001", at=day(when))
        arrives = when + draw(st.integers(0, LATE_DAYS))
        found.append((arrives, claimed(made)))
        change = draw(st.sampled_from(("none", "none", "none", "withdrawn", "child")))
        if change == "withdrawn":
            found.append((arrives + 1, claimed(root=ticket, version=2)))
        elif change == "child" and number:
            before = next(one for _, one in found if one.root == f"T-{number - 1:02}").complaints[0]
            if made.at - before.at < LATE_DAYS * DAY:
                found.append((arrives + 1, claimed(before, made, version=2, root=before.ticket_id)))
    return [claim for _, claim in sorted(found, key=lambda pair: pair[0])]


@settings(max_examples=80, deadline=None)
@given(_claims(), st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 4)), max_size=20))
def test_every_count_is_what_it_would_be_if_no_complaint_ever_went(
    claims: list[ClaimMessage], crashes: list[tuple[str, int]]
) -> None:
    service, forever = Service(), Service(None)
    service.claim(*claims, crashes=crashes)
    forever.claim(*claims)
    told, expected = service.told(), forever.told()
    for root, said in expected.items():
        assert told[root][-1].count == said[-1].count
    for root in service.state().claims.keys() & expected.keys():
        assert replace(told[root][-1], version=0) == replace(expected[root][-1], version=0)
    service.later(5_000)
    assert service.kept == {"other"}
    assert service.told() == told


def test_nothing_goes_where_nothing_is_old() -> None:
    state = CitizenState("c-1", claims={"T-1": (1, (complaint("T-1", 0),))})
    assert without_old(state, day(0), CONFIG) is state
    assert without_old(state, day(0.1), CONFIG).claims == {}
