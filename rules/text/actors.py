"""Who did it: the nearest actor before a cue, unless that one is asked for help, was harmed, or somebody else posed as it.

不作为的城管                 an official after the cue, bound to it by 的
村书记…收红包                the official before it
请市监局查处超市行贿进货      the official is asked for help; the shop is the actor
商贩辱骂城管                 the official is the victim
自称社保局的人要好处费        somebody poses as the official
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rules.text.context import Context, Span, Word
from rules.text.scan import Hit

NEAR = 20
FAR = 45
AT_ONCE = 8
GENERIC = 0.75
UNCLEAR = 0.35
HARMING = frozenset({"C05", "C07", "X1"})
BACK = 90
"""how far before the sentence the one who was spoken of last may stand"""
_OFFICIAL = frozenset({"official", "generic", "collective"})
_HELP_REACH = 16
_BEFORE = 8
_LONGEST = 20
"""no actor's name is longer"""

_WITNESSED = re.compile("看见|看到|亲眼|发现|遇|听见|听到|目睹|撞见")
_BOUND_BEFORE = re.compile("[让跟给和与对向把叫为帮替](了|过)?(某|个|一个|那个|这个)?$")


class Agent(NamedTuple):
    """Who is taken for the actor: its kind, the factor for the confidence, and why in plain Chinese."""

    kind: str
    factor: float
    reason: str


PRIVATE = "private"


def agent_of(context: Context, hit: Hit) -> Agent:
    """Return who did what a hit tells of."""
    inside = [word for word in context.within("actors", hit.start, hit.end) if word.kind in _OFFICIAL]
    if inside and not _posed(context, inside[0]):
        return Agent("official", _width(inside[0]), _named(context, inside[0]))
    harmed = _harmed(context, hit)
    if harmed is not None:
        return Agent("victim", 0.0, f"“{context.text[harmed.start : harmed.end]}”是受害人,不是行为人")
    sentence = context.sentence(hit.start)
    first, last = max(sentence.start, hit.start - FAR - _LONGEST), min(sentence.end, hit.end + NEAR + _LONGEST)
    actors = context.within("actors", first, last)
    before = [word for word in actors if word.end <= hit.start and word.start >= hit.start - FAR]
    spoken = [word for word in before if role_of(context, word, hit) is None]
    asked = [word for word in before if word.kind in _OFFICIAL and word not in spoken]
    agent = _nearest_before(context, hit, spoken, sentence)
    if agent is None and hit.kind == "own_actor":
        alone = (context.words("private") or context.words("frontline")) and not any(
            context.words(kind) for kind in _OFFICIAL
        )
        agent = Agent("implicit", 0.5 if alone else 0.95, "说法本身指向公职或办理过程")
    agent = agent or _after(context, hit, actors, sentence)
    if agent is None and asked:
        return Agent(
            "asked", 0.0, f"“{context.text[asked[-1].start : asked[-1].end]}”是求助对象、受害人或被冒充者,不是行为人"
        )
    return agent or _spoken_of_earlier(context, hit, sentence) or _unknown(context)


def _harmed(context: Context, hit: Hit) -> Word | None:
    """Return the official at once after words of violence: 殴打民警, 打击报复执法人员."""
    if hit.category not in HARMING:
        return None
    suffered = context.text.find("被", hit.start, hit.end)
    if suffered >= 0:
        inside = [word for word in context.within("actors", hit.start, hit.end) if word.kind in _OFFICIAL]
        if not any(word.start > suffered for word in inside):
            # The cue itself tells that it was suffered: 执法时被醉汉殴打.
            before = context.within("actors", max(0, hit.start - _HELP_REACH), hit.start)
            return next((word for word in (*reversed(before), *inside) if word.kind in _OFFICIAL), None)
    at_once = [word for word in context.within("actors", hit.end, hit.end + 8) if word.start == hit.end]
    return next((word for word in at_once if word.kind in _OFFICIAL), None)


def role_of(context: Context, word: Word, hit: Hit) -> str | None:
    """Return why an official in the sentence is not the actor: asked, told, victim, posed; None where it may be."""
    if _speaks(context, word):
        return "speaker"
    if word.kind not in _OFFICIAL and word.kind != "staff":
        return None
    if _posed(context, word):
        return "posed"
    first = max(0, word.start - _BEFORE)
    clause_end = context.clause(word.end - 1).end
    asking = [one for one in context.within("asking", first, word.start) if word.start - one.end <= 4]
    if asking and context.any_within("acting", word.end, min(word.end + _HELP_REACH, max(clause_end, hit.start))):
        return "asked"
    if context.any_within("telling", word.end, min(word.end + 6, clause_end)) and re.search(
        r"(向|跟|找|到|给|去|和|拨打|打|对)[^,。;!?]{0,4}$", context.text[max(0, word.start - 6) : word.start]
    ):
        return "told"
    if context.any_within("suffering", word.end, word.end + 3) and context.any_within("private", word.end, hit.start):
        return "victim"
    return None


def _speaks(context: Context, word: Word) -> bool:
    """Tell whether the speaker says so of himself: 我是社区干部, 来电人为快餐店店主."""
    clause = context.clause(word.start)
    being = context.within("being", max(clause.start, word.start - 14), word.start)
    return bool(being) and not _WITNESSED.search(context.text, being[-1].end, word.start)


