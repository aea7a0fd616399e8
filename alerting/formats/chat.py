"""What a chat card says, in Chinese, whichever robot shows it: one alert in full, or several as a digest.

A card is a row of pieces. Each robot's module says what a piece looks like and costs; `fitted` leaves off what does not
fit, and says so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from alerting.formats.plain import clip, plain
from alerting.payload import Entry, payload
from models.base import LEVEL_RANK, Level, Status
from models.delivery import DeliveryKind
from models.subscriber import Subscriber
from models.times import format_minute, parse_instant

TITLE_BYTES_MAX = 300
TEXT_BYTES_MAX = 450
EVIDENCE_MAX = 5
DIGEST_LINES_MAX = 50
"""More than that nobody reads in a chat group."""
_NAMES_MAX = 5

CLOSING = "系统提示线索,不是结论;以核查为准"
DRILL_CLOSING = "演练消息:不是真实预警,无须处置"
KIND_PREFIXES = {
    DeliveryKind.ALERT: "",
    DeliveryKind.REPEAT: "【提醒】",
    DeliveryKind.REPLAY: "【重发】",
    DeliveryKind.DRILL: "【演练】",
}
LEVEL_TITLES = {Level.BLUE: "蓝", Level.YELLOW: "黄", Level.RED: "红"}
LEVEL_MEANINGS = {Level.BLUE: "蓝色(提示)", Level.YELLOW: "黄色(督办)", Level.RED: "红色(立即)"}
STATUS_TITLES = {
    Status.RAISED: "新预警",
    Status.ESCALATED: "升级",
    Status.CORRECTED: "更正",
    Status.RETRACTED: "撤回",
}
FLAG_TITLES = {
    "backfill": "历史补录",
    "calendar_incomplete": "工作日历不全",
    "drill": "演练",
    "euphemism_only": "仅有委婉说法",
    "frequent_caller": "频繁来电人",
    "rating_changed": "改过评价",
    "rule_on_trial": "规则试行",
    "test": "测试工单",
    "truncated": "经过太长,已略去一部分",
    "unclear_responsibility": "职责不清",
    "unexpected_transition": "办理流程异常",
}


class Part(Enum):
    """What a piece of a card is."""

    TITLE = "title"
    HEADING = "heading"
    LINE = "line"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a card, neutralised and cut to its length; `level` where it is to be coloured."""

    part: Part
    text: str
    label: str = ""
    level: Level | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A title, what follows it, and the notes that must stand at the end."""

    title: Piece
    pieces: tuple[Piece, ...]
    closing: tuple[Piece, ...]
    rest: str
    """What is said where pieces were left off; `{count}`: how many lines."""
    rest_before: int = 0
    """How many lines were left off already."""


def card_of(entries: Sequence[Entry], subscriber: Subscriber) -> Card:
    """Return the card for one alert, or the digest of several, from the fields the subscriber may have."""
    if len(entries) == 1:
        return _single(entries[0], payload(entries[0], subscriber))
    return _digest([(entry, payload(entry, subscriber)) for entry in entries])


def fitted(card: Card, cost: Callable[[Piece], int], budget: int) -> tuple[Piece, ...]:
    """Return the card's pieces whose cost is within the budget: title and closing always, of the others the first ones,
    with a note where some were left off.
    """
    lines = sum(piece.part is Part.LINE for piece in card.pieces)
    note = _note(card.rest.format(count=lines + card.rest_before))
    ends = (card.title, *card.closing)
    if card.rest_before == 0 and sum(map(cost, (*ends, *card.pieces))) <= budget:
        return (card.title, *card.pieces, *card.closing)
    left = budget - sum(map(cost, (*ends, note)))
    kept: list[Piece] = []
    for piece in card.pieces:
        left -= cost(piece)
        if left < 0:
            break
        kept.append(piece)
    while kept and kept[-1].part is Part.HEADING:
        kept.pop()
    missing = lines - sum(piece.part is Part.LINE for piece in kept) + card.rest_before
    return (card.title, *kept, _note(card.rest.format(count=missing)), *card.closing)


def _note(text: str) -> Piece:
    return Piece(Part.NOTE, text)


def _shown(text: str) -> str:
    return clip(plain(text), TEXT_BYTES_MAX)


def _closing(kinds: Sequence[DeliveryKind]) -> tuple[Piece, ...]:
    drill = (_note(DRILL_CLOSING),) if DeliveryKind.DRILL in kinds else ()
    return (*drill, _note(CLOSING))


def _told(entry: Entry, fields: dict[str, Any]) -> str:
    """Return how a card calls an alert: 【预警·红】 and its headline; without a headline the rule's title."""
    status, level = Status(fields["status"]), Level(fields["level"])
    change = "" if status is Status.RAISED else STATUS_TITLES[status]
    headline = fields.get("headline")
    if headline is None:
        headline = f"疑似{fields['rule']['title']}"
    prefix = KIND_PREFIXES[entry.kind]
    # A drill's headline says so itself, for those who read it elsewhere.
    return f"{prefix}【预警{change}·{LEVEL_TITLES[level]}】{plain(headline.removeprefix(prefix))}"


