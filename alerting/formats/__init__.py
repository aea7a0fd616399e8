"""How a call is written: one module per format, all from alerting/payload.py, and what a chat robot's answer means."""

from collections.abc import Callable, Mapping, Sequence

from alerting.formats import alertmanager, cloudevents, dingtalk, feishu, own, wecom
from alerting.formats.answers import judge_answer
from alerting.formats.written import Written
from alerting.payload import Entry
from models.subscriber import Format, Subscriber

__all__ = ["Written", "judge_answer", "write"]

_WRITERS: Mapping[Format, Callable[[Sequence[Entry], Subscriber, int], Written]] = {
    Format.JSON: own.write,
    Format.CLOUDEVENTS_STRUCTURED: cloudevents.write_structured,
    Format.CLOUDEVENTS_BINARY: cloudevents.write_binary,
    Format.ALERTMANAGER: alertmanager.write,
    Format.WECOM: wecom.write,
    Format.DINGTALK: dingtalk.write,
    Format.FEISHU: feishu.write,
}


def write(entries: Sequence[Entry], subscriber: Subscriber, now: int) -> Written:
    """Return the call's body and what goes with it; `now`: the instant of the attempt, which only robots' own signatures
    hold. Precondition: one entry, unless the format is a chat robot's.
    """
    return _WRITERS[subscriber.format](entries, subscriber, now)