def _posed(context: Context, word: Word) -> bool:
    sentence = context.sentence(word.start)
    posing = context.within("posing", max(sentence.start, word.start - 10), word.start)
    return bool(posing) or context.any_within("fraud", sentence.start, sentence.end)


def _width(word: Word) -> float:
    """Return how far a word says who it was: 有关部门 says little."""
    return GENERIC if word.kind == "generic" else 1.0


def _named(context: Context, word: Word) -> str:
    return f"公职主体“{context.text[word.start : word.end]}”"


def _nearest_before(context: Context, hit: Hit, spoken: list[Word], sentence: Span) -> Agent | None:
    if not spoken:
        return None
    category = context.lexicon.categories[hit.category]
    nearest = spoken[-1]
    near = hit.start - nearest.end <= NEAR
    if nearest.kind in _OFFICIAL:
        return Agent("official", (1.0 if near else 0.85) * _width(nearest), _named(context, nearest))
    officials = [word for word in spoken if word.kind in _OFFICIAL]
    if nearest.kind == "staff":
        if officials or context.any_within("offices", sentence.start, sentence.end):
            return Agent("staff", 0.85, f"{_named(context, nearest)}(结合单位名称)")
        return Agent("staff", 0.4, f"“{context.text[nearest.start : nearest.end]}”是否公职不明")
    if officials and (category.counterpart or _of_the_official(context, officials[-1], nearest)):
        # Where misconduct takes two (收了老板的红包), the private one is no doubt about who did it.
        factor = 1.0 if category.counterpart else 0.85
        return Agent("official", factor * _width(officials[-1]), f"{_named(context, officials[-1])}(另有私主体在场)")
    if category.counterpart:
        later = _official_after(context, hit, sentence)
        if later is not None:
            return Agent("official", 0.85 * _width(later), f"{_named(context, later)}(另有私主体在场)")
    name = context.text[nearest.start : nearest.end]
    if any(word.kind in ("official", "collective") for word in spoken):
        return Agent("unclear", UNCLEAR, f"最近的是“{name}”,同句另有公职主体,行为人不明")
    return Agent(PRIVATE, 0.0, f"行为人是“{name}”,不是监察对象")


def _of_the_official(context: Context, official: Word, private: Word) -> bool:
    """Tell whether the private one belongs to what the official did: 让老板…, 跟老板…, 给老板…"""
    return _BOUND_BEFORE.search(context.text[max(0, private.start - 5) : private.start]) is not None


def _official_after(context: Context, hit: Hit, sentence: Span) -> Word | None:
    later = [
        word
        for word in context.within("actors", hit.end, min(sentence.end, hit.end + AT_ONCE))
        if word.kind in _OFFICIAL and role_of(context, word, hit) is None
    ]
    return min(later, default=None)


def _after(context: Context, hit: Hit, actors: list[Word], sentence: Span) -> Agent | None:
    """Return who stands after the cue: bound by 的 it is the actor, at once after it the one who suffered."""
    after = [word for word in actors if word.start >= hit.end and word.start <= hit.end + NEAR]
    if not after:
        return None
    first = after[0]
    between = context.text[hit.end : first.start]
    name = context.text[first.start : first.end]
    if first.kind in _OFFICIAL:
        if "的" in between and not set(between) & set(",:、"):
            return Agent("official", 0.9, _named(context, first))
        if role_of(context, first, hit) is not None:
            return None
        return Agent("official", 0.5, f"{_named(context, first)}(在说法之后)")
    if first.kind in (PRIVATE, "frontline") and len(between) <= 4:
        return Agent(PRIVATE, 0.0, f"说的是“{name}”,不是监察对象")
    return None


def _spoken_of_earlier(context: Context, hit: Hit, sentence: Span) -> Agent | None:
    """Return the one last spoken of before the sentence."""
    earlier = [
        word
        for word in context.within("actors", max(0, sentence.start - BACK), sentence.start)
        if role_of(context, word, hit) is None
    ]
    if not earlier:
        return None
    last = earlier[-1]
    name = context.text[last.start : last.end]
    if last.kind in _OFFICIAL:
        return Agent("official", 0.7, f"前文的公职主体“{name}”")
    if last.kind == "staff":
        return Agent("staff", 0.4, f"前文的“{name}”,是否公职不明")
    officials = [word for word in earlier if word.kind in _OFFICIAL]
    if officials and context.lexicon.categories[hit.category].counterpart:
        return Agent("official", 0.6, f"前文的公职主体“{context.text[officials[-1].start : officials[-1].end]}”")
    return Agent(PRIVATE, 0.0, f"前文的行为人是“{name}”,不是监察对象")


def _unknown(context: Context) -> Agent:
    if context.words("private") or context.words("frontline"):
        return Agent(PRIVATE, 0.0, "全文只有非监察对象")
    if any(
        role_of(context, word, Hit(len(context.text), len(context.text), "", "", "")) is None
        for word in context.words("official")[:20]
    ):
        return Agent("official", 0.5, "全文提到公职主体,与说法相隔较远")
    return Agent("unknown", 0.35, "没有说明行为人")