def _colour(fields: dict[str, Any]) -> Level | None:
    return None if fields["status"] == Status.RETRACTED else Level(fields["level"])


def _time(fields: dict[str, Any]) -> str:
    return format_minute(parse_instant(fields["event_time"]))


def _single(entry: Entry, fields: dict[str, Any]) -> Card:
    title = Piece(Part.TITLE, clip(_told(entry, fields), TITLE_BYTES_MAX), level=_colour(fields))
    lines = tuple(
        Piece(Part.LINE, _shown(text), label, _colour(fields) if label == "等级" else None)
        for label, text in _lines(fields)
        if text
    )
    return Card(title, lines, _closing([entry.kind]), "内容较长,其余见平台")


def _lines(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield label and text of what is known, the most needed first."""
    rule = fields["rule"]
    yield "规则", f"{rule['id']} {rule['title']}"
    yield "等级", LEVEL_MEANINGS[Level(fields["level"])]
    yield "状态", STATUS_TITLES[Status(fields["status"])]
    yield "时间", _time(fields)
    yield "案件", f"{fields['case_id']}(第{fields['sequence']}版)"
    yield "被反映", _some(_units(fields, "accused"), "个单位")
    yield "涉及", _some(_units(fields, "involved"), "个单位")
    yield "地点", _place(fields)
    yield "工单", _some(fields.get("tickets", ()), "张")
    yield "标记", "、".join(FLAG_TITLES.get(flag, flag) for flag in fields.get("flags", ()))
    evidence = fields.get("evidence", ())
    # The newest ones: what led to the warning stands at the end of the timeline.
    for one in evidence[-EVIDENCE_MAX:]:
        yield "证据", f"{format_minute(parse_instant(one['occurred_at']))} {one['what']}"
    if len(evidence) > EVIDENCE_MAX:
        yield "证据", f"另有 {len(evidence) - EVIDENCE_MAX} 条见平台"


def _units(fields: dict[str, Any], role: str) -> list[str]:
    return [unit.get("name") or unit["id"] for unit in fields.get("units", ()) if unit["role"] == role]


def _place(fields: dict[str, Any]) -> str:
    place = fields.get("place") or {}
    return " ".join(place[part] for part in ("district", "street", "community") if place.get(part))


def _some(names: Sequence[str], counted: str) -> str:
    told = "、".join(names[:_NAMES_MAX])
    return f"{told} 等 {len(names)} {counted}" if len(names) > _NAMES_MAX else told


def _digest(told: Sequence[tuple[Entry, dict[str, Any]]]) -> Card:
    cases: dict[str, list[tuple[Entry, dict[str, Any]]]] = {}
    for entry, fields in told:
        cases.setdefault(fields["case_id"], []).append((entry, fields))
    kinds = [entry.kind for entry, _ in told]
    prefix = KIND_PREFIXES[kinds[0]] if len(set(kinds)) == 1 else ""
    worst = max((_colour(fields) for _, fields in told), key=lambda level: LEVEL_RANK[level])
    title = Piece(Part.TITLE, f"{prefix}汇总:{len(told)} 条预警", level=worst)
    pieces: list[Piece] = []
    # What is most severe first; of one case in the order of its versions, or the last would not be known for the last.
    for case_id, members in sorted(cases.items(), key=lambda case: -_severity(case[1])):
        pieces.append(Piece(Part.HEADING, _heading(case_id, members)))
        for entry, fields in sorted(members, key=lambda one: one[0].delivery_sequence):
            text = clip(f"{_told(entry, fields)}({_time(fields)})", TEXT_BYTES_MAX)
            pieces.append(Piece(Part.LINE, text, level=_colour(fields)))
    shown = _first_lines(pieces, DIGEST_LINES_MAX)
    left = len(told) - sum(piece.part is Part.LINE for piece in shown)
    return Card(title, tuple(shown), _closing(kinds), "其余 {count} 条见平台", left)


def _first_lines(pieces: Sequence[Piece], lines_max: int) -> list[Piece]:
    shown: list[Piece] = []
    for piece in pieces:
        if sum(one.part is Part.LINE for one in shown) == lines_max:
            break
        shown.append(piece)
    return shown


def _severity(members: Sequence[tuple[Entry, dict[str, Any]]]) -> int:
    return max(LEVEL_RANK[_colour(fields)] for _, fields in members)


def _heading(case_id: str, members: Sequence[tuple[Entry, dict[str, Any]]]) -> str:
    units = dict.fromkeys(name for _, fields in members for name in _units(fields, "accused"))
    about = f"(被反映:{_some(list(units), '个单位')})" if units else ""
    return clip(plain(f"案件 {case_id}") + plain(about), TEXT_BYTES_MAX)
