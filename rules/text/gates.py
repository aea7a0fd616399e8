"""The gates: what a cue means where it stands. Each is one function that lets a hit pass, weakens it or stops it, and says why.

In this order (docs/text-screening.md): boundary, negation, hypothetical, quotation, hearsay, doubt, cleared, actor, question. The
order of the first does not matter to the result, only to the reason that is told. What an actor is, and when an official is only
asked for help, is in actors.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from rules.text.actors import agent_of
from rules.text.boundaries import inside_a_word
from rules.text.context import Context, Word
from rules.text.scan import Hit

HEARSAY = 0.6
DOUBT = 0.6
CLEARED = 0.5
NEGATION_REACH = 12
SHORT_NEGATION_REACH = 3
"""没 and 未 alone deny only what follows at once: 没开会就把山包了 denies the meeting"""
_ADJACENT = frozenset({"不", "拒"})
"""deny what follows at once alone: 不收红包, but 不给钱就不办"""
_REFUSALS = frozenset(
    {"谢绝", "婉言谢绝", "婉拒", "拒绝", "拒收", "拒不接受", "退还", "当面退还", "退回了", "不可能", "否认"}
)
"""what was refused, is refused for good: 谢绝了老板的宴请"""
QUOTATION_REACH = 16
HYPOTHESIS_REACH = 16


class Verdict(NamedTuple):
    """What a gate says of a hit: the factor left of its confidence (0 stops it), and why in plain Chinese."""

    gate: str
    factor: float
    reason: str
    actor: str = ""
    """of the actor gate: what kind it is"""


def boundary(context: Context, hit: Hit) -> Verdict | None:
    """Stop a short cue that is cut out of two words."""
    if inside_a_word(context.text, hit, context.lexicon.boundary_characters):
        return Verdict("boundary", 0, "字面重合,不是一个词")
    return None


def negation(context: Context, hit: Hit) -> Verdict | None:
    """Stop what the clause denies; a double negation or a rhetorical question affirms."""
    clause = context.clause(hit.start)
    if context.any_within("affirming", clause.start, hit.start + 1):
        return None
    # A negator may reach into the cue: 拒收我送的红包.
    denying = [word for word in context.within("negators", clause.start, hit.end) if _denies(context, word, hit)]
    if not denying:
        return None
    word = max(denying, key=lambda one: one.end - one.start)
    return Verdict("negation", 0, f"被否定(“{context.text[word.start : word.end]}”)")


def _denies(context: Context, word: Word, hit: Hit) -> bool:
    if word.start >= hit.start:
        return False
    said = context.text[word.start : word.end]
    reach = SHORT_NEGATION_REACH if len(said) == 1 else NEGATION_REACH
    if said in _ADJACENT:
        reach = 0
    if hit.start - word.end > reach or _part_of_another(context, word.start):
        return False
    breaking = ("breakers", "despite") if said in _REFUSALS else ("breakers", "despite", "completed")
    return not any(context.any_within(kind, word.end, hit.start) for kind in breaking)


def _part_of_another(context: Context, at: int) -> bool:
    """Tell whether the negator begins a longer word of complaint (没人管, 没有公示): then it denies nothing else."""
    return context.text[at : at + 2] in ("没人", "无人", "没法", "没处") or context.text[at : at + 3] == "没有人"


def hypothetical(context: Context, hit: Hit) -> Verdict | None:
    """Stop what is feared, supposed or wished for the future."""
    sentence = context.sentence(hit.start)
    first = max(sentence.start, hit.start - HYPOTHESIS_REACH)
    for kind, reason in (("hypothetical", "假设或担心"), ("suggestion", "建议或祈愿")):
        found = context.within(kind, first, hit.start)
        asks_how = kind == "hypothetical" and _ASKS_HOW.search(context.text, hit.end, sentence.end)
        if found and (asks_how or not context.any_within("completed", found[-1].end, hit.end + 4)):
            word = context.text[found[-1].start : found[-1].end]
            return Verdict("hypothetical", 0, f"{reason}(“{word}”)")
    return None


def quotation(context: Context, hit: Hit) -> Verdict | None:
    """Stop what is quoted: slogans, news, films, rules, titles in book marks."""
    sentence = context.sentence(hit.start)
    text = context.text
    found = context.within("quotation", max(sentence.start, hit.start - QUOTATION_REACH), hit.start)
    if found:
        return Verdict("quotation", 0, f"引用(“{text[found[-1].start : found[-1].end]}”)")
    opened = text.rfind("《", max(0, hit.start - 30), hit.start)
    if opened >= 0 and "》" not in text[opened : hit.start] and "》" in text[hit.end : hit.end + 30]:
        return Verdict("quotation", 0, "引用(书名号内)")
    return None


def hearsay(context: Context, hit: Hit) -> Verdict | None:
    """Weaken what was only heard."""
    clause = context.clause(hit.start)
    found = context.within("hearsay", max(clause.start - 12, 0), hit.start)
    if found:
        return Verdict("hearsay", HEARSAY, f"传闻(“{context.text[found[-1].start : found[-1].end]}”)")
    return None


def doubt(context: Context, hit: Hit) -> Verdict | None:
    """Weaken what is only asked: 是不是有保护伞?"""
    sentence = context.sentence(hit.start)
    found = context.within("doubt", max(sentence.start, hit.start - HYPOTHESIS_REACH), hit.start)
    if found or context.text[hit.end : hit.end + 3].startswith(("吗", "嘛?", "呢?", "?")):
        return Verdict("doubt", DOUBT, "疑问或反问")
    return None


def cleared(context: Context, hit: Hit) -> Verdict | None:
    """Weaken what a text takes back, clears up, or only retells from a film or a poster, wherever it says so."""
    for kind, reason in (("clearing", "全文系更正或澄清"), ("media", "全文谈的是影视、展览或宣传品")):
        word = context.whole.get(kind)
        if word is not None and not _NOT_SO.search(context.text, max(0, word.start - 5), word.start):
            return Verdict("cleared", CLEARED, f"{reason}(“{context.text[word.start : word.end]}”)")
    return None


def actor(context: Context, hit: Hit) -> Verdict | None:
    """Weaken or stop by who did it: the conduct of officials alone is supervised."""
    agent = agent_of(context, hit)
    return Verdict("actor", agent.factor, agent.reason, agent.kind)


_COMPLAINS = re.compile("反映|投诉|举报|控告")
"""said before it, a question is part of a complaint: 来电人反映…询问时被骂"""

_ASKS_HOW = re.compile("怎么|如何|咋|会不会|怎样|会怎")
_NOT_SO = re.compile("不是|不要|并非|别|不属|绝非|没有")

Gate = Callable[[Context, Hit], Verdict | None]
GATES: tuple[Gate, ...] = (boundary, negation, hypothetical, quotation, hearsay, doubt, cleared, actor)


def asks(context: Context, hit: Hit) -> Verdict | None:
    """Tell whether the text only asks, or thanks: its first sentence or the hit's own does."""
    sentence = context.sentence(hit.start)
    if context.text.startswith("咨询"):
        return Verdict("consultation", 0, "咨询(“咨询”)")
    for kind, reason in (("consultation", "咨询"), ("praise", "表扬")):
        near = context.within(kind, sentence.start, sentence.end) or context.within(kind, *context.opening)
        if near and not _COMPLAINS.search(context.text, context.sentence(near[0].start).start, near[0].start):
            return Verdict(kind, 0, f"{reason}(“{context.text[near[0].start : near[0].end]}”)")
    return None
