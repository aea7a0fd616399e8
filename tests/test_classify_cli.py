"""`classify`: a text or a set in, labels and level out; errors name the line and never the text."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.base import Level
from rules.engine import Engine
from rules.pack import Pack, load_pack
from rules.text.result import Finding, Screened
from rules.text.screen import Screener
from rules.text_level import TextJudge, TextJudged, failing_texts
from tests.test_pack import DEFAULT
from tests.text_support import BRIBE, INACTION, QUIET, call, lines_of, one_pack, pack, told

__all__ = ["one_pack"]


# --- the level of a text alone ---


def found(
    category: str, confidence: int, specificity: int = 0, *, severe: bool = False, accuses: bool = False
) -> Finding:
    return Finding(category, confidence, specificity, severe, "official", "cue", accuses, "某某")


def judged(
    *findings: Finding, request_type: str | None = None, field: str = "content", of: Pack | None = None
) -> TextJudged:
    return TextJudge(Engine(of or pack())).judge(Screened(findings), request_type, field)


def test_a_text_has_the_level_that_its_category_s_rule_gives_its_facts() -> None:
    assert (judged().labels, judged().level) == ((), None)
    assert judged(found("C01", 30)).level is Level.BLUE
    assert judged(found("C01", 80, 1)).level is Level.YELLOW
    both = judged(found("C08", 30), found("C01", 90, 3, severe=True))
    assert (both.labels, both.level) == (("C01", "C08"), Level.RED)
    assert both.levels == {"C01": Level.RED, "C08": Level.BLUE}


def test_below_every_threshold_a_finding_is_no_label() -> None:
    assert judged(found("C04", 10)) == TextJudged((found("C04", 10),), {})


def test_what_needs_the_handling_does_not_speak_on_text_alone() -> None:
    sure = judged(found("C04", 95, 5, severe=True))
    assert sure.levels == {"C04": Level.BLUE}  # yellow needs an overdue ticket, X3 a process warning


@pytest.mark.parametrize("request_type", ["consultation", "praise"])
def test_in_a_question_or_praise_only_what_accuses_counts(request_type: str) -> None:
    assert judged(found("C08", 90), request_type=request_type).labels == ()
    assert judged(found("C08", 90, accuses=True), request_type=request_type).labels == ("C08",)
    assert judged(found("C08", 90), request_type=request_type, field="comment").labels == ("C08",)
    assert judged(found("C08", 90), request_type="complaint").labels == ("C08",)


def test_a_category_without_facts_counts_for_nothing() -> None:
    assert judged(found("Z9", 90, 5)) == TextJudged()


@pytest.fixture(scope="module")
def greedy(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A pack of text rules that would speak without any text, or about two categories."""
    folder = tmp_path_factory.mktemp("greedy")
    (folder / "pack.yaml").write_text("name: greedy\n", encoding="utf-8")
    common = (
        "version: 1\nstatus: stable\nfamily: T\nbasis: 试行\nheadline: 疑似问题\naccused: target\nrunbook: 看证据。\n"
    )
    cases = (
        "cases:\n  - {name: 是, facts: {c01.confidence: 90, c08.confidence: 90}, level: red}\n"
        "  - {name: 否, facts: {text.level: 3}, level: null}\n"
    )
    for name, condition in (("X8", "returns.count == 0"), ("X9", "c01.confidence >= 50 && c08.confidence >= 50")):
        text = f"id: {name}\ntitle: 试\n{common}levels: {{red: '{condition}'}}\n{cases}"
        (folder / f"{name}-trial.yaml").write_text(text, encoding="utf-8")
    return load_pack(folder)


def test_a_rule_over_two_categories_gives_the_level_and_no_label(greedy: Pack) -> None:
    result = judged(found("C01", 60), found("C08", 60), of=greedy)
    assert (result.labels, result.level, dict(result.levels)) == ((), Level.RED, {"X9": Level.RED})
    assert judged(found("C01", 60), of=greedy).level is None


def test_every_text_in_the_default_pack_comes_out_as_its_file_says() -> None:
    screener, judge = Screener(pack().lexicon), TextJudge(Engine(pack()))
    assert [one for rule in pack().rules for one in failing_texts(rule, screener, judge)] == []


# --- one text ---


def test_one_text_on_standard_input_or_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("\ufeff" + BRIBE + "\n", encoding="utf-8")
    record = told(call("classify", "--json", stdin=BRIBE))
    assert record == told(call("classify", path, "--json")) == told(call("classify", "-", "--json", stdin=BRIBE))
    assert "C08" in record["labels"]
    assert record["level"] in ("blue", "yellow", "red")
    (bribe,) = [one for one in record["findings"] if one["category"] == "C08"]
    assert bribe["counts"]
    assert bribe["title"] == "收受礼品礼金、索贿受贿"
    assert 0 < bribe["confidence"] <= 100
    assert "cues" not in record


