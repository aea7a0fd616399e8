"""The four receivers that integrators copy: the same behaviour of each, as a process of its own; and the pages that show them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerting.retry import SCHEDULE
from docs.embed import FILES, PAGES, refreshed
from models.times import HOUR, MINUTE, SECOND
from tests.kafka_support import eventually
from tests.receiver_kit_support import (
    BODY_BYTES_MAX,
    FOLDER,
    FOREIGN_SECRET,
    JAVA_OPTIONS,
    KITS,
    NEW_SECRET,
    OLD_SECRET,
    TOKEN,
    Kit,
    PullServer,
    Running,
    alert_of,
    call_of,
    new_case,
    pull_server,
    running,
    signed,
    status_of_chunks,
    status_of_declared,
)


@dataclass(frozen=True, slots=True)
class Set:
    """A receiver that runs, and what it pulls from."""

    receiver: Running
    pulls: PullServer


@pytest.fixture(scope="module", params=KITS, ids=lambda kit: kit.file)
def kit(request: pytest.FixtureRequest) -> Kit:
    why_not = request.param.why_not()
    if why_not:
        pytest.skip(why_not)  # in CI too: the kit is for machines of others
    return request.param


@pytest.fixture(scope="module")
def both(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Set]:
    with pull_server() as pulls, running(kit, tmp_path_factory.mktemp("kit"), PULL_URL=pulls.url) as receiver:
        yield Set(receiver, pulls)


@pytest.fixture
def receiver(both: Set) -> Running:
    return both.receiver


@pytest.fixture
def pulls(both: Set) -> PullServer:
    return both.pulls


def test_a_good_call_is_accepted_and_filed(receiver: Running) -> None:
    case = new_case()
    assert call_of(case, 1).to(receiver) == 204
    receiver.files(case, 1)
    assert {"case_id": case, "delivery_sequence": 1, "delivery_id": f"{case}-1"} in receiver.filed()


def test_the_signature_is_of_the_bytes_that_came(receiver: Running) -> None:
    case = new_case()
    written_oddly = json.dumps(alert_of(case, 1), indent=3, ensure_ascii=False).replace("甲", "\\u7532").encode()
    assert signed(f"{case}-1", written_oddly).to(receiver) == 204
    receiver.files(case, 1)


def test_what_is_not_signed_with_our_secret_is_refused(receiver: Running) -> None:
    case = new_case()
    good, foreign = call_of(case, 1), call_of(case, 1, FOREIGN_SECRET)
    forged = [
        foreign,
        *(signed(f"{case}-1", good.body[:-1] + end, FOREIGN_SECRET) for end in (b"}", b" }")),
    ]
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        lacking = {header: value for header, value in good.headers.items() if header != name}
        assert receiver.post(good.body, lacking) == 401, name
    for name, value in (
        ("webhook-id", f"{case}-2"),
        ("webhook-timestamp", str(int(good.headers["webhook-timestamp"]) - 1)),
        ("webhook-timestamp", "nan"),
        ("webhook-timestamp", ""),
        ("webhook-signature", ""),
        ("webhook-signature", "v1"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,not base64!"),
        ("webhook-signature", good.headers["webhook-signature"].removeprefix("v1,")),
        ("webhook-signature", good.headers["webhook-signature"].swapcase()),
    ):
        assert receiver.post(good.body, {**good.headers, name: value}) == 401, (name, value)
    assert receiver.post(good.body.replace(b"yellow", b"blue"), good.headers) == 401
    assert [call.to(receiver) for call in forged] == [401, 401, 401]
    assert good.to(receiver) == 204
    receiver.files(case, 1)


def test_an_ed25519_signature_alone_is_refused(receiver: Running) -> None:
    call = call_of(new_case(), 1)
    signature = call.headers["webhook-signature"].removeprefix("v1,")
    assert receiver.post(call.body, {**call.headers, "webhook-signature": f"v1a,{signature}"}) == 401


@pytest.mark.parametrize("age_seconds", [3600, 310, -310])
def test_a_call_of_another_time_is_refused(receiver: Running, age_seconds: int) -> None:
    assert call_of(new_case(), 1, age_seconds=age_seconds).to(receiver) == 401


@pytest.mark.parametrize("age_seconds", [240, -240])
def test_a_clock_may_be_a_little_off(receiver: Running, age_seconds: int) -> None:
    assert call_of(new_case(), 1, age_seconds=age_seconds).to(receiver) == 204


@pytest.mark.parametrize(
    "secrets",
    [
        (OLD_SECRET,),
        (NEW_SECRET,),
        (NEW_SECRET, OLD_SECRET),
        (FOREIGN_SECRET, OLD_SECRET),
        (NEW_SECRET, FOREIGN_SECRET),
    ],
    ids=["old", "new", "both", "old and one not known yet", "new and one not known any longer"],
)
def test_while_a_secret_is_replaced_either_is_taken(receiver: Running, secrets: tuple[str, ...]) -> None:
    case = new_case()
    assert call_of(case, 1, *secrets).to(receiver) == 204
    receiver.files(case, 1)


def test_signatures_of_unknown_versions_are_skipped(receiver: Running) -> None:
    call = call_of(new_case(), 1)
    signatures = f"v1a,AAAA v9 v2,x,y {call.headers['webhook-signature']} v3,"
    assert receiver.post(call.body, {**call.headers, "webhook-signature": signatures}) == 204


def test_a_call_that_comes_twice_has_one_effect(receiver: Running) -> None:
    case = new_case()
    assert [call_of(case, 1).to(receiver) for _ in range(3)] == [204, 204, 204]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: call_of(case, 2).to(receiver), range(8)))
    assert answers == [204] * 8
    assert call_of(case, 3).to(receiver) == 204
    receiver.files(case, 1, 2, 3)


def test_what_comes_too_early_is_acknowledged_and_waits(receiver: Running) -> None:
    case, other = new_case(), new_case()
    assert [call_of(case, number).to(receiver) for number in (3, 2)] == [204, 204]
    assert call_of(other, 1).to(receiver) == 204
    receiver.files(other, 1)
    assert receiver.filed_of(case) == []
    assert call_of(case, 1).to(receiver) == 204
    receiver.files(case, 1, 2, 3)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations([1, 1, 2, 3, 3, 4, 5]))
def test_a_case_is_filed_in_order_however_it_comes(receiver: Running, order: list[int]) -> None:
    case = new_case()
    assert {call_of(case, number).to(receiver) for number in order} == {204}
    receiver.files(case, 1, 2, 3, 4, 5)


def test_a_gap_is_pulled_page_by_page(receiver: Running, pulls: PullServer) -> None:
    case, unseen = new_case(), new_case()
    assert call_of(case, 1).to(receiver) == 204
    receiver.files(case, 1)
    asked = len(pulls.asked)
    for number in range(1, 7):
        pulls.add(case, number)
    pulls.add(unseen, 1)
    assert call_of(case, 7).to(receiver) == 204
    receiver.files(case, 1, 2, 3, 4, 5, 6, 7)
    receiver.files(unseen, 1)
    end = len(pulls.deliveries)
    assert pulls.asked[asked:] == [pulls.cursor(end - left) for left in (7, 5, 3, 1)]
    assert pulls.refused == 0
    # What was pulled is pushed too: nobody knew that we have it.
    assert [call_of(case, number).to(receiver) for number in range(1, 7)] == [204] * 6
    assert call_of(case, 8).to(receiver) == 204
    receiver.files(case, 1, 2, 3, 4, 5, 6, 7, 8)


def test_a_pull_that_failed_is_made_again(receiver: Running, pulls: PullServer) -> None:
    case, other = new_case(), new_case()
    pulls.add(case, 1)
    pulls.failing = True
    failures = receiver.log().count("to be tried again")
    try:
        assert call_of(case, 2).to(receiver) == 204
        eventually(lambda: receiver.log().count("to be tried again") > failures)
    finally:
        pulls.failing = False
    assert receiver.filed_of(case) == []
    pulls.add(other, 1)
    assert call_of(other, 2).to(receiver) == 204
    receiver.files(case, 1, 2)
    receiver.files(other, 1, 2)


def test_what_was_acknowledged_outlives_a_kill_and_a_start_pulls_on(
    receiver: Running, pulls: PullServer, kit: Kit
) -> None:
    done, held, missed = new_case(), new_case(), new_case()
    pulls.add(done, 1)
    assert [call_of(done, 2).to(receiver), call_of(held, 2).to(receiver)] == [204, 204]
    receiver.files(done, 1, 2)
    before, cursor = receiver.filed(), pulls.cursor(len(pulls.deliveries))
    acknowledged = new_case()
    assert call_of(acknowledged, 1).to(receiver) == 204
    receiver.kill()
    asked = len(pulls.asked)  # one pull may have served both cases, or each had its own
    lines = None if kit.program == "python" else receiver.store_path
    half_written = lines or receiver.store_path.with_name("store-journal")
    with half_written.open("ab") as file:
        file.write(b'{"took": "half a li')
    pulls.add(missed, 1)
    receiver.start()
    receiver.files(missed, 1)
    receiver.files(acknowledged, 1)
    assert pulls.asked[asked] == cursor
    assert receiver.filed()[: len(before)] == before
    assert [call_of(done, 2).to(receiver), call_of(held, 1).to(receiver)] == [204, 204]
    receiver.files(held, 1, 2)
    receiver.files(done, 1, 2)
    for line in lines.read_bytes().splitlines() if lines else ():
        json.loads(line)


def test_a_drill_is_acknowledged_and_shown_but_not_filed(receiver: Running, pulls: PullServer) -> None:
    case = new_case()
    assert call_of(case, 1).to(receiver) == 204
    assert [call_of(case, 2, kind="drill", drill=True).to(receiver) for _ in range(2)] == [204, 204]
    pulls.add(case, 3, kind="drill")
    assert call_of(case, 4).to(receiver) == 204
    receiver.files(case, 1, 4)
    early = new_case()
    assert call_of(early, 17, kind="drill", drill=True).to(receiver) == 204
    shown = f"{case}-2", f"{case}-3", f"{early}-17"
    eventually(lambda: all(delivery_id in receiver.log() for delivery_id in shown))
    assert [receiver.log().count(delivery_id) for delivery_id in shown] == [1, 1, 1]


def test_a_reminder_and_a_replay_are_deliveries_of_their_own(receiver: Running) -> None:
    case = new_case()
    for number, kind in enumerate(("repeat", "replay"), start=2):
        assert call_of(case, number, kind=kind, alert_id=f"alert-{case}-1").to(receiver) == 204
    assert call_of(case, 1).to(receiver) == 204
    receiver.files(case, 1, 2, 3)


def test_a_thin_call_is_filed_when_its_contents_are_pulled(receiver: Running, pulls: PullServer) -> None:
    case = new_case()
    whole = alert_of(case, 1, headline=f"all of {case}")
    ids = {name: whole[name] for name in ("alert_id", "case_id", "sequence", "status", "level", "family")}
    ids |= {"rule": {"id": "P01"}, "delivery_id": f"{case}-1", "delivery_sequence": 1, "fetch": "/v1/alerts"}
    thin = signed(f"{case}-1", json.dumps(ids).encode())
    asked = len(pulls.asked)
    assert thin.to(receiver) == 204
    eventually(lambda: len(pulls.asked) > asked)
    assert receiver.filed_of(case) == []
    pulls.add(case, 1, headline=f"all of {case}")
    assert call_of(case, 2).to(receiver) == 204
    receiver.files(case, 1, 2)
    assert f"all of {case}".encode() in receiver.store_path.read_bytes()
    assert thin.to(receiver) == 204
    receiver.files(case, 1, 2)


def test_a_body_that_is_too_large_is_refused(receiver: Running) -> None:
    case = new_case()
    assert status_of_declared(receiver.port, BODY_BYTES_MAX + 1) == 413
    chunks = [b" " * 65536] * (BODY_BYTES_MAX // 65536)
    assert status_of_chunks(receiver.port, call_of(case, 1).headers, [*chunks, b" "]) == 413
    fits = json.dumps(alert_of(case, 1)).encode().ljust(BODY_BYTES_MAX)
    assert signed(f"{case}-1", fits).to(receiver) == 204
    receiver.files(case, 1)


def test_a_body_in_chunks_is_taken(receiver: Running) -> None:
    case = new_case()
    call = call_of(case, 1)
    assert status_of_chunks(receiver.port, call.headers, [call.body[:100], call.body[100:]]) == 204
    receiver.files(case, 1)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '"text"',
        "{",
        '{"case_id": "c", "delivery_sequence": 1',
        '{"case_id": "c", "delivery_sequence": 1} x',
        '{"case_id": "c"}',
        '{"delivery_sequence": 1}',
        '{"case_id": 1, "delivery_sequence": 1}',
        '{"case_id": "c", "delivery_sequence": "1"}',
        '{"case_id": "c", "delivery_sequence": true}',
        '{"case_id": "c", "delivery_sequence": 0}',
        '{"case_id": "c", "delivery_sequence": -1}',
        '{"case_id": "c", "delivery_sequence": 1.5}',
        '{"case_id": "c", "delivery_sequence": 1e300}',
        '{"case_id": "c", "delivery_sequence": 99999999999999999999}',
        '{"case_id": "c\n", "delivery_sequence": 1}',
        '{"case_id": "\\x", "delivery_sequence": 1}',
        "[" * 100_000,
        '{"case_id": ' * 50_000,
    ],
    ids=lambda body: body[:40],
)
def test_a_signed_body_that_is_no_delivery_is_told_so(receiver: Running, body: str) -> None:
    case = new_case()
    assert signed(case, body.encode()).to(receiver) == 400
    assert call_of(case, 1).to(receiver) == 204


def test_only_alerts_is_called(receiver: Running) -> None:
    call = call_of(new_case(), 1)
    assert receiver.post(call.body, call.headers, "/else") == 404
    assert receiver.post(call.body, call.headers, "//alerts:x") in (400, 404)
    assert call.to(receiver) == 204


def test_neither_secrets_nor_what_was_said_is_logged(receiver: Running) -> None:
    case = new_case()
    assert call_of(case, 1).to(receiver) == 204
    assert signed(case, b'{"headline": "said", "case_id').to(receiver) == 400
    receiver.files(case, 1)
    log = receiver.log()
    for text in (TOKEN, *(secret.removeprefix("whsec_") for secret in (NEW_SECRET, OLD_SECRET)), "headline", "疑似"):
        assert text not in log
    assert receiver.store_path.stat().st_mode & 0o077 == 0


def test_with_no_server_to_pull_from_it_waits_for_the_push(kit: Kit, tmp_path: Path) -> None:
    with running(kit, tmp_path, PULL_URL="") as receiver:
        case, thin = new_case(), new_case()
        assert call_of(thin, 1, fetch="/v1/alerts").to(receiver) == 204
        assert call_of(case, 2).to(receiver) == 204
        receiver.files(thin, 1)
        assert call_of(case, 1).to(receiver) == 204
        receiver.files(case, 1, 2)
        lost = new_case()
        assert [call_of(lost, number).to(receiver) for number in (7, 6)] == [204, 204]
        receiver.kill()
        receiver.start(SKIP_GAPS="1")
        receiver.files(lost, 6, 7)
        assert call_of(lost, 8).to(receiver) == 204
        receiver.files(lost, 6, 7, 8)


@pytest.mark.parametrize(
    "secrets",
    [
        "",
        f"{NEW_SECRET},whsec_c2hvcnQ=",
        f"{NEW_SECRET},{OLD_SECRET[:-4]}%A==",
        f"{NEW_SECRET},{OLD_SECRET.removeprefix('whsec_')}",
    ],
    ids=["none", "short", "not base64", "without its prefix"],
)
def test_without_good_secrets_it_does_not_start(kit: Kit, tmp_path: Path, secrets: str) -> None:
    env = {"WEBHOOK_SECRETS": secrets, "PORT": "0", "STORE": "store", "JDK_JAVA_OPTIONS": JAVA_OPTIONS}
    process = subprocess.Popen(
        kit.command(), env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        said, complained = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1
    assert said == ""
    assert "WEBHOOK_SECRETS" in complained
    assert all(secret.removeprefix("whsec_") not in complained for secret in secrets.split(",") if secret)


def test_the_python_receivers_differ_in_their_framework_alone() -> None:
    fastapi, flask = (
        (FOLDER / name).read_text(encoding="utf-8") for name in ("fastapi_receiver.py", "flask_receiver.py")
    )
    start, end = "BODY_BYTES_MAX =", "def create_app"
    assert fastapi[fastapi.index(start) : fastapi.index(end)] == flask[flask.index(start) : flask.index(end)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_show_the_receivers_as_they_are(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert refreshed(text) == text, "run: .venv/bin/python -m docs.embed"
    for file in FILES:
        assert file.read_text(encoding="utf-8") in text


def test_every_receiver_is_tested_and_shown() -> None:
    assert (
        {kit.file for kit in KITS}
        == {file.name for file in FILES}
        == {file.name for file in FOLDER.iterdir() if file.is_file()}
    )


def test_both_pages_have_the_same_parts() -> None:
    shapes = []
    for page in PAGES:
        text = re.sub(r"```.*?```", "```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        lines = text.splitlines()
        code = re.findall(r"`([^`\n]+)`", text)
        marks = [re.match(r"#+|\||[-\d]+\.? |    ", line) for line in lines]
        shapes.append(([mark[0] for mark in marks if mark], sorted(code)))
    assert shapes[0] == shapes[1]


def test_the_pages_tell_the_schedule_that_is_kept() -> None:
    for page, units in zip(PAGES, (("s", "min", "h"), ("秒", "分钟", "小时")), strict=True):
        row = re.search(r"^\| [^|]*±20 %[^|]*\|(.*)\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert row is not None
        seconds = dict(zip(units, (SECOND, MINUTE, HOUR), strict=True))
        told = [int(number) * seconds[unit] for number, unit in (cell.split() for cell in row[1].split("|"))]
        assert told == [*SCHEDULE]
