"""What to tell the sender of a refused input, by its reason: in Chinese, for the people who run the hotline's system.

Nothing of an input stands in it: a text is the same for everybody who made the same mistake.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from models.quarantine import RejectionReason as Reason


class Duty(StrEnum):
    """Who has to do something."""

    SENDER = "sender"
    """Whoever sends ticket events: mend it there, and send the event again."""
    OURSELVES = "ourselves"
    """Whoever runs this service: mend it, then `quarantine replay`."""


class Advice(NamedTuple):
    """A reason's name in Chinese, what to tell, and whose turn it is."""

    title: str
    tell: str
    duty: Duty


def _sender(title: str, tell: str) -> Advice:
    return Advice(title, tell, Duty.SENDER)


ADVICE: Mapping[Reason, Advice] = {
    Reason.EMPTY: _sender("空消息", "消息体为空。请检查推送程序,不要发送空值;补发该事件。"),
    Reason.TOO_LARGE: _sender(
        "消息过大",
        "单条事件超过 256 KiB,或者所属工单(含并入的工单)累计的事件过多过大,不再接收。"
        "请去掉附件、录音、图片等内容,只发送约定字段后重发;同一工单反复推送的,请检查推送程序。",
    ),
    Reason.BYTE_ORDER_MARK: _sender("含 BOM", "消息开头有字节序标记。请用不带 BOM 的 UTF-8 编码重发。"),
    Reason.NOT_UTF8: _sender("编码错误", "消息不是 UTF-8 编码(常见原因是按 GBK/GB18030 写出)。请改用 UTF-8 重发。"),
    Reason.NOT_JSON: _sender(
        "不是合法 JSON", "消息不是完整的 JSON(被截断、缺引号或有多余内容)。请检查序列化程序后重发。"
    ),
    Reason.TOO_DEEP: _sender("嵌套过深", "JSON 嵌套超过 32 层。请按约定的字段结构重发。"),
    Reason.DUPLICATE_KEY: _sender("重复字段名", "同一对象中同一字段出现了两次,无法判断以哪个为准。请改正后重发。"),
    Reason.BAD_NUMBER: _sender("数值非法", "含 NaN、无穷大或超过 64 位的整数。编号类内容请用字符串;改正后重发。"),
    Reason.BAD_TEXT: _sender("文本非法", "文本中含空字符或不成对的代理字符。请清洗后重发。"),
    Reason.NOT_AN_OBJECT: _sender(
        "顶层不是对象", "每条消息应是一个 JSON 对象,不能是数组、文本或 null。请逐条发送事件。"
    ),
    Reason.UNSUPPORTED_VERSION: _sender(
        "版本不支持", "schema_version 应为 1(CloudEvents 的 specversion 应为 1.0)。请按约定版本重发。"
    ),
    Reason.MISSING_FIELD: _sender(
        "缺少必填字段", "缺少必填字段(event_id、ticket_id、type、occurred_at 四项必填)。请补齐所列字段后重发。"
    ),
    Reason.INVALID_FIELD: _sender(
        "字段类型或取值不符", "所列字段的类型、取值或长度不符合约定。请对照事件的 JSON Schema 改正后重发。"
    ),
    Reason.IMPOSSIBLE_TIME: _sender(
        "时间无效",
        "所列时间不是有效的 RFC 3339 时间(如 2025-06-18T09:00:00+08:00),或不在 1990—2100 年之间。请改正后重发。",
    ),
    Reason.IN_THE_FUTURE: _sender(
        "时间超前", "事件时间比收到时间晚两小时以上。请校准发送端时钟,并确认时区为 +08:00;改正后重发。"
    ),
    Reason.TOO_LATE: Advice(
        "迟到过久",
        "事件发生时间早于本系统已处理到的时间,且超出允许的迟到天数(allowed_lateness_days)。如确需采用:由运维调大该设置并重启,"
        "再用 quarantine replay 重新处理;如系发送端时间有误,请改正后重发。若说明中提到 keep_closed_days,则该工单已按保存期限清除"
        "(或从未登记),且事件早于保存期限:补录历史请在设置该期限之前进行。",
        Duty.OURSELVES,
    ),
    Reason.MERGE_CYCLE: _sender(
        "并单成环",
        "并单关系首尾相接(如甲并入乙、乙又并入甲),该次并单未采用。请核实主单,用 voided 或新的 merged 事件更正。",
    ),
    Reason.UNREADABLE: Advice(
        "内部消息无法识别",
        "内部主题上出现了不是本系统写入的记录,与发送方无关。请检查谁有该主题的写权限,以及各进程版本是否一致。",
        Duty.OURSELVES,
    ),
    Reason.POISON: Advice(
        "处理时出错",
        "本系统处理该事件时出错,与发送方无关,无须重发。修复(规则或程序)后由运维用 quarantine replay 重新处理。",
        Duty.OURSELVES,
    ),
}
"""One text for every reason: a test sees to it."""
