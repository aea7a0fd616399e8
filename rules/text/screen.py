"""Screening: a citizen's text in, findings by category out. Pure and stateless; one call a text.

Two layers: cues that pass the gates, and the linear model of `rules/text/euphemism.py`. Each counts by itself; where a cue alone
says little, the model must agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from rules.text.actors import PRIVATE
from rules.text.context import Context
from rules.text.euphemism import Model, Scored, default_model, score
from rules.text.gates import Verdict, asks
from rules.text.lexicon import Lexicon
from rules.text.normalize import Plain, normalize_all
from rules.text.reading import Reading
from rules.text.result import Finding, Screened, Seen
from rules.text.scan import Hit, find_cues

UNIT_FIELDS = frozenset(
    {
        "reason",
        "reply",
        "evidence",
        "basis",
        "review",
        "退单理由",
        "办理结果",
        "公开答复内容",
        "审核意见",
        "答复",
        "办理情况",
    }
)
"""what units say: never screened (domain: 字段闸)"""

HINTED = 30
"""the confidence of what only the second layer finds: blue"""
FAINT = 45
"""a cue below this, one of unclear actor or doubtful, counts only where the second layer agrees"""
SHORT = 200
"""in a text of at most so many characters an official anywhere in it is the one meant"""
AGREES = 0.3
"""the share of its threshold from which the second layer agrees with a faint cue or an everyday word"""
BESIDE = 0.5
"""the share that is enough in a text which is surely about misconduct of another category"""
WORDLESS = 12
"""characters below which a text, a title mostly, is too little for the second layer to speak alone"""
CONSIDERED = 0.1
"""below this share the second layer thinks a broad cue so unlikely that it is not looked at"""
TOGETHER = 4_000
"""characters of texts that are made plain and scored together: more of them would not stay in the processor's own memory"""
_SURE = 50
_NOTHING = Screened()
_SPEAKING = frozenset({"own_actor", "cues", "mild", "pattern", "hints"})
_OFFICIALS = frozenset({"official", "generic", "collective", "staff"})


class Asked(NamedTuple):
    """A text to screen."""

    text: str
    field: str = "content"
    names: tuple[str, ...] = ()
    """masked in quotes"""
    before: str = ""
    """what was said before it (a content's title): who is meant may be said there, but no cue of it counts"""


class Screener:
    """Screens texts by one lexicon and one model."""

    def __init__(self, lexicon: Lexicon, model: Model | None = None) -> None:
        self.lexicon = lexicon
        self.model = model or default_model()

    def screen(self, text: str, field: str = "content", names: Iterable[str] = (), before: str = "") -> Screened:
        """Return what a text says; nothing for a unit's own words. Its `seen` holds only the cues that were looked at."""
        return self._all((Asked(text, field, tuple(names), before),), every=False)[0]

    def explain(self, text: str, field: str = "content", names: Iterable[str] = (), before: str = "") -> Screened:
        """Return the same, with every cue and what each gate says of it."""
        return self._all((Asked(text, field, tuple(names), before),), every=True)[0]

    def screen_all(self, asked: Iterable[Asked]) -> list[Screened]:
        """Return what each text says, as `screen` does: many at once take half the time."""
        found: list[Screened] = []
        group: list[Asked] = []
        size = 0
        for one in asked:
            group.append(one)
            size += len(one.text) + len(one.before)
            if size >= TOGETHER:
                found += self._all(group, every=False)
                group, size = [], 0
        return found + self._all(group, every=False)

    def _all(self, asked: Sequence[Asked], *, every: bool) -> list[Screened]:
        found = [_NOTHING] * len(asked)
        if not self.lexicon.categories:
            return found
        read = [index for index, one in enumerate(asked) if one.text and one.field not in UNIT_FIELDS]
        texts = [_after(one) for one in map(asked.__getitem__, read)]
        plains = normalize_all(texts)
        firsts = [
            plain.text.find("\n") + 1 if asked[index].before.strip() else 0
            for index, plain in zip(read, plains, strict=True)
        ]
        scores = score(self.model, list(zip(plains, firsts, strict=True)))
        for index, text, plain, first, scored in zip(read, texts, plains, firsts, scores, strict=True):
            found[index] = self._one(Context(self.lexicon, plain), text, asked[index].names, first, scored, every=every)
        return found

    def _one(
        self, context: Context, text: str, names: tuple[str, ...], first: int, scored: Scored, *, every: bool
    ) -> Screened:
        hits = find_cues(context)
        if first:
            hits = [hit for hit in hits if hit.start >= first]
        highest = max(scored.shares)
        if not hits and highest < 1:
            return _NOTHING
        reading, shares = Reading(context, text, names), dict(zip(self.model.categories, scored.shares, strict=True))
        weighed = [
            hit for hit in hits if hit.kind in _SPEAKING or (hit.kind == "broad" and shares[hit.category] >= CONSIDERED)
        ]
        seen = [reading.see(hit) for hit in weighed]
        findings = _by_category(reading, seen, shares)
        if highest >= AGREES and len(context.text) - first >= WORDLESS:
            self._add_hints(reading, hits, shares, scored, findings)
        private = tuple(sorted({one.hit.category for one in seen if one.actor == PRIVATE} - findings.keys()))
        if every:
            seen += [reading.see(hit) for hit in hits if hit not in weighed]
            seen = sorted((_with_agreement(one, shares[one.hit.category]) for one in seen), key=lambda one: one.hit)
        hints = _alone(self.model, scored) if every else {}
        return Screened(tuple([findings[name] for name in sorted(findings)]), tuple(seen), private, hints)

    def _add_hints(
        self, reading: Reading, hits: list[Hit], shares: dict[str, float], scored: Scored, findings: dict[str, Finding]
    ) -> None:
        """Add what the second layer finds where cues say nothing, or less."""
        weak = {hit.category for hit in hits if hit.kind == "weak"}
        innocent = {hit.category for hit in hits if hit.kind == "innocent"}
        bar = BESIDE if any(found.confidence >= FAINT for found in findings.values()) else 1.0
        for column, (name, share) in enumerate(shares.items()):
            found = findings.get(name)
            if name in innocent or (found is not None and found.confidence >= HINTED):
                continue
            if share >= bar or (share >= AGREES and name in weak):
                window = scored.windows[int(scored.logits[:, column].argmax())]
                hint = _hint(reading, name, window)
                if hint is not None:
                    findings[name] = hint

    def suspects(self, plain: Plain) -> bool:
        """Return whether the second layer finds anything in a text."""
        return max(score(self.model, ((plain, 0),))[0].shares) >= 1