def test_explain_tells_of_each_cue_what_each_gate_said() -> None:
    denied = "街道没有不管不问,第二天就上门处理"
    cues = told(call("classify", "--json", "--explain", stdin=denied))["cues"]
    (stopped,) = [one for one in cues if one["words"] == "不管不问"]
    assert denied[stopped["start"] : stopped["end"]] == "不管不问"
    assert (stopped["suppressed_by"], stopped["confidence"]) == ("negation", 0)
    assert stopped["verdicts"][-1]["factor"] == 0
    shown = call("classify", "--explain", stdin=denied).stdout
    assert "“不管不问” C04 不作为慢作为" in shown
    assert "止于否定关" in shown
    assert stopped["verdicts"][-1]["reason"] in shown


def test_a_person_is_shown_the_text_with_its_cues_marked_and_no_terminal_codes_in_a_pipe() -> None:
    shown = call("classify", "--request-type", "report", stdin=INACTION).stdout
    assert "【不作为】" in shown.replace("城管【", "【")
    assert "C04 不作为慢作为:蓝色预警" in shown
    assert "诉求类型:举报" in shown
    assert "\x1b" not in shown


def test_terminal_codes_in_a_text_are_not_passed_on() -> None:
    evil = f"\x1b]0;标题\x07\u202e{INACTION}\x9b31m"
    for arguments in ((), ("--explain",), ("--explain", "--json")):
        shown = call("classify", *arguments, stdin=evil).stdout
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown)


def test_a_quiet_text_is_no_warning() -> None:
    record = told(call("classify", "--json", stdin=QUIET))
    assert (record["labels"], record["level"]) == ([], None)
    assert "不预警" in call("classify", stdin=QUIET).stdout


@pytest.mark.parametrize("field", ["reason", "reply"])
def test_units_words_are_never_screened(field: str) -> None:
    record = told(call("classify", "--json", "--explain", "--field", field, stdin=BRIBE))
    assert (record["labels"], record["level"], record["findings"], record["cues"]) == ([], None, [], [])


def test_only_the_beginning_of_a_huge_text_is_read() -> None:
    record = told(call("classify", "--json", stdin=f"{QUIET}。\n" * 10_000 + BRIBE))
    assert record["characters_read"] == 20_000 < record["characters"]
    assert "C08" not in record["labels"]


