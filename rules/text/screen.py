"""Screening: a citizen's text in, findings by category out. Pure and stateless; one call a text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from rules.masking import mask, mask_place
from rules.text.actors import PRIVATE, agent_of
from rules.text.context import Context
from rules.text.euphemism import Model, default_model, probabilities
from rules.text.gates import GATES, Verdict, asks
from rules.text.lexicon import Lexicon
from rules.text.normalize import Plain, normalize
from rules.text.result import Finding, Screened, Seen
from rules.text.scan import Hit, find_cues

UNIT_FIELDS = frozenset(
    {"reason", "reply", "evidence", "basis", "review", "退单理由", "办理结果", "公开答复内容", "审核意见", "答复", "办理情况"}
)
"""what units say: never screened (domain: 字段闸)"""

STRENGTH = {"own_actor": 90, "cues": 90, "mild": 75, "pattern": 60, "broad": 60, "hints": 40, "weak": 0}
HINTED = 30
"""the confidence of what only the second layer finds: blue"""
FAINT = 45
"""a cue below this, one of unclear actor or doubtful, counts only where the second layer agrees"""
SHORT = 200
"""in a text of at most so many characters an official anywhere in it is the one meant"""
AGREES = 0.3
"""the share of its threshold from which the second layer agrees with a faint cue or an everyday word"""
CONSIDERED = 0.1
"""below this share the second layer thinks a broad cue so unlikely that it is not looked at"""
SPECIFICS = ("时间", "金额", "地点", "人员", "佐证")
AROUND = 60
"""characters around a cue that its specificity is read from, its own sentence besides"""
QUOTE_MAX = 60
_SENTENCE_MARKS = "。!！?？;；\n"
_EDGE_START = re.compile(r"^(?:[0-9０-９〇一二三四五六七八九零幺壹贰叁肆伍陆柒捌玖\s\-—–_.·•/()（）*~]+)")
_EDGE_END = re.compile(r"(?:[0-9０-９〇一二三四五六七八九零幺壹贰叁肆伍陆柒捌玖\s\-—–_.·•/()（）*~]+)$")
ASKED = 0.4
"""what is left of an official's completed act that is told in a question: blue"""
_SURE = 50
_ASKS_UNLESS = 2
"""a question that names an official, a completed act and so many specifics is a report"""


class Likely(NamedTuple):
    """What the second layer says of a category."""

    probability: float
    share: float
    """of the threshold from which it speaks alone"""
    span: tuple[int, int]


class Screener:
    """Screens texts by one lexicon and one model."""

    def __init__(self, lexicon: Lexicon, model: Model | None = None) -> None:
        self.lexicon = lexicon
        self.model = model or default_model()

    def screen(self, text: str, field: str = "content", names: Iterable[str] = (), before: str = "") -> Screened:
        """Return what a text says; nothing for a unit's own words. `names` are masked in quotes.

        `before` is what was said before it (a content's title): who is meant may be said there, but no cue of it counts.
        """
        if field in UNIT_FIELDS or not text or not self.lexicon.categories:
            return Screened()
        shift = len(before) + 1 if before else 0
        text = f"{before}\n{text}" if before else text
        plain = normalize(text)
        context = Context(self.lexicon, plain)
        hits = [hit for hit in find_cues(context) if plain.original(hit.start, hit.end)[0] >= shift]
        likely = self._likely(plain.text, plain.text.find("\n") + 1 if before else 0)
        hints = {name: one.probability for name, one in likely.items() if one.share >= 1}
        if not hits and not hints:
            return Screened()
        seen = tuple(
            self._see(context, text, hit)
            for hit in hits
            if hit.kind != "weak" and (hit.kind != "broad" or likely[hit.category].share >= CONSIDERED)
        )
        weak = {hit.category for hit in hits if hit.kind == "weak"}
        findings = _by_category(context, seen, text, tuple(names))
        for name, one in likely.items():
            found = findings.get(name)
            if found is not None and found.confidence < FAINT and one.share < AGREES:
                del findings[name]
            elif (found is None or found.confidence < HINTED) and (
                one.share >= 1 or (name in weak and one.share >= AGREES)
            ):
                hint = self._hint(context, name, one.span, text, tuple(names))
                if hint is not None:
                    findings[name] = hint
        private = tuple(sorted({one.hit.category for one in seen if one.actor == PRIVATE} - findings.keys()))
        return Screened(tuple(findings[name] for name in sorted(findings)), seen, private, hints)

    def _likely(self, text: str, first: int) -> dict[str, Likely]:
        """Return for each category the window that tells of it most."""
        found, windows = probabilities(self.model, text[first:])
        if not windows:
            return {}
        best = found.argmax(axis=0)
        shares = found.max(axis=0) / self.model.thresholds
        return {
            name: Likely(
                float(found[best[column], column]),
                float(shares[column]),
                (windows[best[column]][0] + first, windows[best[column]][1] + first),
            )
            for column, name in enumerate(self.model.categories)
        }

    def suspects(self, text: str) -> bool:
        """Return whether the second layer finds anything in a plain text."""
        found, spans = probabilities(self.model, text)
        return bool(spans) and bool((found >= self.model.thresholds).any())

    def _see(self, context: Context, text: str, hit: Hit) -> Seen:
        verdicts: list[Verdict] = []
        confidence = float(STRENGTH[hit.kind])
        actor = "unknown"
        for gate in GATES:
            verdict = gate(context, hit)
            if verdict is None:
                continue
            verdicts.append(verdict)
            confidence *= verdict.factor
            if verdict.gate == "actor":
                actor = agent_of(context, hit).kind
            if verdict.factor == 0:
                break
        specifics = specificity(context, hit.start, hit.end) if confidence else ()
        accuses = bool(confidence) and _accuses(context, hit, actor, len(specifics))
        if confidence and not accuses and (question := asks(context, hit)) is not None:
            told = question.gate == "consultation" and actor in ("official", "implicit", "staff", "unclear")
            question = question._replace(factor=ASKED if told and _completed(context, hit) else 0)
            verdicts.append(question)
            confidence *= question.factor
        start, end = context.plain.original(hit.start, hit.end)
        return Seen(
            hit,
            (start, end),
            text[start:end],
            tuple(verdicts),
            round(min(confidence, 100)),
            specifics,
            bool(confidence) and _severe(context, hit),
            actor,
            accuses,
        )

    def _hint(
        self, context: Context, name: str, span: tuple[int, int], text: str, names: tuple[str, ...]
    ) -> Finding | None:
        """Return what the second layer alone finds, unless only somebody private stands in the window."""
        near = span if len(context.text) > SHORT else (0, len(context.text))
        official = any(context.any_within(kind, *near) for kind in ("official", "generic", "collective", "staff"))
        if not official and (context.any_within("private", *span) or context.any_within("frontline", *span)):
            return None
        hit = Hit(span[0], span[1], name, "hints", "model")
        specifics = specificity(context, *span)
        actor = "official" if official else "unknown"
        accuses = _accuses(context, hit, actor, len(specifics))
        question = None if accuses else asks(context, hit)
        if question is not None and not (question.gate == "consultation" and official and _completed(context, hit)):
            return None
        quote = masked_piece(text, context.plain, span, names)
        return Finding(name, HINTED, len(specifics), False, actor, "euphemism", accuses, quote, "、".join(specifics))