def _after(one: Asked) -> str:
    """Return a text after what was said before it, which then is one line."""
    return f"{' '.join(one.before.split())}\n{one.text}" if one.before.strip() else one.text


def _alone(model: Model, scored: Scored) -> dict[str, float]:
    """Return the probabilities of the categories that the second layer speaks of alone."""
    return {
        name: scored.probability(column)
        for column, (name, share) in enumerate(zip(model.categories, scored.shares, strict=True))
        if share >= 1
    }


def _hint(reading: Reading, name: str, span: tuple[int, int]) -> Finding | None:
    """Return what the second layer alone finds, unless only somebody private stands in the window."""
    context = reading.context
    near = span if len(context.text) > SHORT else (0, len(context.text))
    official = any(word.kind in _OFFICIALS for word in context.within("actors", *near))
    if not official and (context.any_within("private", *span) or context.any_within("frontline", *span)):
        return None
    hit = Hit(span[0], span[1], name, "hints", "model")
    specifics = reading.specifics(*span)
    actor = "official" if official else "unknown"
    accuses = reading.accuses(hit, actor, len(specifics))
    question = None if accuses else asks(context, hit)
    if question is not None and not (question.gate == "consultation" and official and reading.completed(hit)):
        return None
    return Finding(
        name, HINTED, len(specifics), False, actor, "euphemism", accuses, reading.quote(*span), "、".join(specifics)
    )


def _by_category(reading: Reading, seen: list[Seen], shares: dict[str, float]) -> dict[str, Finding]:
    best: dict[str, Seen] = {}
    severe: set[str] = set()
    for one in seen:
        category = one.hit.category
        if not one.confidence or (_faint(one) and shares[category] < AGREES):
            continue
        if one.severe and one.confidence >= _SURE:
            severe.add(category)
        known = best.get(category)
        if known is None or _weight(one) > _weight(known):
            best[category] = one
    return {
        category: Finding(
            category,
            one.confidence,
            len(one.specifics),
            category in severe,
            one.actor,
            "euphemism" if one.hit.kind == "hints" else "cue",
            one.accuses,
            reading.quote(one.hit.start, one.hit.end),
            "、".join(one.specifics),
        )
        for category, one in best.items()
    }


def _with_agreement(one: Seen, share: float) -> Seen:
    """Return a cue with what the second layer made of it, where that was asked."""
    if one.hit.kind == "innocent":
        told = Verdict("agreement", 0, f"“{one.words}”另有所指")
    elif not one.confidence and one.hit.kind != "weak":
        return one
    elif one.hit.kind == "weak":
        agrees = share >= AGREES
        told = Verdict("agreement", float(agrees), "日常用语,语义层同意" if agrees else "日常用语,语义层不同意,不计")
    elif one.hit.kind == "broad" and share < CONSIDERED:
        told = Verdict("agreement", 0, "宽泛说法,语义层认为可能性很低,不计")
    elif _faint(one) and share < AGREES:
        told = Verdict("agreement", 0, "把握不大,语义层不同意,不计")
    else:
        return one
    return replace(one, verdicts=(*one.verdicts, told), confidence=round(one.confidence * told.factor))


def _faint(one: Seen) -> bool:
    """Tell whether a cue says little by itself; a completed act told in a question is no less sure for that."""
    return one.confidence < FAINT and not any(verdict.gate == "consultation" for verdict in one.verdicts)


def _weight(one: Seen) -> tuple[int, bool, int, int]:
    return (one.confidence, one.accuses, len(one.specifics), -one.hit.start)