REFUSED: dict[str, tuple[tuple[str, ...], bytes, str]] = {
    "nothing": ((), b"", "standard input is empty"),
    "blanks alone": ((), b" \n\t\n", "standard input is empty"),
    "not UTF-8": ((), "第一行\n".encode() + "张某贪污".encode("gb18030"), "line 2: is not UTF-8"),
    "too much": ((), b"a" * (16 * 1024 * 1024 + 1), "is over 16777216 bytes"),
    "no such file": (("张某贪污了三万元",), b"", "FILE cannot be read: No such file"),
    "an endless name": (("张某贪污了三万元" * 200,), b"", "FILE cannot be read"),
    "a folder": ((str(DEFAULT),), b"", "FILE cannot be read: Is a directory"),
    "a request type": (("--request-type", "张某"), b"x", "--request-type (not shown) is unknown"),
    "a field": (("--field", "body"), b"x", "--field 'body' is unknown"),
    "a set and a file": (("--jsonl", "-", "x.txt"), b"", "--jsonl takes a set"),
    "a set explained": (("--jsonl", "-", "--explain"), b"", "--jsonl takes a set"),
    "no pack": (("--rules", "/nowhere"), b"x", ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_classified_ends_with_status_2_and_shows_no_text(name: str) -> None:
    arguments, stdin, problem = REFUSED[name]
    result = call("classify", *arguments, stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr
    assert "张某" not in result.stderr


def test_the_allowed_request_types_are_listed() -> None:
    error = call("classify", "--request-type", "rant", stdin="x").stderr
    assert "consultation, help, complaint, report, suggestion, praise, other" in error


# --- a set ---

LINES: tuple[dict[str, Any], ...] = (
    {"text": BRIBE, "request_type": "report", "id": 7},
    {"text": QUIET, "labels": ["C01"]},
    {"text": ""},
    {"text": BRIBE, "field": "reply"},
    {"text": BRIBE, "field": None, "request_type": None},
    {"text": INACTION, "field": "comment", "request_type": "praise"},
    {"text": INACTION, "field": "title", "request_type": "complaint"},
)


def answers(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


def test_a_set_gives_one_line_a_line_in_the_same_order(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl.gz"
    path.write_bytes(gzip.compress(lines_of(*LINES).encode()))
    result = call("classify", "--jsonl", path)
    assert (result.exit_code, result.stderr) == (0, "")
    found = answers(result.stdout)
    assert [set(one) for one in found] == [{"labels", "level"}] * len(LINES)
    assert ["C08" in one["labels"] for one in found] == [True, False, False, False, True, False, False]
    assert [found[index] for index in (1, 2, 3)] == [{"labels": [], "level": None}] * 3
    assert ["C04" in one["labels"] for one in found[5:]] == [True, True]


def test_a_line_of_a_set_and_the_same_text_alone_say_the_same() -> None:
    for line in LINES:
        if not line["text"]:
            continue
        options = [(f"--{name.replace('_', '-')}", line[name]) for name in ("request_type", "field") if line.get(name)]
        alone = told(call("classify", "--json", *(part for pair in options for part in pair), stdin=line["text"]))
        (of_set,) = answers(call("classify", "--jsonl", "-", stdin=lines_of(line)).stdout)
        assert of_set == {"labels": alone["labels"], "level": alone["level"]}


def test_options_are_for_the_lines_that_do_not_say() -> None:
    stdin = lines_of({"text": BRIBE}, {"text": BRIBE, "field": "content"})
    found = answers(call("classify", "--jsonl", "-", "--field", "reply", stdin=stdin).stdout)
    assert [bool(one["labels"]) for one in found] == [False, True]


def test_half_characters_blank_lines_and_a_byte_order_mark_are_borne() -> None:
    plain = '{"text": "\\ud83d村支书张某收了我五千块红包\\udc00,有转账记录"}'
    found = answers(call("classify", "--jsonl", "-", stdin=f"\ufeff{plain}\r\n\r\n   \n{plain}").stdout)
    assert len(found) == 2
    assert all("C08" in one["labels"] for one in found)


def test_an_empty_set_gives_nothing() -> None:
    assert call("classify", "--jsonl", "-").output == ""


BAD_LINES: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("张某贪污", "is not JSON (column 1)"),
    "half of it": ('{"text": "张某贪污', "is not JSON"),
    "a list": ('["张某"]', "is no JSON object"),
    "no text": ('{"content": "张某"}', "text is missing"),
    "null for a text": ('{"text": null}', "text is missing"),
    "a number for a text": ('{"text": 12345}', "text is no string"),
    "a key twice": ('{"text": "张某", "text": "李某"}', "says a key twice"),
    "an unknown request type": ('{"text": "x", "request_type": "张某贪污"}', "request_type (not shown) is unknown"),
    "a request type of another kind": ('{"text": "x", "request_type": ["help"]}', "request_type (not shown) is unknown"),
    "an unknown field": ('{"text": "x", "field": "body"}', "field 'body' is unknown: write one of title, content, comment"),
    "another encoding": ('{"text": "张某"}'.encode("gb18030"), "is not UTF-8"),
    "too deep": ("[" * 100_000, "is not JSON that can be read"),
    "a huge number": ('{"text": "x", "n": ' + "9" * 5_000 + "}", "is not JSON that can be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_ends_the_run_and_is_named_by_file_and_line(name: str, tmp_path: Path) -> None:
    line, problem = BAD_LINES[name]
    path = tmp_path / "set.jsonl"
    good = lines_of({"text": QUIET}).encode()
    path.write_bytes(good + b"\n" + (line.encode() if isinstance(line, str) else line) + b"\n" + good)
    result = call("classify", "--jsonl", path)
    assert result.exit_code == 2
    assert len(result.stdout.splitlines()) == 1  # what came before is told
    assert f"{path}:3: {problem}" in result.stderr
    assert "张某" not in result.stderr


def test_a_set_that_cannot_be_read_ends_with_status_2(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(gzip.compress(lines_of(*LINES).encode() * 50)[:-40])
    for path in (tmp_path / "none.jsonl", tmp_path, broken):
        result = call("classify", "--jsonl", path)
        assert result.exit_code == 2
        assert str(path) in result.stderr


def test_as_a_process_nothing_of_a_text_goes_to_standard_error() -> None:
    code = "from cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "classify", "--jsonl", "-"],
        input=lines_of({"text": BRIBE}, {"text": BRIBE, "request_type": BRIBE}).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout.count(b"\n") == 1
    assert done.stderr.decode().startswith("hotline-watch: stdin:2: request_type (not shown) is unknown")
