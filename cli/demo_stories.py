"""The demo's sample: some 300 ordinary tickets of four months, and five stories among them.

Jiaozhou: handed back four times by three units, once blindly by the unit that is responsible in the end. Yuhuatai: the
same citizen complains of the same matter again and again, and is dissatisfied. Zhongxian: redone twice, and dissatisfied
each time. Yizheng: a community's secretary is banqueted by property companies, told in a complaint; the same words in a unit's
reply raise nothing. Late close: a deadline passes without a word; then the word comes, and the warning is taken back.

The stories follow what was publicly reported of these practices; tickets, units, places and texts are made up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cli.demo_ordinary import Event, TicketStory, ordinary_tickets, when

ORDINARY_TICKETS = 300
UNTIL = "2025-07-01T12:00:00+08:00"
"""When the sample ends: the clock runs on to it, over the last deadlines."""


class Expected(NamedTuple):
    """A warning of a ticket; `level` is the one at which it stands at the end, None where it was retracted."""

    story: str
    ticket: str
    rule: str
    level: str | None


EXPECTED: tuple[Expected, ...] = (
    Expected("胶州", "JZ-1", "P01", "red"),
    Expected("胶州", "JZ-1", "P02", "red"),
    Expected("胶州", "JZ-1", "P12", "red"),
    Expected("雨花台", "YH-3", "P08", "yellow"),
    Expected("雨花台", "YH-3", "P10", "blue"),
    Expected("忠县", "ZX-1", "P09", "red"),
    Expected("忠县", "ZX-1", "P10", "yellow"),
    Expected("忠县", "ZX-1", "P12", "yellow"),
    Expected("仪征", "YZ-1", "C01", "yellow"),
    Expected("迟到的办结", "TL-1", "P06", None),
    Expected("迟到的办结", "TL-2", "P06", "red"),
)
"""What must have come out at `UNTIL`; no other ticket has a yellow or red warning, on the way or in the end."""

_LATE_ARRIVAL = when("05-28 09:00")


def demo_events() -> list[Event]:
    """Return the sample in the order of arrival: that of `occurred_at`, but for one event that arrives ten days late."""
    arrivals = [(event["occurred_at"], event) for ticket in ordinary_tickets(ORDINARY_TICKETS) for event in ticket]
    for story in (_jiaozhou(), *_yuhuatai(), _zhongxian(), *_yizheng(), _overdue()):
        arrivals += [(event["occurred_at"], event) for event in story.events]
    punctual, late = _late_close()
    arrivals += [(event["occurred_at"], event) for event in punctual]
    arrivals.append((_LATE_ARRIVAL.isoformat(), late))
    arrivals.sort(
        key=lambda arrival: arrival[0]
    )  # all in +08:00, so the texts sort as the times do; ties keep their order
    return [event for _, event in arrivals]


_A = {"unit_id": "U-01", "unit_name": "甲街道办事处"}
_B = {"unit_id": "U-02", "unit_name": "乙住建局"}
_C = {"unit_id": "U-03", "unit_name": "丙市政中心"}
_D = {"unit_id": "U-04", "unit_name": "丁街道办事处"}
_W = {"unit_id": "U-05", "unit_name": "戊供水公司"}
_H = {"unit_id": "U-06", "unit_name": "己环保局"}


def _looked(*evidence: str) -> dict[str, Any]:
    return {"contacted": True, "site_checked": True, "evidence": list(evidence)}


def _jiaozhou() -> TicketStory:
    ticket = TicketStory("JZ-1", "citizen-jz")
    text = "来电人反映小区门口的减速带断裂，固定用的钉子外露，扎破了车胎，要求修复并赔偿。"
    ticket.register(
        "03-03 09:00", (("城乡建设", "市政设施", "道路", "减速带"), "减速带钉子扎破车胎", text), "测试甲社区"
    )
    ticket.add("dispatched", "03-03 10:00", **_A, role="lead", round=1)
    blind: dict[str, Any] = {"contacted": False, "site_checked": False, "evidence": []}
    ticket.add("return_requested", "03-03 10:40", **_A, reason_code="R2", reason="不属于本街道监管", **blind)
    ticket.add("return_approved", "03-04 09:00", **_A)
    ticket.add("dispatched", "03-04 10:00", **_B, role="lead", round=2)
    ticket.add("contacted", "03-12 09:00", **_B)
    _return_with_papers(ticket, "03-17 09:00", "03-18 09:00", _B)
    ticket.add("dispatched", "03-18 10:00", **_C, role="lead", round=3)
    ticket.add("site_checked", "03-25 15:00", **_C)
    _return_with_papers(ticket, "04-22 09:00", "04-23 09:00", _C)
    ticket.add("dispatched", "04-23 10:00", **_A, role="lead", round=4)
    _return_with_papers(ticket, "05-20 09:00", "05-21 09:00", _A)
    ticket.add("designated", "06-30 09:00", **_A, basis="会商认定由属地街道承办")
    return ticket


def _return_with_papers(ticket: TicketStory, asked: str, approved: str, unit: dict[str, str]) -> None:
    reason = {"reason_code": "R3", "reason": "道路尚未移交，附移交清单"}
    ticket.add("return_requested", asked, **unit, **reason, **_looked("移交清单"))
    ticket.add("return_approved", approved, **unit)


def _yuhuatai() -> list[TicketStory]:
    matter = ("生态环境", "大气污染", "餐饮油烟")
    text = "楼下烧烤店油烟直排，夜里十二点还在营业，家里不敢开窗，希望尽快处理。"
    tickets = [TicketStory(f"YH-{number}", "citizen-yh") for number in range(1, 7)]
    first, second, third, fourth, lamp, question = tickets
    first.register("03-10 09:00", (matter, "餐饮油烟扰民", text), "测试丁社区")
    _handled(first, "03-10 10:00", "03-12 10:00", due="03-17 18:00")
    second.register("04-07 09:00", (matter, "餐饮油烟扰民", f"再次反映：{text}"), "测试丁社区")
    _handled(second, "04-07 10:00", "04-09 10:00", due="04-14 18:00")
    third.register("04-28 09:00", (matter, "餐饮油烟扰民", f"第三次反映：{text}"), "测试丁社区")
    _handled(third, "04-28 10:00", "04-30 10:00", due="05-08 18:00")
    third.add("visited", "05-06 15:00", result="dissatisfied", attitude="neutral", contacted=True, solved="no")
    fourth.register("05-08 09:00", (matter, "餐饮油烟扰民", "还是上次反映的烧烤店油烟问题，没有改善。"), "测试丁社区")
    fourth.add("merged", "05-08 09:30", into="YH-3")
    third.add("redo_ordered", "05-09 10:00", **_D, round=1, due_at=when("05-15 18:00").isoformat())
    third.add("resolved", "05-12 16:00", **_D, solved="yes", reply="已加装油烟净化设施并复查达标。")
    third.add("visited", "05-14 10:00", result="satisfied", attitude="satisfied", contacted=True, solved="yes")
    third.add("archived", "05-15 10:00")
    # What must not be counted: another matter of the same citizen, and a question about the ticket.
    lamp.register(
        "05-09 09:00", (("城乡建设", "市政设施", "路灯"), "路灯不亮", "小区北门路灯不亮，晚上出行不便。"), "测试丁社区"
    )
    _handled(lamp, "05-09 10:00", "05-12 10:00", due="05-19 18:00")
    asked = (("其他", "工单查询"), "查询工单进度", "来电人咨询此前油烟工单的处理情况。")
    question.register("05-10 09:00", asked, "测试丁社区", request_type="consultation")
    question.add("direct_closed", "05-10 09:05", reason="已告知办理情况")
    return tickets


def _handled(ticket: TicketStory, dispatched: str, resolved: str, *, due: str) -> None:
    ticket.add("dispatched", dispatched, **_D, role="lead", round=1, due_at=when(due).isoformat())
    ticket.add("resolved", resolved, **_D, solved="yes", reply="已到现场要求整改。")


def _zhongxian() -> TicketStory:
    ticket = TicketStory("ZX-1", "citizen-zx")
    text = "三楼以上用水高峰没有水，已持续两个月。"
    ticket.register("04-14 09:00", (("城乡建设", "供水", "水压"), "自来水压力低", text), "测试戊社区")
    ticket.add("dispatched", "04-14 10:00", **_W, role="lead", round=1, due_at=when("04-23 18:00").isoformat())
    ticket.add("resolved", "04-18 10:00", **_W, solved="yes", reply="已调压。")
    ticket.add("visited", "04-21 10:00", result="dissatisfied", attitude="satisfied", contacted=True, solved="no")
    ticket.add("redo_ordered", "04-22 10:00", **_W, round=1, due_at=when("04-29 18:00").isoformat())
    ticket.add("resolved", "04-25 10:00", **_W, solved="partly", reply="已更换加压泵。")
    ticket.add("visited", "04-27 10:00", result="dissatisfied", attitude="neutral", contacted=True, solved="no")
    ticket.add("redo_ordered", "04-28 10:00", **_W, round=2, due_at=when("05-09 18:00").isoformat())
    ticket.add("resolved", "05-06 10:00", **_W, solved="yes", reply="已检修管网。")
    ticket.add(
        "visited", "05-08 10:00", result="very_dissatisfied", attitude="dissatisfied", contacted=True, solved="no"
    )
    return ticket


def _yizheng() -> list[TicketStory]:
    """The complaint, and an ordinary ticket whose reply repeats its words: what a unit says is never screened."""
    accusing, answered = TicketStory("YZ-1", "citizen-yz"), TicketStory("YZ-2", "citizen-yz2")
    matter = ("党务政务", "干部作风", "违规吃喝")
    feast = "社区书记张某多次接受物业公司宴请,4月18日晚在镇上的饭店由两家物业公司老板买单,一桌花了2600元"
    text = f"来电人反映{feast},有付款记录和照片(联系电话199-0000-4821)。"
    accusing.register("05-20 09:00", (matter, "社区书记接受宴请", text), "测试辛社区", request_type="report")
    accusing.add("dispatched", "05-20 10:00", **_D, role="lead", round=1, due_at=when("05-27 18:00").isoformat())
    accusing.add("resolved", "05-26 10:00", **_D, solved="yes", reply="已移交有关部门核实。")
    hall = (("物业管理", "公共秩序", "活动室"), "活动室关闭", "小区的活动室关了两周,希望说明开放时间。")
    answered.register("05-21 09:00", hall, "测试辛社区")
    answered.add("dispatched", "05-21 10:00", **_D, role="lead", round=1, due_at=when("05-28 18:00").isoformat())
    answered.add("resolved", "05-23 10:00", **_D, solved="yes", reply=f"网传{feast},经查不实;活动室已开放。")
    return [accusing, answered]


def _silent(ticket_id: str, community: str) -> TicketStory:
    ticket = TicketStory(ticket_id, f"citizen-{ticket_id.lower()}")
    matter = (("生态环境", "噪声", "施工噪声"), "夜间施工噪音", "工地夜间施工噪音大，影响休息。")
    ticket.register("05-12 09:00", matter, community)
    ticket.add("dispatched", "05-12 10:00", **_H, role="lead", round=1, due_at=when("05-19 18:00").isoformat())
    return ticket


def _late_close() -> tuple[list[Event], Event]:
    """Done in time, but told after the red warning of the fifth work day."""
    ticket = _silent("TL-1", "测试己社区")
    ticket.add("resolved", "05-18 16:00", **_H, solved="yes", reply="已责令停工整改。")
    return ticket.events[:-1], ticket.events[-1]


def _overdue() -> TicketStory:
    """Done late: what was reached stays."""
    ticket = _silent("TL-2", "测试庚社区")
    ticket.add("resolved", "05-29 16:00", **_H, solved="yes", reply="已责令停工整改。")
    ticket.add("visited", "05-31 10:00", result="satisfied", attitude="satisfied", contacted=True, solved="yes")
    ticket.add("archived", "06-03 10:00")
    return ticket
