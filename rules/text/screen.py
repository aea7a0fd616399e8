"""Screening: a citizen's text in, findings by category out. Pure and stateless; one call a text.

Two layers: cues that pass the gates, and the linear model of `rules/text/euphemism.py`. Each counts by itself; where a cue alone
says little, the model must agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from rules.text.actors import PRIVATE
from rules.text.context import Context
from rules.text.euphemism import Model, default_model, probabilities
from rules.text.gates import Verdict, asks
from rules.text.lexicon import Lexicon
from rules.text.normalize import Plain, normalize
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
BESIDE = 0.4
"""the share that is enough in a text which is surely about misconduct of another category"""
WORDLESS = 8
"""characters below which a text, a title mostly, is too little for the second layer to speak alone"""
CONSIDERED = 0.1
"""below this share the second layer thinks a broad cue so unlikely that it is not looked at"""
_SURE = 50
_SPEAKING = frozenset({"own_actor", "cues", "mild", "pattern", "hints"})
_OFFICIALS = frozenset({"official", "generic", "collective", "staff"})


class Likely:
    """What the second layer says of a text."""

    def __init__(self, model: Model, plain: Plain, first: int) -> None:
        self._model = model
        self._found, self._windows = probabilities(model, plain, first)
        self._shares = self._found.max(axis=0, initial=0.0) / model.thresholds
        self.highest = float(self._shares.max())

    @cached_property
    def shares(self) -> dict[str, float]:
        """By category the share of the threshold from which it speaks alone, in the window that tells of it most."""
        return dict(zip(self._model.categories, self._shares.tolist(), strict=True))

    def span(self, name: str) -> tuple[int, int]:
        """Return that window."""
        return self._windows[int(self._found[:, self._model.categories.index(name)].argmax())]

    @property
    def hints(self) -> dict[str, float]:
        """The probabilities of the categories it speaks of alone."""
        if self.highest < 1:
            return {}
        highest = self._found.max(axis=0).tolist()
        return {name: one for (name, share), one in zip(self.shares.items(), highest, strict=True) if share >= 1}


class Screener:
    """Screens texts by one lexicon and one model."""

    def __init__(self, lexicon: Lexicon, model: Model | None = None) -> None:
        self.lexicon = lexicon
        self.model = model or default_model()

    def screen(self, text: str, field: str = "content", names: Iterable[str] = (), before: str = "") -> Screened:
        """Return what a text says; nothing for a unit's own words. `names` are masked in quotes.

        `before` is what was said before it (a content's title): who is meant may be said there, but no cue of it counts.
        `seen` holds only the cues that were looked at; `explain` has all.
        """
        return self._screened(text, field, names, before, every=False)

    def explain(self, text: str, field: str = "content", names: Iterable[str] = (), before: str = "") -> Screened:
        """Return the same, with every cue and what each gate says of it."""
        return self._screened(text, field, names, before, every=True)

    def _screened(self, text: str, field: str, names: Iterable[str], before: str, *, every: bool) -> Screened:
        if field in UNIT_FIELDS or not text or not self.lexicon.categories:
            return Screened()
        text = f"{before}\n{text}" if before else text
        plain = normalize(text)
        first = plain.text.find("\n") + 1 if before else 0
        context = Context(self.lexicon, plain)
        hits = find_cues(context)
        if first:
            hits = [hit for hit in hits if hit.start >= first]
        likely = Likely(self.model, plain, first)
        if not hits and likely.highest < 1:
            return Screened()
        reading, shares = Reading(context, text, tuple(names)), likely.shares
        weighed = [
            hit for hit in hits if hit.kind in _SPEAKING or (hit.kind == "broad" and shares[hit.category] >= CONSIDERED)
        ]
        seen = [reading.see(hit) for hit in weighed]
        findings = _by_category(reading, seen, shares)
        weak = {hit.category for hit in hits if hit.kind == "weak"}
        innocent = {hit.category for hit in hits if hit.kind == "innocent"}
        if likely.highest >= AGREES and len(plain.text) - first >= WORDLESS:
            bar = BESIDE if any(found.confidence >= FAINT for found in findings.values()) else 1.0
            for name, share in shares.items():
                found = findings.get(name)
                if name in innocent or (found is not None and found.confidence >= HINTED):
                    continue
                if share >= bar or (share >= AGREES and name in weak):
                    hint = _hint(reading, name, likely.span(name))
                    if hint is not None:
                        findings[name] = hint
        private = tuple(sorted({one.hit.category for one in seen if one.actor == PRIVATE} - findings.keys()))
        if every:
            seen += [reading.see(hit) for hit in hits if hit not in weighed]
            seen = sorted((_with_agreement(one, shares[one.hit.category]) for one in seen), key=lambda one: one.hit)
        return Screened(tuple([findings[name] for name in sorted(findings)]), tuple(seen), private, likely.hints)

    def suspects(self, plain: Plain) -> bool:
        """Return whether the second layer finds anything in a text."""
        found, _ = probabilities(self.model, plain)
        return bool((found >= self.model.thresholds).any())


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