def specificity(context: Context, start: int, end: int) -> tuple[str, ...]:
    """Return which of time, amount, place, person and evidence stand around a span, in Chinese."""
    sentence = context.sentence(start)
    around = context.text[max(0, min(sentence.start, start - AROUND), start - 2 * AROUND) : max(end + AROUND, min(sentence.end, end + 2 * AROUND))]
    return tuple(SPECIFICS[index] for index in sorted(context.lexicon.specifics_in(around)))


def _severe(context: Context, hit: Hit) -> bool:
    pattern = context.lexicon.categories[hit.category].severe
    if pattern is None or hit.kind == "mild":
        return False
    return bool(pattern.search(context.text[max(0, hit.start - AROUND) : hit.end + AROUND]))


def _completed(context: Context, hit: Hit) -> bool:
    sentence = context.sentence(hit.start)
    first, last = max(sentence.start, hit.start - AROUND), min(sentence.end, hit.end + AROUND)
    return context.any_within("completed", first, last) or 0 in context.lexicon.specifics_in(context.text[first:last])


def _accuses(context: Context, hit: Hit, actor: str, specifics: int) -> bool:
    return actor in ("official", "implicit", "staff") and specifics >= _ASKS_UNLESS and _completed(context, hit)


def _by_category(context: Context, seen: tuple[Seen, ...], text: str, names: tuple[str, ...]) -> dict[str, Finding]:
    best: dict[str, Seen] = {}
    severe: set[str] = set()
    for one in seen:
        if not one.confidence:
            continue
        category = one.hit.category
        if one.severe and one.confidence >= _SURE:
            severe.add(category)
        known = best.get(category)
        if known is None or _weight(one) > _weight(known):
            best[category] = one
    findings = {}
    for category, one in best.items():
        hit = one.hit
        findings[category] = Finding(
            category,
            one.confidence,
            len(one.specifics),
            category in severe,
            one.actor,
            "euphemism" if hit.kind == "hints" else "cue",
            one.accuses,
            masked_piece(text, context.plain, (hit.start, hit.end), names),
            "、".join(one.specifics),
        )
    return findings


def _weight(one: Seen) -> tuple[int, bool, int, int]:
    return (one.confidence, one.accuses, len(one.specifics), -one.hit.start)


def masked_piece(text: str, plain: Plain, span: tuple[int, int], names: tuple[str, ...]) -> str:
    """Return the span with a little around it, whole clauses where they are short, identities and fine places masked."""
    start, end = plain.original(*span)
    end = min(end, start + QUOTE_MAX)
    room = (QUOTE_MAX - (end - start)) // 2
    first, last = max(0, start - room), min(len(text), end + room)
    for mark in _SENTENCE_MARKS:
        first = max(first, text.rfind(mark, first, start) + 1)
        found = text.find(mark, end, last)
        last = found if found >= 0 else last
    return " ".join(mask_place(mask(_without_edges(text, first, last), names)).split())


def _without_edges(text: str, first: int, last: int) -> str:
    """Return the piece without digits and separators at an edge that goes on beyond it: half a number would not be known for one."""
    piece = text[first:last]
    if first > 0:
        piece = _EDGE_START.sub("", piece)
    return _EDGE_END.sub("", piece) if last < len(text) else piece
