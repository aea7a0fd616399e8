"""The ordinary tickets of the demo's sample: handled in time, satisfied or unrated, among which the stories have to be found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from models.times import CHINA

FIRST = datetime(2025, 2, 17, 8, 30, tzinfo=CHINA)
LAST = datetime(2025, 6, 18, 17, 0, tzinfo=CHINA)

_RETURNED_EVERY = 14
_ASKED_ONLY_EVERY = 9

_UNITS = tuple(
    (f"U-{number:02d}", name)
    for number, name in enumerate(
        (
            "天街道办事处",
            "地街道办事处",
            "玄街道办事处",
            "黄街道办事处",
            "宇城市管理局",
            "宙住建局",
            "洪交通局",
            "荒水务公司",
        ),
        21,
    )
)
_MATTERS = (
    (("城乡建设", "市政设施", "路灯"), "路灯不亮", "主路两侧有几盏路灯不亮，夜间出行不便"),
    (("城乡建设", "市政设施", "道路"), "路面破损", "门口人行道地砖松动，下雨之后容易积水"),
    (("城乡建设", "供水", "水压"), "自来水压力低", "早晚用水高峰时水流很小，热水器打不着火"),
    (("城市管理", "市容环境", "垃圾清运"), "垃圾清运不及时", "垃圾投放点堆满，天热之后气味难闻"),
    (("城市管理", "停车秩序", "占道停车"), "占道停车", "人行道被车辆占用，行人只能走到机动车道上"),
    (("生态环境", "噪声", "商业噪声"), "音响扰民", "商铺门口的音响从早放到晚，影响附近住户休息"),
    (("物业管理", "设施维修", "电梯"), "电梯故障", "单元电梯本月停运两次，老人上下楼困难"),
    (("交通运输", "公共交通", "公交"), "公交等候时间长", "早高峰公交间隔时间长，站牌时间与实际相差较大"),
)
_QUESTIONS = (
    (("教育", "招生入学", "学位"), "咨询入学材料", "咨询转学手续需要准备哪些材料"),
    (("社会保障", "医疗保险", "报销"), "咨询异地就医", "咨询异地就医备案在哪里办理"),
)
_RATINGS = ("very_satisfied", "satisfied", "satisfied", "basically_satisfied", "not_rated")

Event = dict[str, Any]


def ordinary_tickets(count: int, seed: int = 12345) -> Iterator[list[Event]]:
    """Yield the events of each ordinary ticket, in their order; the same arguments give the same tickets."""
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    gap = (LAST - FIRST) / count
    for number in range(count):
        at = FIRST + gap * number + timedelta(minutes=draw.randrange(60))
        at = at.replace(hour=8 + draw.randrange(10), second=0, microsecond=0)
        ticket = TicketStory(f"P-{number:04d}", f"citizen-p{number:04d}")
        if number % _ASKED_ONLY_EVERY == 4:
            _question(ticket, at, draw)
        else:
            _demand(ticket, at, draw, returned=number % _RETURNED_EVERY == 3)
        yield ticket.events


class TicketStory:
    """Writes the events of one ticket down."""

    def __init__(self, ticket_id: str, citizen: str) -> None:
        self.ticket_id, self._citizen = ticket_id, citizen
        self.events: list[Event] = []

    def add(self, kind: str, at: datetime | str, **fields: Any) -> None:
        """Add an event; a text is a time of 2025 in China: `03-01 09:00`."""
        moment = at if isinstance(at, datetime) else when(at)
        self.events.append(
            {
                "event_id": f"{self.ticket_id}-{len(self.events) + 1:02d}",
                "ticket_id": self.ticket_id,
                "type": kind,
                "occurred_at": moment.isoformat(),
                **fields,
            }
        )

    def register(
        self, at: datetime | str, matter: tuple[tuple[str, ...], str, str], community: str, **fields: Any
    ) -> None:
        """Add the registration: category, title and text of the matter, the community it happened in."""
        category, title, content = matter
        place = {"district": "测试区", "street": "测试街道", "community": community}
        known = {"request_type": "complaint", "place": place, "channel": "phone", "urgency": "normal", **fields}
        named = {"citizen": {"key": self._citizen}, "category": list(category), "title": title, "content": content}
        self.add("registered", at, **named, **known)


def when(text: str) -> datetime:
    """Return a time of 2025 in China, written `03-01 09:00`."""
    return datetime.strptime(f"2025-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=CHINA)


def _question(ticket: TicketStory, at: datetime, draw: random.Random) -> None:
    category, title, content = draw.choice(_QUESTIONS)
    ticket.register(at, (category, title, f"来电人{content}。"), "测试社区", request_type="consultation")
    ticket.add("direct_closed", at + timedelta(minutes=6), reason="话务员在线解答")
    ticket.add("archived", at + timedelta(days=1))


def _demand(ticket: TicketStory, at: datetime, draw: random.Random, *, returned: bool) -> None:
    category, title, content = draw.choice(_MATTERS)
    community, house = f"测试{draw.randrange(1, 60)}社区", draw.randrange(1, 30)
    ticket.register(
        at, (category, title, f"来电人反映：{community}{house}号楼附近{content}，希望尽快处理。"), community
    )
    at += timedelta(minutes=20 + draw.randrange(60))
    unit = _dispatched(ticket, at, draw.choice(_UNITS), 1)
    if returned:
        at = _handed_back(ticket, at, unit)
        unit = _dispatched(ticket, at, draw.choice([one for one in _UNITS if one[0] != unit["unit_id"]]), 2)
    steps = ["accepted", "contacted", "site_checked", "progress"]
    if draw.random() < 0.3:
        steps.remove("progress")
    for step in steps:
        at += timedelta(minutes=40 + draw.randrange(600))
        ticket.add(step, at, **unit)
    at += timedelta(hours=6 + draw.randrange(48))
    ticket.add("resolved", at, **unit, solved="yes", reply="已到现场核实并完成处理。")
    at += timedelta(hours=20 + draw.randrange(40))
    ticket.add("visited", at, result=draw.choice(_RATINGS), attitude="satisfied", contacted=True, solved="yes")
    ticket.add("archived", at + timedelta(hours=5))


def _dispatched(ticket: TicketStory, at: datetime, unit: tuple[str, str], turn: int) -> dict[str, str]:
    named = {"unit_id": unit[0], "unit_name": unit[1]}
    due = (at + timedelta(days=9)).replace(hour=18, minute=0)
    ticket.add("dispatched", at, **named, role="lead", round=turn, due_at=due.isoformat())
    return named


def _handed_back(ticket: TicketStory, at: datetime, unit: dict[str, str]) -> datetime:
    at += timedelta(hours=3)
    looked = {"contacted": True, "site_checked": True, "evidence": ["权属说明"]}
    ticket.add("return_requested", at, **unit, reason_code="R3", reason="设施权属在其他单位，附权属说明", **looked)
    at += timedelta(hours=2)
    ticket.add("return_approved", at, **unit)
    return at + timedelta(hours=1)
