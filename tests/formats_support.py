"""What the tests of formats share: deliveries, and calls as a receiver reads them."""

from __future__ import annotations

from typing import Any

import orjson

from alerting.formats import Written, write
from alerting.payload import Entry
from models.delivery import DeliveryKind
from models.subscriber import CHAT_FORMATS, Format
from models.times import SECOND
from tests.alerting_support import make_alert, make_subscriber

AT = 1_750_000_000 * SECOND
CHATS = sorted(CHAT_FORMATS)
SENSIBLE: dict[str, Any] = {
    "case_id": "case:T-1",
    "headline": "疑似多次退单:工单被退回3次,涉及2个单位",
    "level": "red",
    "place": {"district": "甲区", "street": "乙街道"},
    "units": [
        {"id": "U-A", "name": "甲街道办事处", "role": "accused"},
        {"id": "U-B", "name": "乙局", "role": "involved"},
    ],
    "evidence": [
        {"event_id": f"e-{day}", "occurred_at": f"2025-06-{day:02}T09:00:00+08:00", "what": f"第{day}件事"}
        for day in range(1, 9)
    ],
}


def entry(number: int = 1, kind: DeliveryKind = DeliveryKind.ALERT, mark: str = "", **fields: Any) -> Entry:
    """Return a delivery of an alert of its own."""
    alert = make_alert(f"a-{number}", **{"case_id": f"case:T-{number}", **fields})
    return Entry(alert.model_dump_json().encode(), f"d-{number}", number, kind, mark)


def written(form: Format, *entries: Entry, **fields: Any) -> Written:
    """Return what a format writes of the deliveries, by default of one that says something of everything."""
    return write(entries or (entry(**SENSIBLE),), make_subscriber(format=form, **fields), AT)


def body(form: Format, *entries: Entry, **fields: Any) -> dict[str, Any]:
    """Return the body as an object."""
    return dict(orjson.loads(written(form, *entries, **fields).body))


def card(form: Format, *entries: Entry, **fields: Any) -> str:
    """Return what people read of a chat message."""
    found = body(form, *entries, **fields)
    if form is Format.WECOM:
        return str(found["markdown"]["content"])
    if form is Format.DINGTALK:
        return str(found["markdown"]["text"])
    texts = [found["card"]["header"]["title"]["content"]]
    for element in found["card"]["elements"]:
        texts += [one["content"] for one in element.get("elements", [element.get("text")])]
    return "\n".join(texts)
