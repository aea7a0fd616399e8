"""What a chat robot's answer means: all three answer 200 to nearly everything and say in the body whether they took it.

The codes are those of the makers' documentation, and of what their robots were seen to answer.
"""

import re
from typing import Any

import orjson

from models.delivery import Outcome
from models.subscriber import Format

_CODE_NAMES = {Format.WECOM: ("errcode",), Format.DINGTALK: ("errcode",), Format.FEISHU: ("code", "StatusCode")}
_MESSAGE_NAMES = ("errmsg", "msg", "StatusMessage")
_TOO_MANY = {
    Format.WECOM: frozenset({45009, 45033}),
    # 130101, 410100: more than 20 a minute; 90030: the day's quota; the others are named by fewer sources.
    Format.DINGTALK: frozenset({130101, 130102, 410100, 660026, 90030}),
    Format.FEISHU: frozenset({11232, 99991400}),
}
# Feishu says 9499 for a malformed request and for too many of them; and makers change their codes.
_TOO_MANY_WORDS = re.compile(r"too (?:many|fast)|frequency limit|freq out of limit|rate limit|限流|频率", re.IGNORECASE)


def judge_answer(target: Format, status: int, body: bytes) -> Outcome | None:
    """Return what the answer's body adds to its status: None where the status decides, and TOO_MANY_REQUESTS or
    ROBOT_REFUSED where a robot did not take the message.
    """
    if target not in _CODE_NAMES:
        return None
    answer = _object(body)
    code = next((answer[name] for name in _CODE_NAMES[target] if name in answer), None)
    said_no = code is not None and (type(code) is not int or code != 0)
    if said_no and status < 500 and _too_many(target, code, answer):
        return Outcome.TOO_MANY_REQUESTS
    if not 200 <= status < 300:
        return None
    return None if code is not None and not said_no else Outcome.ROBOT_REFUSED


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _too_many(target: Format, code: object, answer: dict[str, Any]) -> bool:
    messages = [answer[name] for name in _MESSAGE_NAMES if isinstance(answer.get(name), str)]
    known = type(code) is int and code in _TOO_MANY[target]
    return known or any(_TOO_MANY_WORDS.search(text) for text in messages)
