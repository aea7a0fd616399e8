"""One text being read: what each cue means where it stands, and what stands around it. Everything asked twice is worked out once."""

from __future__ import annotations

import re

from rules.masking import mask, mask_place
from rules.text.context import Context
from rules.text.gates import GATES, Verdict, asks
from rules.text.result import Seen
from rules.text.scan import Hit

STRENGTH = {"own_actor": 90, "cues": 90, "mild": 75, "pattern": 60, "broad": 60, "hints": 40, "weak": 0, "innocent": 0}
SPECIFICS = ("时间", "金额", "地点", "人员", "佐证")
AROUND = 60
"""characters around a cue that its specificity is read from, its own sentence besides"""
QUOTE_MAX = 60
ASKED = 30
"""the confidence of an official's completed act that is told in a question: blue"""
_ASKS_UNLESS = 2
"""a question that names an official, a completed act and so many specifics is a report"""
_OFFICIALS = ("official", "implicit", "staff")
_SENTENCE_MARKS = "。!！?？;；\n"
_NUMERALS = "〇一二三四五六七八九零幺壹贰叁肆伍陆柒捌玖"
_EDGE_START = re.compile(f"^(?:[^\u4e00-\u9fff]|[{_NUMERALS}])+")
_EDGE_END = re.compile(f"(?:[^\u4e00-\u9fff]|[{_NUMERALS}])+$")
"""what a number may be made of, in whatever disguise: where a piece is cut, none of it stays at the edge"""
_CUT_MASK = re.compile("〔[^〕]*$")


class Reading:
    """A text, its context, and what was found out about its places."""

    def __init__(self, context: Context, text: str, names: tuple[str, ...]) -> None:
        self.context = context
        self.text = text
        self._names = names
        self._specifics: dict[tuple[int, int], tuple[str, ...]] = {}
        self._quotes: dict[tuple[int, int], str] = {}

    def see(self, hit: Hit) -> Seen:
        """Return what each gate says of a hit, up to the one that stops it, and what is left of its confidence."""
        context = self.context
        verdicts: list[Verdict] = []
        confidence = float(STRENGTH[hit.kind])
        actor = "unknown"
        for gate in GATES:
            verdict = gate(context, hit)
            if verdict is None:
                continue
            verdicts.append(verdict)
            confidence *= verdict.factor
            actor = verdict.actor or actor
            if verdict.factor == 0:
                break
        if not confidence:
            return self._seen(hit, verdicts, 0, (), actor, accuses=False)
        specifics = self.specifics(hit.start, hit.end)
        accuses = self.accuses(hit, actor, len(specifics))
        if not accuses and (question := asks(context, hit)) is not None:
            told = question.gate == "consultation" and actor in (*_OFFICIALS, "unclear")
            left = ASKED / confidence if told and self.completed(hit) else 0
            verdicts.append(question._replace(factor=min(1.0, left)))
            confidence *= verdicts[-1].factor
        return self._seen(hit, verdicts, confidence, specifics, actor, accuses=accuses)

    def _seen(
        self,
        hit: Hit,
        verdicts: list[Verdict],
        confidence: float,
        specifics: tuple[str, ...],
        actor: str,
        *,
        accuses: bool,
    ) -> Seen:
        span = self.context.plain.original(hit.start, hit.end)
        severe = confidence > 0 and self._severe(hit)
        words = self.text[span[0] : span[1]]
        return Seen(hit, span, words, tuple(verdicts), round(min(confidence, 100)), specifics, severe, actor, accuses)

    def specifics(self, start: int, end: int) -> tuple[str, ...]:
        """Return which of time, amount, place, person and evidence stand around a span, in Chinese."""
        sentence = self.context.sentence(start)
        first = max(0, min(sentence.start, start - AROUND), start - 2 * AROUND)
        last = max(end + AROUND, min(sentence.end, end + 2 * AROUND))
        known = self._specifics.get((first, last))
        if known is None:
            found = self.context.lexicon.specifics_in(self.context.text[first:last])
            known = self._specifics[first, last] = tuple([SPECIFICS[index] for index in sorted(found)])
        return known

    def completed(self, hit: Hit) -> bool:
        """Tell whether what is told has happened: a word of completion or a time stands near."""
        first, last = max(0, hit.start - AROUND), hit.end + AROUND
        if self.context.any_within("completed", first, last):
            return True
        return 0 in self.context.lexicon.specifics_in(self.context.text[first:last])

    def accuses(self, hit: Hit, actor: str, specifics: int) -> bool:
        """Tell whether a question or praise counts all the same: an official, a completed act, two specifics."""
        return actor in _OFFICIALS and specifics >= _ASKS_UNLESS and self.completed(hit)

    def _severe(self, hit: Hit) -> bool:
        pattern = self.context.lexicon.categories[hit.category].severe
        if pattern is None or hit.kind == "mild":
            return False
        return bool(pattern.search(self.context.text[max(0, hit.start - AROUND) : hit.end + AROUND]))

    def quote(self, start: int, end: int) -> str:
        """Return a span with a little around it, whole clauses where they are short, identities and fine places masked."""
        known = self._quotes.get((start, end))
        if known is None:
            known = self._quotes[start, end] = self._quoted(*self.context.plain.original(start, end))
        return known

    def _quoted(self, start: int, end: int) -> str:
        text = self.text
        end = min(end, start + QUOTE_MAX)
        room = (QUOTE_MAX - (end - start)) // 2
        first, last = max(0, start - room), min(len(text), end + room)
        for mark in _SENTENCE_MARKS:
            first = max(first, text.rfind(mark, first, start) + 1)
            found = text.find(mark, end, last)
            last = found if found >= 0 else last
        quote = " ".join(mask_place(mask(_without_edges(text, first, last), self._names)).split())
        return _CUT_MASK.sub("", quote[:QUOTE_MAX])


def _without_edges(text: str, first: int, last: int) -> str:
    """Return the piece without what may be half a number at an edge that goes on beyond it: half a number would not be known for one."""
    piece = text[first:last]
    if first > 0:
        piece = _EDGE_START.sub("", piece)
    return _EDGE_END.sub("", piece) if last < len(text) else piece
